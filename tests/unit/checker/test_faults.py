"""Every rule: a good tree, one planted fault, and exactly the finding that belongs to it."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from mlperf_ops.checker import check_tree
from mlperf_ops.checker.registry import all_rules
from tests.support.attempts import RealLogs
from tests.support.faults import CLOSED_FAULTS, FAULTS
from tests.support.power_faults import POWER_FAULTS, POWER_FILES
from tests.support.submission_trees import EDGE, Fault, TreeUnderTest, good_tree, round_v61
from tests.support.value_faults import HARMLESS, VALUE_FAULTS, Harmless

ALL_FAULTS = (*FAULTS, *CLOSED_FAULTS, *VALUE_FAULTS)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, real_logs: RealLogs) -> dict[str, TreeUnderTest]:
    base = tmp_path_factory.mktemp("good")
    closed = good_tree(base / "closed", real_logs, division="closed", benchmark="resnet50", scenarios=EDGE)
    return {"open": good_tree(base / "open", real_logs), "closed": closed}


@pytest.mark.parametrize("division", ["open", "closed"])
def test_nobody_objects_to_the_good_tree(good: dict[str, TreeUnderTest], division: str) -> None:
    report = check_tree(good[division].root, round_v61())
    assert report.findings == ()
    assert report.verdict == "submittable"
    assert {result.verdict for result in report.results} == {"pass"}


@pytest.mark.parametrize("fault", ALL_FAULTS, ids=str)
def test_a_planted_fault_gives_its_finding_and_no_other(
    fault: Fault, good: dict[str, TreeUnderTest], tmp_path: Path
) -> None:
    pristine = good[fault.division]
    tree = TreeUnderTest(tmp_path / "tree", pristine.division, pristine.benchmark)
    shutil.copytree(pristine.root, tree.root)
    fault.plant(tree)
    report = check_tree(tree.root, round_v61(), processes=1)
    assert Counter((one.rule, one.severity) for one in report.findings) == {(fault.rule, fault.severity): 1}
    assert report.verdict == ("submittable" if fault.severity == "advice" else "rejected")
    (finding,) = report.findings
    assert finding.meaning
    assert finding.fix
    assert str(tmp_path) not in finding.message + finding.location
    if fault.severity != "advice":
        failed = {result.location for result in report.results if result.verdict == "fail"}
        assert failed == {result.location for result in report.results if finding.concerns(result.location)}


@pytest.mark.parametrize("change", HARMLESS, ids=str)
def test_what_is_just_within_a_limit_gives_no_finding(
    change: Harmless, good: dict[str, TreeUnderTest], tmp_path: Path
) -> None:
    pristine = good[change.division]
    tree = TreeUnderTest(tmp_path / "tree", pristine.division, pristine.benchmark)
    shutil.copytree(pristine.root, tree.root)
    change.plant(tree)
    assert [(one.rule, one.message) for one in check_tree(tree.root, round_v61(), processes=1).findings] == []


def test_every_rule_has_a_fault_or_a_test_of_its_own() -> None:
    planted = {fault.rule for fault in (*ALL_FAULTS, *POWER_FAULTS, *POWER_FILES)}
    elsewhere = {
        "no-results",
        "scenario-not-allowed",
        "compliance-failed",
        "equal-issue",
        "token-latency",
        "network-sut-name",
        "shared-log",
        "duplicate-benchmark",
        "private-id",
        "secret",
        "private-detail",
        *(rule for rule in all_rules() if rule.startswith("endpoints-")),
        "accuracy-artifacts",
        "check-failed",
        "system-field-spelling",
    }
    assert planted | elsewhere == set(all_rules())
    assert not planted & elsewhere
