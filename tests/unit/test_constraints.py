"""What an INVALID run missed, by how much, and what to change: one sentence each, with honest numbers."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from mlperf_ops.harness.constraints import Knobs, missed
from mlperf_ops.harness.run_figures import KEYS
from mlperf_ops.harness.verdicts import RESULT_KEYS

_MS = 1_000_000
_Scenario = Literal["SingleStream", "MultiStream", "Server", "Offline"]


def server(p99_ms: float, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  # keys of the detail log
    """Return the figures of a Server run at 210 qps with a limit of 15 ms."""
    return {
        "result_min_duration_met": True,
        "result_min_queries_met": True,
        "result_perf_constraints_met": False,
        "early_stopping_met": False,
        "effective_target_qps": 210.0,
        "effective_target_latency_ns": 15 * _MS,
        "effective_target_latency_percentile": 0.99,
        "result_99.00_percentile_latency_ns": round(p99_ms * _MS),
        "result_min_latency_ns": 2 * _MS,
        "result_scheduled_samples_per_sec": 209.7,
        "result_completed_samples_per_sec": 209.6,
        "early_stopping_result": " * Run unsuccessful.  * Processed 1000 queries.  * Would need to run at least 77 "
        "more queries,  with the run being successful if every additional  query were under latency.",
        **changes,
    }


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            server(17.2),
            "the latency constraint was missed: p99 17.2 ms > 15 ms at 210 qps (lower target_qps to about 180)",
        ),
        (  # barely over: still a step that can be seen
            server(15.0001),
            "the latency constraint was missed: p99 15.0001 ms > 15 ms at 210 qps (lower target_qps to about 190)",
        ),
        (  # so far over that one run says nothing about where the limit is met
            server(4000),
            "the latency constraint was missed: p99 4e+03 ms > 15 ms at 210 qps (lower target_qps to about 100)",
        ),
        (
            server(18, result_completed_samples_per_sec=150.0),
            (
                "the latency constraint was missed: p99 18 ms > 15 ms at 210 qps "
                "(lower target_qps to about 140, it completed only 150 qps)"
            ),
        ),
        (
            server(40, result_min_latency_ns=16 * _MS),
            (
                "the latency constraint was missed: p99 40 ms > 15 ms at 210 qps "
                "(no lower rate helps: even the quickest query took 16 ms)"
            ),
        ),
        (  # where it fell behind, the quickest query had waited, too
            server(82802, result_min_latency_ns=73 * _MS, result_completed_samples_per_sec=12.49),
            (
                "the latency constraint was missed: p99 82802 ms > 15 ms at 210 qps "
                "(lower target_qps to about 100, it completed only 12.5 qps)"
            ),
        ),
        ({"result_perf_constraints_met": False}, "the latency constraint was missed"),
        (
            {
                "result_perf_constraints_met": False,
                "requested_use_token_latencies": True,
                "effective_target_qps": 10.0,
                "requested_server_ttft_latency": 2000 * _MS,
                "requested_server_tpot_latency": 200 * _MS,
                "result_first_token_99.00_percentile_latency_ns": 2500 * _MS,
                "result_time_per_output_token_99.00_percentile_ns": 199 * _MS,
            },
            (
                "the latency constraint was missed: p99 of the time to the first token 2.5e+03 ms > 2000 ms at 10 qps "
                "(lower target_qps to about 8)"
            ),
        ),
    ],
    ids=["over", "barely", "far", "behind", "hopeless", "far behind", "no figures", "tokens"],
)
def test_a_server_run_over_its_latency(fields: dict[str, Any], sentence: str) -> None:
    assert missed("Server", fields) == [sentence.replace("4e+03", "4000").replace("2.5e+03", "2500")]


def test_a_server_run_that_met_its_latency_but_not_early_stopping() -> None:
    fields = server(14.9, result_perf_constraints_met=True)
    assert missed("Server", fields) == [
        (
            "early stopping was not satisfied: 1000 queries are too few for a latency so near to its limit "
            "(raise min_query_count to at least 1077, or lower target_qps to about 190)"
        )
    ]


@pytest.mark.parametrize(
    ("scenario", "fields", "errors", "sentence"),
    [
        (
            "Offline",
            {"effective_target_qps": 100.0, "result_samples_per_second": 143.2, "result_max_latency_ns": 461 * 10**9},
            (),
            "shorter than its minimum duration: 461 s of 600 s (raise target_qps from 100 to about 150)",
        ),
        (
            "SingleStream",
            {
                "effective_target_qps": 100.0,
                "result_query_count": 120_001,
                "result_mean_latency_ns": 3.14 * _MS,
                "result_qps_with_loadgen_overhead": 300.0,
            },
            ("Ending early: Ran out of generated queries to issue before …",),
            "shorter than its minimum duration: 400 s of 600 s (lower target_latency_ms from 10 to about 3.1)",
        ),
        (
            "MultiStream",
            {
                "effective_target_qps": 10.0,
                "result_query_count": 10_000,
                "result_mean_query_latency_ns": 29.9 * _MS,
                "effective_max_query_count": 10_000,
            },
            ("IssueQueryThread 0  Ending early: Max query count reached. query_count 10000",),
            "shorter than its minimum duration: 299 s of 600 s (max_query_count 10000 ended it: raise or remove that)",
        ),
        (
            "Server",
            {
                "effective_target_qps": 500.0,
                "result_query_count": 2_501,
                "result_scheduled_samples_per_sec": 500.0,
                "result_completed_samples_per_sec": 100.0,
            },
            ("IssueQueryThread 0 Ending early: Too many outstanding queries. issued 2501 outstanding 2000",),
            (
                "shorter than its minimum duration: 5 s of 600 s (it ended with too many queries under way: "
                "lower target_qps to about 250, it completed only 100 qps)"
            ),
        ),
        ("Offline", {"result_max_latency_ns": 601 * 10**9}, (), "shorter than its minimum duration"),
        ("SingleStream", {}, (), "shorter than its minimum duration"),
    ],
    ids=["Offline", "SingleStream", "max_query_count", "overloaded", "contradictory log", "no figures"],
)
def test_a_run_that_was_too_short(
    scenario: _Scenario, fields: dict[str, Any], errors: tuple[str, ...], sentence: str
) -> None:
    told = {"result_min_duration_met": False, "effective_min_duration_ms": 600_000, **fields}
    assert missed(scenario, told, errors) == [sentence]


def test_a_target_that_is_not_the_cause_is_not_blamed() -> None:
    short: dict[str, Any] = {"result_min_duration_met": False, "effective_min_duration_ms": 600_000}
    quick: dict[str, Any] = {
        "effective_target_qps": 200.0,
        "result_samples_per_second": 143.2,
        "result_max_latency_ns": 461 * 10**9,
    }
    assert missed("Offline", short | quick) == ["shorter than its minimum duration: 461 s of 600 s"]
    slow: dict[str, Any] = {
        "effective_target_qps": 1000.0,
        "result_query_count": 100,
        "result_mean_latency_ns": 3 * _MS,
    }
    assert missed("SingleStream", short | slow) == ["shorter than its minimum duration: 0.3 s of 600 s"]


@pytest.mark.parametrize(
    ("scenario", "fields", "sentence"),
    [
        (
            "Offline",
            {"effective_samples_per_query": 11_000, "effective_min_sample_count": 24_576},
            "fewer samples than its minimum: 11000 of 24576 samples",
        ),
        (
            "Server",
            {"result_query_count": 100, "effective_min_query_count": 270, "effective_max_duration_ms": 5000},
            "fewer queries than its minimum: 100 of 270 queries (max_duration 5 s ended it: raise or remove that)",
        ),
        ("SingleStream", {}, "fewer queries than its minimum (max_duration ended it: raise or remove that)"),
    ],
)
def test_a_run_of_too_few_queries(scenario: _Scenario, fields: dict[str, Any], sentence: str) -> None:
    errors = () if scenario == "Offline" else ("Ending early: Max test duration reached. duration_ns 5000",)
    assert missed(scenario, {"result_min_queries_met": False, **fields}, errors) == [sentence]


def test_early_stopping_of_a_stream_names_the_queries_that_it_needs() -> None:
    text = " * Only processed 10 queries.  * Need to process at least 64 queries for early stopping."
    fields: dict[str, Any] = {"early_stopping_met": False, "early_stopping_result": text}
    assert missed("SingleStream", fields, knobs=Knobs(queries="mlperf_test_query_count")) == [
        "early stopping was not satisfied: 10 of 64 queries (raise mlperf_test_query_count to at least 64)"
    ]
    assert missed("SingleStream", {"early_stopping_met": False}) == ["early stopping was not satisfied"]


def test_several_conditions_are_several_sentences_and_a_valid_run_has_none() -> None:
    fields = {"result_min_duration_met": False, "result_min_queries_met": False}
    assert len(missed("SingleStream", fields)) == 2
    assert missed("SingleStream", {"result_min_duration_met": True, "early_stopping_met": True}) == []
    assert missed("Server", {}) == []


def test_a_result_keeps_every_figure_that_the_sentences_need() -> None:
    assert KEYS <= RESULT_KEYS
