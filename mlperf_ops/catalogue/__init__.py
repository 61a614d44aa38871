"""The catalogue: rounds, benchmarks, implementations, components and platforms as checked data.

A new one is a YAML file in the folder of its kind; no code names a benchmark. The names below are imported when they
are used: a check needs a round and nothing else, and the other schemas take half of its start.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlperf_ops.catalogue.benchmark import Benchmark, Measurements, ModelEntry, Preprocess
    from mlperf_ops.catalogue.collection import Catalogue
    from mlperf_ops.catalogue.component import ComponentEntry, GitSource, PypiSource, UserSource
    from mlperf_ops.catalogue.implementation import Implementation
    from mlperf_ops.catalogue.loader import load_catalogue, read_catalogue
    from mlperf_ops.catalogue.platform import Platform
    from mlperf_ops.catalogue.round import AccuracyTarget, ModelRules, Round, SuiteScenarios

__all__ = [
    "AccuracyTarget",
    "Benchmark",
    "Catalogue",
    "ComponentEntry",
    "GitSource",
    "Implementation",
    "Measurements",
    "ModelEntry",
    "ModelRules",
    "Platform",
    "Preprocess",
    "PypiSource",
    "Round",
    "SuiteScenarios",
    "UserSource",
    "load_catalogue",
    "read_catalogue",
]
_MODULES = {
    "benchmark": ("Benchmark", "Measurements", "ModelEntry", "Preprocess"),
    "collection": ("Catalogue",),
    "component": ("ComponentEntry", "GitSource", "PypiSource", "UserSource"),
    "implementation": ("Implementation",),
    "loader": ("load_catalogue", "read_catalogue"),
    "platform": ("Platform",),
    "round": ("AccuracyTarget", "ModelRules", "Round", "SuiteScenarios"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401  # whatever the module holds
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
