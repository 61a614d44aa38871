"""A full closed v6.1 edge submission of resnet through the flow, by a stand-in that sleeps: `make acceptance`.

SingleStream, MultiStream and Offline; accuracy, performance, TEST01 and TEST04; nine runs of ten minutes at once on
this machine, about 12 minutes in all. With MLPERF_INFERENCE_CHECKOUT (a checkout of mlcommons/inference at the round's
commit) the official checker has to pass the tree without any flag, and the official scripts each test.

MLPERF_OPS_ACCEPTANCE switches it on. If it is the path of a folder, results go there, and a second run takes up what
is there already.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from mlperf_ops.catalogue import Catalogue, load_catalogue
from mlperf_ops.checker import CheckReport, check_tree
from mlperf_ops.collected import read_collection
from mlperf_ops.compliance.model import Request, Runs
from mlperf_ops.compliance.official import run_official
from mlperf_ops.compliance.scoring import options_of
from mlperf_ops.errors import SubmissionError
from mlperf_ops.files import read_json
from mlperf_ops.model import COMPLIANCE_TESTS, ComplianceTest
from mlperf_ops.run_plan import read_plan
from mlperf_ops.selection import Selection
from mlperf_ops.simulated import MARK_FILE, MARK_TEXT, build
from tests.support.playbooks import CHECKOUT, command, environ

SWITCH = os.environ.get("MLPERF_OPS_ACCEPTANCE")
OFFICIAL = os.environ.get("MLPERF_INFERENCE_CHECKOUT")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.network,
    pytest.mark.skipif(not SWITCH, reason="about 12 minutes; `make acceptance` runs it"),
]
needs_checkout = pytest.mark.skipif(
    OFFICIAL is None, reason="MLPERF_INFERENCE_CHECKOUT names no checkout of mlcommons/inference"
)
SAMPLES = 50_000
CLASSES = 1000
SCENARIOS = ("SingleStream", "MultiStream", "Offline")
INVENTORY = Path(__file__).parent / "inventory"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """results/acceptance after the whole play up to the collection; its output goes to the terminal."""
    kept = Path(str(SWITCH)) if os.path.isabs(str(SWITCH)) else None
    folder = kept or tmp_path_factory.mktemp("acceptance")
    labels = folder / "labels"
    labels.mkdir(parents=True, exist_ok=True)
    lines = (f"ILSVRC2012_val_{i + 1:08d}.JPEG {i * 7919 % CLASSES}\n" for i in range(SAMPLES))
    (labels / "val_map.txt").write_text("".join(lines))
    argv = command(
        str(CHECKOUT / "run-inference.yml"),
        INVENTORY,
        *("-e", f"acceptance_folder={folder}", "--tags", "validate,provision,run,collect"),
    )
    done = subprocess.run(argv, cwd=folder, env=environ(), stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0
    return folder / "results" / "acceptance"


@pytest.fixture(scope="module")
def built(run: Path, catalogue: Catalogue) -> tuple[Path, Selection]:
    tree, selection, _ = build(run, catalogue)
    return tree, selection


@pytest.fixture(scope="module")
def checked(built: tuple[Path, Selection], run: Path, catalogue: Catalogue) -> CheckReport:
    return check_tree(built[0], catalogue.round("v6.1"), read_plan(run))


def test_all_twelve_cells_are_valid_with_the_rounds_own_settings(run: Path) -> None:
    verdicts = {one.cell.key: one.cell.verdict for one in read_collection(run).earlier}
    modes = ("accuracy", "performance", "TEST01", "TEST04")
    assert verdicts == {f"oracle/resnet50/{scenario}/{mode}": "valid" for scenario in SCENARIOS for mode in modes}
    assert read_plan(run).limits == ()


def test_aggregation_refuses_it_because_it_is_simulated(run: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlperf_ops", "aggregate", str(run)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == SubmissionError.exit_code
    assert "a stand-in's results are never packed" in done.stderr
    assert not (run / "submission").exists()


def test_every_test_is_passed(built: tuple[Path, Selection]) -> None:
    _, selection = built
    assert {key: one.sentence for key, one in selection.tests.items() if not one.passed} == {}
    assert set(selection.tests) == {
        f"oracle/resnet50/{scenario}/{test}" for scenario in SCENARIOS for test in ("TEST01", "TEST04")
    }


def test_our_check_finds_that_it_is_simulated_and_nothing_else(checked: CheckReport) -> None:
    found = Counter(found.rule for found in checked.findings)
    found.pop("not-judged", None)  # says only what is left to the official checker
    assert found.keys() == {"simulated"}
    assert len(checked.results) == len(SCENARIOS)
    assert checked.verdict == "rejected"


def test_the_mark_is_in_every_place_that_is_looked_at(built: tuple[Path, Selection], checked: CheckReport) -> None:
    tree, _ = built
    assert tree.name == "simulated"
    assert (tree / MARK_FILE).is_file()
    base = tree / "closed" / "TEST-ONLY"
    assert read_json(base / "systems" / "oracle.json")["simulated"] == "true"
    marked = {found.location for found in checked.findings if found.rule == "simulated"}
    for scenario in SCENARIOS:
        folder = base / "results" / "oracle" / "resnet50" / scenario
        assert (folder / "README.md").read_text().startswith(MARK_TEXT)
        assert read_json(folder / "measurements.json")["simulated"] == "true"
        assert any(scenario in place for place in marked)


@needs_checkout
def test_the_official_checker_passes_it_without_any_flag(built: tuple[Path, Selection], tmp_path: Path) -> None:
    tools = Path(str(OFFICIAL)) / "tools" / "submission"
    table = tmp_path / "summary.csv"
    argv = [sys.executable, "-m", "submission_checker.main", "--input", str(built[0]), "--version", "v6.1"]
    done = subprocess.run([*argv, "--csv", str(table)], cwd=tools, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    assert re.search(r"Results=3, NoResults=0", done.stderr)
    assert "SUMMARY: submission looks OK" in done.stderr
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["Scenario"] for row in rows} == set(SCENARIOS)
    assert {row["inferred"] for row in rows} == {"0"}


@needs_checkout
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("test", ["TEST01", "TEST04"])
def test_the_official_script_passes_each_test(
    built: tuple[Path, Selection], run: Path, catalogue: Catalogue, scenario: str, test: ComplianceTest
) -> None:
    _, selection = built
    pair = next(one for one in selection.scenarios if one.performance.spec.cell.scenario == scenario)
    planned = next(one for one in read_plan(run).cells if one.cell.key == f"oracle/resnet50/{scenario}/{test}")
    attempt = selection.attempt(planned)
    assert test in COMPLIANCE_TESTS
    request = Request(
        test,
        catalogue.round("v6.1"),
        "resnet",
        pair.performance.spec.cell.scenario,
        Runs(attempt.folder, pair.performance.folder, pair.accuracy.folder),  # type: ignore[union-attr]  # it was run
        options_of(attempt.spec, attempt.folder),  # type: ignore[union-attr]
    )
    found = run_official(request, Path(str(OFFICIAL)))
    assert found.passed, found.said
