"""Names in the catalogue that must exist elsewhere in it."""

from __future__ import annotations

from collections.abc import Iterator

from mlperf_ops.catalogue.benchmark import Benchmark
from mlperf_ops.catalogue.collection import Catalogue
from mlperf_ops.catalogue.component import CONVERT_OPTIONS
from mlperf_ops.catalogue.round_references import Reference, of_round
from mlperf_ops.catalogue.scorer import Scorer


def references(catalogue: Catalogue) -> Iterator[Reference]:
    """Yield every reference of every entry."""
    for round_ in catalogue.rounds.values():
        yield from of_round(round_, catalogue.locks)
    for benchmark in catalogue.benchmarks.values():
        yield from _of_benchmark(benchmark, catalogue)
    for scorer in catalogue.scorers.values():
        yield from _of_scorer(scorer, catalogue)
    for durations in catalogue.durations.values():
        models = {model for round_ in catalogue.rounds.values() for model in round_.models}
        for name in durations.models:
            yield Reference(f"durations/{durations.name}", ("models", name), "benchmark of a round", name, models)
    for component in catalogue.components.values():
        if component.convert is not None:
            key = f"components/{component.name}"
            yield Reference(key, ("convert", "with"), "converter", component.convert.with_, CONVERT_OPTIONS)


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
