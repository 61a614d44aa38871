"""Scenarios that the round does not have for a benchmark, in the open division."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlperf_ops.checker import check_tree
from mlperf_ops.model import Scenario
from tests.support.attempts import RealLogs
from tests.support.odd_scenarios import ODD_SCENARIOS, odd_tree
from tests.support.submission_trees import round_v61


@pytest.mark.parametrize(("model", "scenario", "folder", "rule"), ODD_SCENARIOS)
def test_a_scenario_without_figures_is_rejected_as_the_official_checker_does(
    model: str, scenario: Scenario, folder: str, rule: str | None, tmp_path: Path, real_logs: RealLogs
) -> None:
    tree = odd_tree(tmp_path, real_logs, model, scenario, folder)
    findings = check_tree(tree.root, round_v61(), processes=1).findings
    assert {(one.rule, one.severity) for one in findings if one.rejects} == ({(rule, "official")} if rule else set())
