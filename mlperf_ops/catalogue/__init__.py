"""The catalogue: rounds, benchmarks, implementations, components and platforms as checked data.

A new one is a YAML file in the folder of its kind; no code names a benchmark.
"""

from __future__ import annotations

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
