"""Performance: what the detail log of the performance run says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from mlperf_ops.catalogue.round import SEEDS
from mlperf_ops.checker import performance_rules as rule
from mlperf_ops.checker.detail_logs import LogFile
from mlperf_ops.checker.metrics import number, result_metric
from mlperf_ops.checker.model import Finding, Severity
from mlperf_ops.checker.performance_latency import (
    latency,
    latency_limits,
    measured_scenario,
    stops_early,
    token_latency,
)
from mlperf_ops.checker.rules import Family, Findings, Rule
from mlperf_ops.checker.subjects import Result
from mlperf_ops.files import Json
from mlperf_ops.loadgen_log import ENDED_EARLY, DetailLog
from mlperf_ops.model import Scenario

_COUNTS = frozenset(
    {
        "effective_performance_sample_count",
        "effective_min_query_count",
        "effective_samples_per_query",
        "effective_min_duration_ms",
    }
)
_LATENCIES = frozenset({"effective_target_latency_ns", "result_99.00_percentile_latency_ns"})
_SHOWN_ERRORS = 3


def performance(place: Result) -> Findings:
    """Apply all rules to the performance run."""
    yield from performance_log(place, place.performance)


def damage(place: Result, file: LogFile) -> Findings:
    """Report a log that cannot be read."""
    if file.problem is not None:
        yield rule.LOG_UNREADABLE.at(
            place, file.location, f"the log cannot be read: {file.problem}", severity="rules" if file.foreign else None
        )


def performance_log(place: Result, file: LogFile, *, equal_issue: bool = True) -> Findings:
    """Apply the rules of a performance run to its log, be it the result's own or that of a compliance test.

    Args:
        place: The result that the run is for.
        file: The log.
        equal_issue: Whether every sample has to be issued equally often, where the benchmark wants that.
    """
    yield from damage(place, file)
    if file.log is None:
        return
    log, here = file.log, file.location
    lacking = sorted(key for key in _needed(place, log) if not _usable(log, key))
    if not log.complete or lacking:
        yield rule.LOG_INCOMPLETE.at(
            place,
            here,
            "the log does not reach the end of the test" if not log.complete else f"the log lacks {', '.join(lacking)}",
            value=", ".join(lacking) or None,
            severity="official" if lacking or log.cut_line else None,
        )
    for check in (_settings, _size, _duration, latency, token_latency, _validity, _outcome, _network):
        yield from check(place, here, log)
    if equal_issue:
        yield from _equal_issue(place, here, log)


def seeds(place: Result, here: str, log: DetailLog, severity: Severity | None = None) -> Findings:
    """Compare the seeds that a log shows with the round's; log-incomplete tells of those that it lacks."""
    wrong = {
        name: (found, expected)
        for name, (found, expected) in place.round.seeds.wrong_in(log.values).items()
        if SEEDS[name] in log.values
    }
    yield from wrong_seeds(place, here, wrong, severity)


def wrong_seeds(
    place: Result, here: str, wrong: Mapping[str, tuple[Json, int]], severity: Severity | None = None
) -> Findings:
    """Report seeds that are not the round's: name -> the one that is stated, and the round's."""
    if wrong:
        yield rule.SEEDS.at(
            place,
            here,
            f"seeds that are not of round {place.round.name}: {', '.join(wrong)}",
            value=", ".join(f"{name}={found}" for name, (found, _) in wrong.items()),
            limit=", ".join(f"{name}={expected}" for name, (_, expected) in wrong.items()),
            severity=severity,
        )


def _needed(place: Result, log: DetailLog) -> set[str]:
    """Return the keys without which the official checker rejects the log."""
    keys = {"effective_scenario", *_COUNTS, *SEEDS.values()}
    if place.model is not None and not place.round.min_duration_ms(place.model):
        keys.discard("effective_min_duration_ms")
    if stops_early(place, log):
        keys.add("early_stopping_met")
    limits = {} if place.model_rules is None else place.model_rules.target_latency_ns
    field, official, _ = latency_limits(place, log, limits)
    if official:
        keys.add(field)
    measured = measured_scenario(log)
    if measured in place.round.result_field:
        keys.add(place.round.result_field[measured])
    return keys


def _usable(log: DetailLog, key: str) -> bool:
    """Whether a log has a key, and where it is compared as a number, a number."""
    if key not in log.values:
        return False
    if key in _COUNTS or key in _LATENCIES:
        return number(log.values[key]) is not None
    return key != "effective_scenario" or isinstance(log.values[key], str)


def _settings(place: Result, here: str, log: DetailLog) -> Findings:
    values, round_ = log.values, place.round
    mode = values.get("effective_test_mode")
    if mode is not None and mode != "PerformanceOnly":
        yield rule.LOG_MODE.at(
            place, here, f"the run's mode is {mode}; expected PerformanceOnly", value=mode, limit="PerformanceOnly"
        )
    yield from seeds(place, here, log)
    measured, claimed = measured_scenario(log), place.scenario
    if measured is None or claimed is None or measured == claimed or (measured, claimed) == ("Server", "Interactive"):
        return
    edge = "edge" in (place.system.system_type or "")
    if not edge or (measured, claimed) not in round_.inference_allowed_edge:
        allowed = [f"{source} as {target}" for source, target in round_.inference_allowed_edge]
        yield rule.LOG_SCENARIO.at(
            place,
            here,
            f"the folder is {claimed}, the run was {measured}",
            value=measured,
            limit=f"{claimed}; inferred on edge systems: {', '.join(allowed)}",
        )


def _size(place: Result, here: str, log: DetailLog) -> Findings:
    rules, values = place.model_rules, log.values
    if rules is None:
        return
    samples = number(values.get("effective_performance_sample_count"))
    if samples is not None and samples < rules.performance_sample_count:
        yield rule.PERFORMANCE_SAMPLES.at(
            place,
            here,
            f"the run cycled through {samples:.0f} samples; at least {rules.performance_sample_count} are required",
            value=f"{samples:.0f}",
            limit=rules.performance_sample_count,
        )
    measured = cast("Scenario | None", measured_scenario(log))
    if measured is None or stops_early(place, log):
        return
    queries, required = number(values.get("effective_min_query_count")), rules.min_queries.get(measured)
    if queries is not None and required is not None and queries < required:
        yield rule.MIN_QUERIES.at(
            place,
            here,
            f"the run asked for {queries:.0f} queries; at least {required} are required",
            value=f"{queries:.0f}",
            limit=required,
        )
    samples, required = number(values.get("effective_samples_per_query")), rules.offline_min_samples_per_query
    if measured == "Offline" and required is None:
        yield rule.MIN_QUERIES.at(
            place,
            here,
            f"{place.round.name} has no minimum of Offline samples for {place.model}, without which the official "
            "checker rejects the run",
            value=measured,
            limit="a scenario that the round has for the benchmark",
        )
    if measured == "Offline" and samples is not None and required is not None and samples < required:
        yield rule.MIN_QUERIES.at(
            place,
            here,
            f"the Offline query has {samples:.0f} samples; at least {required} are required",
            value=f"{samples:.0f}",
            limit=required,
            severity=None if place.submitter.rules.offline_min_samples else "rules",
        )


def _equal_issue(place: Result, here: str, log: DetailLog) -> Findings:
    rules = place.model_rules
    if rules is not None and rules.equal_issue and place.submitter.rules.official_models_only:
        permutation = log.values.get("effective_sample_concatenate_permutation")
        if permutation is not None and not permutation:
            yield rule.EQUAL_ISSUE.at(
                place, here, "LoadGen did not issue every sample equally often", value=permutation, limit="true"
            )


def _duration(place: Result, here: str, log: DetailLog) -> Findings:
    if place.model is None:
        return
    duration_ms, limit_ms = (
        number(log.values.get("effective_min_duration_ms")),
        place.round.min_duration_ms(place.model),
    )
    if duration_ms is not None and duration_ms < limit_ms:
        yield rule.MIN_DURATION.at(
            place,
            here,
            f"the run asked for {duration_ms / 1000:g} s; at least {limit_ms / 1000:g} s are required",
            value=f"{duration_ms:g} ms",
            limit=f"{limit_ms} ms",
        )


def _validity(place: Result, here: str, log: DetailLog) -> Findings:
    validity = log.values.get("result_validity")
    early = [error for error in log.errors if ENDED_EARLY in error]
    if "result_validity" in log.values and validity != "VALID":
        reason = str(log.values.get("result_invalid_reason") or "").strip()
        yield rule.VALIDITY.at(
            place,
            here,
            f"LoadGen says that the result is {validity}" + (f": {reason}" if reason else ""),
            value=validity,
            limit="VALID",
        )
    elif early:
        yield rule.VALIDITY.at(
            place, here, f"LoadGen ended the run early: {early[0]}", value="ended early", limit="run to its end"
        )
    if log.values.get("result_perf_constraints_met") is False:
        yield rule.CONSTRAINTS.at(
            place, here, "too many queries took longer than the target latency", value="not met", limit="met"
        )
    yield from other_errors(place, here, log, rule.LOADGEN_ERRORS, None)


def other_errors(
    place: Result, here: str, log: DetailLog, broken: Rule, severity: Severity | None
) -> Iterator[Finding]:
    """Report LoadGen's errors other than an early end, which `loadgen-validity` states."""
    others = [error for error in log.errors if ENDED_EARLY not in error]
    count = len(others) + log.error_count - len(log.errors)
    if others:
        shown = "; ".join(others[:_SHOWN_ERRORS]) + (
            f"; and {count - _SHOWN_ERRORS} more" if count > _SHOWN_ERRORS else ""
        )
        yield broken.at(
            place,
            here,
            f"LoadGen logged {'an error' if count == 1 else f'{count} errors'}: {shown}",
            value=count,
            limit=0,
            severity=severity,
        )


def _outcome(place: Result, here: str, log: DetailLog) -> Findings:
    claimed, measured = cast("Scenario | None", place.scenario), cast("Scenario | None", measured_scenario(log))
    if place.model_rules is None or claimed is None or measured not in place.round.result_field:
        return
    metric = result_metric(log.values, place.round, place.model_rules, claimed, measured)
    if metric is None:
        return  # log-scenario says so
    if metric.value is None:
        found = log.values.get(metric.field)
        if metric.field in log.values:
            yield rule.RESULT_VALUE.at(
                place,
                here,
                f"{metric.field} is {found!r}; expected a finite number",
                value=repr(found),
                limit="a number above 0",
                severity="rules" if _official_number(found) else None,
            )
        elif metric.field not in _needed(place, log):
            yield rule.RESULT_VALUE.at(place, here, f"the log gives no {metric.field}", limit="a number above 0")
    elif metric.value <= 0:
        yield rule.RESULT_VALUE.at(
            place,
            here,
            f"the result is {metric.value:g} ({metric.field}); it must be above 0",
            value=f"{metric.value:g}",
            limit="above 0",
            severity=None if metric.value == 0 else "rules",
        )


def _official_number(value: Json) -> bool:
    """Whether the official checker makes a result of a value: it takes texts, NaN and infinity."""
    try:
        return bool(float(value))  # type: ignore[arg-type]  # what it does with it
    except (TypeError, ValueError, OverflowError):
        return False


def _network(place: Result, here: str, log: DetailLog) -> Findings:
    substring, name = place.round.system_description.network_sut_name_substring, log.values.get("sut_name")
    if place.submitter.division == "network" and substring not in str(name):
        yield rule.SUT_NAME.at(
            place, here, f"the SUT's name '{name}' does not contain '{substring}'", value=name, limit=substring
        )


FAMILY = Family("performance", "Performance run", rule.RULES, result=(performance,))
