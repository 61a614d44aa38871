"""One run that is filed more than once: what may be shared, and what is a copy."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from mlperf_ops.checker import CheckReport, check_tree
from tests.support.attempts import RealLogs
from tests.support.submission_trees import ALL, EDGE, SYSTEM, TreeUnderTest, good_tree, round_v61


def shared(report: CheckReport) -> set[tuple[str, str | None]]:
    return {(finding.location, finding.value) for finding in report.findings if finding.rule == "shared-log"}


def second_system(tree: TreeUnderTest, name: str = "node2", **differs: str) -> None:
    """Hand in the results of the first system as those of another one, too."""
    home = tree.submitter / "results"
    shutil.copytree(home / SYSTEM, home / name)
    fields = json.loads(tree.system_json.read_text())
    (tree.submitter / "systems" / f"{name}.json").write_text(json.dumps(fields | {"system_name": name} | differs))


def test_the_logs_of_one_system_are_no_results_of_another(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs)
    second_system(tree, host_processor_model_name="another processor")
    report = check_tree(tree.root, round_v61())
    assert {(finding.rule, finding.severity) for finding in report.findings} == {("shared-log", "rules")}
    found = shared(report)
    logs = [f"{scenario}/{run}" for scenario in EDGE for run in ("performance/run_1", "accuracy")]
    base = f"open/TEST-ONLY/results/{{}}/{tree.benchmark}/{{}}/mlperf_log_detail.txt"
    assert {(base.format("node2", log), base.format(SYSTEM, log)) for log in logs} < found
    assert {row.system: row.verdict for row in report.results} == {SYSTEM: "pass", "node2": "fail"}


def test_two_names_of_one_system_are_advice(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs)
    second_system(tree, system_type="datacenter")
    report = check_tree(tree.root, round_v61())
    copies = [finding for finding in report.findings if finding.rule == "shared-log"]
    assert {finding.severity for finding in copies} == {"advice"}
    assert len(copies) == len(ALL) * len(("performance", "accuracy"))
    assert all(finding.message.endswith(", whose system is described alike") for finding in copies)


def test_one_run_may_stand_for_variants_of_a_benchmark(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs, benchmark="bert-99", scenarios=("Offline",))
    folder = tree.result("Offline").parent
    shutil.copytree(folder, folder.with_name("bert-99.9"))
    assert shared(check_tree(tree.root, round_v61())) == set()
    shutil.copytree(folder, folder.with_name("resnet"))
    assert {location.split("/")[4] for location, _ in shared(check_tree(tree.root, round_v61()))} == {"resnet"}


def test_one_run_may_be_handed_in_to_two_divisions(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs, division="closed", benchmark="resnet50", scenarios=EDGE)
    shutil.copytree(tree.root / "closed", tree.root / "open")
    assert shared(check_tree(tree.root, round_v61())) == set()
    (tree.root / "open" / "TEST-ONLY").rename(tree.root / "open" / "OTHER")
    assert len(shared(check_tree(tree.root, round_v61()))) == len(EDGE) * len(("performance", "accuracy", "01", "04"))


def test_a_performance_run_of_one_scenario_is_no_accuracy_run_of_another(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs)
    shutil.copyfile(tree.performance("Offline"), tree.accuracy("Server"))
    found = shared(check_tree(tree.root, round_v61()))
    assert [location.split("/")[5:7] for location, _ in found] == [["Server", "accuracy"]]


@pytest.mark.parametrize("bytes_", [0, 1])
def test_logs_without_content_are_no_copies(tmp_path: Path, real_logs: RealLogs, bytes_: int) -> None:
    tree = good_tree(tmp_path, real_logs)
    for scenario in EDGE:
        tree.performance(scenario).write_bytes(f"{scenario[0]}"[:bytes_].encode())
    assert shared(check_tree(tree.root, round_v61())) == set()


def test_a_seed_of_thousands_of_digits_in_a_summary_is_another_one(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs, scenarios=("Offline",))
    summary = tree.performance("Offline").with_name("mlperf_log_summary.txt")
    summary.write_text(re.sub(r"(qsl_rng_seed : )\d+", r"\g<1>" + "9" * 5000, summary.read_text()))
    found = check_tree(tree.root, round_v61(), processes=1).findings
    assert [finding.rule for finding in found] == ["summary-mismatch"]
