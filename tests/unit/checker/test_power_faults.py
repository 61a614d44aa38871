"""Power: a good measurement, one planted fault, and exactly the finding that belongs to it."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from mlperf_ops.checker import check_tree
from mlperf_ops.power_check import check_measurement, read_measurement
from tests.support.attempts import RealLogs
from tests.support.power_faults import POWER_FAULTS, POWER_FILES, POWER_HARMLESS, POWER_OF_A_SHORT_RUN
from tests.support.power_trees import measure
from tests.support.submission_trees import Fault, TreeUnderTest, good_tree, round_v61


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, real_logs: RealLogs) -> TreeUnderTest:
    tree = good_tree(tmp_path_factory.mktemp("power"), real_logs)
    measure(tree)
    return tree


def copy_of(tree: TreeUnderTest, root: Path) -> TreeUnderTest:
    shutil.copytree(tree.root, root)
    return TreeUnderTest(root, tree.division, tree.benchmark)


def test_nobody_objects_to_the_good_measurement(measured: TreeUnderTest) -> None:
    report = check_tree(measured.root, round_v61(), processes=1)
    assert report.findings == ()
    (row,) = [row for row in report.results if row.has_power]
    assert row.power == pytest.approx(99.5)
    assert row.power_unit == "Watts"


@pytest.mark.parametrize("fault", [*POWER_FAULTS, *POWER_FILES], ids=str)
def test_a_planted_fault_gives_its_finding_and_no_other(fault: Fault, measured: TreeUnderTest, tmp_path: Path) -> None:
    tree = copy_of(measured, tmp_path / "tree")
    fault.plant(tree)
    report = check_tree(tree.root, round_v61(), processes=1)
    assert Counter((one.rule, one.severity) for one in report.findings) == {(fault.rule, fault.severity): 1}
    unread = fault.name == "nameplate that is no YAML"  # which ends the official checker, whatever the result
    assert {row.verdict for row in report.results if not row.has_power} == {"fail" if unread else "pass"}


@pytest.mark.parametrize("fault", POWER_OF_A_SHORT_RUN, ids=str)
def test_the_official_checker_compares_nothing_with_a_much_longer_ranging(
    fault: Fault, measured: TreeUnderTest, tmp_path: Path
) -> None:
    tree = copy_of(measured, tmp_path / "tree")
    fault.plant(tree)
    found = Counter((one.rule, one.severity) for one in check_tree(tree.root, round_v61(), processes=1).findings)
    assert found == {("power-duration", "advice"): 1, (fault.rule, fault.severity): 1}


@pytest.mark.parametrize("change", POWER_HARMLESS, ids=str)
def test_what_is_just_within_a_bound_gives_no_finding(change: Fault, measured: TreeUnderTest, tmp_path: Path) -> None:
    tree = copy_of(measured, tmp_path / "tree")
    change.plant(tree)
    assert [one.message for one in check_tree(tree.root, round_v61(), processes=1).findings] == []


def test_a_folder_without_any_file_is_named_file_by_file(tmp_path: Path) -> None:
    found = check_measurement(read_measurement(tmp_path), round_v61())
    assert [one.subject for one in found] == ["files"] * 11
