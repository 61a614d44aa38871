"""Smoke runs: a plan of their own that no real one equals, and a verdict of every cell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.campaign.read import run_id
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.checker.model import CheckedResult, CheckReport, Finding
from mlperf_ops.collected import Earlier
from mlperf_ops.files import Json
from mlperf_ops.matrix import MatrixCell, MatrixRow
from mlperf_ops.model import CollectedCell, Failure, Plan, Result, Spec
from mlperf_ops.plan import make_plan
from mlperf_ops.smoke import Seen, SmokeVerdict, judge
from mlperf_ops.typed import load

CATALOGUE = load_catalogue()
_NAME = "efficientnet-lite0"
_KEYS = (f"a/{_NAME}/Offline/accuracy", f"a/{_NAME}/Offline/performance")


def plan(**changes: Json) -> Plan:
    given: dict[str, Json] = {
        "round": "v6.1",
        "division": "open",
        "submitter": "Example",
        "home": "/srv/mlperf",
        "system_type": "edge",
        "run_style": "valid",
        "benchmarks": [{"benchmark": _NAME, "scenarios": ["Offline"]}],
        "smoke": True,
    }
    variables = {f"mlperf_{name}": value for name, value in {**given, **changes}.items()}
    return make_plan({"a": variables}, CATALOGUE, "inventory/lab", lambda *_: "")[0]


def spec(made: Plan, number: int = 0) -> Spec:
    return load(Spec, made.cells[number].request or {}, "request")


def test_a_smoke_run_is_short_and_has_a_folder_and_specs_of_its_own() -> None:
    made = plan(adjust_targets=True)
    assert (made.run_id, made.run_style, made.smoke) == ("lab-smoke", "test", True)
    assert all(spec(made, number).smoke for number in range(2))
    assert {spec(made, number).dataset.total_count for number in range(2)} == {8}
    assert "Offline.min_query_count = 8\n" in spec(made, 1).loadgen.user_conf
    assert all(one.adjustable is None for one in made.cells)
    real = plan(smoke=False, run_style="test", test_query_count=8)
    assert real.run_id == "lab"
    assert "smoke" not in (real.cells[0].request or {})
    for one, other in zip(made.cells, real.cells, strict=True):
        assert one.request_sha256 != other.request_sha256


def test_a_benchmark_s_own_style_and_a_smaller_data_set_are_no_way_out() -> None:
    entry: dict[str, Json] = {"benchmark": _NAME, "scenarios": ["Offline"], "run_style": "valid", "sample_count": 3}
    made = plan(benchmarks=[entry], run_id="mine")
    assert made.run_id == "mine-smoke"
    assert (spec(made).run_style, spec(made).dataset.total_count) == ("test", 3)


@pytest.mark.parametrize(("text", "found"), [("true", "lab-smoke"), ("false", "lab"), ("yes", "lab-smoke")])
def test_the_commands_find_the_folder_of_an_inventory_that_says_smoke(tmp_path: Path, text: str, found: str) -> None:
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / "hosts.yml").write_text(f"all:\n  vars:\n    mlperf_smoke: {text}\n")
    assert run_id(folder) == found


def attempt(made: Plan, number: int, **changes: Any) -> Earlier:  # noqa: ANN401  # fields of several types
    one = made.cells[number]
    result = Result(
        cell=one.cell,
        spec_sha256="s",
        request_sha256=one.request_sha256 or "",
        verdict="valid",
        reasons=(),
        simulated=False,
        started_at="2026-11-28T15:00:00+00:00",
        elapsed_seconds=1.0,
        loadgen=None,
        accuracy=None,
        failure=None,
        effective={},
    )
    result = replace(result, **changes)
    key, sha256 = one.cell.key, one.request_sha256 or ""
    cell = CollectedCell(key, "s", sha256, "attempt_1", "x/attempt_1", result.verdict, simulated=False)
    return Earlier("a", cell, Path(), spec(made, number), result)


def matrix(*cells: MatrixCell) -> tuple[MatrixRow, ...]:
    return (MatrixRow("open", "a", _NAME, "Offline", "planned", (), None, cells),)


def finding(rule: str, affects: str, because: str | None) -> Finding:
    return Finding(rule, "official", affects, affects, f"{rule} is broken", None, None, "", "mend it", because)


def checks(*findings: Finding) -> CheckReport:
    place = f"open/Example/results/a/{_NAME}/Offline"
    result = CheckedResult(
        location=place, division="open", submitter="Example", system="a", benchmark=_NAME, model="resnet",
        scenario="Offline", measured_scenario="Offline", metric=1.0, unit="Samples/s", accuracy={}, validity="VALID",
        inferred=False, verdict="expected", has_power=False, power=None, power_unit=None,
    )  # fmt: skip
    return CheckReport("tree", "v6.1", "demonstration", findings, (result,))


def verdict(made: Plan, **changes: Any) -> SmokeVerdict:  # noqa: ANN401  # fields of several types
    good = [attempt(made, 0), attempt(made, 1)]
    stands = matrix(*(MatrixCell(mode, "valid", ("a",), "") for mode in ("accuracy", "performance")))
    seen = Seen(earlier=good, lacking={}, dropped={}, matrix=stands, checks=checks())
    return judge(made, replace(seen, **changes))


def test_cells_that_ran_up_to_the_check_would_run_and_what_is_not_judged_is_named() -> None:
    place = f"open/Example/results/a/{_NAME}/Offline"
    found = verdict(plan(), checks=checks(finding("min-duration", place, "a smoke run is short")))
    assert found.ready
    assert [(one.key, one.state, one.not_judged) for one in found.cells] == [
        (key, "runs", ("min-duration",)) for key in _KEYS
    ]


def test_an_invalid_run_of_seconds_is_no_failure() -> None:
    made = plan()
    assert verdict(made, earlier=[attempt(made, 0), attempt(made, 1, verdict="invalid", reasons=("short",))]).ready


def test_each_step_that_fails_says_what_is_missing() -> None:
    made = plan()
    lacks = verdict(made, earlier=[], lacking={"a": {_NAME: "the model is not at /x (put it there)"}}, checks=None)
    assert {(one.state, one.step, one.reason) for one in lacks.cells} == {
        ("would fail", "load", "the model is not at /x (put it there)")
    }
    dropped = verdict(made, earlier=[], dropped={"a": "it dropped out at 'Tune': no"})
    assert dropped.cells[0].reason == "it dropped out at 'Tune': no"
    failure = Failure("crash", "it died", "look at it", ())
    ran = verdict(made, earlier=[attempt(made, 0), attempt(made, 1, verdict="failed", failure=failure)])
    assert [(one.state, one.step, one.reason) for one in ran.cells] == [
        ("runs", "", ""),
        ("would fail", "run", "it died (look at it)"),
    ]
    refused = verdict(made, matrix=matrix(MatrixCell("accuracy", "refused", ("a",), "no labels")))
    assert (refused.cells[0].step, refused.cells[0].reason) == ("aggregate", "refused: no labels")
    place = f"open/Example/results/a/{_NAME}/Offline"
    objected = verdict(made, checks=checks(finding("missing-file", place, None)))
    assert objected.cells[1].reason == "missing-file: missing-file is broken (mend it)"
    wide = verdict(made, checks=checks(finding("system-field-missing", "open/Example/systems", None)))
    assert [one.state for one in wide.cells] == ["runs", "runs"]
    assert not wide.ready
    assert not verdict(made, checks=None, problem="there is no checked tree").ready
