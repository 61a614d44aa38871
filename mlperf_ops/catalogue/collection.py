"""The whole catalogue as one object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from mlperf_ops.catalogue.benchmark import Benchmark
from mlperf_ops.catalogue.component import ComponentEntry
from mlperf_ops.catalogue.durations import Durations
from mlperf_ops.catalogue.earlier import EarlierRound
from mlperf_ops.catalogue.implementation import Implementation
from mlperf_ops.catalogue.platform import Platform
from mlperf_ops.catalogue.round import Round
from mlperf_ops.catalogue.scorer import Scorer
from mlperf_ops.errors import ConfigError, unknown_name

_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All entries by name. Names of benchmarks are resolved through their aliases by `benchmark()`."""

    rounds: Mapping[str, Round]
    earlier_rounds: Mapping[str, EarlierRound]
    benchmarks: Mapping[str, Benchmark]
    implementations: Mapping[str, Implementation]
    components: Mapping[str, ComponentEntry]
    platforms: Mapping[str, Platform]
    locks: Mapping[str, Path]
    origins: Mapping[str, Path] = field(repr=False)  # "benchmarks/resnet50" -> its file
    scorers: Mapping[str, Scorer] = field(default_factory=dict)
    durations: Mapping[str, Durations] = field(default_factory=dict)

    def round(self, name: str, where: str = "") -> Round:
        """Return a round, or raise ConfigError with the nearest name and where the name was written."""
        if name in self.earlier_rounds and name not in self.rounds:
            prefix = f"{where}: " if where else ""
            raise ConfigError(
                f"{prefix}round {name} can only be looked up; expected one of {', '.join(self.rounds)}",
                hint=f"mlperf-ops catalogue show {name}",
            )
        return _pick("round", self.rounds, name, where)

    def benchmark(self, name: str) -> Benchmark:
        """Return a benchmark by name or alias, or raise ConfigError with the nearest name."""
        if name in self.benchmarks:
            return self.benchmarks[name]
        by_alias = {alias: entry for entry in self.benchmarks.values() for alias in entry.aliases}
        return _pick("benchmark", {**self.benchmarks, **by_alias}, name)

    def implementation(self, name: str) -> Implementation:
        """Return an implementation, or raise ConfigError with the nearest name."""
        return _pick("implementation", self.implementations, name)

    def component(self, name: str) -> ComponentEntry:
        """Return a component, or raise ConfigError with the nearest name."""
        return _pick("component", self.components, name)

    def platform(self, name: str) -> Platform:
        """Return a platform, or raise ConfigError with the nearest name."""
        return _pick("platform", self.platforms, name)

    def scorer_of(self, model: str) -> Scorer:
        """Return how a round's benchmark is scored, or raise ConfigError with the nearest name."""
        return _pick(
            "benchmark with a scorer", {name: entry for entry in self.scorers.values() for name in entry.models}, model
        )

    def family(self, name: str) -> tuple[Benchmark, ...]:
        """Return the benchmarks of a family, in the order of their names, or raise ConfigError."""
        known = {entry.family for entry in self.benchmarks.values() if entry.family is not None}
        if name not in known:
            raise unknown_name("benchmark family", name, known)
        return tuple(self.benchmarks[key] for key in sorted(self.benchmarks) if self.benchmarks[key].family == name)

    def lock_path(self, name: str) -> Path:
        """Return the file of a Python lock (`Round.loadgen.requirements`), or raise ConfigError."""
        return _pick("Python lock", self.locks, name)


def _pick(kind: str, entries: Mapping[str, _V], name: str, where: str = "") -> _V:
    if name not in entries:
        raise unknown_name(kind, name, entries, where=where)
    return entries[name]
