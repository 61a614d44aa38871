"""Endpoints: results of MLPerf Endpoints, which have no LoadGen logs.

Their figures stand for LoadGen's, and are held to the same limits where the official checker looks at them: seeds,
duration, scenario, latencies, the result, the samples of the accuracy run. What LoadGen alone states (counts, early
stopping, its verdict) is waived there.
"""

from __future__ import annotations

import math
from typing import cast

from mlperf_ops.catalogue.round import AccuracyTarget
from mlperf_ops.checker import performance_rules as figure
from mlperf_ops.checker.accuracy import TARGET, coverage
from mlperf_ops.checker.endpoints_figures import Figures, covered_samples, endpoints_metric, score_of, shown_scores
from mlperf_ops.checker.metrics import TOKEN_LATENCIES, number
from mlperf_ops.checker.performance import wrong_seeds
from mlperf_ops.checker.rules import Family, Findings, Rule
from mlperf_ops.checker.subjects import Result
from mlperf_ops.files import Json
from mlperf_ops.model import Scenario

_CHECK = "submission_checker: parsers/endpoints_parser.py"

UNREADABLE = Rule(
    "endpoints-unreadable",
    "official",
    "file of MLPerf Endpoints is damaged",
    "The official checker takes a damaged file for an empty one, and rejects the result for what is missing then.",
    "Export the result again.",
    _CHECK,
)
MODEL = Rule(
    "endpoints-benchmark",
    "official",
    "benchmark may not come from MLPerf Endpoints",
    "Only some benchmarks may be handed in as results of MLPerf Endpoints; others need LoadGen's logs.",
    "Run the benchmark with LoadGen, or put its detail logs into the tree.",
    "submission_checker: ENDPOINTS_ALLOWED_MODELS",
)
SCORE = Rule(
    "endpoints-score",
    "official",
    "no accuracy score",
    "accuracy_results.json must state a score in accuracy_scores.",
    "Run the accuracy part again and export the result.",
    _CHECK,
)
AUDIT = Rule(
    "endpoints-audit",
    "official",
    "audit is missing or did not pass",
    "Some benchmarks need the audit of output caching, and every audit that is there must have passed; the mean length "
    "of outputs has to be within the bounds of TEST09. The official checker wants both in the open division, too.",
    "Run the audit again and export the result.",
    "submission_checker: compliance_check.py compliance_endpoints_check",
)
NOT_JUDGED = Rule(
    "endpoints-not-judged",
    "advice",
    "accuracy that nobody compares with its target",
    "MLPerf Endpoints exports one score of each data set. How these make the metrics of the round's target is stated "
    "nowhere, and the official checker only wants that there is a score.",
    "Compare the score with the target of the round yourself; reviewers will.",
    "submission_checker: accuracy_check.py accuracy_result_check",
)
RULES = (UNREADABLE, MODEL, SCORE, AUDIT, NOT_JUDGED)

_DURATION = "effective_min_duration_ms"
_CACHING = "TEST04"  # the one audit that is required, of the benchmarks that have this test
_LATENCY = "result_99.00_percentile_latency_ns"


def endpoints(place: Result) -> Findings:
    """Check a result of MLPerf Endpoints."""
    figures = place.figures
    if figures is None:
        return
    rules = place.round.endpoints
    if place.model is not None and place.model not in rules.allowed_models:
        yield MODEL.at(
            place,
            place.location,
            f"{place.model} may not be handed in as a result of MLPerf Endpoints",
            value=place.model,
            limit=", ".join(rules.allowed_models),
        )
    for file in figures.files.values():
        if file.problem is not None:
            name = file.location.rpartition("/")[2]
            yield UNREADABLE.at(place, file.location, f"{name} cannot be read: {file.problem}")
    yield from _audits(place, figures)
    if figures.files["config"].value is not None and figures.files["performance"].value is not None:
        yield from _performance(place, figures)
    if figures.files["accuracy"].value is not None:
        yield from _accuracy(place, figures)


def _performance(place: Result, figures: Figures) -> Findings:
    """Hold the performance run to the limits that the official checker compares."""
    config, exported = figures.files["config"].location, figures.files["performance"].location
    yield from _seeds(place, figures, config)
    if place.model is not None:
        least_ms, stated_ms = place.round.min_duration_ms(place.model), figures.performance.get(_DURATION)
        duration_ms = number(stated_ms)
        if least_ms and (duration_ms is None or duration_ms < least_ms):
            yield figure.MIN_DURATION.at(
                place,
                config,
                f"the run asked for {_shown(stated_ms, 'ms')}; at least {least_ms} ms are required",
                value=_shown(stated_ms, "ms"),
                limit=f"{least_ms} ms",
            )
    measured, claimed = figures.scenario, place.scenario
    if claimed is not None and (measured is None or measured.casefold() != claimed.casefold()):
        yield figure.LOG_SCENARIO.at(
            place,
            config,
            f"the folder is {claimed}, the settings say " + ("no scenario" if measured is None else f"'{measured}'"),
            value=measured,
            limit=claimed,
        )
        return
    yield from _latency(place, figures, exported)
    yield from _outcome(place, figures, exported)
    if place.submitter.division == "network":
        substring = place.round.system_description.network_sut_name_substring
        yield figure.SUT_NAME.at(
            place, exported, f"MLPerf Endpoints states no name of the SUT, which has to contain '{substring}'"
        )


def _seeds(place: Result, figures: Figures, config: str) -> Findings:
    """Compare the seeds; there is none of LoadGen's sample library."""
    wrong = {
        name: (found, expected)
        for name, (found, expected) in place.round.seeds.wrong_in(figures.performance).items()
        if name != "qsl_rng_seed"
    }
    yield from wrong_seeds(place, config, wrong)


def _latency(place: Result, figures: Figures, location: str) -> Findings:
    rules, claimed = place.model_rules, cast("Scenario | None", place.scenario)
    if rules is None or claimed is None:
        return
    if not rules.requires_token_latencies:
        limit_ns = rules.target_latency_ns.get(claimed)
        stated = figures.performance.get(_LATENCY)
        latency_ns = number(stated)
        if limit_ns and (latency_ns is None or latency_ns > limit_ns):
            yield figure.LATENCY_LIMIT.at(
                place,
                location,
                f"the 99th percentile of the latency is {_shown_ms(stated)}; at most {limit_ns / 1e6:g} ms are allowed",
                value=_shown_ms(stated),
                limit=f"{limit_ns / 1e6:g} ms",
            )
        return
    limits = rules.token_latency_limits_ns.get(claimed)
    if limits is None:
        return
    for key, what, limit_ns in (
        (TOKEN_LATENCIES["ttft"], "time to the first token", limits.ttft),
        (TOKEN_LATENCIES["tpot"], "time of an output token", limits.tpot),
    ):
        stated = figures.performance.get(key)
        latency_ns = number(stated)
        if latency_ns is None or not latency_ns < limit_ns:  # also NaN is not below
            yield figure.TOKEN_LATENCY.at(
                place,
                location,
                f"the 99th percentile of the {what} is {_shown_ms(stated)}; it must be below {limit_ns / 1e6:g} ms",
                value=_shown_ms(stated),
                limit=f"below {limit_ns / 1e6:g} ms",
            )


def _outcome(place: Result, figures: Figures, location: str) -> Findings:
    if place.model_rules is None or place.scenario is None:
        return
    metric = endpoints_metric(figures, place.round, place.model_rules, cast("Scenario", place.scenario))
    if metric is None or metric.value is None:
        field = "" if metric is None else f" ({metric.field})"
        yield figure.RESULT_VALUE.at(place, location, f"the files state no result{field}", limit="a number above 0")
    elif metric.value <= 0:
        yield figure.RESULT_VALUE.at(
            place,
            location,
            f"the result is {metric.value:g} ({metric.field}); it must be above 0",
            value=f"{metric.value:g}",
            limit="above 0",
            severity=None if metric.value == 0 else "rules",
        )


def _accuracy(place: Result, figures: Figures) -> Findings:
    """Look at what the accuracy run scored."""
    location = figures.files["accuracy"].location
    failed = number(figures.accuracy.get("num_errors"))
    if failed:
        yield figure.LOADGEN_ERRORS.at(
            place,
            location,
            f"{failed:g} samples of the accuracy run failed",
            value=f"{failed:g}",
            limit=0,
            severity="official",
        )
    if place.model is None:
        return
    yield from coverage(place, location, number(covered_samples(figures)))
    if not figures.scores:
        yield SCORE.at(place, location, "accuracy_results.json states no score", limit="accuracy_scores")
    elif place.submitter.rules.accuracy_target:
        yield from _score(place, figures, location)


def _score(place: Result, figures: Figures, location: str) -> Findings:
    model = cast("str", place.model)
    targets = place.round.accuracy_targets(model, place.scenario or place.folder)
    if model not in place.round.endpoints.accuracy_compared:
        stated, wanted = shown_scores(figures), ", ".join(map(_bounds, targets))
        yield NOT_JUDGED.at(
            place,
            location,
            f"the accuracy is not compared with the round's target: the files state {stated}; the round wants {wanted}",
            value=stated,
            limit=wanted,
        )
        return
    target = targets[0]
    value, least = score_of(figures.scores[0], target.metric), target.min or 0.0
    if value is None or not value >= least:
        shown = "no number" if value is None or math.isnan(value) else f"{value:.10g}"
        yield TARGET.at(
            place,
            location,
            f"{target.metric} is {shown}; expected at least {least:.10g}",
            value=shown,
            limit=f"at least {least:.10g}",
            severity="rules" if value is not None and math.isnan(value) else None,  # NaN passes the official one
        )


def _bounds(target: AccuracyTarget) -> str:
    bounds = ((" at least", target.min), (" at most", target.max))
    return target.metric + " and".join(f"{word} {value:.10g}" for word, value in bounds if value is not None)


def _shown(value: Json, unit: str) -> str:
    return "nothing" if value is None else f"{value} {unit}"


def _shown_ms(value_ns: Json) -> str:
    stated = number(value_ns)
    return ("missing" if value_ns is None else repr(value_ns)) if stated is None else f"{stated / 1e6:g} ms"


def _audits(place: Result, figures: Figures) -> Findings:
    rules = place.model_rules
    for test in () if rules is None else rules.compliance:
        bounds = place.round.compliance_files[test].mean_output_tokens.get(place.model or "")
        if bounds is not None and figures.files["performance"].value is not None:
            yield from _output_length(place, figures, test, bounds)
        name = place.round.endpoints.compliance.get(test)
        if name is None:
            continue
        location = f"{place.location}/audit/audit_{name}.json"
        if place.tree.size(location) is None:
            if test == _CACHING:
                yield AUDIT.at(place, location, f"the audit {name} is missing", limit=name)
            continue
        file = place.submitter.submission.json(location)
        said = file.value or {}
        if said.get("test") != name or not said.get("passed"):
            why = "did not pass" if file.problem is None else f"cannot be read: {file.problem}"
            yield AUDIT.at(
                place,
                location,
                f"the audit {name} {why}",
                value=f"test: {said.get('test')}, passed: {said.get('passed')}",
                limit=f"test: {name}, passed: true",
            )


def _output_length(place: Result, figures: Figures, test: str, bounds: tuple[float, float]) -> Findings:
    stated = figures.performance.get("mean_output_tokens")
    mean = number(stated)
    if mean is None or not bounds[0] <= mean <= bounds[1]:
        shown = "missing" if stated is None else str(stated)
        yield AUDIT.at(
            place,
            figures.files["performance"].location,
            f"the mean length of outputs is {shown}; {test} wants {bounds[0]:g} to {bounds[1]:g} tokens",
            value=shown,
            limit=f"{bounds[0]:g} to {bounds[1]:g}",
        )


FAMILY = Family("endpoints", "MLPerf Endpoints", RULES, result=(endpoints,))
