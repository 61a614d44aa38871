"""Performance: early stopping, and the latencies of queries and of tokens in a performance run's log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from mlperf_ops.checker import performance_rules as rule
from mlperf_ops.checker.metrics import TOKEN_LATENCIES, number
from mlperf_ops.checker.model import Severity
from mlperf_ops.checker.rules import Findings
from mlperf_ops.checker.subjects import Result
from mlperf_ops.loadgen_log import DetailLog
from mlperf_ops.model import Scenario


def measured_scenario(log: DetailLog) -> str | None:
    """Return the scenario that LoadGen ran."""
    value = log.values.get("effective_scenario")
    return value if isinstance(value, str) else None


def stops_early(place: Result, log: DetailLog) -> bool:
    """Whether the scenario that LoadGen ran is one with early stopping."""
    return measured_scenario(log) in place.round.limits.early_stopping_scenarios


def latency(place: Result, here: str, log: DetailLog) -> Findings:
    """Judge early stopping and the latency of whole queries."""
    values = log.values
    if stops_early(place, log) and not values.get("early_stopping_met", True):
        yield rule.EARLY_STOPPING.at(
            place,
            here,
            "LoadGen's early stopping did not get enough queries for a statement about the tail latency",
            value=values.get("early_stopping_result") or "early_stopping_met is false",
            limit="early_stopping_met is true",
        )
    if place.model_rules is None:
        return
    field, official, claimed = latency_limits(place, log, place.model_rules.target_latency_ns)
    latency_ns = number(values.get(field))
    if latency_ns is None:
        return
    for limit_ns, severity in ((official, "official"), (claimed, "rules")):
        if limit_ns and latency_ns > limit_ns:
            yield rule.LATENCY_LIMIT.at(
                place,
                here,
                f"{field} is {latency_ns / 1e6:g} ms; at most {limit_ns / 1e6:g} ms are allowed",
                value=f"{latency_ns / 1e6:g} ms",
                limit=f"{limit_ns / 1e6:g} ms",
                severity=cast("Severity", severity),
            )
            return


def latency_limits(place: Result, log: DetailLog, limits: Mapping[Scenario, int]) -> tuple[str, int | None, int | None]:
    """Return the key of the latency that is limited, the official limit and that of the rules, in ns.

    The official checker takes the limit of the scenario that LoadGen ran; the rules, of the one that is claimed.
    """
    claimed = limits.get(cast("Scenario", place.scenario))
    if stops_early(place, log):
        return "effective_target_latency_ns", limits.get(cast("Scenario", measured_scenario(log))), claimed
    return "result_99.00_percentile_latency_ns", claimed, claimed


def token_latency(place: Result, here: str, log: DetailLog) -> Findings:
    """Judge the time to the first token, and between tokens."""
    rules, values = place.model_rules, log.values
    if rules is None or not rules.requires_token_latencies:
        return
    if not values.get("requested_use_token_latencies"):
        yield rule.TOKEN_LATENCY.at(
            place, here, "token latencies were not measured", value="off", limit="use_token_latencies = 1"
        )
        return
    official = rules.token_latency_limits_ns.get(cast("Scenario", measured_scenario(log)))
    if official is None and measured_scenario(log) == "Server":
        yield rule.TOKEN_LATENCY.at(
            place,
            here,
            f"{place.round.name} has no limits of token latencies for {place.model} in Server, without which the "
            "official checker rejects the run",
            value="Server",
            limit="a scenario that the round has for the benchmark",
        )
    claimed = rules.token_latency_limits_ns.get(cast("Scenario", place.scenario))
    for name, field in TOKEN_LATENCIES.items():
        latency_ns = number(values.get(field))
        for limits, severity in ((official, "official"), (claimed, "rules")):
            limit_ns = None if limits is None else getattr(limits, name)
            if limit_ns is None or (latency_ns is not None and latency_ns < limit_ns):  # NaN is not below
                continue
            shown = "missing" if latency_ns is None else f"{latency_ns / 1e6:g} ms"
            yield rule.TOKEN_LATENCY.at(
                place,
                here,
                f"{field} is {shown}; it must be below {limit_ns / 1e6:g} ms",
                value=shown,
                limit=f"below {limit_ns / 1e6:g} ms",
                severity=cast("Severity", severity),
            )
            break
