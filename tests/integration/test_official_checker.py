"""The unmodified official checker of a real checkout agrees with us, on good trees and on every planted fault.

MLPERF_INFERENCE_CHECKOUT names a checkout of mlcommons/inference.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mlperf_ops.checker import CheckReport, check_tree, run_official, with_official
from mlperf_ops.model import Scenario
from tests.support.attempts import RealLogs
from tests.support.damage import Damage, damages
from tests.support.endpoints_trees import CASES, EndpointsCase, endpoints_tree
from tests.support.faults import CLOSED_FAULTS, FAULTS, Plant
from tests.support.llm_faults import LLM_FAULTS, LLM_HARMLESS, llm_tree
from tests.support.odd_scenarios import ODD_SCENARIOS, odd_tree
from tests.support.power_faults import POWER_FAULTS, POWER_FILES, POWER_HARMLESS
from tests.support.power_trees import measure
from tests.support.submission_trees import EDGE, Fault, TreeUnderTest, good_tree, round_v61, short_tree
from tests.support.value_faults import HARMLESS, VALUE_FAULTS, Harmless

CHECKOUT = os.environ.get("MLPERF_INFERENCE_CHECKOUT", "")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not CHECKOUT, reason="MLPERF_INFERENCE_CHECKOUT names no checkout of mlcommons/inference"),
]


def both(tree: TreeUnderTest, *flags: str) -> CheckReport:
    official = run_official(Path(CHECKOUT), tree.root, round_v61(), flags=flags)
    return with_official(check_tree(tree.root, round_v61()), official)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, real_logs: RealLogs) -> dict[str, TreeUnderTest]:
    base = tmp_path_factory.mktemp("good")
    closed = good_tree(base / "closed", real_logs, division="closed", benchmark="resnet50", scenarios=EDGE)
    return {"open": good_tree(base / "open", real_logs), "closed": closed}


@pytest.mark.parametrize("division", ["open", "closed"])
def test_both_accept_the_good_tree_with_the_same_numbers(good: dict[str, TreeUnderTest], division: str) -> None:
    report = both(good[division])
    assert report.verdict == "submittable"
    assert report.disagreements == ()
    assert report.official is not None
    assert report.official.accepted
    assert report.official.note is None
    official = {result.location: result for result in report.official.results}
    assert len(official) == len(report.results)
    for ours in report.results:
        theirs = official[ours.location]
        assert ours.metric == pytest.approx(theirs.metric, rel=1e-9)
        assert theirs.row["Units"] == ours.unit
        assert theirs.row["MlperfModel"] == ours.model
        assert theirs.row["Accuracy"] == ", ".join(f"{metric}: {value}" for metric, value in ours.accuracy.items())


@pytest.mark.parametrize("fault", [*FAULTS, *CLOSED_FAULTS, *VALUE_FAULTS], ids=str)
def test_it_objects_exactly_to_the_faults_that_we_say_it_objects_to(
    fault: Fault, good: dict[str, TreeUnderTest], tmp_path: Path
) -> None:
    pristine = good[fault.division]
    tree = TreeUnderTest(tmp_path / "tree", pristine.division, pristine.benchmark)
    shutil.copytree(pristine.root, tree.root)
    fault.plant(tree)
    report = both(tree)
    assert report.official is not None
    assert report.official.accepted == (fault.severity != "official")
    assert report.disagreements == ()


@pytest.mark.parametrize("change", HARMLESS, ids=str)
def test_it_accepts_what_is_just_within_a_limit(
    change: Harmless, good: dict[str, TreeUnderTest], tmp_path: Path
) -> None:
    pristine = good[change.division]
    tree = TreeUnderTest(tmp_path / "tree", pristine.division, pristine.benchmark)
    shutil.copytree(pristine.root, tree.root)
    change.plant(tree)
    report = both(tree)
    assert report.official is not None
    assert report.official.accepted
    assert report.disagreements == ()


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, real_logs: RealLogs) -> TreeUnderTest:
    tree = good_tree(tmp_path_factory.mktemp("power"), real_logs)
    measure(tree)
    return tree


@pytest.mark.parametrize("fault", [*POWER_FAULTS, *POWER_FILES, *POWER_HARMLESS], ids=str)
def test_it_objects_to_a_power_measurement_exactly_where_we_say_so(
    fault: Fault, measured: TreeUnderTest, tmp_path: Path
) -> None:
    tree = TreeUnderTest(tmp_path / "tree", measured.division, measured.benchmark)
    shutil.copytree(measured.root, tree.root)
    fault.plant(tree)
    report = both(tree)
    assert report.official is not None
    assert report.official.accepted == (fault.severity != "official")
    assert report.disagreements == ()


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory, real_logs: RealLogs) -> TreeUnderTest:
    return llm_tree(tmp_path_factory.mktemp("llm"), real_logs)


_LLM_CHANGES = [
    *((fault.name, fault.severity, fault.plant) for fault in LLM_FAULTS),
    *((name, "advice", plant) for name, plant in LLM_HARMLESS),
]


@pytest.mark.parametrize(("name", "severity", "plant"), _LLM_CHANGES, ids=[name for name, _, _ in _LLM_CHANGES])
def test_it_objects_to_a_language_model_exactly_where_we_say_so(
    name: str, severity: str, plant: Plant, language_model: TreeUnderTest, tmp_path: Path
) -> None:
    tree = TreeUnderTest(tmp_path / "tree", language_model.division, language_model.benchmark)
    shutil.copytree(language_model.root, tree.root)
    plant(tree)
    report = both(tree)
    assert report.official is not None
    assert report.official.accepted == (severity != "official"), name
    assert report.disagreements == ()


@pytest.mark.parametrize("damage", list(damages()), ids=str)
def test_it_objects_exactly_to_the_damages_that_we_say_it_objects_to(
    damage: Damage, good: dict[str, TreeUnderTest], tmp_path: Path
) -> None:
    pristine = good[damage.division]
    tree = TreeUnderTest(tmp_path / "tree", pristine.division, pristine.benchmark)
    shutil.copytree(pristine.root, tree.root)
    damage.inflict(tree.root)
    report = both(tree)
    assert report.official is not None
    assert report.official.accepted == all(severity != "official" for _, severity in damage.expected)
    assert report.disagreements == ()


def test_it_objects_to_short_runs_over_twenty_images_for_the_reasons_that_we_give(
    tmp_path: Path, real_logs: RealLogs
) -> None:
    report = both(short_tree(tmp_path, real_logs))
    assert report.disagreements == ()
    assert report.official is not None
    said = {error for result in report.official.results for error in result.errors if "failed for:" not in error}
    subjects = ("Test duration less than 600s", "does not cover all dataset", "Early stopping condition was not met")
    assert said
    assert all(any(subject in error for subject in subjects) for error in said)


def test_long_runs_over_twenty_images_pass_with_the_flag_for_the_data_set_alone(
    tmp_path: Path, real_logs: RealLogs
) -> None:
    tree = good_tree(tmp_path, real_logs)
    for log in tree.root.rglob("accuracy/mlperf_log_detail.txt"):
        log.write_text(log.read_text().replace('_sample_count", "value": 50000', '_sample_count", "value": 20'))
    plain = both(tree)
    assert {finding.rule for finding in plain.findings} == {"dataset-size"}
    assert plain.disagreements == ()
    report = both(tree, "--skip-dataset-size-check")
    assert report.official is not None
    assert report.official.accepted
    assert report.disagreements == ()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_objects_to_results_of_endpoints_exactly_where_we_say_so(
    case: EndpointsCase, tmp_path: Path, real_logs: RealLogs
) -> None:
    tree = endpoints_tree(tmp_path, real_logs, case.model, case.scenario)
    case.plant(tree.result(case.scenario))
    report = both(tree)
    assert report.official is not None
    assert report.official.accepted == (not case.rules or case.severity != "official")
    assert report.disagreements == ()
    if report.official.accepted:
        assert report.results[0].metric == pytest.approx(report.official.results[0].metric, rel=1e-9)


@pytest.mark.parametrize(
    ("model", "scenario"),
    [
        ("llama3.1-8b", "Offline"),
        ("llama3.1-8b", "Interactive"),
        ("llama3.1-8b-edge", "SingleStream"),
        ("qwen3.6-27b", "SingleStream"),
        ("deepseek-r1", "Server"),
    ],
)
def test_both_read_the_same_result_of_endpoints(
    model: str, scenario: Scenario, tmp_path: Path, real_logs: RealLogs
) -> None:
    report = both(endpoints_tree(tmp_path, real_logs, model, scenario))
    assert report.official is not None
    assert report.official.accepted
    assert report.disagreements == ()
    assert report.results[0].metric == pytest.approx(report.official.results[0].metric, rel=1e-9)


@pytest.mark.parametrize(("model", "scenario", "folder", "rule"), ODD_SCENARIOS)
def test_it_objects_to_scenarios_that_it_has_no_figures_for_as_we_say(
    model: str, scenario: Scenario, folder: str, rule: str | None, tmp_path: Path, real_logs: RealLogs
) -> None:
    report = both(odd_tree(tmp_path, real_logs, model, scenario, folder))
    assert report.official is not None
    assert report.official.accepted == (rule is None)
    assert report.disagreements == ()
