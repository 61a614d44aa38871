"""Compliance tests of a round: what a test's run is asked for, and the bounds of its verification, as data."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from mlperf_ops.catalogue.base import CatalogueModel, Count, LoadgenScenario, Name, Positive
from mlperf_ops.errors import nearest
from mlperf_ops.loadgen_keys import AUDIT_KEYS, CONF_KEYS
from mlperf_ops.model import Mode


def _audit_key(key: str) -> str:
    known = CONF_KEYS | AUDIT_KEYS
    if key not in known:
        guess = nearest(key, known)
        raise ValueError(f"unknown LoadGen key '{key}'" + (f"; did you mean '{guess}'?" if guess else ""))
    return key


AuditKey: TypeAlias = Annotated[str, AfterValidator(_audit_key)]
AuditSections: TypeAlias = dict[LoadgenScenario | Literal["*"], dict[AuditKey, int]]


class ModelAudit(CatalogueModel):
    """What a test asks of single benchmarks, beside what it asks of all."""

    folder: Name | None = Field(default=None, description="Folder below the test's that holds its audit.config.")
    audit: dict[AuditKey, int] = Field(default_factory=dict)
    ignored: AuditSections = Field(
        default_factory=dict,
        description="Lines of the official file for this model alone. LoadGen reads audit.config for the model '*', so "
        "they have no effect, and a run that obeyed them would miss the sample counts that the checker compares.",
    )
    accuracy_minimum: float | None = Field(default=None, description="TEST07: least score, in the metric's own unit.")


class PerformanceBounds(CatalogueModel):
    """By how much the test's result may differ from that of the performance run, as a part of it."""

    part: Positive
    part_if_fast: Positive = Field(description="Where the result is at most fast_up_to: noise weighs more there.")
    fast_up_to: dict[LoadgenScenario, Positive]
    as_rate: bool = Field(description="Latencies are compared as queries per second, and so is fast_up_to.")
    slower_too: bool = Field(description="False: only a test that is faster fails.")


class ComplianceRun(CatalogueModel):
    """One compliance test."""

    about: str = Field(min_length=1, description="What it proves, in words that follow 'that' and 'whether'.")
    config: str = Field(description="The official audit.config, {folder} being the benchmark's.")
    audit: dict[AuditKey, int] = Field(description="LoadGen settings of its run, for every benchmark and scenario.")
    compared_with: tuple[Mode, ...] = Field(description="Runs that its verification reads beside its own.")
    models: dict[Name, ModelAudit] = Field(default_factory=dict)
    performance: PerformanceBounds | None = None
    eos_token_id: Count | None = Field(
        default=None, description="TEST06: end-of-sequence token where the tokenizer's is not given (llama2's)."
    )
    relative_tolerance: Positive | None = Field(default=None, description="TEST08: of the normalized entropy.")
    logs_answers: bool = Field(description="Its run writes an accuracy log.")

    def settings(self, model: str) -> dict[str, int]:
        """Return the LoadGen settings that the test asks of a benchmark."""
        own = self.models.get(model)
        return {**self.audit, **({} if own is None else own.audit)}

    def least_score(self, model: str) -> float | None:
        """Return the least score of the test's answers; None where the benchmark has none."""
        own = self.models.get(model)
        return None if own is None else own.accuracy_minimum


class RetiredTest(CatalogueModel):
    """A compliance test that rounds of the past had."""

    test: str
    about: str = Field(description="What it proved, in words that follow 'that'.")
    until: str = Field(description="The last round that had it, as far as is known.")
    instead: str | None = Field(default=None, description="The test that takes its place.")
    audit: str | None = Field(default=None, description="What its audit.config said, where that is known.")
