"""The same faults and damage in trees of the other rounds: the same findings, but for what is other in the rules."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker import check_tree
from tests.support.attempts import RealLogs
from tests.support.damage import Damage, damages
from tests.support.faults import CLOSED_FAULTS, FAULTS
from tests.support.submission_trees import EDGE, Fault, TreeUnderTest, good_tree
from tests.support.trees_of_rounds import as_of_round
from tests.support.value_faults import HARMLESS, VALUE_FAULTS, Harmless

ALL_FAULTS = (*FAULTS, *CLOSED_FAULTS, *VALUE_FAULTS)
# Before v6.0 measurements/ is where it belongs; src/ in such a tree has a test of its own (test_engine).
OWN_LAYOUT = "measurements of the old layout"
# What else lies in measurements/ nobody listed.
ABOUT_RUNS = ("user.conf", "README.md", "measurements.json")


@pytest.fixture(scope="module", params=["v5.1", "v6.0"])
def round_(request: pytest.FixtureRequest) -> Round:
    return load_catalogue().round(request.param)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, real_logs: RealLogs) -> Mapping[str, TreeUnderTest]:
    base = tmp_path_factory.mktemp("good")
    closed = good_tree(base / "closed", real_logs, division="closed", benchmark="resnet50", scenarios=EDGE)
    return {"open": good_tree(base / "open", real_logs), "closed": closed}


def has_measurements(round_: Round) -> bool:
    """Whether the round's layout has a folder of its own for what is about runs."""
    return "/measurements/" in round_.layout.measurements_dir


@pytest.mark.parametrize("division", ["open", "closed"])
def test_nobody_objects_to_the_good_tree(
    good: Mapping[str, TreeUnderTest], division: str, round_: Round, tmp_path: Path
) -> None:
    shutil.copytree(good[division].root, tmp_path / "tree")
    as_of_round(tmp_path / "tree", round_)
    report = check_tree(tmp_path / "tree", round_, processes=1)
    assert [(one.rule, one.location, one.message) for one in report.findings] == []
    assert {result.verdict for result in report.results} == {"pass"}


@pytest.mark.parametrize("fault", ALL_FAULTS, ids=str)
def test_a_planted_fault_gives_its_finding_and_no_other(
    fault: Fault, good: Mapping[str, TreeUnderTest], round_: Round, tmp_path: Path
) -> None:
    pristine = good[fault.division]
    if fault.name == OWN_LAYOUT and has_measurements(round_):
        pytest.skip("measurements/ is of this round's layout")
    tree = TreeUnderTest(tmp_path / "tree", pristine.division, pristine.benchmark)
    shutil.copytree(pristine.root, tree.root)
    fault.plant(tree)
    as_of_round(tree.root, round_)
    report = check_tree(tree.root, round_, processes=1)
    assert Counter((one.rule, one.severity) for one in report.findings) == {(fault.rule, fault.severity): 1}
    failed = {result.location for result in report.results if result.verdict == "fail"}
    (finding,) = report.findings
    concerned = {result.location for result in report.results if finding.concerns(result.location)}
    assert failed == (concerned if finding.rejects else set())


@pytest.mark.parametrize("change", HARMLESS, ids=str)
def test_what_is_just_within_a_limit_gives_no_finding(
    change: Harmless, good: Mapping[str, TreeUnderTest], round_: Round, tmp_path: Path
) -> None:
    pristine = good[change.division]
    tree = TreeUnderTest(tmp_path / "tree", pristine.division, pristine.benchmark)
    shutil.copytree(pristine.root, tree.root)
    change.plant(tree)
    as_of_round(tree.root, round_)
    assert [(one.rule, one.message) for one in check_tree(tree.root, round_, processes=1).findings] == []


@pytest.mark.parametrize("damage", list(damages()), ids=str)
def test_damage_to_one_file_gives_what_the_table_says(
    damage: Damage, good: Mapping[str, TreeUnderTest], round_: Round, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(good[damage.division].root, tree)
    damage.inflict(tree)
    as_of_round(tree, round_)
    report = check_tree(tree, round_, processes=1)
    expected = damage.expected.copy()
    if has_measurements(round_) and damage.file.endswith(ABOUT_RUNS):
        expected -= Counter({("unknown-folder", "advice"): 1, ("stray-file", "advice"): 1})
    assert Counter((one.rule, one.severity) for one in report.findings) == expected
    assert len(report.results) == len(list(good[damage.division].result("Offline").parent.iterdir()))
    rejecting = [finding for finding in report.findings if finding.rejects]
    for result in report.results:
        rejected = any(finding.concerns(result.location) for finding in rejecting)
        assert result.verdict == ("fail" if rejected else "pass")
