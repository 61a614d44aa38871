"""What the inventory wants of a host, with its names looked up in the catalogue. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from mlperf_ops.adjusting import Adjustment
from mlperf_ops.catalogue import Benchmark, Catalogue, ComponentEntry, Implementation, Round
from mlperf_ops.errors import ConfigError, unknown_name
from mlperf_ops.lab import Lab, LabHost
from mlperf_ops.lab_vars import PREFIX, BenchmarkEntry
from mlperf_ops.model import RunStyle
from mlperf_ops.plan_inputs import named
from mlperf_ops.tuning import Tuning


@dataclass(frozen=True, slots=True)
class Wanted:
    """One item of mlperf_benchmarks with its names looked up."""

    host: LabHost
    index: int  # place in mlperf_benchmarks
    entry: BenchmarkEntry
    benchmark: Benchmark
    implementation: Implementation
    framework: str
    dataset: ComponentEntry | None  # None: the benchmark's own preference
    run_style: RunStyle
    tuning: tuple[Tuning, ...]  # of the host, the most general first
    adjustments: tuple[Adjustment, ...]  # of the host
    power_instance: str  # of the server that measures the host's performance cells; "": nobody does

    def at(self, *key_path: str | int) -> str:
        """Name the place of one of the item's keys."""
        return self.host.place.at(f"{PREFIX}benchmarks", self.index, *key_path)


def wanted_of(
    host: LabHost,
    lab: Lab,
    catalogue: Catalogue,
    tuning: tuple[Tuning, ...],
    adjustments: tuple[Adjustment, ...],
    power_instance: str,
) -> Iterator[Wanted]:
    """Look up the items of a host's mlperf_benchmarks, one after another.

    Args:
        host: The host.
        lab: Its lab.
        catalogue: Where names are looked up.
        tuning: As `tuning_of` gives it.
        adjustments: Of the targets of the host.
        power_instance: Of the server that measures its performance cells; "": nobody does.

    Raises:
        ConfigError: A name is unknown, or something else than the item needs; names file, line and key.
    """
    for index, entry in enumerate(host.vars.benchmarks):
        at = partial(host.place.at, f"{PREFIX}benchmarks", index)
        implementation = named(at("implementation"), catalogue.implementation, entry.implementation)
        framework = entry.framework or implementation.frameworks[0]
        if framework not in implementation.frameworks:
            raise unknown_name("framework", framework, implementation.frameworks, where=at("framework"))
        dataset = None
        if entry.dataset is not None:
            dataset = named(at("dataset"), catalogue.component, entry.dataset)
            if dataset.kind != "dataset":
                raise ConfigError(f"{at('dataset')}: component '{dataset.name}' is a {dataset.kind}, not a data set")
        yield Wanted(
            host=host,
            index=index,
            entry=entry,
            benchmark=named(at("benchmark"), catalogue.benchmark, entry.benchmark),
            implementation=implementation,
            framework=framework,
            dataset=dataset,
            run_style=lab.run_style if lab.smoke else entry.run_style or lab.run_style,
            tuning=tuning,
            adjustments=adjustments,
            power_instance=power_instance,
        )


def tuning_of(host: LabHost, catalogue: Catalogue) -> tuple[Tuning, ...]:
    """Return the layers of a host's settings: its profile, and what it overrides.

    Raises:
        ConfigError: There is no such profile.
    """
    profile = host.vars.tuning_profile
    if profile is None:
        return (host.vars.tuning,)
    where = host.place.at(f"{PREFIX}tuning_profile")
    return (named(where, catalogue.platform, profile).tuning, host.vars.tuning)


def check_targets(host: LabHost, round_: Round, catalogue: Catalogue) -> None:
    """Refuse benchmarks and scenarios that do not exist: a mistyped target would silently not be used.

    Raises:
        ConfigError: Names file, line, key and the nearest name.
    """
    for kind in ("targets", "measured_targets"):
        for name, by_scenario in getattr(host.vars, kind).items():
            where = host.place.at(f"{PREFIX}{kind}", name)
            named(where, catalogue.benchmark, name)
            for scenario in by_scenario:
                if scenario not in round_.scenario_names:
                    raise unknown_name("scenario", scenario, round_.scenario_names, where=where)
