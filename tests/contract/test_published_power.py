"""Power of published rounds: our figures against the official code, measurement by measurement.

MLPERF_RESULTS_V5_1, MLPERF_RESULTS_V4_1 and MLPERF_RESULTS_V2_1 name copies of mlcommons/inference_results_v5.1 and so
on, which may lack large files; MLPERF_INFERENCE_RELEASE_V4_1 names mlcommons/inference at tag v4.1, whose
`get_power_metric` is called as it is, and MLPERF_INFERENCE_CHECKOUT the same repository for its power_checker.py. What
was published of v5.1 is in its summary_results.json; the other repositories hold no table. The numbers are in
docs/reference/power-check.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.power_check import check_measurement, read_measurement
from mlperf_ops.power_check.official import power_checker, run_power_checker
from mlperf_ops.power_results import MeasuredPower, Place, find_measurements, measured_power

RELEASE = Path(os.environ.get("MLPERF_INFERENCE_RELEASE_V4_1", "/nonexistent")) / "tools/submission"
CHECKOUT = os.environ.get("MLPERF_INFERENCE_CHECKOUT", "")
ROUNDS = ("v5.1", "v4.1", "v2.1")
ROUND = load_catalogue().round("v5.1")
CLOSE = 1e-9
# Reads lines of JSON with scenario, folder and performance; answers with the figure and the efficiency of each.
_ASK = """
import json, logging, sys
sys.argv = sys.argv[:1]
import submission_checker
logging.disable(logging.CRITICAL)
for line in sys.stdin:
    scenario, folder, performance = json.loads(line)
    _, value, _, efficiency = submission_checker.get_power_metric(None, scenario, folder, True, performance)
    print(json.dumps([value, efficiency]))
"""


def tree_of(name: str) -> Path:
    variable = f"MLPERF_RESULTS_{name.upper().replace('.', '_')}"
    tree = Path(os.environ.get(variable, "/nonexistent"))
    if not tree.is_dir():
        pytest.skip(f"{variable} names no copy of inference_results_{name}")
    return tree


def figures_of(tree: Path) -> Iterator[tuple[Place, MeasuredPower]]:
    for place in find_measurements(tree, tuple(ROUND.divisions)):
        if all((place.folder / "run_1" / name).is_file() for name in ("spl.txt", "mlperf_log_detail.txt")):
            yield place, measured_power(place, ROUND)


@pytest.mark.skipif(not RELEASE.is_dir(), reason="MLPERF_INFERENCE_RELEASE_V4_1 names no checkout of tag v4.1")
@pytest.mark.parametrize("name", ROUNDS)
def test_figures_and_efficiency_are_those_of_the_official_code(name: str) -> None:
    found = list(figures_of(tree_of(name)))
    # The code of tag v4.1 does not know Interactive, which later code treats as Server.
    asked = [
        [
            "Server" if one.scenario == "Interactive" else one.scenario,
            str(place.folder / "run_1"),
            one.performance or 0.0,
        ]
        for place, one in found
    ]
    done = subprocess.run(
        [sys.executable, "-c", _ASK],
        input="".join(f"{json.dumps(one)}\n" for one in asked),
        cwd=RELEASE,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(theirs) == len(found) > 0
    for (place, ours), (value, efficiency) in zip(found, theirs, strict=True):
        assert ours.problem is None, place.location
        assert ours.value == pytest.approx(value, rel=CLOSE), place.location
        if ours.efficiency is not None:
            assert ours.efficiency == pytest.approx(efficiency, rel=CLOSE), place.location


def test_figures_are_the_published_ones_of_v5_1() -> None:
    tree = tree_of("v5.1")
    rows = {row["Location"].removeprefix("./"): row for row in json.loads((tree / "summary_results.json").read_text())}
    compared = 0
    for place, ours in figures_of(tree):
        row = rows[place.location.removesuffix("/performance")]
        assert ours.value == pytest.approx(row["Power_Result"], rel=CLOSE), place.location
        assert ours.unit == row["Power_Units"]
        compared += 1
    assert compared == 23


@pytest.mark.skipif(not CHECKOUT, reason="MLPERF_INFERENCE_CHECKOUT names no checkout of mlcommons/inference")
def test_the_official_power_checker_objects_where_we_say_that_it_does() -> None:
    script, compared = power_checker(Path(CHECKOUT)), 0
    for place in find_measurements(tree_of("v5.1"), tuple(ROUND.divisions)):
        found = check_measurement(read_measurement(place.folder), ROUND)
        official = run_power_checker(script, place.folder)
        assert official.accepted == (not [one for one in found if one.objector == "official"]), place.location
        compared += 1
    assert compared == 24


@pytest.mark.parametrize("name", ROUNDS)
def test_nothing_that_was_published_is_simulated_and_no_measurement_raises(name: str) -> None:
    for place in find_measurements(tree_of(name), tuple(ROUND.divisions)):
        found = check_measurement(read_measurement(place.folder), ROUND)
        assert "simulated" not in {one.subject for one in found}, place.location
