"""Whole trees: short runs, plans, other benchmarks and divisions, and trees that try to break the checker."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mlperf_ops.checker import CheckReport, check_tree
from mlperf_ops.checker.check import check_tree as check_with_families
from mlperf_ops.checker.examples import EXAMPLES
from mlperf_ops.checker.reference import pages
from mlperf_ops.checker.registry import FAMILIES, all_rules
from mlperf_ops.checker.rules import Family, Findings
from mlperf_ops.checker.subjects import Result
from mlperf_ops.errors import SubmissionError
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.model import Cell, Scenario
from mlperf_ops.plan_model import Limit, Plan, PlannedCell
from mlperf_ops.typed import dump, load
from tests.support.attempts import RealLogs
from tests.support.submission_trees import (
    ALL,
    EDGE,
    SYSTEM,
    TreeUnderTest,
    add_line,
    edit_log,
    good_tree,
    round_v61,
    short_tree,
)

# What a run of a fraction of a second breaks, or may break on a busy machine.
SHORT_RUNS = ("dataset-size", "min-duration", "min-queries", "early-stopping", "loadgen-validity", "latency-constraint")
REFERENCE = Path(__file__).parents[3] / "docs/reference"


def plan_with(limits: tuple[Limit, ...], benchmark: str = "efficientnet-lite0", official: str = "resnet") -> Plan:
    cell = Cell(SYSTEM, benchmark, "Offline", "performance")
    planned = PlannedCell(cell, SYSTEM, official, "planned", None, (), None, None)
    return Plan("v6.1", "open", "TEST-ONLY", "local", "test", "inventory/local", (), (planned,), (), limits)


def short_run_limits(benchmark: str | None = None) -> tuple[Limit, ...]:
    return tuple(Limit(rule, benchmark, f"the plan rules out {rule}") for rule in SHORT_RUNS)


def rules_of(report: CheckReport) -> set[str]:
    return {finding.rule for finding in report.findings}


def as_benchmark(tree: TreeUnderTest, benchmark: str, samples: int, accuracy: str) -> TreeUnderTest:
    """EDIT a good tree as if it were of another benchmark."""
    tree.result("Offline").parent.rename(tree.result("Offline").parent.with_name(benchmark))
    edited = replace(tree, benchmark=benchmark)
    for log in tree.root.rglob("mlperf_log_detail.txt"):
        values: JsonObject = {"effective_accuracy_sample_count": samples}
        values["effective_performance_sample_count"] = samples
        edit_log(log, values)
        if '"effective_scenario", "value": "Offline"' in log.read_text():
            edit_log(log, {"effective_samples_per_query": samples})
    for text in tree.root.rglob("accuracy.txt"):
        text.write_text(f"{accuracy}\n{text.read_text().splitlines()[-1]}\n")
    return edited


def test_short_runs_over_twenty_images_break_the_rules_of_short_runs_and_no_other(
    tmp_path: Path, real_logs: RealLogs
) -> None:
    tree = short_tree(tmp_path, real_logs)
    report = check_tree(tree.root, round_v61())
    assert {"dataset-size", "min-duration"} <= rules_of(report) <= set(SHORT_RUNS)
    assert report.verdict == "rejected"
    per_result = {
        (rule, result.location)
        for result in report.results
        for rule in ("dataset-size", "min-duration")
        if rule in {finding.rule for finding in report.of(result.location)}
    }
    assert len(per_result) == 2 * len(ALL)


def test_with_its_plan_such_a_tree_is_a_demonstration(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = short_tree(tmp_path, real_logs)
    report = check_tree(tree.root, round_v61(), plan_with(short_run_limits()))
    assert report.verdict == "demonstration"
    assert all(finding.expected_because == f"the plan rules out {finding.rule}" for finding in report.findings)
    assert {result.verdict for result in report.results} == {"expected"}


def test_one_finding_that_the_plan_does_not_rule_out_makes_it_rejected(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = short_tree(tmp_path, real_logs)
    edit_log(tree.performance("Server"), {"effective_performance_sample_count": 1})
    report = check_tree(tree.root, round_v61(), plan_with(short_run_limits()))
    assert report.verdict == "rejected"
    assert [finding.rule for finding in report.findings if not finding.expected_because] == ["performance-sample-count"]
    assert [result.scenario for result in report.results if result.verdict == "fail"] == ["Server"]


def test_a_limit_of_another_benchmark_excuses_nothing(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = short_tree(tmp_path, real_logs)
    report = check_tree(tree.root, round_v61(), plan_with(short_run_limits("bert-99"), "bert-99", "bert-99"))
    assert not any(finding.expected_because for finding in report.findings)


def test_a_limit_holds_for_the_folder_that_the_plan_maps_to_the_benchmark(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = short_tree(tmp_path, real_logs)
    report = check_tree(tree.root, round_v61(), plan_with(short_run_limits("lite0"), benchmark="lite0"))
    assert report.verdict == "demonstration"


def test_results_are_those_of_the_logs(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs)
    edit_log(tree.performance("SingleStream"), {"early_stopping_latency_ss": 1500000})
    edit_log(tree.performance("Offline"), {"result_samples_per_second": 41.5})
    report = check_tree(tree.root, round_v61())
    rows = {row.scenario: row for row in report.results}
    assert (rows["SingleStream"].metric, rows["SingleStream"].unit) == (1.5, "Latency (ms)")
    assert (rows["Offline"].metric, rows["Offline"].unit) == (41.5, "Samples/s")
    assert rows["Server"].unit == "Queries/s"
    assert rows["Offline"].model == "resnet"
    assert rows["Offline"].accuracy == {"acc": "90.000"}
    assert rows["Offline"].validity == "VALID"
    assert not rows["Offline"].inferred


def test_results_may_be_inferred_on_edge_systems(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs, scenarios=EDGE)
    edit_log(tree.performance("SingleStream"), {"early_stopping_latency_ms": 2000000})
    edit_log(tree.performance("SingleStream"), {"result_qps_without_loadgen_overhead": 777.5})
    copies: tuple[Scenario, ...] = ("MultiStream", "Offline")
    for scenario in copies:
        for log in ("performance/run_1", "accuracy"):
            for name in (f"{log}/mlperf_log_detail.txt", f"{log}/mlperf_log_summary.txt"):
                shutil.copyfile(tree.result("SingleStream") / name, tree.result(scenario) / name)
    report = check_tree(tree.root, round_v61())
    assert report.findings == ()
    rows = {row.scenario: row for row in report.results}
    assert (rows["MultiStream"].metric, rows["MultiStream"].inferred) == (16.0, True)
    assert (rows["Offline"].metric, rows["Offline"].measured_scenario) == (777.5, "SingleStream")


def test_an_inferred_result_without_estimate_is_no_result(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs, scenarios=EDGE)
    shutil.rmtree(tree.performance("MultiStream").parent)
    shutil.copytree(tree.performance("SingleStream").parent, tree.performance("MultiStream").parent)
    edit_log(tree.performance("MultiStream"), {"early_stopping_latency_ms": 0})
    assert rules_of(check_tree(tree.root, round_v61())) == {"result-value"}


def test_a_log_cut_off_by_a_kill_has_no_result_and_stops_nothing(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs)
    log = tree.performance("Offline")
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    report = check_tree(tree.root, round_v61())
    assert rules_of(report) == {"log-incomplete"}
    assert report.findings[0].severity == "official"
    assert {row.scenario for row in report.results if row.verdict == "pass"} == set(ALL) - {"Offline"}


def test_a_scenario_that_the_benchmark_does_not_have_is_found_in_the_closed_division(
    tmp_path: Path, real_logs: RealLogs
) -> None:
    tree = good_tree(tmp_path, real_logs, division="closed", benchmark="resnet50", scenarios=ALL)
    report = check_tree(tree.root, round_v61())
    assert rules_of(report) == {"scenario-not-allowed"}
    assert {row.verdict for row in report.results} == {"fail"}


def test_closed_3d_unet_needs_every_sample_issued_equally_often(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(
        tmp_path, real_logs, division="closed", benchmark="resnet50", scenarios=("SingleStream", "Offline")
    )
    tree = as_benchmark(tree, "3d-unet-99", 43, "Accuracy: mean = 0.86114, kidney = 0.9")
    for folder in tree.root.rglob("TEST04"):
        shutil.rmtree(folder)
    report = check_tree(tree.root, round_v61())
    assert rules_of(report) == {"equal-issue"}
    for log in tree.root.rglob("mlperf_log_detail.txt"):
        edit_log(log, {"effective_sample_concatenate_permutation": True})
    assert check_tree(tree.root, round_v61()).verdict == "submittable"


@pytest.mark.parametrize(
    ("entropy", "severity"), [(0.86687, None), (0.8677, None), (0.8678, "rules"), (99, "rules"), (0.866, "official")]
)
def test_a_metric_that_is_better_when_lower_has_a_bound_above(
    entropy: float, severity: str | None, tmp_path: Path, real_logs: RealLogs
) -> None:
    tree = good_tree(
        tmp_path,
        real_logs,
        division="closed",
        benchmark="resnet50",
        scenarios=("Offline", "Server"),
        system_type="datacenter",
    )
    scores = (
        f"metric/lifetime_ne/rating: {entropy}\nmetric/lifetime_accuracy/rating: 0.7\nmetric/lifetime_gauc/rating: 0.79"
    )
    tree = as_benchmark(tree, "dlrm-v3", 349823, scores)
    found = [one.severity for one in check_tree(tree.root, round_v61()).findings if one.rule == "accuracy-target"]
    assert found == ([severity] * 2 if severity else [])


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("accuracy=72.132%, good=1, total=788379", "pass"),
        ("accuracy=72.131%, good=1, total=788379", "fail"),
        ("accuracy=0.732%, good=1, total=788379", "fail"),
        ('{"accuracy": 0.7214}', "pass"),  # a share, which the official pattern fits as well
    ],
)
def test_a_share_is_compared_with_what_a_text_states_in_percent(
    tmp_path: Path, real_logs: RealLogs, text: str, verdict: str
) -> None:
    tree = good_tree(
        tmp_path, real_logs, division="closed", benchmark="resnet50", scenarios=("Offline",), system_type="datacenter"
    )
    tree = as_benchmark(tree, "rgat", 788379, text)
    found = [one for one in check_tree(tree.root, round_v61()).findings if one.rule == "accuracy-target"]
    assert [one.severity for one in found] == ([] if verdict == "pass" else ["rules"])
    assert all("expected at least 72.1314: the target of 0.721314 is a share, and" in one.message for one in found)


@pytest.mark.parametrize(
    ("more", "severity"),
    [("", None), (", 'tokens_per_sample': 10998", None), (", 'tokens_per_sample': 10999", "official")],
)
def test_what_has_only_an_upper_bound_may_be_left_out_and_is_not_in_the_table(
    tmp_path: Path, real_logs: RealLogs, more: str, severity: str | None
) -> None:
    tree = good_tree(tmp_path, real_logs, division="closed", benchmark="resnet50", scenarios=("Offline",))
    tree = as_benchmark(tree, "gpt-oss-120b", 4395, f"{{'exact_match': 83.2{more}}}")
    report = check_tree(tree.root, round_v61())
    found = [one for one in report.findings if one.rule in {"accuracy-target", "accuracy-metric-missing"}]
    assert [one.severity for one in found] == ([severity] if severity else [])
    assert [dict(row.accuracy) for row in report.results] == [{"exact_match": "83.2"}]


def test_interactive_is_held_to_its_own_token_latencies(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs, scenarios=("Offline", "Interactive"), system_type="datacenter")
    scores = "{'rouge1': 39.0, 'rouge2': 16.0, 'rougeL': 25.0, 'rougeLsum': 36.0, 'gen_len': 8000000}"
    tree = as_benchmark(tree, "llama3.1-8b", 13368, scores)
    report = check_tree(tree.root, round_v61())
    assert rules_of(report) == {"token-latency", "result-value"}  # the results are in tokens
    assert all(finding.severity == "official" for finding in report.findings)

    limits = round_v61().models["llama3.1-8b"].token_latency_limits_ns
    for scenario in ("Offline", "Interactive"):
        log = tree.performance("Offline").parents[3] / scenario / "performance/run_1/mlperf_log_detail.txt"
        add_line(log, "requested_use_token_latencies", value=True)
        add_line(log, "result_tokens_per_second", 5000.0)
        add_line(log, "result_completed_tokens_per_second", 5000.0)
        add_line(log, "result_first_token_99.00_percentile_latency_ns", limits["Interactive"].ttft - 1)
        add_line(log, "result_time_per_output_token_99.00_percentile_ns", limits["Interactive"].tpot - 1)
    report = check_tree(tree.root, round_v61())
    assert report.findings == ()
    assert {row.unit for row in report.results} == {"Tokens/s"}

    log = tree.result("Interactive") / "performance/run_1/mlperf_log_detail.txt"
    edit_log(log, {"result_first_token_99.00_percentile_latency_ns": limits["Interactive"].ttft})
    (finding,) = check_tree(tree.root, round_v61()).findings
    assert (finding.rule, finding.severity, finding.limit) == ("token-latency", "rules", "below 500 ms")
    edit_log(log, {"result_first_token_99.00_percentile_latency_ns": limits["Server"].ttft})
    (finding,) = check_tree(tree.root, round_v61()).findings
    assert (finding.severity, finding.limit) == ("official", "below 2000 ms")


def test_the_network_division_wants_a_network_sut(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs, division="network", benchmark="resnet50", scenarios=EDGE)
    fields: JsonObject = dict.fromkeys(round_v61().system_description.required_network, "some value")
    tree.edit_json(tree.system_json, fields | {"is_network": "true"})
    report = check_tree(tree.root, round_v61())
    assert rules_of(report) == {"network-sut-name"}
    for log in tree.root.rglob("mlperf_log_detail.txt"):
        edit_log(log, {"sut_name": "Network SUT of a test"})
    assert check_tree(tree.root, round_v61()).verdict == "submittable"
    tree.edit_json(tree.system_json, {"is_network": "false"})
    assert rules_of(check_tree(tree.root, round_v61())) == {"system-network"}


def test_a_video_benchmark_hands_in_its_samples(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs, scenarios=("Offline",), system_type="datacenter")
    tree = as_benchmark(tree, "wan-2.2-t2v-a14b", 248, "{'vbench_score': 70.5}")
    report = check_tree(tree.root, round_v61())
    assert rules_of(report) == {"accuracy-artifacts"}
    videos = tree.result("Offline") / "accuracy/videos"
    videos.mkdir()
    wanted = round_v61().models["wan-2.2-t2v-a14b"].required_accuracy_artifacts["videos"]
    for stem in wanted.stems:
        (videos / f"{stem}{wanted.ext}").write_bytes(b"x")
    (finding,) = check_tree(tree.root, round_v61()).findings
    assert (finding.severity, finding.message) == ("rules", "the folder videos/ lacks captions")
    (videos / "captions.txt").write_text("x\n")
    assert check_tree(tree.root, round_v61()).findings == ()


@pytest.mark.parametrize("names", [[], ["open"], ["open/TEST-ONLY/results", "open/TEST-ONLY/src"]])
def test_a_tree_without_results_is_never_fine(names: list[str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).mkdir(parents=True)
    report = check_tree(tmp_path, round_v61())
    assert "no-results" in rules_of(report)
    assert report.verdict == "rejected"


def test_a_path_that_is_no_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match="is not a folder"):
        check_tree(tmp_path / "nowhere", round_v61())


def test_a_check_that_fails_itself_is_a_finding_and_hides_nothing(tmp_path: Path, real_logs: RealLogs) -> None:
    def defect(place: Result) -> Findings:
        yield from ()
        raise ZeroDivisionError(place.folder)

    tree = short_tree(tmp_path, real_logs)
    sound = check_tree(tree.root, round_v61())
    families = (*FAMILIES, Family("broken", "Broken", (), result=(defect,)))
    report = check_with_families(tree.root, round_v61(), families=families)
    failed = [finding for finding in report.findings if finding.rule == "check-failed"]
    assert len(failed) == len(ALL)
    assert "ZeroDivisionError" in failed[0].message
    assert [finding for finding in report.findings if finding.rule != "check-failed"] == list(sound.findings)


def test_texts_of_a_tree_cannot_command_a_terminal(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs)
    tree.edit_json(tree.system_json, {"status": "\x1b[2Jsoon\n" + "x" * 5000})
    (finding,) = check_tree(tree.root, round_v61()).findings
    assert finding.message.isprintable()
    assert len(finding.message) < 700


def test_two_systems_that_spell_one_thing_differently_are_named_with_both_places(
    tmp_path: Path, real_logs: RealLogs
) -> None:
    tree = good_tree(tmp_path, real_logs)
    tree.edit_json(tree.system_json, {"cooling": "Air-cooled"})
    folder = (tree.root / tree.system_json).parent
    results = folder.parent / "results"
    name = Path(tree.system_json).stem
    shutil.copytree(results / name, results / "zzz")
    content = json.loads((folder / f"{name}.json").read_text())
    (folder / "zzz.json").write_text(json.dumps({**content, "cooling": "air"}))
    found = [one for one in check_tree(tree.root, round_v61()).findings if one.rule == "system-field-spelling"]
    (finding,) = found
    assert finding.severity == "advice"
    assert finding.location.endswith("systems/zzz.json")
    assert finding.message.startswith("cooling is 'air' here and 'Air-cooled' in ")
    assert finding.message.endswith(f"systems/{name}.json")


def test_a_link_that_leads_out_of_the_tree_is_not_read(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path / "tree", real_logs)
    secret = tmp_path / "secret.txt"
    secret.write_text("root:secret\n")
    log = tree.performance("Offline")
    log.unlink()
    log.symlink_to(secret)
    report = check_tree(tree.root, round_v61())
    assert rules_of(report) == {"symlink", "missing-file"}
    assert "root:secret" not in json.dumps(dump(report))


def test_a_pipe_in_the_place_of_a_log_does_not_hang(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs)
    tree.performance("Offline").unlink()
    os.mkfifo(tree.performance("Offline"))
    assert rules_of(check_tree(tree.root, round_v61())) == {"unreadable", "missing-file"}


def test_strange_values_in_a_log_are_findings_not_tracebacks(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs)
    log = tree.performance("Offline")
    for line in log.read_text().splitlines():
        key = str(json.loads(line.removeprefix(":::MLLOG "))["key"])
        edit_log(log, {key: ["x", {"y": None}]})
    report = check_tree(tree.root, round_v61())
    assert "check-failed" not in rules_of(report)
    assert next(row for row in report.results if row.scenario == "Offline").verdict == "fail"


def test_strange_values_in_a_description_are_findings_not_tracebacks(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path, real_logs)
    original = json.loads(tree.system_json.read_text())
    strange: tuple[Json, ...] = (None, True, 1.5, [], {"x": 1}, "", "\0")
    for value in strange:
        tree.system_json.write_text(json.dumps(dict.fromkeys(original, value)))
        report = check_tree(tree.root, round_v61())
        assert "check-failed" not in rules_of(report), value
        assert report.verdict == "rejected"


def test_a_report_is_read_back_as_it_was_written(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = short_tree(tmp_path, real_logs)
    report = check_tree(tree.root, round_v61(), plan_with(short_run_limits()))
    assert load(CheckReport, json.loads(json.dumps(dump(report))), "checks.json") == report


def test_checking_changes_nothing_in_the_tree(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = short_tree(tmp_path, real_logs)
    before = {path: path.stat().st_mtime_ns for path in tree.root.rglob("*")}
    check_tree(tree.root, round_v61())
    assert {path: path.stat().st_mtime_ns for path in tree.root.rglob("*")} == before


def test_the_pages_of_the_rules_are_current() -> None:
    made = pages()
    assert {name: (REFERENCE / name).read_text() for name in made} == made, "run make docs"
    assert {f"rules/{path.name}" for path in (REFERENCE / "rules").glob("*.md")} == set(made) - {"rules.md"}


def test_every_rule_has_an_example() -> None:
    assert set(EXAMPLES) == set(all_rules())


def test_no_two_rules_have_one_id() -> None:
    first = FAMILIES[0]
    with pytest.raises(ValueError, match="two rules are called"):
        all_rules((first, first))


def test_every_limit_that_a_plan_may_state_is_a_rule() -> None:
    assert set(SHORT_RUNS) <= set(all_rules())
