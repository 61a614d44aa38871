"""A language model: token latencies at both sides of their limits, scenarios of which one is needed, TEST06."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from mlperf_ops.checker import check_tree
from tests.support.attempts import RealLogs
from tests.support.faults import Plant
from tests.support.llm_faults import LLM_FAULTS, LLM_HARMLESS, llm_tree
from tests.support.submission_trees import Fault, TreeUnderTest, round_v61


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, real_logs: RealLogs) -> TreeUnderTest:
    return llm_tree(tmp_path_factory.mktemp("llm"), real_logs)


def copy_of(tree: TreeUnderTest, root: Path) -> TreeUnderTest:
    shutil.copytree(tree.root, root)
    return TreeUnderTest(root, tree.division, tree.benchmark)


def test_nobody_objects_to_the_good_tree(good: TreeUnderTest) -> None:
    report = check_tree(good.root, round_v61(), processes=1)
    assert report.findings == ()
    assert {row.unit for row in report.results} == {"Tokens/s"}


@pytest.mark.parametrize("fault", LLM_FAULTS, ids=str)
def test_a_planted_fault_gives_its_finding_and_no_other(fault: Fault, good: TreeUnderTest, tmp_path: Path) -> None:
    tree = copy_of(good, tmp_path / "tree")
    fault.plant(tree)
    report = check_tree(tree.root, round_v61(), processes=1)
    assert Counter((one.rule, one.severity) for one in report.findings) == {(fault.rule, fault.severity): 1}


@pytest.mark.parametrize(("name", "plant"), LLM_HARMLESS, ids=[name for name, _ in LLM_HARMLESS])
def test_what_is_just_within_a_limit_gives_no_finding(
    name: str, plant: Plant, good: TreeUnderTest, tmp_path: Path
) -> None:
    tree = copy_of(good, tmp_path / "tree")
    plant(tree)
    assert [one.message for one in check_tree(tree.root, round_v61(), processes=1).findings] == [], name
