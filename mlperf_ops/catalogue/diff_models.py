"""What changed for a benchmark between two rounds, in the words of a submitter. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from mlperf_ops.catalogue.round import (
    AccuracyTarget,
    LoadgenConf,
    LoadgenSettings,
    ModelRules,
    Round,
    Suite,
    SuiteScenarios,
)
from mlperf_ops.model import SCENARIOS

NOTHING = "-"
K = TypeVar("K", bound=str)
_SUITES: tuple[Suite, ...] = ("datacenter", "edge", "datacenter,edge")
_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Attributes:
        area: Kind of rule: "scenarios", "accuracy", "samples", "latency", "compliance", "result", "loadgen", "files".
        what: What it is about, such as "required scenarios, edge".
        before: Text for the older round; NOTHING when it has none.
        after: Text for the newer round.
        again: What has to be run or done again because of it, such as "performance"; empty for nothing.
    """

    area: str
    what: str
    before: str
    after: str
    again: str = ""


def model_changes(name: str, old: Round, new: Round) -> Iterator[Change]:
    """Yield what changed for a benchmark that both rounds have."""
    before, after = old.models[name], new.models[name]
    yield from _scenario_changes(before, after)
    yield from _accuracy_changes(name, old, new)
    yield from _sample_changes(before, after)
    yield from _latency_changes(before, after)
    yield from _compliance_changes(name, old, new)
    yield from _result_changes(before, after)
    yield from _conf_changes(before.loadgen_conf, after.loadgen_conf)


def differing(old: Mapping[K, str], new: Mapping[K, str]) -> Iterator[tuple[K, str, str]]:
    """Yield (key, old text, new text) of everything that differs, in the order of the newer."""
    for key in dict.fromkeys([*new, *old]):
        before, after = old.get(key, NOTHING), new.get(key, NOTHING)
        if before != after:
            yield key, before, after


def names(values: Iterable[str]) -> str:
    """Write a list of names; NOTHING for none."""
    return ", ".join(values) or NOTHING


def _scenario_changes(before: ModelRules, after: ModelRules) -> Iterator[Change]:
    for suite in _SUITES:
        was, now = before.suites.get(suite), after.suites.get(suite)
        if _scenarios(was) == _scenarios(now):
            continue
        more = _newly_needed(was, now)
        yield Change(
            "scenarios",
            f"scenarios on {suite} systems",
            _scenarios(was),
            _scenarios(now),
            f"all runs of {' and '.join(more)}" if more else "",
        )


def _newly_needed(was: SuiteScenarios | None, now: SuiteScenarios | None) -> list[str]:
    """Return the scenarios that nobody had to run before: required ones, and a choice of which none was there."""
    if now is None:
        return []
    before = () if was is None else was.all
    more = [name for name in SCENARIOS if name in now.required and name not in before]
    choice = [name for name in SCENARIOS if name in now.one_of]
    return more + ([" or ".join(choice)] if choice and not set(choice) & set(before) else [])


def _scenarios(suite: SuiteScenarios | None) -> str:
    if suite is None:
        return NOTHING
    required = [name for name in SCENARIOS if name in suite.required]
    one_of = [" or ".join(name for name in SCENARIOS if name in suite.one_of)] if suite.one_of else []
    optional = [f"({name})" for name in SCENARIOS if name in suite.optional and name not in suite.one_of]
    return ", ".join([*required, *one_of, *optional])


def _accuracy_changes(name: str, old: Round, new: Round) -> Iterator[Change]:
    tables = [
        {scenario: _targets(round_.accuracy_targets(name, scenario)) for scenario in SCENARIOS} for round_ in (old, new)
    ]
    changed = list(differing(*tables))
    every = len({(was, now) for _, was, now in changed}) == 1 and len(changed) == len(SCENARIOS)
    # A benchmark with bounds per scenario falls back to Offline's for scenarios that it does not have.
    runs = {one for suite in new.models[name].suites.values() for one in suite.all}
    for scenario, was, now in changed[:1] if every else [one for one in changed if one[0] in runs]:
        what = "accuracy" if every else f"accuracy of {scenario}"
        yield Change("accuracy", what, was, now, "accuracy, if the score is too low now")
    deltas = [
        {key: f"{value:g} %" for key, value in round_.models[name].accuracy_delta_perc.items()} for round_ in (old, new)
    ]
    for metric, was, now in differing(*deltas):
        yield Change("accuracy", f"TEST01 may differ in {metric} by", was, now)


def _targets(targets: Iterable[AccuracyTarget]) -> str:
    bounds = []
    for one in targets:
        low = "" if one.min is None else f" >= {one.min:.7g}"
        high = "" if one.max is None else f" <= {one.max:.7g}"
        scale = "" if one.text_scale == 1 else f", times {one.text_scale:g} in accuracy.txt"
        bounds.append(f"{one.metric}{low}{high}{scale}")
    return names(bounds)


def _sample_changes(before: ModelRules, after: ModelRules) -> Iterator[Change]:
    for key, was, now in differing(_samples(before), _samples(after)):
        again = "accuracy" if "accuracy" in key or "data set" in key else "performance"
        yield Change("samples", key, was, now, again)


def _samples(rules: ModelRules) -> dict[str, str]:
    made = {
        "samples loaded in a performance run": str(rules.performance_sample_count),
        "samples of the data set": str(rules.dataset_size),
        "samples of an accuracy run": str(rules.accuracy_sample_count),
        "fewest samples of Offline": str(rules.offline_min_samples_per_query or NOTHING),
    }
    for scenario, count in rules.accuracy_sample_count_per_scenario.items():
        if count != rules.accuracy_sample_count:
            made[f"samples of an accuracy run of {scenario}"] = str(count)
    return made


def _latency_changes(before: ModelRules, after: ModelRules) -> Iterator[Change]:
    for key, was, now in differing(_latencies(before), _latencies(after)):
        yield Change("latency", key, was, now, "performance" if now != NOTHING else "")


def _latencies(rules: ModelRules) -> dict[str, str]:
    made = {f"{one} latency": f"{limit / _NS_PER_MS:g} ms" for one, limit in rules.target_latency_ns.items()}
    for scenario, limit in rules.token_latency_limits_ns.items():
        made[f"{scenario} time to first token"] = f"{limit.ttft / _NS_PER_MS:g} ms"
        made[f"{scenario} time per output token"] = f"{limit.tpot / _NS_PER_MS:g} ms"
    if rules.requires_token_latencies:
        made["token latencies measured"] = "yes"
    return made


def _compliance_changes(name: str, old: Round, new: Round) -> Iterator[Change]:
    was, now = old.models[name].compliance, new.models[name].compliance
    if was != now:
        more = [test for test in now if test not in was]
        yield Change("compliance", "compliance tests", names(was), names(now), ", ".join(more))
    bounds: list[dict[str, str]] = []
    for round_ in (old, new):
        found = {test: files.mean_output_tokens.get(name) for test, files in round_.compliance_files.items()}
        bounds.append({test: f"{one[0]} to {one[1]}" for test, one in found.items() if one is not None})
    for test, low_high, other in differing(*bounds):
        if test in was:
            yield Change("compliance", f"{test}: mean output tokens", low_high, other, test)
    durations = [round_.min_duration_ms(name) for round_ in (old, new)]
    exempt = [name in round_.limits.min_duration_exempt_models for round_ in (old, new)]
    if exempt[0] != exempt[1]:
        shown = [f"{duration / 1000:g} s" for duration in durations]
        yield Change("limits", "shortest performance run", shown[0], shown[1], "performance" if exempt[0] else "")


def _result_changes(before: ModelRules, after: ModelRules) -> Iterator[Change]:
    for scenario, was, now in differing(before.units_override, after.units_override):
        yield Change("result", f"unit of {scenario}", was, now)
    for scenario, was, now in differing(before.result_field_override, after.result_field_override):
        yield Change("result", f"log field of the {scenario} result", was, now)
    artifacts = [
        {kind: f"{', '.join(one.stems)} ({one.ext})" for kind, one in rules.required_accuracy_artifacts.items()}
        for rules in (before, after)
    ]
    for kind, was, now in differing(*artifacts):
        again = "accuracy" if now != NOTHING else ""
        yield Change("files", f"{kind} beside the accuracy log", was, now, again)


def _conf_changes(before: LoadgenConf, after: LoadgenConf) -> Iterator[Change]:
    pairs = [
        ("LoadGen's name for it", before.conf_model, before.settings, after.conf_model, after.settings),
        (
            "LoadGen's name for it in the scenario Interactive",
            before.interactive_conf_model,
            before.interactive_settings,
            after.interactive_conf_model,
            after.interactive_settings,
        ),
    ]
    for what, was, old, now, new in pairs:
        if was != now:  # all settings differ then
            yield Change("loadgen", what, was or NOTHING, now or NOTHING, "performance" if was and now else "")
            continue
        for key, value, other in differing(_conf(old), _conf(new)):
            yield Change("loadgen", f"LoadGen sets {now}.{key}", value, other, "performance")


def _conf(sections: LoadgenSettings) -> dict[str, str]:
    return {f"{scenario}.{key}": f"{value:g}" for scenario, keys in sections.items() for key, value in keys.items()}
