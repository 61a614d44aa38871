"""The number that a performance run stands for, as the official result table shows it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from mlperf_ops.catalogue.round import ModelRules, Round
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.model import Scenario

_NS_PER_MS = 1e6
LATENCY_UNITS_NS = {"Latency (ms)": 1e6, "Latency (s)": 1e9}
_STREAMS_OF_MULTISTREAM = 8
# LoadGen's key of each token latency that a round limits, in ns.
TOKEN_LATENCIES = {
    "ttft": "result_first_token_99.00_percentile_latency_ns",
    "tpot": "result_time_per_output_token_99.00_percentile_ns",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """A result.

    Attributes:
        value: In `unit`; None when the log lacks the field.
        unit: As in the official result table.
        inferred: Computed from a run of another scenario.
        field: The log's key that it came from.
    """

    value: float | None
    unit: str
    inferred: bool
    field: str


def number(value: Json) -> float | None:
    """Return a JSON number as float, infinite where it is beyond one; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _multistream_from_singlestream(values: JsonObject) -> float | None:
    latency_ns = number(values.get("early_stopping_latency_ms"))  # "ms" is MultiStream here, the unit is ns
    return None if latency_ns is None else _STREAMS_OF_MULTISTREAM * latency_ns / _NS_PER_MS


def _offline_from_multistream(values: JsonObject) -> float | None:
    samples = number(values.get("effective_samples_per_query"))
    mean_ns = number(values.get("result_mean_query_latency_ns"))
    return None if samples is None or not mean_ns else samples * 1000 / (mean_ns / _NS_PER_MS)


def _offline_from_singlestream(values: JsonObject) -> float | None:
    return number(values.get("result_qps_without_loadgen_overhead"))


# (measured, claimed) -> log field and formula; Round.inference_formula states the same in words.
_INFERENCES: dict[tuple[str, str], tuple[str, Callable[[JsonObject], float | None]]] = {
    ("SingleStream", "MultiStream"): ("early_stopping_latency_ms", _multistream_from_singlestream),
    ("MultiStream", "Offline"): ("result_mean_query_latency_ns", _offline_from_multistream),
    ("SingleStream", "Offline"): ("result_qps_without_loadgen_overhead", _offline_from_singlestream),
}


def result_metric(
    values: JsonObject, round_: Round, rules: ModelRules, claimed: Scenario, measured: Scenario
) -> Metric | None:
    """Compute a result as the official checker does.

    Args:
        values: Values of the performance run's detail log.
        round_: The round.
        rules: The round's rules for the benchmark.
        claimed: Scenario of the result's folder.
        measured: Scenario that LoadGen ran.

    Returns:
        None when the claimed scenario cannot be inferred from the measured one.
    """
    unit = rules.units_override.get(claimed) or round_.units_default[claimed]
    if measured != claimed and (measured, claimed) != ("Server", "Interactive"):
        inference = _INFERENCES.get((measured, claimed))
        if inference is None:
            return None
        return Metric(finite(inference[1](values)), unit, inferred=True, field=inference[0])
    field = rules.result_field_override.get(measured) or round_.result_field[measured]
    value = number(values.get(field))
    if value is not None:
        value /= LATENCY_UNITS_NS.get(unit, 1)
    return Metric(finite(value), unit, inferred=False, field=field)


def finite(value: float | None) -> float | None:
    """Return a number that is neither NaN nor infinite; None for these."""
    return value if value is not None and math.isfinite(value) else None
