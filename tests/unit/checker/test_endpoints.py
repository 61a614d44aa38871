"""Results of MLPerf Endpoints, benchmarks under two names, private ids."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mlperf_ops.checker import CheckReport, check_tree
from tests.support.attempts import RealLogs
from tests.support.submission_trees import EDGE, SYSTEM, TreeUnderTest, good_tree, round_v61

CACHING = round_v61().endpoints.compliance["TEST04"]


def said(report: CheckReport) -> set[tuple[str, str]]:
    return {(one.rule, one.severity) for one in report.findings if one.rule != "endpoints-not-judged"}


def endpoints_tree(root: Path, logs: RealLogs, model: str, *, closed: bool = False) -> TreeUnderTest:
    """A result without logs: files as MLPerf Endpoints exports them."""
    tree = good_tree(
        root,
        logs,
        division="closed" if closed else "open",
        scenarios=("Offline",),
        benchmark=model,
        system_type="datacenter",
    )
    result = tree.result("Offline")
    for name in ("performance", "accuracy", "TEST01", "TEST04"):
        shutil.rmtree(result / name, ignore_errors=True)
    (result / "user.conf").unlink()
    for name in ("performance", "accuracy", "audit"):
        (result / name).mkdir()
    (result / "config.yaml").write_text("model: x\n")
    (result / "performance/result_summary.json").write_text("{}")
    (result / "accuracy/accuracy_results.json").write_text(json.dumps({"accuracy_scores": [{"score": 1.0}]}))
    audit(tree, passed=True)
    return tree


def audit(tree: TreeUnderTest, *, passed: bool, test: str = CACHING) -> None:
    path = tree.result("Offline") / f"audit/audit_{CACHING}.json"
    path.write_text(json.dumps({"test": test, "passed": passed}))


def check(tree: TreeUnderTest) -> set[tuple[str, str]]:
    report = check_tree(tree.root, round_v61(), processes=1)
    assert len(report.results) == 1
    return said(report)


def test_a_result_without_logs_is_one_of_endpoints(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = endpoints_tree(tmp_path, real_logs, "gpt-oss-120b")
    report = check_tree(tree.root, round_v61(), processes=1)
    assert [finding.rule for finding in report.findings] == ["endpoints-not-judged"]
    assert report.verdict == "submittable"


@pytest.mark.parametrize("name", ["config.yaml", "performance/result_summary.json", "accuracy/accuracy_results.json"])
def test_each_of_its_files_is_needed(name: str, tmp_path: Path, real_logs: RealLogs) -> None:
    tree = endpoints_tree(tmp_path, real_logs, "gpt-oss-120b")
    (tree.result("Offline") / name).write_text("[")
    assert ("endpoints-unreadable", "official") in check(tree)
    (tree.result("Offline") / name).unlink()
    assert {rule for rule, _ in check(tree)} - {"empty-folder"} == {"missing-file"}


def test_only_some_benchmarks_may_come_from_endpoints(tmp_path: Path, real_logs: RealLogs) -> None:
    assert check(endpoints_tree(tmp_path, real_logs, "rgat")) == {("endpoints-benchmark", "official")}


def test_a_score_is_needed(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = endpoints_tree(tmp_path, real_logs, "gpt-oss-120b")
    for content in (
        "{}",
        '{"accuracy_scores": []}',
        '{"accuracy_scores": [{"score": null}]}',
        '{"accuracy_scores": 1}',
    ):
        (tree.result("Offline") / "accuracy/accuracy_results.json").write_text(content)
        assert check(tree) == {("endpoints-score", "official")}


def test_the_audit_of_caching_is_needed_where_the_benchmark_has_the_test(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = endpoints_tree(tmp_path, real_logs, "wan-2.2-t2v-a14b", closed=True)
    # SingleStream, and the videos that every result of this benchmark hands in.
    missing = {("missing-scenario", "official"), ("accuracy-artifacts", "official")}
    assert check(tree) == missing
    for passed, test in ((False, CACHING), (True, "another_test")):
        audit(tree, passed=passed, test=test)
        assert check(tree) == missing | {("endpoints-audit", "official")}
    (tree.result("Offline") / f"audit/audit_{CACHING}.json").write_text("{")
    assert ("endpoints-audit", "official") in check(tree)
    shutil.rmtree(tree.result("Offline") / "audit")
    assert check(tree) == missing | {("endpoints-audit", "official")}


def test_a_result_with_one_log_is_none_of_endpoints(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs)
    tree.performance("Offline").unlink()
    (tree.result("Offline") / "config.yaml").write_text("x: 1\n")
    report = check_tree(tree.root, round_v61(), processes=1)
    assert said(report) == {("missing-file", "official"), ("stray-file", "advice")}


def test_a_benchmark_and_its_alias_are_one(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs, division="closed", benchmark="resnet50", scenarios=EDGE)
    folder = tree.result("Offline").parent
    shutil.copytree(folder, folder.with_name("resnet"))
    report = check_tree(tree.root, round_v61(), processes=1)
    assert said(report) == {("duplicate-benchmark", "rules")}
    assert {row.benchmark: row.verdict for row in report.results} == {"resnet": "pass", "resnet50": "fail"}


@pytest.mark.parametrize("content", ['{"node1": "dark-fern-0000"}', "{}", "[]", "{", '{"node1": 7}'])
def test_a_private_id_belongs_to_its_system(content: str, tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs, scenarios=("Offline",))
    path = tree.submitter / "results" / SYSTEM / "privateid.json"
    path.write_text('{"node1": "dark-fern-f31b"}')
    assert check_tree(tree.root, round_v61(), processes=1).findings == ()
    path.write_text(content)
    assert said(check_tree(tree.root, round_v61(), processes=1)) == {("private-id", "advice")}
