"""Names in the catalogue that must exist elsewhere in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple, TypeAlias

from mlperf_ops.catalogue.benchmark import Benchmark
from mlperf_ops.catalogue.collection import Catalogue
from mlperf_ops.catalogue.component import CONVERT_OPTIONS
from mlperf_ops.catalogue.round import Round
from mlperf_ops.catalogue.scorer import Scorer

KeyPath: TypeAlias = tuple[str | int, ...]


class Reference(NamedTuple):
    """A name that an entry uses, where it stands, and the names that are valid there."""

    entry: str  # "benchmarks/resnet50"
    key_path: KeyPath
    kind: str
    name: str
    known: Collection[str]


def references(catalogue: Catalogue) -> Iterator[Reference]:
    """Yield every reference of every entry."""
    for round_ in catalogue.rounds.values():
        yield from _of_round(round_, catalogue)
    for benchmark in catalogue.benchmarks.values():
        yield from _of_benchmark(benchmark, catalogue)
    for scorer in catalogue.scorers.values():
        yield from _of_scorer(scorer, catalogue)
    for component in catalogue.components.values():
        if component.convert is not None:
            key = f"components/{component.name}"
            yield Reference(key, ("convert", "with"), "converter", component.convert.with_, CONVERT_OPTIONS)


def _of_round(entry: Round, catalogue: Catalogue) -> Iterator[Reference]:
    key = f"rounds/{entry.name}"
    yield Reference(key, ("loadgen", "requirements"), "Python lock", entry.loadgen.requirements, catalogue.locks)
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
    for test, files in entry.compliance_files.items():
        yield from ((("compliance_files", test, "mean_output_tokens", name), name) for name in files.mean_output_tokens)
    for test, run in entry.compliance.items():
        yield from ((("compliance", test, "models", name), name) for name in run.models)


def _of_scorer(entry: Scorer, catalogue: Catalogue) -> Iterator[Reference]:
    key = f"scorers/{entry.name}"
    models = {model for round_ in catalogue.rounds.values() for model in round_.models}
    metrics = {metric for round_ in catalogue.rounds.values() for metric in round_.accuracy_regex}
    for family, names in entry.benchmarks.items():
        for index, name in enumerate(names):
            yield Reference(key, ("benchmarks", family, index), "benchmark of a round", name, models)
    for index, metric in enumerate(entry.metrics):
        yield Reference(key, ("metrics", index), "accuracy metric", metric, metrics)


def _of_benchmark(entry: Benchmark, catalogue: Catalogue) -> Iterator[Reference]:
    key = f"benchmarks/{entry.name}"
    official = {
        model for one in (catalogue.rounds, catalogue.earlier_rounds) for it in one.values() for model in it.models
    }
    yield Reference(key, ("maps_to",), "benchmark of a round", entry.maps_to, official)
    if entry.successor is not None:
        yield Reference(key, ("successor",), "benchmark", entry.successor, catalogue.benchmarks)
    confs = {rules.loadgen_conf.conf_model for one in catalogue.rounds.values() for rules in one.models.values()}
    if entry.loadgen_conf_model is not None:
        known = {name for name in confs if name is not None}
        yield Reference(key, ("loadgen_conf_model",), "model of LoadGen's mlperf.conf", entry.loadgen_conf_model, known)
    models = [name for name, one in catalogue.components.items() if one.kind == "model"]
    datasets = [name for name, one in catalogue.components.items() if one.kind == "dataset"]
    if entry.model is not None:
        yield Reference(key, ("model", "component"), "component of kind model", entry.model.component, models)
    for index, name in enumerate(entry.datasets):
        yield Reference(key, ("datasets", index), "component of kind dataset", name, datasets)
