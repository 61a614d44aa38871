"""Consistency: files of one result, and of several, that do not go together."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping

from mlperf_ops.checker.detail_logs import LogFile
from mlperf_ops.checker.metrics import number
from mlperf_ops.checker.performance_latency import measured_scenario
from mlperf_ops.checker.rules import Family, Findings, Rule
from mlperf_ops.checker.shared_logs import SHARED_LOG, conf_names, shared_logs
from mlperf_ops.checker.subjects import Result
from mlperf_ops.checker.texts import TextFile
from mlperf_ops.files import Json
from mlperf_ops.loadgen_log import DetailLog, parse_summary

SUMMARY = Rule(
    "summary-mismatch",
    "rules",
    "summary is of another run than the log",
    "Reviewers read the summary; it must be of the same run as the detail log beside it. No official checker compares "
    "them.",
    "Put summary and detail log of one run together.",
    "LoadGen: both files are written at the end of a test",
    own="Aggregate again from the raw results; do not copy logs by hand.",
)
LEFTOVER_AUDIT = Rule(
    "leftover-audit-config",
    "rules",
    "run with the settings of a compliance test",
    "An audit.config that was left in the working directory changed what LoadGen ran: the run is no ordinary one. No "
    "official checker looks.",
    "Remove audit.config from the working directory and measure again.",
    "compliance/README.md: remove audit.config after the test",
    own="Remove audit.config from the working directory and run the cell again.",
)
LOADGEN_VERSION = Rule(
    "loadgen-version",
    "advice",
    "runs of one result with different LoadGen versions",
    "Performance, accuracy and compliance runs of a result should come from one build of LoadGen; reviewers ask for "
    "the reason.",
    "Make the older runs again with the same LoadGen.",
    "LoadGen: loadgen_version in the detail logs",
    own="Run the older cells again with the round's LoadGen wheel.",
)
USER_CONF = Rule(
    "user-conf-mismatch",
    "advice",
    "user.conf is not the one that was used",
    "user.conf is submitted so that others can repeat the run; its values must be those that the log shows.",
    "Put the user.conf of the run into the tree.",
    "LoadGen: effective settings in the detail log",
)
RULES = (SUMMARY, SHARED_LOG, LEFTOVER_AUDIT, LOADGEN_VERSION, USER_CONF)

_RUN = "performance/run_1"
# What a summary repeats of the detail log: label -> key. LoadGen rounds speeds to two decimals there.
_TEXTS = {"Scenario": "effective_scenario", "Mode": "effective_test_mode", "Result is": "result_validity"}
_NUMBERS = {
    "Samples per second": "result_samples_per_second",
    "Completed samples per second": "result_completed_samples_per_sec",
    "Tokens per second": "result_tokens_per_second",
    "Completed tokens per second": "result_completed_tokens_per_second",
    "99.00 percentile first token latency (ns)": "result_first_token_99.00_percentile_latency_ns",
    "99.00 percentile time to output token (ns)": "result_time_per_output_token_99.00_percentile_ns",
    "qsl_rng_seed": "effective_qsl_rng_seed",
    "sample_index_rng_seed": "effective_sample_index_rng_seed",
    "schedule_rng_seed": "effective_schedule_rng_seed",
}
_CLOSING = re.compile(r"No errors encountered|\bERRORS? encountered", re.IGNORECASE)
_NO_ERRORS = "No errors encountered"  # as LoadGen writes it, which is found quicker
_CLOSING_CHARACTERS = 4096  # of the end are searched; warnings may follow
# Of a MultiStream run the summary states the latencies of queries, and the log also those of samples.
_LATENCIES = {
    "Mean latency (ns)": "result_mean_latency_ns",
    "90.00 percentile latency (ns)": "result_90.00_percentile_latency_ns",
    "99.00 percentile latency (ns)": "result_99.00_percentile_latency_ns",
}
_LATENCIES_OF_QUERIES = {
    "Mean latency (ns)": "result_mean_query_latency_ns",
    "99.00 percentile latency (ns)": "result_99.00_percentile_per_query_latency_ns",
}
_DIGITS = 40  # seeds have 20
_ROUNDED = 2e-3
_HALF_CENT = 0.0051
# user.conf key -> log key and factor, where LoadGen takes the value as it is.
_CONF = {
    "min_duration": ("effective_min_duration_ms", 1),
    "max_duration": ("effective_max_duration_ms", 1),
    "max_query_count": ("effective_max_query_count", 1),
}
_CONF_OF_SERVER = {
    "target_qps": ("effective_target_qps", 1),
    "target_latency": ("effective_target_latency_ns", 1_000_000),
}


def summaries(place: Result) -> Findings:
    """Compare the summaries of the performance run and of the compliance runs with their detail logs."""
    yield from _summary(place, place.performance, place.place(place.round.layout.perf_summary))
    accuracy = place.place(place.round.layout.acc_detail).replace("_detail.", "_summary.")
    if place.tree.size(accuracy):
        yield from _whole(place, accuracy, place.text(accuracy).text, (), {})
    for file in _compliance_logs(place):
        yield from _summary(place, file, file.location.replace("_detail.", "_summary."))


def _compliance_logs(place: Result) -> Iterator[LogFile]:
    """Yield the readable logs of compliance runs, where the division judges them."""
    if not place.submitter.rules.compliance_tests or place.model_rules is None:
        return
    for test in place.model_rules.compliance:
        file = place.test_log(test)
        if file.log is not None:
            yield file


def _whole(place: Result, location: str, text: str, labels: Iterable[str], stated: Mapping[str, str]) -> Findings:
    """Report what a summary lacks: it ends with the number of errors, in whatever mode."""
    lacking = [label for label in labels if label not in stated]
    closing = max(0, len(text) - _CLOSING_CHARACTERS)
    if lacking or (text.find(_NO_ERRORS, closing) < 0 and not _CLOSING.search(text, closing)):
        yield SUMMARY.at(
            place,
            location,
            f"the summary has no line '{lacking[0]}'" if lacking else "the summary does not reach its end",
            value=", ".join(lacking) or None,
        )


def _summary(place: Result, file: LogFile, location: str) -> Findings:
    if file.log is None or not place.tree.size(location):
        return
    text = place.text(location).text
    stated = parse_summary(text)
    broken = list(_whole(place, location, text, _TEXTS, stated))
    yield from broken
    if broken:
        return
    values = file.log.values
    wrong: list[tuple[str, str, Json]] = [
        (label, stated[label], values[key])
        for label, key in _TEXTS.items()
        if label in stated and isinstance(values.get(key), str) and stated[label] != values[key]
    ]
    latencies = _LATENCIES_OF_QUERIES if measured_scenario(file.log) == "MultiStream" else _LATENCIES
    for label, key in (_NUMBERS | latencies).items():
        if label in stated and not _same(stated[label], values.get(key)):
            wrong.append((label, stated[label], values.get(key)))
    if wrong:
        label, said, logged = wrong[0]
        yield SUMMARY.at(
            place,
            location,
            f"the summary says {label}: {said}, the detail log {logged}",
            value=", ".join(f"{label}: {said}" for label, said, _ in wrong),
            limit=", ".join(f"{label}: {logged}" for label, _, logged in wrong),
        )


def _same(text: str, value: Json) -> bool:
    """Whether a number of a summary may be the one of a log; true where either is no number."""
    if isinstance(value, int) and not isinstance(value, bool) and text.isdecimal() and len(text) <= _DIGITS:
        return int(text) == value  # seeds and nanoseconds, exactly
    logged = number(value)
    try:
        said = float(text)
    except ValueError:
        return True
    return logged is None or not math.isfinite(logged) or abs(said - logged) <= _ROUNDED * abs(logged) + _HALF_CENT


def audit_settings(place: Result) -> Findings:
    """Look for the settings of a compliance test in ordinary runs."""
    for file, mode in ((place.performance, "PerformanceOnly"), (place.accuracy, "AccuracyOnly")):
        log = file.log
        if log is None or log.values.get("effective_test_mode", mode) != mode:
            continue  # log-mode says so
        found = [
            f"{key} = {str(value).lower() if isinstance(value, bool) else value}"
            for key in (
                "effective_performance_issue_same",
                "effective_accuracy_log_rng_seed",
                "effective_accuracy_log_sampling_target",
            )
            if (value := log.values.get(key))
        ]
        if found:
            yield LEFTOVER_AUDIT.at(
                place,
                file.location,
                f"the run had the settings of a compliance test: {', '.join(found)}",
                value=", ".join(found),
                limit="none of them",
            )


def versions(place: Result) -> Findings:
    """Compare the LoadGen versions of a result's runs."""
    first = place.performance.log
    expected = None if first is None else first.values.get("loadgen_version")
    if expected is None:
        return
    for file in (place.accuracy, *_compliance_logs(place)):
        found = None if file.log is None else file.log.values.get("loadgen_version")
        if found is not None and found != expected:
            yield LOADGEN_VERSION.at(
                place,
                file.location,
                f"this run was made with LoadGen {found}, the performance run with {expected}",
                value=found,
                limit=expected,
            )


def user_conf(place: Result) -> Findings:
    """Compare user.conf with what the performance run's log shows."""
    log, location = place.performance.log, f"{place.place(place.round.layout.measurements_dir)}/user.conf"
    if log is None or place.model_rules is None or not place.tree.size(location):
        return
    names = {place.benchmark, place.model, *conf_names(place)}
    wrong = [
        (key, given, logged)
        for key, given, logged in _settings(place.text(location), log, {name for name in names if name})
        if given != logged
    ]
    if wrong:
        yield USER_CONF.at(
            place,
            location,
            ", ".join(f"{key} is {given:g} here and {logged:g} in the log" for key, given, logged in wrong),
            value=", ".join(f"{key} = {given:g}" for key, given, _ in wrong),
            limit=", ".join(f"{key} = {logged:g}" for key, _, logged in wrong),
        )


def _settings(file: TextFile, log: DetailLog, names: set[str]) -> Iterator[tuple[str, float, float]]:
    """Yield key, value of user.conf and value of the log, for each key that both have."""
    scenario = measured_scenario(log)
    wanted = _CONF | (_CONF_OF_SERVER if scenario == "Server" else {})
    given: dict[str, float] = {}
    for line in file.text.splitlines():
        left, equals, right = line.partition("#")[0].partition("=")
        model, _, rest = left.strip().rpartition(".")[0].rpartition(".")
        key = left.strip().rpartition(".")[2]
        if equals and key in wanted and rest in (scenario, "*") and model in {*names, "*"}:
            value = _decimal(right)
            if value is not None:
                given[key] = value  # a later line wins
    for key, value in given.items():
        field, factor = wanted[key]
        logged = number(log.values.get(field))
        if logged is not None:
            # The log has six significant digits.
            equal = abs(value * factor - logged) <= 1e-5 * abs(logged)
            yield key, value, value if equal else logged / factor


def _decimal(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


FAMILY = Family(
    "consistency",
    "Consistency",
    RULES,
    tree=(shared_logs,),
    result=(summaries, audit_settings, versions, user_conf),
)
