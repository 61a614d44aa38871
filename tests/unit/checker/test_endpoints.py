"""Results of MLPerf Endpoints, benchmarks under two names, private ids."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mlperf_ops.checker import CheckReport, check_tree
from mlperf_ops.checker.endpoints_figures import look_up
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.model import Scenario
from tests.support.attempts import RealLogs
from tests.support.endpoints_trees import (
    CACHING,
    CASES,
    CONFIG,
    SCORES,
    SUMMARY,
    EndpointsCase,
    audit,
    endpoints_tree,
    put,
    put_score,
)
from tests.support.submission_trees import EDGE, SYSTEM, TreeUnderTest, good_tree, round_v61


def said(report: CheckReport) -> set[tuple[str, str]]:
    return {(one.rule, one.severity) for one in report.findings if one.rule != "endpoints-not-judged"}


def check(tree: TreeUnderTest) -> set[tuple[str, str]]:
    report = check_tree(tree.root, round_v61(), processes=1)
    assert len(report.results) == 1
    return said(report)


@pytest.mark.parametrize(
    ("model", "scenario", "metric", "unit"),
    [
        ("llama3.1-8b", "Offline", 100.0, "Samples/s"),
        ("llama3.1-8b", "Server", 12500.25, "Tokens/s"),
        ("llama3.1-8b", "Interactive", 100.5, "Queries/s"),
        ("qwen3-vl-235b-a22b", "Server", 100.5, "Queries/s"),
        ("wan-2.2-t2v-a14b", "SingleStream", 0.1, "Latency (s)"),
        ("llama3.1-8b-edge", "SingleStream", 150.0, "Latency (ms)"),
    ],
)
def test_a_result_without_logs_is_one_of_endpoints(
    model: str, scenario: Scenario, metric: float, unit: str, tmp_path: Path, real_logs: RealLogs
) -> None:
    tree = endpoints_tree(tmp_path, real_logs, model, scenario)
    report = check_tree(tree.root, round_v61(), processes=1)
    assert said(report) - {("accuracy-artifacts", "official")} == set()
    (row,) = report.results
    assert (row.metric, row.unit, row.scenario, row.measured_scenario) == (metric, unit, scenario, scenario)
    assert row.accuracy == {"f1": "0.7903"}
    assert not row.inferred


@pytest.mark.parametrize("case", CASES, ids=str)
def test_its_figures_are_held_to_the_limits(case: EndpointsCase, tmp_path: Path, real_logs: RealLogs) -> None:
    tree = endpoints_tree(tmp_path, real_logs, case.model, case.scenario)
    case.plant(tree.result(case.scenario))
    assert check(tree) == {(rule, case.severity) for rule in case.rules}


def test_in_the_closed_division_the_score_has_to_meet_the_target(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = endpoints_tree(tmp_path, real_logs, "qwen3-vl-235b-a22b", "Server", closed=True)
    missing = {("missing-scenario", "official")}
    assert check(tree) == missing
    cases: tuple[tuple[Json, set[tuple[str, str]]], ...] = (
        (0.782397, set()),
        ("0.79", set()),
        ({"F1_HIERARCHICAL": 0.79, "f1": 0.1}, set()),
        (0.7823, {("accuracy-target", "official")}),
        ("good", {("accuracy-target", "official")}),
        ([], {("accuracy-target", "official")}),
    )
    for score, objection in cases:
        put_score(0, "score", score)(tree.result("Server"))
        assert check(tree) == missing | objection


def test_a_score_that_nobody_compares_is_told(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = endpoints_tree(tmp_path, real_logs, "llama3.1-8b", "Server", closed=True)
    report = check_tree(tree.root, round_v61(), processes=1)
    (told,) = [one for one in report.findings if one.severity == "advice"]
    assert told.rule == "endpoints-not-judged"
    assert "the files state f1: 0.7903; 0.5; the round wants ROUGE1 at least " in told.message
    assert "ROUGELSUM at least 35.43507, GEN_LEN at least 7350879.6 and at most 8984408.4" in told.message
    put_score(0, "score", {"rouge1": 38.5, "notes": "x" * 999})(tree.result("Server"))
    (told,) = [one for one in check_tree(tree.root, round_v61(), processes=1).findings if one.severity == "advice"]
    assert "the files state rouge1: 38.5, notes: xxx" in told.message
    assert len(str(told.value)) < 300


def test_a_folder_online_is_server_in_the_open_division_only(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = endpoints_tree(tmp_path / "open", real_logs, "llama3.1-8b", "Server")
    tree.result("Server").rename(tree.result("Server").with_name("online"))
    report = check_tree(tree.root, round_v61(), processes=1)
    assert {one.rule for one in report.findings} == {"scenario-spelling"}
    assert [(row.scenario, row.metric) for row in report.results] == [("Server", 12500.25)]
    tree = endpoints_tree(tmp_path / "closed", real_logs, "llama3.1-8b", "Server", closed=True)
    tree.result("Server").rename(tree.result("Server").with_name("online"))
    report = check_tree(tree.root, round_v61(), processes=1)
    lacking = {one.limit for one in report.findings if one.rule == "missing-scenario"}
    assert lacking == {"Offline", "Server or Interactive"}
    assert [row.verdict for row in report.results] == ["fail"]


@pytest.mark.parametrize("name", [CONFIG, SUMMARY, SCORES])
def test_each_of_its_files_is_needed(name: str, tmp_path: Path, real_logs: RealLogs) -> None:
    tree = endpoints_tree(tmp_path, real_logs, "gpt-oss-120b")
    (tree.result("Offline") / name).write_text("[")
    assert check(tree) == {("endpoints-unreadable", "official")}
    (tree.result("Offline") / name).unlink()
    assert {rule for rule, _ in check(tree)} - {"empty-folder"} == {"missing-file"}


def test_its_settings_have_two_names_of_which_the_first_counts(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = endpoints_tree(tmp_path, real_logs, "llama3.1-8b", "Server")
    config, other = tree.result("Server") / CONFIG, tree.result("Server") / "config.yml"
    put(CONFIG, "settings/runtime/scheduler_random_seed", 42)(tree.result("Server"))
    wrong = config.read_text()
    config.rename(other)
    assert check(tree) == {("seeds", "official")}
    right = wrong.replace("42", str(round_v61().seeds.schedule_rng_seed))
    other.write_text(right)
    assert check(tree) == set()
    config.write_text(wrong)
    assert check(tree) == {("seeds", "official")}
    config.write_text(right)
    other.write_text(wrong)
    assert check(tree) == set()


def test_where_both_names_of_the_settings_are_missing_the_first_is_told(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = endpoints_tree(tmp_path, real_logs, "llama3.1-8b", "Server")
    (tree.result("Server") / CONFIG).unlink()
    (told,) = check_tree(tree.root, round_v61(), processes=1).findings[:1]
    assert (told.rule, told.message) == ("missing-file", "config.yaml is missing")


@pytest.mark.parametrize(
    ("scored", "objections"),
    [
        ({}, set()),
        ({"dataset_type": "performance", "total_samples": 7}, set()),
        ({"total_samples": 7}, {("dataset-size", "official")}),
        ({"total_samples": "many"}, {("dataset-size", "official")}),
    ],
    ids=["none", "of other data", "another", "no number"],
)
def test_the_issued_samples_count_where_no_data_set_states_a_number(
    scored: JsonObject, objections: set[tuple[str, str]], tmp_path: Path, real_logs: RealLogs
) -> None:
    tree = endpoints_tree(tmp_path, real_logs, "qwen3-vl-235b-a22b")
    path = tree.result("Offline") / SCORES
    issued = round_v61().accuracy_sample_count("qwen3-vl-235b-a22b", "Offline")
    content: JsonObject = {"n_samples_issued": issued, "accuracy_scores": [{"score": {"f1": 0.8}, **scored}]}
    path.write_text(json.dumps(content))
    assert check(tree) == objections
    path.write_text(json.dumps(content | {"n_samples_issued": issued - 1}))
    assert check(tree) == {("dataset-size", "official")}


def test_the_settings_may_state_the_issued_samples(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = endpoints_tree(tmp_path, real_logs, "qwen3-vl-235b-a22b")
    (tree.result("Offline") / SCORES).write_text('{"accuracy_scores": [{"score": {"f1": 0.8}}]}')
    assert check(tree) == {("dataset-size", "official")}
    issued = round_v61().accuracy_sample_count("qwen3-vl-235b-a22b", "Offline")
    put(CONFIG, "n_samples_issued", issued)(tree.result("Offline"))
    assert check(tree) == set()


@pytest.mark.parametrize("content", ["[" * 3_000, "\x00", '{"a": 1', "- a", "", '{"accuracy_scores": 1}', '"x"'])
@pytest.mark.parametrize("name", [CONFIG, SUMMARY, SCORES])
def test_no_content_of_its_files_stops_the_check(name: str, content: str, tmp_path: Path, real_logs: RealLogs) -> None:
    tree = endpoints_tree(tmp_path, real_logs, "gpt-oss-120b")
    (tree.result("Offline") / name).write_text(content)
    rules = {rule for rule, _ in check(tree)}
    assert rules
    assert "check-failed" not in rules


def test_huge_and_odd_numbers_are_told(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = endpoints_tree(tmp_path, real_logs, "llama3.1-8b", "Server")
    result = tree.result("Server")
    values: tuple[Json, ...] = (10**400, float("nan"), float("inf"), True, [], {"a": 1}, "9" * 5000)
    for value in values:
        put(SUMMARY, "tps", value)(result)
        put_score(0, "total_samples", value)(result)
        put(CONFIG, "settings/runtime/min_duration_ms", 600000)(result)
        rules = {rule for rule, _ in check(tree)}
        assert "dataset-size" in rules, value
        assert "check-failed" not in rules, value


def test_a_change_of_its_files_is_seen_with_a_cache(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = endpoints_tree(tmp_path / "tree", real_logs, "llama3.1-8b", "Server")
    cache = tmp_path / "cache"
    assert not check_tree(tree.root, round_v61(), processes=1, cache=cache).findings
    put(CONFIG, "settings/runtime/scheduler_random_seed", 42)(tree.result("Server"))
    found = check_tree(tree.root, round_v61(), processes=1, cache=cache).findings
    assert [one.rule for one in found] == ["seeds"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b", 1),
        ("a.99.0", 2),
        ("a.99.9", 3),
        ("c.d.e", 4),
        ("a.b.c", None),
        ("nowhere", None),
        ("empty", None),
        ("list.0", None),
    ],
)
def test_names_with_dots_are_found(path: str, value: Json) -> None:
    data: Json = {"a": {"b": 1, "99": 2, "99.9": 3}, "c.d": {"e": 4}, "empty": {}, "list": [1]}
    assert look_up(data, path) == value


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
        assert check(tree) == {("endpoints-score", "official"), ("dataset-size", "official")}


@pytest.mark.parametrize("division", ["closed", "open"])
def test_the_audit_of_caching_is_needed_where_the_benchmark_has_the_test(
    division: str, tmp_path: Path, real_logs: RealLogs
) -> None:
    closed = division == "closed"
    tree = endpoints_tree(tmp_path, real_logs, "wan-2.2-t2v-a14b", closed=closed)
    # The videos that every result of this benchmark hands in, and SingleStream.
    missing = {("accuracy-artifacts", "official")} | ({("missing-scenario", "official")} if closed else set())
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


def test_two_spellings_of_a_scenario_are_one(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs)
    shutil.copytree(tree.result("Offline"), tree.result("Offline").with_name("offline"))
    report = check_tree(tree.root, round_v61(), processes=1)
    assert said(report) == {("duplicate-benchmark", "rules"), ("scenario-spelling", "advice")}
    assert [row.location.rpartition("/")[2] for row in report.results if row.verdict == "fail"] == ["offline"]


@pytest.mark.parametrize("content", ['{"node1": "dark-fern-0000"}', "{}", "[]", "{", '{"node1": 7}'])
def test_a_private_id_belongs_to_its_system(content: str, tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs, scenarios=("Offline",))
    path = tree.submitter / "results" / SYSTEM / "privateid.json"
    path.write_text('{"node1": "dark-fern-f31b"}')
    assert check_tree(tree.root, round_v61(), processes=1).findings == ()
    path.write_text(content)
    assert said(check_tree(tree.root, round_v61(), processes=1)) == {("private-id", "advice")}
