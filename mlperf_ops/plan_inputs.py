"""Which model and data a cell uses: the catalogue's components with what the inventory says of them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from mlperf_ops.catalogue import Benchmark, Catalogue, ComponentEntry, GitSource, PypiSource
from mlperf_ops.errors import ConfigError
from mlperf_ops.lab import LabHost
from mlperf_ops.lab_vars import PREFIX, ComponentOverride
from mlperf_ops.plan_model import Component

_COMPONENTS = f"{PREFIX}components"
_KINDS = {"dataset": "data set"}
T = TypeVar("T")


class ImpossibleError(Exception):
    """A cell cannot run, and why in one sentence; the plan carries it, nothing else stops."""


@dataclass(frozen=True, slots=True)
class Input:
    """A component as one host uses it."""

    entry: ComponentEntry
    override: ComponentOverride

    @property
    def path(self) -> str:
        """The user's own path on the host, or ""."""
        return self.override.path or ""

    @property
    def sha256(self) -> str:
        """The digest that the host must find, or "" where only the host can know it."""
        if self.override.sha256 is not None:
            return self.override.sha256
        # The catalogue pins its own files, not what the user brings or fetches from elsewhere.
        return "" if self.path or self.override.url else self.entry.sha256 or ""

    @property
    def label_file(self) -> str:
        """Name of the label file, relative to the component's folder or absolute."""
        return self.override.label_file or self.entry.label_file or ""

    @property
    def sample_count(self) -> int | None:
        """Number of samples; None where it is the user's folder that decides."""
        return None if self.path or self.override.url else self.entry.sample_count

    def as_component(self) -> Component:
        """Return the plan's entry for it."""
        return Component(
            name=self.entry.name,
            kind=self.entry.kind,
            version=self.override.version or self.entry.version,
            sha256=self.sha256 or None,
            source=self._source(),
            path=self.path or None,
        )

    def _source(self) -> str:
        source = self.entry.source
        if self.path:
            return "the user's own files"
        if self.override.url:
            return self.override.url
        if isinstance(source, PypiSource):
            return f"package {source.package} {self.override.version or source.version}"
        if isinstance(source, GitSource):
            return f"{source.repository}@{source.commit}"
        return "only the user can give it"


def check_overrides(host: LabHost, catalogue: Catalogue) -> None:
    """Refuse overrides of components that do not exist or cannot take them.

    Raises:
        ConfigError: Names file, line and key.
    """
    for name, override in host.vars.components.items():
        where = host.place.at(_COMPONENTS, name)
        entry = named(where, catalogue.component, name)
        if override.label_file is not None and entry.kind != "dataset":
            raise ConfigError(f"{where}.label_file: component '{name}' is a {entry.kind}; only a data set has labels")
        if override.path is not None and override.url is not None:
            raise ConfigError(f"{where}: path and url are both given", hint="keep one of them")


def model_input(host: LabHost, benchmark: Benchmark, catalogue: Catalogue) -> Input | None:
    """Return the model of a benchmark, or None when the benchmark names none.

    Raises:
        ImpossibleError: Only the user can give it, and the inventory does not.
    """
    if benchmark.model is None:
        return None
    return _have(_available(host, catalogue.component(benchmark.model.component)))


def dataset_input(host: LabHost, benchmark: Benchmark, wanted: ComponentEntry | None, catalogue: Catalogue) -> Input:
    """Return the data set: the wanted one, else the first of the benchmark's that is to be had.

    Raises:
        ImpossibleError: None is to be had; says how to get the preferred one.
    """
    entries = [wanted] if wanted is not None else [catalogue.component(name) for name in benchmark.datasets]
    found = [_available(host, entry) for entry in entries]
    return _have(next((one for one in found if isinstance(one, Input)), found[0]))


def _available(host: LabHost, entry: ComponentEntry) -> Input | str:
    """Return the component, or the sentence why it is not to be had."""
    override = host.vars.components.get(entry.name, ComponentOverride())
    if entry.from_user and override.path is None and override.url is None:
        return f"{_KINDS.get(entry.kind, entry.kind)} '{entry.name}' is not given: {entry.how_to_get}"
    return Input(entry, override)


def _have(found: Input | str) -> Input:
    if isinstance(found, str):
        raise ImpossibleError(found)
    return found


def named(where: str, look_up: Callable[[str], T], name: str) -> T:
    """Look a name up, and put the place where it was written before the error's sentence."""
    try:
        return look_up(name)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}", hint=error.hint) from error
