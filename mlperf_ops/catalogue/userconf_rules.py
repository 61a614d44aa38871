"""Rules of user.conf: which keys a division allows, and the constants of the run styles."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from mlperf_ops.catalogue.base import CatalogueModel, Count, LoadgenScenario, Positive
from mlperf_ops.errors import nearest
from mlperf_ops.loadgen_keys import CONF_KEYS
from mlperf_ops.model import Division, Scenario


def _conf_key(key: str) -> str:
    if key not in CONF_KEYS:
        guess = nearest(key, CONF_KEYS)
        raise ValueError(f"unknown LoadGen key '{key}'" + (f"; did you mean '{guess}'?" if guess else ""))
    return key


ConfKey: TypeAlias = Annotated[str, AfterValidator(_conf_key)]


class KeyRule(CatalogueModel):
    """For which scenarios and divisions a user.conf key may be set, and what its value is."""

    value: Literal["int", "float", "bool"]
    scenarios: tuple[LoadgenScenario, ...]
    divisions: tuple[Division, ...]
    meaning: str


class UserConfRules(CatalogueModel):
    """Keys of user.conf; a line is `<conf model>.<Scenario>.<key> = <number>`."""

    keys: dict[ConfKey, tuple[KeyRule, ...]]
    never: dict[str, str] = Field(description="Keys that LoadGen takes from its embedded configuration only: why.")
    audit_only: dict[str, str] = Field(description="Keys that belong to a compliance test's audit.config: why.")

    def problem(self, key: str, scenario: Scenario, division: Division) -> str | None:
        """Say in one sentence why a key must not be set, or return None when it may be.

        Args:
            key: Last part of the user.conf key, such as "target_latency".
            scenario: The cell's scenario; Interactive is LoadGen's Server.
            division: The submission's division.
        """
        if key in self.never:
            return f"user.conf key '{key}' must never be set: {self.never[key]}"
        if key in self.audit_only:
            return f"user.conf key '{key}' belongs to audit.config: {self.audit_only[key]}"
        if key not in self.keys:
            guess = nearest(key, self.keys)
            return f"unknown user.conf key '{key}'" + (f"; did you mean '{guess}'?" if guess else "")
        run_as = "Server" if scenario == "Interactive" else scenario
        rules = [rule for rule in self.keys[key] if run_as in rule.scenarios]
        if not rules:
            allowed = sorted({name for rule in self.keys[key] for name in rule.scenarios})
            return f"user.conf key '{key}' has no effect in scenario {scenario}; it is for {', '.join(allowed)}"
        if not any(division in rule.divisions for rule in rules):
            return f"user.conf key '{key}' is not allowed for {scenario} in the {division} division: {rules[0].meaning}"
        return None


class MeasuredTargets(CatalogueModel):
    """A target learned from an earlier result is moved by these factors before it is used."""

    qps_factor: Positive
    latency_factor_with_max_duration: Positive
    latency_factor_without_max_duration: Positive


class UnknownTargets(CatalogueModel):
    """What is asked for when nothing is known."""

    target_qps: Positive
    target_latency_ms: Positive
    target_latency_ms_equal_issue: Positive = Field(description="Without max_duration the count must not explode.")
    target_latency_ms_by_model: dict[str, Positive]


class DemonstrationStyle(CatalogueModel):
    """Seconds per cell: proves that everything works, measures nothing."""

    query_count: Count
    min_duration_ms: Count
    max_duration_ms: Count = Field(description="Every scenario but Offline.")
    sample_concatenate_permutation: Count
    offline_target_qps: Positive
    offline_target_qps_by_model: dict[str, Positive]
    single_stream_target_latency_ms: Positive


class FastStyle(CatalogueModel):
    """About a fifth of the full length: a first idea of the numbers."""

    factor: Count = Field(description="Divides Offline's target_qps, multiplies a stream's target_latency.")
    sample_concatenate_permutation: Count
    server_max_duration_ms: Count


class ValidStyle(CatalogueModel):
    """Full length: what a submission needs."""

    stream_max_duration_ms: Count = Field(description="Not for equal-issue benchmarks.")
    multi_stream_min_query_count: Count


class ComplianceStyle(CatalogueModel):
    """How a compliance run differs from the performance run that it is compared with."""

    server_qps_factor: dict[str, Positive]
    retry_min_duration_ms: Count


class RangingStyle(CatalogueModel):
    """The short first run of a power measurement."""

    min_duration_ms: Count
    stream_max_duration_ms: Count
    offline_seconds: Count
    offline_min_query_count: Count


class RunStyles(CatalogueModel):
    """Constants with which user.conf is generated."""

    full_run_seconds: Count = Field(description="Planned length of a performance run: 600 s and a reserve of 10 %.")
    min_queries_for_max_duration: dict[LoadgenScenario, Count] = Field(
        description="A given latency that allows fewer queries than this in full_run_seconds gets no max_duration."
    )
    queries_without_early_stopping: Count = Field(description="What a 99th percentile needs without early stopping.")
    measured_targets: MeasuredTargets
    unknown_targets: UnknownTargets
    test: DemonstrationStyle
    fast: FastStyle
    valid: ValidStyle
    compliance: ComplianceStyle
    power_ranging: RangingStyle
