"""A round of MLPerf Inference: its rules, counts, targets and file layout as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from mlperf_ops.accuracy_txt import Bounds
from mlperf_ops.catalogue.base import CatalogueModel, Commit, Count, Entry, LoadgenScenario, Name, Positive
from mlperf_ops.catalogue.compliance_rules import ComplianceRun, RetiredTest
from mlperf_ops.catalogue.layout import ComplianceFiles, Endpoints, Layout, RequiredFiles, SystemDescription
from mlperf_ops.catalogue.power_rules import PowerRules
from mlperf_ops.catalogue.userconf_rules import ConfKey, RunStyles, UserConfRules
from mlperf_ops.errors import unknown_name
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.model import ComplianceTest, Division, Scenario

Suite: TypeAlias = Literal["datacenter", "edge", "datacenter,edge"]
SystemType: TypeAlias = Literal["datacenter", "edge", "datacenter,edge", "edge,datacenter"]
ConfValue: TypeAlias = int | float
LoadgenSettings: TypeAlias = dict[LoadgenScenario | Literal["*"], dict[ConfKey, ConfValue]]

_ROUNDING = 1e-9


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


Pattern: TypeAlias = Annotated[str, AfterValidator(_pattern)]


class Provenance(CatalogueModel):
    """Where the round's facts were read."""

    repository: str
    commit: Commit
    date: str
    files: tuple[str, ...]
    license: str


class Loadgen(CatalogueModel):
    """The LoadGen wheel whose compiled-in seeds are the round's. Its version number does not follow the rounds."""

    package: str
    version: str
    requirements: str = Field(description="Python lock (catalogue/locks) of a host that runs the round's cells.")
    commit: Commit = Field(description="The sources that it was built from, as its logs say.")


class ReleaseChecker(CatalogueModel):
    """The checker as it was when the round was published, where that is another program."""

    commit: Commit
    script: str = Field(description="Its path in the repository.")


class Checker(CatalogueModel):
    """The official submission checker that goes with the round."""

    repository: str
    commit: Commit
    version: str = Field(description="Its --version argument.")
    release: ReleaseChecker | None = None


class Seeds(CatalogueModel):
    """Seeds that every log of the round shows as effective_<name>."""

    qsl_rng_seed: Count
    sample_index_rng_seed: Count
    schedule_rng_seed: Count

    def wrong_in(self, log: JsonObject) -> dict[str, tuple[Json, int]]:
        """Return the seeds of which a detail log shows another value, or none: that value, and the round's."""
        values: dict[str, int] = self.model_dump()
        shown = {name: (log.get(key), values[name]) for name, key in SEEDS.items()}
        return {name: pair for name, pair in shown.items() if pair[0] != pair[1]}


SEEDS = {name: f"effective_{name}" for name in Seeds.model_fields}
"""Name of each seed, and its key in the detail log."""


class DivisionRules(CatalogueModel):
    """What a division demands."""

    official_models_only: bool
    all_required_scenarios: bool
    accuracy_target: bool = Field(description="Missing the target rejects the result.")
    compliance_tests: bool
    calibration: bool = Field(description="calibration.md is part of the submission.")
    model_mapping: bool = Field(description="model_mapping.json names the official benchmark of own models.")
    offline_min_samples: bool = Field(description="The checker compares Offline samples per query with the table.")


class SuiteScenarios(CatalogueModel):
    """The scenarios of a model for a category of systems."""

    required: tuple[Scenario, ...]
    optional: tuple[Scenario, ...] = ()
    one_of: tuple[Scenario, ...] = Field(default=(), description="At least one of these optional ones must be there.")

    @property
    def all(self) -> tuple[Scenario, ...]:
        """Required, then optional."""
        return self.required + self.optional


class AccuracyTarget(CatalogueModel):
    """Bounds of one accuracy metric. `min` is reference x factor where these are given."""

    metric: str = Field(description="Key of accuracy_regex.")
    min: float | None = None
    max: float | None = None
    reference: float | None = None
    factor: Positive | None = None
    lower_is_better: bool = Field(default=False, description="The rules bound it from above; see `worst`.")
    text_scale: Positive = Field(
        default=1, description="accuracy.txt states this many times the unit of the bounds (100: percent of a share)."
    )
    text_may_be_share: bool = Field(
        default=False, description="A number up to 1 without a percent sign is one in the unit of the bounds."
    )
    note: str = ""

    @property
    def worst(self) -> float | None:
        """Largest value by the rules of a metric that is better when lower, as far above its reference as allowed."""
        if not self.lower_is_better or self.reference is None or self.factor is None:
            return None
        return self.reference * (2 - self.factor)

    @property
    def share_scale(self) -> float:
        """The official checkers take every number as it stands."""
        return 1.0

    @property
    def is_compared_otherwise(self) -> bool:
        """Whether the official checkers compare something else than the rules mean.

        They compare texts in percent with shares, and bound what is better when lower from below only.
        """
        return self.text_scale != 1 or self.worst is not None

    def by_rules(self) -> Bounds:
        """Return the bounds that the rules mean, in the unit of accuracy.txt."""
        highs = [bound * self.text_scale for bound in (self.max, self.worst) if bound is not None]
        low = None if self.min is None else self.min * self.text_scale
        return Bounds(self.metric, low, min(highs, default=None), self.text_scale if self.text_may_be_share else 1.0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("an accuracy target needs min or max")
        if self.reference is not None and self.factor is not None:
            product = self.reference * self.factor
            if self.min is None or abs(product - self.min) > _ROUNDING * abs(product):
                raise ValueError(f"min is {self.min}, but reference x factor is {product}")
        return self


class TokenLatency(CatalogueModel):
    """99th-percentile limits of a language model: first token and time per output token."""

    ttft: Count
    tpot: Count


class Artifacts(CatalogueModel):
    """Files that an accuracy run must hand in beside its log."""

    stems: tuple[str, ...]
    ext: str
    also: tuple[str, ...] = ()


class LoadgenConf(CatalogueModel):
    """What LoadGen's embedded mlperf.conf sets for the model; latencies in ms."""

    conf_model: str | None = Field(description="Its name there; None: the file does not know the model.")
    settings: LoadgenSettings = Field(default_factory=dict)
    interactive_conf_model: str | None = None
    interactive_settings: LoadgenSettings = Field(default_factory=dict)


class ModelRules(CatalogueModel):
    """Everything the round says of one benchmark."""

    suites: dict[Suite, SuiteScenarios] = Field(description="A category that is not listed is not allowed.")
    accuracy: tuple[AccuracyTarget, ...] = ()
    accuracy_per_scenario: dict[Scenario, tuple[AccuracyTarget, ...]] = Field(default_factory=dict)
    accuracy_delta_perc: dict[str, Positive] = Field(default_factory=dict)
    performance_sample_count: Count
    dataset_size: Count
    accuracy_sample_count: Count
    accuracy_sample_count_per_scenario: dict[Scenario, Count] = Field(default_factory=dict)
    offline_min_samples_per_query: Count | None = None
    min_queries: dict[Scenario, Count] = Field(
        description="Compared only in scenarios without early stopping (see limits), so in effect Offline."
    )
    target_latency_ns: dict[Scenario, Count] = Field(default_factory=dict)
    token_latency_limits_ns: dict[Scenario, TokenLatency] = Field(default_factory=dict)
    requires_token_latencies: bool = False
    compliance: tuple[ComplianceTest, ...] = ()
    result_field_override: dict[Scenario, str] = Field(default_factory=dict)
    units_override: dict[Scenario, str] = Field(default_factory=dict)
    required_accuracy_artifacts: dict[str, Artifacts] = Field(default_factory=dict)
    loadgen_conf: LoadgenConf

    @property
    def equal_issue(self) -> bool:
        """Whether LoadGen has to issue every sample equally often."""
        return self.loadgen_conf.settings.get("*", {}).get("sample_concatenate_permutation") == 1


class Limits(CatalogueModel):
    """Bounds that hold for every benchmark."""

    accuracy_log_max_bytes: Count
    accuracy_log_viewable_bytes: Count = Field(description="Bytes kept at each end of a truncated accuracy log.")
    file_size_limit_mb: Count
    min_duration_ms: Count
    min_duration_exempt_models: tuple[Name, ...]
    early_stopping_scenarios: tuple[Scenario, ...]
    default_accuracy_delta_perc: dict[Literal["99", "99.9"], Positive]
    power_testing_vs_ranging_min_delta_perc: float
    power_phase_time_tolerance_ms: Count


class ModelGuess(CatalogueModel):
    """The official checker's guess for an unknown directory name; first match wins."""

    contains: str
    model: str


class Round(Entry):
    """rounds/<name>.yaml: a round as data."""

    source: Provenance
    loadgen: Loadgen
    checker: Checker
    seeds: Seeds
    divisions: dict[Division, DivisionRules]
    statuses: tuple[str, ...]
    system_types: tuple[SystemType, ...]
    scenario_names: tuple[Scenario, ...] = Field(alias="scenarios")
    layout: Layout
    required_files: RequiredFiles
    compliance_files: dict[ComplianceTest, ComplianceFiles]
    compliance: dict[ComplianceTest, ComplianceRun]
    compliance_retired: tuple[RetiredTest, ...] = Field(
        default=(), description="Tests of past rounds, for a clear answer to who asks for one."
    )
    power: PowerRules
    limits: Limits
    system_description: SystemDescription
    measurements_required_non_empty: tuple[str, ...]
    accuracy_regex: dict[str, Pattern]
    hash_regex: Pattern
    inference_allowed_edge: tuple[tuple[Scenario, Scenario], ...] = Field(
        description="[measured, inferred] scenarios on edge systems."
    )
    inference_formula: dict[str, str]
    model_aliases: dict[str, str]
    model_guesses: tuple[ModelGuess, ...]
    result_field: dict[Scenario, str]
    units_default: dict[Scenario, str]
    power_units: dict[Scenario, str]
    loadgen_conf_defaults: LoadgenSettings = Field(description="The wildcard keys of LoadGen's embedded mlperf.conf.")
    user_conf: UserConfRules
    run_styles: RunStyles
    loadgen_fields_read: tuple[str, ...] = Field(description="Detail-log keys that the official checker reads.")
    endpoints: Endpoints = Field(default=Endpoints(), description="Nothing, where the round knew no such results.")
    models: dict[Name, ModelRules]

    def official_name(self, name: str, mapping: Mapping[str, str] | None = None) -> str | None:
        """Return the round's benchmark that a directory name stands for, as the official checker finds it.

        Args:
            name: Directory name: an official name, an alias, or an own name.
            mapping: The submitter's model_mapping.json (open division).

        Returns:
            A key of `models`, or None when no rule leads to one.
        """
        if name in self.models:
            return name
        found = self.model_aliases.get(name) or (mapping or {}).get(name)
        if found is None:
            guess = next((guess.model for guess in self.model_guesses if guess.contains in name), name)
            found = self.model_aliases.get(guess, guess)
        return found if found in self.models else None

    def scenarios(self, model: str, system_type: str) -> SuiteScenarios | None:
        """Return the scenarios of a benchmark for a category of systems; None: not allowed there.

        Args:
            model: Official name or alias.
            system_type: One of `system_types`; the order of "edge,datacenter" does not matter.
        """
        suite = "datacenter,edge" if "," in system_type else system_type
        return next((rules for name, rules in self.rules(model).suites.items() if name == suite), None)

    def accuracy_targets(self, model: str, scenario: str) -> tuple[AccuracyTarget, ...]:
        """Return the accuracy bounds of a benchmark; a benchmark may have other bounds per scenario.

        A scenario for which such a benchmark states none is held to Offline's.
        """
        rules = self.rules(model)
        for name, targets in rules.accuracy_per_scenario.items():
            if name == scenario:
                return targets
        return rules.accuracy or rules.accuracy_per_scenario.get("Offline", ())

    def accuracy_sample_count(self, model: str, scenario: str) -> int:
        """Return how many samples an accuracy run must cover, exactly."""
        rules = self.rules(model)
        for name, count in rules.accuracy_sample_count_per_scenario.items():
            if name == scenario:
                return count
        return rules.accuracy_sample_count

    def accuracy_delta_perc(self, model: str, metric: str) -> float:
        """Return by how many percent a non-deterministic TEST01 may differ from its baseline."""
        name = self._known(model)
        per_metric = self.models[name].accuracy_delta_perc
        return per_metric.get(metric) or self.limits.default_accuracy_delta_perc["99.9" if "99.9" in name else "99"]

    def no_interactive(self, model: str) -> str | None:
        """Say in one sentence why LoadGen cannot run a benchmark as Interactive, or return None when it can."""
        name = self._known(model)
        rules = self.models[name]
        if rules.loadgen_conf.interactive_conf_model is not None:
            return None
        known = {scenario for suite in rules.suites.values() for scenario in suite.all}
        if "Interactive" not in known:
            has = ", ".join(scenario for scenario in self.scenario_names if scenario in known)
            return f"round {self.name} knows no Interactive scenario for {name}; it has {has}"
        instead = "; such results come from MLPerf Endpoints" if name in self.endpoints.allowed_models else ""
        return f"LoadGen {self.loadgen.version} has no configuration for {name} in the scenario Interactive{instead}"

    def min_duration_ms(self, model: str) -> int:
        """Return the shortest allowed performance run of a benchmark."""
        return 0 if self._known(model) in self.limits.min_duration_exempt_models else self.limits.min_duration_ms

    def rules(self, model: str) -> ModelRules:
        """Return a benchmark's rules by official name or alias.

        Raises:
            ConfigError: The round has no such benchmark.
        """
        return self.models[self._known(model)]

    def _known(self, model: str) -> str:
        name = model if model in self.models else self.model_aliases.get(model, model)
        if name not in self.models:
            raise unknown_name(f"benchmark of round {self.name}", model, [*self.models, *self.model_aliases])
        return name
