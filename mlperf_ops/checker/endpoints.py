"""Endpoints: results of MLPerf Endpoints, which have no LoadGen logs.

Their figures are mapped to LoadGen's names by the official checker; here their files, the benchmark and the audits are
judged, and a finding says that the figures are not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import yaml

from mlperf_ops.checker.rules import Family, Findings, Rule
from mlperf_ops.checker.subjects import Result
from mlperf_ops.files import Json

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
    "Some benchmarks need the audit of output caching, and every audit that is there must have passed.",
    "Run the audit again and export the result.",
    "submission_checker: compliance_check.py compliance_endpoints_check",
)
NOT_JUDGED = Rule(
    "endpoints-not-judged",
    "advice",
    "figures that this checker does not judge",
    "The figures of MLPerf Endpoints are judged by the official checker only.",
    "Give a checkout of the official checker and read its verdict on these results.",
    "mlperf-ops",
)
RULES = (UNREADABLE, MODEL, SCORE, AUDIT, NOT_JUDGED)

_CACHING = "TEST04"  # the one audit that is required, of the benchmarks that have this test


def endpoints(place: Result) -> Findings:
    """Check a result of MLPerf Endpoints."""
    if not place.is_endpoints:
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
    read: dict[str, Json] = {}
    for kind, name in rules.files.items():
        location = f"{place.location}/{name}"
        if place.tree.size(location) is None:
            continue  # missing-file says so
        read[kind], problem = _read(place, location)
        if problem is not None:
            yield UNREADABLE.at(place, location, f"{name.rpartition('/')[2]} cannot be read: {problem}")
    accuracy = read.get("accuracy")
    if isinstance(accuracy, dict) and not any(_scores(accuracy)):
        yield SCORE.at(
            place,
            f"{place.location}/{rules.files['accuracy']}",
            "accuracy_results.json states no score",
            limit="accuracy_scores",
        )
    if place.submitter.rules.compliance_tests:
        yield from _audits(place)
    yield NOT_JUDGED.at(place, place.location, "the figures of this result are not judged here")


def _scores(accuracy: Json) -> Iterator[bool]:
    found = accuracy.get("accuracy_scores") if isinstance(accuracy, dict) else None
    for one in found if isinstance(found, list) else []:
        yield isinstance(one, dict) and one.get("score") is not None


def _read(place: Result, location: str) -> tuple[Json, str | None]:
    """Return an object, or why there is none."""
    try:
        text = place.path(location).read_text(encoding="utf-8")
        value = json.loads(text) if location.endswith(".json") else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        return None, type(error).__name__
    return (value, None) if isinstance(value, dict) else (None, "it holds no object")


def _audits(place: Result) -> Findings:
    rules = place.model_rules
    for test in () if rules is None else rules.compliance:
        name = place.round.endpoints.compliance.get(test)
        if name is None:
            continue
        location = f"{place.location}/audit/audit_{name}.json"
        if place.tree.size(location) is None:
            if test == _CACHING:
                yield AUDIT.at(place, location, f"the audit {name} is missing", limit=name)
            continue
        value, problem = _read(place, location)
        said = value if isinstance(value, dict) else {}
        if problem is not None or said.get("test") != name or not said.get("passed"):
            yield AUDIT.at(
                place,
                location,
                f"the audit {name} did not pass" if problem is None else f"the audit cannot be read: {problem}",
                value=f"test: {said.get('test')}, passed: {said.get('passed')}",
                limit=f"test: {name}, passed: true",
            )


FAMILY = Family("endpoints", "MLPerf Endpoints", RULES, result=(endpoints,))
