"""The one figure by which a result is told in a line."""

from __future__ import annotations

import pytest

from mlperf_ops.files import JsonObject
from mlperf_ops.harness.agent import summary

_EARLY, _MEASURED = "early_stopping_latency_ss", "result_90.00_percentile_latency_ns"


@pytest.mark.parametrize(
    ("scenario", "fields", "told"),
    [
        ("Offline", {"result_samples_per_second": 312.456}, "312.5 samples/s"),
        ("SingleStream", {_EARLY: 5_200_000, _MEASURED: 47_460_000}, "5.2 ms p90"),
        # 0: LoadGen could not make an estimate of so few queries.
        ("SingleStream", {_EARLY: 0, _MEASURED: 47_460_000}, "47.46 ms p90"),
        ("MultiStream", {"early_stopping_latency_ms": 0}, None),
    ],
)
def test_a_performance_result_is_told_by_the_metric_of_its_scenario(
    scenario: str, fields: JsonObject, told: str | None
) -> None:
    result: JsonObject = {"cell": {"scenario": scenario}, "accuracy": None, "loadgen": {"fields": fields}}
    assert summary(result) == told
