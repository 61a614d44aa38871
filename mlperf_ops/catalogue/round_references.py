"""Names in a round that must exist elsewhere in it, and the Python lock that it names."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from mlperf_ops.catalogue.round import Round
from mlperf_ops.yamlfile import KeyPath


class Reference(NamedTuple):
    """A name that an entry uses, where it stands, and the names that are valid there."""

    entry: str  # "benchmarks/resnet50"
    key_path: KeyPath
    kind: str
    name: str
    known: Collection[str]


def of_round(entry: Round, locks: Collection[str]) -> Iterator[Reference]:
    """Yield every reference of a round; `locks` are the names of the Python locks."""
    key = f"rounds/{entry.name}"
    yield Reference(key, ("loadgen", "requirements"), "Python lock", entry.loadgen.requirements, locks)
    for path, metric in _metrics_named_in(entry):
        yield Reference(key, path, "accuracy metric", metric, entry.accuracy_regex)
    for path, model in _models_named_in(entry):
        yield Reference(key, path, "benchmark of the round", model, entry.models)


def _metrics_named_in(entry: Round) -> Iterator[tuple[KeyPath, str]]:
    for model, rules in entry.models.items():
        below: KeyPath = ("models", model)
        for index, target in enumerate(rules.accuracy):
            yield (*below, "accuracy", index, "metric"), target.metric
        for scenario, targets in rules.accuracy_per_scenario.items():
            for index, target in enumerate(targets):
                yield (*below, "accuracy_per_scenario", scenario, index, "metric"), target.metric
        yield from (((*below, "accuracy_delta_perc", metric), metric) for metric in rules.accuracy_delta_perc)


def _models_named_in(entry: Round) -> Iterator[tuple[KeyPath, str]]:
    latencies = entry.run_styles.unknown_targets.target_latency_ms_by_model
    yield from ((("run_styles", "unknown_targets", "target_latency_ms_by_model", name), name) for name in latencies)
    rates = entry.run_styles.test.offline_target_qps_by_model
    yield from ((("run_styles", "test", "offline_target_qps_by_model", name), name) for name in rates)
    for index, name in enumerate(entry.limits.min_duration_exempt_models):
        yield ("limits", "min_duration_exempt_models", index), name
    for index, name in enumerate(entry.endpoints.allowed_models):
        yield ("endpoints", "allowed_models", index), name
    for index, name in enumerate(entry.endpoints.accuracy_compared):
        yield ("endpoints", "accuracy_compared", index), name
    for test, files in entry.compliance_files.items():
        yield from ((("compliance_files", test, "mean_output_tokens", name), name) for name in files.mean_output_tokens)
    for test, run in entry.compliance.items():
        yield from ((("compliance", test, "models", name), name) for name in run.models)
