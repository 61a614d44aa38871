"""What LoadGen's logs of one scenario say: metric, percentiles, validity. LoadGen's own figures only."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from mlperf_ops.errors import ResultError
from mlperf_ops.files import Json
from mlperf_ops.harness.constraints import Knobs
from mlperf_ops.harness.failures import CellError
from mlperf_ops.harness.generic.request import GenericScenario
from mlperf_ops.harness.verdicts import RESULT_KEYS, invalid_reason
from mlperf_ops.loadgen_log import DETAIL_LOG, ENDED_EARLY, SUMMARY_LOG, read_detail
from mlperf_ops.model import LoadgenOutcome

_NS_PER_MS = 1e6
_KNOBS = Knobs("--expected-qps", "--target-latency-ms", "--min-queries")
_PERCENTILES = ("50.00", "90.00", "95.00", "97.00", "99.00", "99.90")
# Settings that LoadGen logs under two prefixes: what was asked, and what came of it.
_SETTING_PREFIXES = ("effective_", "requested_")
# Scenario -> keys of the detail log, best first, and the unit. Early stopping gives no estimate for few queries.
_METRICS: dict[GenericScenario, tuple[tuple[str, ...], str]] = {
    "SingleStream": (("early_stopping_latency_ss", "result_90.00_percentile_latency_ns"), "ms"),
    "MultiStream": (("early_stopping_latency_ms", "result_99.00_percentile_per_query_latency_ns"), "ms"),
    "Server": (("result_completed_samples_per_sec",), "samples/s"),
    "Offline": (("result_samples_per_second",), "samples/s"),
}


def read_outcome(scenario: GenericScenario, folder: Path) -> dict[str, Json]:
    """Read a scenario's logs.

    Raises:
        CellError: A log is missing or was cut off.
    """
    try:
        detail = read_detail(folder / DETAIL_LOG)
    except ResultError as error:
        raise CellError("no_log", error.message, "LoadGen did not run, or its log was cut") from error
    validity = detail.values.get("result_validity")
    if not detail.complete or validity not in ("VALID", "INVALID") or not (folder / SUMMARY_LOG).is_file():
        raise CellError("incomplete_log", f"{folder / DETAIL_LOG} ends before the test did", "was the process stopped?")
    fields = {key: value for key, value in detail.values.items() if key in RESULT_KEYS}
    outcome = LoadgenOutcome(
        validity="VALID" if validity == "VALID" else "INVALID",
        fields=fields,
        errors=detail.errors,
        warnings=detail.warnings,
    )
    # A run that --max-queries or user.conf cuts short ends with an error line, although it went as asked.
    errors = [text for text in detail.errors if ENDED_EARLY not in text]
    reasons = [f"LoadGen logged an error: {text}" for text in errors[:1]]
    if validity == "INVALID":
        advice = str(fields.get("result_invalid_reason") or "").strip()
        reasons.append(invalid_reason(scenario, outcome, _KNOBS) + (f" ({advice})" if advice else ""))
    return {
        "verdict": "invalid" if reasons else "valid",
        "reasons": cast("list[Json]", reasons),
        "validity": validity,
        "metric": _metric(scenario, fields),
        "percentiles_ms": _percentiles(fields),
        "loadgen": dict(fields),
        "settings": {key: value for key, value in detail.values.items() if key.startswith(_SETTING_PREFIXES)},
        "errors": list(detail.errors),
    }


def _metric(scenario: GenericScenario, fields: dict[str, Json]) -> Json:
    keys, unit = _METRICS[scenario]
    for key in keys:
        value = fields.get(key)
        if isinstance(value, (int, float)) and value > 0:
            return {"field": key, "value": value / _NS_PER_MS if unit == "ms" else value, "unit": unit}
    return None


def _percentiles(fields: dict[str, Json]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for percentile in _PERCENTILES:
        for key in (
            f"result_{percentile}_percentile_per_query_latency_ns",
            f"result_{percentile}_percentile_latency_ns",
        ):
            value = fields.get(key)
            if isinstance(value, (int, float)):
                found.setdefault(percentile, value / _NS_PER_MS)
    return found
