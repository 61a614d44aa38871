"""Rounds before those that can be planned and checked: which benchmarks they had."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from mlperf_ops.catalogue.base import CatalogueModel, Count, Entry, Name
from mlperf_ops.catalogue.round import AccuracyTarget, Provenance, Suite, SuiteScenarios

EarlierTest: TypeAlias = Literal["TEST01", "TEST03", "TEST04", "TEST04-A", "TEST04-B", "TEST05", "TEST06"]


class EarlierModel(CatalogueModel):
    """What such a round asked of a benchmark, as far as its checker says."""

    suites: dict[Suite, SuiteScenarios]
    accuracy: tuple[AccuracyTarget, ...] = Field(description="Bounds of the closed division.")
    performance_sample_count: Count
    compliance: tuple[EarlierTest, ...] = ()


class EarlierRound(Entry):
    """earlier_rounds/<name>.yaml: a round that can only be looked up."""

    source: Provenance
    compliance_tests: tuple[EarlierTest, ...] = Field(description="The tests that the round had.")
    models: dict[Name, EarlierModel]
