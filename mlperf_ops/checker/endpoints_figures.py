"""The figures of a result of MLPerf Endpoints, under LoadGen's names.

MLPerf Endpoints exports JSON and its settings instead of a detail log. Which of their fields stands for which of
LoadGen's is the round's data; how they are looked up follows parsers/endpoints_parser.py of the official checker.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from mlperf_ops.catalogue.layout import Endpoints
from mlperf_ops.catalogue.round import ModelRules, Round
from mlperf_ops.checker.metrics import LATENCY_UNITS_NS, Metric, finite, number
from mlperf_ops.checker.objects import ObjectFile, read_object
from mlperf_ops.checker.tree import Tree
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.model import Scenario

_LONGEST_SCORES = 200
_NS_PER_S = 1e9
_SCORED = "effective_accuracy_sample_count"
_TOKENS = "Tokens/s"


@dataclass(frozen=True, slots=True)
class Figures:
    """What a result states.

    Attributes:
        files: Kind of file ("config", "performance", "accuracy") -> file.
        performance: LoadGen's key -> value, of the performance run.
        accuracy: Likewise, of the accuracy run.
        scenario: The scenario that ran, as the official checker takes it; None when the settings do not say.
        scores: What the accuracy run scored, one of each data set: a number, or an object of numbers.
    """

    files: Mapping[str, ObjectFile]
    performance: JsonObject
    accuracy: JsonObject
    scenario: str | None
    scores: tuple[Json, ...]


def read_figures(tree: Tree, location: str, folder: str, rules: Endpoints) -> Figures:
    """Read what a result folder holds.

    Args:
        tree: The tree.
        location: The result's folder.
        folder: Its name, which says the scenario.
        rules: Of the round.
    """
    files = {kind: _read(tree, location, names) for kind, names in rules.files.items()}
    settings = _value(files, "config")
    performance = _figures(_value(files, "performance"), settings, rules)
    scored = _value(files, "accuracy")
    accuracy = _figures(scored, settings, rules)
    counts = _counts(scored)
    if counts:
        accuracy[_SCORED] = _total(counts)
    _infer_rate(performance)
    return Figures(
        files=files,
        performance=performance,
        accuracy=accuracy,
        scenario=_scenario(performance.get("effective_scenario"), folder, rules),
        scores=tuple(one["score"] for one in _scored(scored) if one.get("score") is not None),
    )


def endpoints_metric(figures: Figures, round_: Round, rules: ModelRules, claimed: Scenario) -> Metric | None:
    """Compute a result as the official checker does.

    Args:
        figures: What the result states.
        round_: The round.
        rules: The round's rules for the benchmark.
        claimed: Scenario of the folder.

    Returns:
        None when another scenario ran, or the round has no results of that scenario.
    """
    measured = figures.scenario
    field = round_.endpoints.result_field.get(claimed.casefold())
    if measured is None or measured.casefold() != claimed.casefold() or field is None:
        return None
    # By the spelling of the scenario: "offline", as the settings write it, has no field of its own there.
    field = rules.result_field_override.get(cast("Scenario", measured), field)
    unit = rules.units_override.get(claimed) or round_.units_default[claimed]
    if unit == _TOKENS and "tokens" not in field:
        unit = round_.units_default[claimed]  # the official table states tokens, and the number does not count them
    value = number(figures.performance.get(field))
    if value is not None:
        value /= LATENCY_UNITS_NS.get(unit, 1)
    return Metric(finite(value), unit, inferred=False, field=field)


def covered_samples(figures: Figures) -> Json:
    """Return how many samples the accuracy run covers: what was issued counts where no data set states a number."""
    found = figures.accuracy
    return found.get(_SCORED) if _SCORED in found else found.get("qsl_reported_total_count")


def stated_scores(figures: Figures) -> dict[str, str]:
    """Return the first score, the one that the official table shows: metric -> number; a bare number is "score"."""
    first = next(iter(figures.scores), None)
    if isinstance(first, dict):
        return {metric: str(value) for metric, value in first.items()}
    return {} if first is None else {"score": str(first)}


def shown_scores(figures: Figures) -> str:
    """Write all scores, those of several data sets one after the other; a score may be anything."""
    shown = "; ".join(json.dumps(score).replace('"', "").strip("{}") for score in figures.scores)
    return shown if len(shown) <= _LONGEST_SCORES else f"{shown[:_LONGEST_SCORES]}…"


def score_of(score: Json, metric: str) -> float | None:
    """Return the number of a score, which may be an object or a text, as the official checker finds it."""
    if isinstance(score, dict):
        names = (metric, metric.lower(), metric.rpartition("_")[2].lower(), "f1", "score", "accuracy")
        stated = (_number(score[name]) for name in names if name in score)
        return next((value for value in stated if value is not None), None)
    return _number(score)


def _number(value: Json) -> float | None:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return number(value)


def look_up(data: Json, path: str) -> Json:
    """Return what stands at a path of names with dots between them; None where there is nothing.

    A name may hold dots itself: the longest that is there counts. "99.0" also stands for the name "99".
    """
    parts, at = path.split("."), 0
    while at < len(parts):
        if not isinstance(data, dict):
            return data if parts[at:] == ["0"] and not isinstance(data, list) else None
        end = next((end for end in range(len(parts), at, -1) if ".".join(parts[at:end]) in data), None)
        if end is None:
            return None
        data, at = data[".".join(parts[at:end])], end
    return None if isinstance(data, (dict, list)) and not data else data


def _read(tree: Tree, location: str, names: Sequence[str]) -> ObjectFile:
    """Read the first file that is there; where none is, the first name is the missing one."""
    there = (name for name in names if tree.size(f"{location}/{name}") is not None)
    return read_object(tree, f"{location}/{next(there, names[0])}")


def _value(files: Mapping[str, ObjectFile], kind: str) -> JsonObject:
    found = files.get(kind)
    return {} if found is None or found.value is None else found.value


def _figures(exported: JsonObject, settings: JsonObject, rules: Endpoints) -> JsonObject:
    found: JsonObject = {}
    for key, paths in rules.exported.items():
        value = _first(exported, paths)
        if value is None:
            value = _first(settings, rules.settings.get(key, ()))
        if value is not None:
            found[key] = value
    return found


def _first(data: JsonObject, paths: Sequence[str]) -> Json:
    return next((value for path in paths if (value := look_up(data, path)) is not None), None)


def _scenario(stated: Json, folder: str, rules: Endpoints) -> str | None:
    """Return the scenario that ran: by the folder where that is one stream or interactive, else by the settings."""
    if folder.casefold() == "singlestream":
        return "SingleStream"
    if folder.casefold() == "interactive" or str(stated).casefold() == "interactive":
        return "Interactive"
    if not isinstance(stated, str):
        return None
    return rules.further_scenarios.get(stated.casefold(), stated)


def _scored(accuracy: JsonObject) -> list[JsonObject]:
    found = accuracy.get("accuracy_scores")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _counts(accuracy: JsonObject) -> list[Json]:
    """Return what each data set states as its number of scored samples, where it states one."""
    counts: list[Json] = []
    for one in _scored(accuracy):
        if one.get("dataset_type") not in (None, "accuracy"):
            continue
        count = one.get("total_samples")
        if count is None:
            count = look_up(one, "response_counts.issued")
        if count is not None:
            counts.append(count)
    return counts


def _total(counts: Sequence[Json]) -> int | None:
    numbers = [int(cast("float", count)) for count in counts if finite(number(count)) is not None]
    return sum(numbers) if numbers else None


def _infer_rate(values: JsonObject) -> None:
    """Add the rate out of count and duration, where it is not stated."""
    scenario = values.get("effective_scenario")
    count, duration_ns = number(values.get("generated_query_count")), number(values.get("generated_query_duration"))
    if count and duration_ns and isinstance(scenario, str):
        offline = scenario.casefold() == "offline"
        field = "result_samples_per_second" if offline else "result_completed_samples_per_sec"
        values.setdefault(field, count / (duration_ns / _NS_PER_S))
