"""A closed submission of a language model, EDITED from real logs, and faults of token latencies and of TEST06."""

from __future__ import annotations

import shutil
from pathlib import Path

from mlperf_ops.files import Json
from mlperf_ops.model import Scenario
from tests.support.attempts import RealLogs
from tests.support.audit_logs import audit_run
from tests.support.faults import Plant
from tests.support.submission_trees import (
    SAMPLES,
    TESTS,
    VIEWABLE_BYTES,
    Fault,
    TreeUnderTest,
    add_line,
    edit_log,
    good_tree,
    round_v61,
)

LLM = "llama3.1-8b"
LLM_SCENARIOS: tuple[Scenario, ...] = ("Offline", "Server", "Interactive")
RULES = round_v61().models[LLM]
LIMITS = RULES.token_latency_limits_ns
TTFT = "result_first_token_99.00_percentile_latency_ns"
TPOT = "result_time_per_output_token_99.00_percentile_ns"
PASSED = (
    "First token check pass: True\nEOS check pass: True\nSample length check pass: True\nTEST06 verification complete\n"
)
_SCORES = "{'rouge1': 39.0, 'rouge2': 16.0, 'rougeL': 25.0, 'rougeLsum': 36.0, 'gen_len': 8000000}"


def llm_tree(root: Path, logs: RealLogs) -> TreeUnderTest:
    """A tree that nobody objects to."""
    tree = good_tree(root, logs, division="closed", scenarios=LLM_SCENARIOS, benchmark=LLM, system_type="datacenter")
    for log in root.rglob("mlperf_log_detail.txt"):
        edit_log(
            log,
            {
                "effective_accuracy_sample_count": RULES.accuracy_sample_count,
                "effective_performance_sample_count": RULES.performance_sample_count,
                "effective_sample_concatenate_permutation": True,
            },
        )
    for text in root.rglob("accuracy.txt"):
        text.write_text(f"{_SCORES}\n{text.read_text().splitlines()[-1]}\n")
    for scenario in LLM_SCENARIOS:
        for test in TESTS:
            shutil.rmtree(tree.result(scenario) / test)
        _as_language_model(tree, scenario)
        _test06(tree, logs, scenario)
    return tree


def _as_language_model(tree: TreeUnderTest, scenario: Scenario) -> None:
    log = tree.performance(scenario)
    if scenario == "Offline":
        edit_log(log, {"effective_samples_per_query": RULES.offline_min_samples_per_query})
    else:
        edit_log(log, {"effective_target_latency_ns": 0})
    lines: dict[str, Json] = {
        "requested_use_token_latencies": True,
        "result_tokens_per_second": 5000.0,
        "result_completed_tokens_per_second": 5000.0,
        TTFT: LIMITS["Interactive"].ttft - 1,
        TPOT: LIMITS["Interactive"].tpot - 1,
    }
    for key, value in lines.items():
        add_line(log, key, value)


def _test06(tree: TreeUnderTest, logs: RealLogs, scenario: Scenario) -> None:
    made, folder = audit_run(logs, scenario, "TEST06", SAMPLES), tree.result(scenario) / "TEST06"
    (folder / "accuracy").mkdir(parents=True)
    (folder / "verify_accuracy.txt").write_text(PASSED)
    log = (made / "mlperf_log_accuracy.json").read_bytes()
    (folder / "accuracy/mlperf_log_accuracy.json").write_bytes(log[:VIEWABLE_BYTES])


def _log(scenario: Scenario, key: str, value: Json) -> Plant:
    return lambda tree: edit_log(tree.performance(scenario), {key: value})


def _verified(text: str) -> Plant:
    return lambda tree: (tree.result("Server") / "TEST06/verify_accuracy.txt").write_text(text)


def _fault(name: str, rule: str, plant: Plant) -> Fault:
    return Fault(name, rule, "official", plant, division="closed")


def _rules(name: str, rule: str, plant: Plant) -> Fault:
    return Fault(name, rule, "rules", plant, division="closed")


def _run_of_test06(tree: TreeUnderTest, values: dict[str, Json]) -> None:
    """Hand in the log of the performance run beside TEST06, edited so that it is none."""
    target = tree.result("Server") / "TEST06/performance/run_1"
    shutil.copytree(tree.performance("Server").parent, target)
    edit_log(target / "mlperf_log_detail.txt", values)


_NO_TOKEN_LATENCIES: tuple[tuple[Scenario, Json], ...] = (("Server", False), ("Offline", None), ("Interactive", 0))


def _other_tokens(tree: TreeUnderTest) -> None:
    summary = tree.performance("Server").with_name("mlperf_log_summary.txt")
    summary.write_text(f"Completed tokens per second: 1.00\n{summary.read_text()}")


def _offline_only(tree: TreeUnderTest) -> None:
    for scenario in LLM_SCENARIOS[1:]:
        shutil.rmtree(tree.result(scenario))


def _no_answers(tree: TreeUnderTest) -> None:
    path = tree.result("Server") / "TEST06/accuracy"
    (path / "mlperf_log_accuracy.json").rename(path / "mlperf_log_trace.json")


LLM_FAULTS: tuple[Fault, ...] = (
    *(
        _fault(f"{key} of Server at its limit", "token-latency", _log("Server", key, limit))
        for key, limit in ((TTFT, LIMITS["Server"].ttft), (TPOT, LIMITS["Server"].tpot))
    ),
    *(
        _rules(f"{key} of Interactive at its limit", "token-latency", _log("Interactive", key, limit))
        for key, limit in ((TTFT, LIMITS["Interactive"].ttft), (TPOT, LIMITS["Interactive"].tpot))
    ),
    _fault("Interactive beyond Server's limit", "token-latency", _log("Interactive", TTFT, LIMITS["Server"].ttft)),
    _fault("no first-token latency", "token-latency", _log("Server", TTFT, None)),
    _fault("token latency is text", "token-latency", _log("Server", TPOT, "fast")),
    *(
        _fault(
            f"{scenario} without token latencies",
            "token-latency",
            _log(scenario, "requested_use_token_latencies", value),
        )
        for scenario, value in _NO_TOKEN_LATENCIES
    ),
    _fault("no tokens per second", "result-value", _log("Offline", "result_tokens_per_second", None)),
    _fault(
        "no completed tokens per second", "result-value", _log("Server", "result_completed_tokens_per_second", None)
    ),
    _rules("other tokens per second in the summary", "summary-mismatch", _other_tokens),
    _fault("zero tokens per second", "result-value", _log("Interactive", "result_completed_tokens_per_second", 0)),
    _fault("short offline query", "min-queries", _log("Offline", "effective_samples_per_query", 13367)),
    _rules(
        "samples not issued equally often",
        "equal-issue",
        _log("Server", "effective_sample_concatenate_permutation", value=False),
    ),
    _fault("no Offline", "missing-scenario", lambda tree: shutil.rmtree(tree.result("Offline"))),
    _fault(
        "neither Server nor Interactive",
        "missing-scenario",
        _offline_only,
    ),
    _fault(
        "first token differs",
        "compliance-failed",
        _verified(PASSED.replace("token check pass: True", "token check pass: False")),
    ),
    _fault(
        "several ends", "compliance-failed", _verified(PASSED.replace("EOS check pass: True", "EOS check pass: False"))
    ),
    _fault(
        "length differs",
        "compliance-failed",
        _verified(PASSED.replace("length check pass: True", "length check pass: False")),
    ),
    _fault("words before the verdict", "compliance-failed", _verified(PASSED.replace("EOS", "The EOS"))),
    _fault("TEST06 says TEST PASS only", "compliance-failed", _verified("TEST PASS\n")),
    _fault("no TEST06", "missing-compliance", lambda tree: shutil.rmtree(tree.result("Server") / "TEST06")),
    _rules("no answers of TEST06", "missing-compliance", _no_answers),
    _rules("TEST06 is the performance run", "compliance-copy", lambda tree: _run_of_test06(tree, {})),
    _rules(
        "TEST06 without its settings",
        "compliance-evidence",
        lambda tree: _run_of_test06(tree, {"test_datetime": "2026-01-02T03:04:05Z"}),
    ),
)
LLM_HARMLESS: tuple[tuple[str, Plant], ...] = (
    ("first token just in time", _log("Server", TTFT, LIMITS["Server"].ttft - 1)),
    ("tokens just in time", _log("Server", TPOT, LIMITS["Server"].tpot - 1)),
    ("first token check skipped", _verified(PASSED.replace("token check pass: True", "token check pass: Skipped"))),
    ("verdicts in another order", _verified("".join(reversed(PASSED.splitlines(keepends=True))))),
    ("Server only", lambda tree: shutil.rmtree(tree.result("Interactive"))),
    ("Interactive only", lambda tree: shutil.rmtree(tree.result("Server"))),
)
