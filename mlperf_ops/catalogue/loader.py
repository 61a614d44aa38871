"""Read the catalogue's folders into one checked object.

A catalogue folder has rounds/, earlier_rounds/, benchmarks/, implementations/, components/, platforms/, scorers/ and
durations/, with one YAML file per entry, and locks/ with Python locks. The built-in folder comes first; more are named
by the environment variable MLPERF_OPS_CATALOGUE.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from mlperf_ops.catalogue.base import CatalogueModel, Entry
from mlperf_ops.catalogue.benchmark import Benchmark, Family, expand
from mlperf_ops.catalogue.collection import Catalogue
from mlperf_ops.catalogue.component import CONVERT_OPTIONS, ComponentEntry
from mlperf_ops.catalogue.durations import Durations
from mlperf_ops.catalogue.earlier import EarlierRound
from mlperf_ops.catalogue.folders import all_folders, lock_files, more_folders, yaml_files
from mlperf_ops.catalogue.implementation import Implementation
from mlperf_ops.catalogue.platform import Platform
from mlperf_ops.catalogue.problems import validate
from mlperf_ops.catalogue.references import references
from mlperf_ops.catalogue.round import Round
from mlperf_ops.catalogue.scorer import Scorer
from mlperf_ops.catalogue.scorer_parameters import METHOD_PARAMETERS
from mlperf_ops.errors import ConfigError, unknown_name
from mlperf_ops.files import Json
from mlperf_ops.tuning import Tuning
from mlperf_ops.yamlfile import KeyPath, Locate, load_yaml_with_lines, show_key_path

E = TypeVar("E", bound=Entry)


def load_catalogue() -> Catalogue:
    """Return the built-in catalogue with the drop-ins of MLPERF_OPS_CATALOGUE, read once per process and value.

    Raises:
        ConfigError: Any mistake in any file: file:line: key path: what is wrong, with the nearest valid name as hint.
    """
    return read_catalogue(more_folders())


@functools.cache
def read_catalogue(extra: tuple[Path, ...] = ()) -> Catalogue:
    """Return the built-in catalogue together with more catalogue folders.

    Args:
        extra: Folders with the same inner structure. They add entries; a name that exists already is an error.
    """
    reader = _Reader()
    for folder in all_folders(extra):
        reader.read_folder(folder)
    return reader.finish()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an entry was read, to name the line of a wrong reference."""

    path: Path
    locate: Locate

    def line(self, key_path: KeyPath) -> int:
        return self.locate(key_path)

    def at(self, key_path: KeyPath) -> str:
        return f"{self.path}:{self.line(key_path)}: {show_key_path(key_path)}"


@dataclass(frozen=True, slots=True)
class _MemberPlace(_Place):
    """The same for a member of a family, whose fields stand in its own pattern or in the common part."""

    index: int
    own: frozenset[str]

    def line(self, key_path: KeyPath) -> int:
        if key_path and key_path[0] not in self.own:
            return self.locate(["common", *key_path])
        return self.locate(["matrix", self.index, "entry", *key_path])


@dataclass(slots=True)
class _Reader:
    rounds: dict[str, Round] = field(default_factory=dict)
    earlier_rounds: dict[str, EarlierRound] = field(default_factory=dict)
    benchmarks: dict[str, Benchmark] = field(default_factory=dict)
    implementations: dict[str, Implementation] = field(default_factory=dict)
    components: dict[str, ComponentEntry] = field(default_factory=dict)
    platforms: dict[str, Platform] = field(default_factory=dict)
    scorers: dict[str, Scorer] = field(default_factory=dict)
    durations: dict[str, Durations] = field(default_factory=dict)
    locks: dict[str, Path] = field(default_factory=dict)
    places: dict[str, _Place] = field(default_factory=dict)

    def read_folder(self, folder: Path) -> None:
        for path in yaml_files(folder / "rounds"):
            self._add("rounds", self.rounds, Round, path)
        for path in yaml_files(folder / "earlier_rounds"):
            self._add("earlier_rounds", self.earlier_rounds, EarlierRound, path)
        for path in yaml_files(folder / "implementations"):
            self._add("implementations", self.implementations, Implementation, path)
        for path in yaml_files(folder / "components"):
            self._add("components", self.components, ComponentEntry, path)
        for path in yaml_files(folder / "platforms"):
            self._add("platforms", self.platforms, Platform, path)
        for path in yaml_files(folder / "scorers"):
            self._add("scorers", self.scorers, Scorer, path)
        for path in yaml_files(folder / "durations"):
            self._add("durations", self.durations, Durations, path)
        for path in yaml_files(folder / "benchmarks"):
            self._add_benchmarks(path)
        for path in lock_files(folder):
            if path.name in self.locks:
                raise ConfigError(
                    f"{path}: the Python lock '{path.name}' is already defined in {self.locks[path.name]}"
                )
            self.locks[path.name] = path

    def _add(self, kind: str, entries: dict[str, E], model: type[E], path: Path) -> None:
        data, locate = load_yaml_with_lines(path)
        entry = validate(model, data, path, locate)
        if entry.name != path.stem:
            raise ConfigError(f"{path}:{locate(['name'])}: name: '{entry.name}' is not the file's name '{path.stem}'")
        self._put(kind, entries, entry, _Place(path, locate))

    def _put(self, kind: str, entries: dict[str, E], entry: E, place: _Place) -> None:
        key = f"{kind}/{entry.name}"
        if key in self.places:
            raise ConfigError(f"{place.at(['name'])}: '{entry.name}' is already defined in {self.places[key].path}")
        self.places[key] = place
        entries[entry.name] = entry

    def _add_benchmarks(self, path: Path) -> None:
        data, locate = load_yaml_with_lines(path)
        if not (isinstance(data, dict) and "matrix" in data):
            self._add("benchmarks", self.benchmarks, Benchmark, path)
            return
        family = validate(Family, data, path, locate)
        if family.family != path.stem:
            where = f"{path}:{locate(['family'])}: family"
            raise ConfigError(f"{where}: '{family.family}' is not the file's name '{path.stem}'")
        for index, member in enumerate(family.matrix):
            place = _MemberPlace(path, locate, index, frozenset(member.entry))
            for axes in _combinations(member.axes):
                fields: Json = {**family.common, **member.entry, "family": family.family}
                try:
                    expanded = expand(fields, axes)
                except (KeyError, ValueError, IndexError) as error:
                    where = f"{path}:{place.line([])}: matrix[{index}].entry"
                    raise ConfigError(f"{where}: a text names {error}, which is no axis") from error
                entry = validate(Benchmark, expanded, path, place.line)
                self._put("benchmarks", self.benchmarks, entry, place)

    def finish(self) -> Catalogue:
        origins = {key: place.path for key, place in self.places.items()}
        made = Catalogue(
            self.rounds,
            self.earlier_rounds,
            self.benchmarks,
            self.implementations,
            self.components,
            self.platforms,
            self.locks,
            origins,
            self.scorers,
            self.durations,
        )
        for reference in references(made):
            if reference.name not in reference.known:
                where = self.places[reference.entry].at(reference.key_path)
                raise unknown_name(reference.kind, reference.name, reference.known, where=where)
        self._check_aliases()
        for entry in self.components.values():
            self._check_options(entry)
        for platform in self.platforms.values():
            self._check_settings(platform)
        for scorer in self.scorers.values():
            self._check_parameters(scorer)
        return made

    def _check_parameters(self, entry: Scorer) -> None:
        place = self.places[f"scorers/{entry.name}"]
        model = CatalogueModel if entry.method is None else METHOD_PARAMETERS[entry.method]
        validate(model, dict(entry.parameters), place.path, place.line, ["parameters"])
        for name in entry.official.flags:
            if name not in model.model_fields:
                raise unknown_name("parameter", name, model.model_fields, where=place.at(["official", "flags", name]))

    def _check_settings(self, entry: Platform) -> None:
        place = self.places[f"platforms/{entry.name}"]
        values = entry.values()
        sysctls = {"sysctls": values.pop("sysctls")} if "sysctls" in values else {}
        validate(Tuning, values, place.path, place.line, ["settings"])
        validate(Tuning, sysctls, place.path, place.line)

    def _check_options(self, entry: ComponentEntry) -> None:
        if entry.convert is None:
            return
        place = self.places[f"components/{entry.name}"]
        options = CONVERT_OPTIONS[entry.convert.with_]
        validate(options, dict(entry.convert.options), place.path, place.line, ["convert", "options"])

    def _check_aliases(self) -> None:
        owners = set(self.benchmarks)
        for name, entry in self.benchmarks.items():
            for index, alias in enumerate(entry.aliases):
                if alias in owners:
                    where = self.places[f"benchmarks/{name}"].at(["aliases", index])
                    raise ConfigError(f"{where}: '{alias}' already names another benchmark")
                owners.add(alias)


def _combinations(axes: Mapping[str, Iterable[str | int]]) -> list[dict[str, str | int]]:
    combinations: list[dict[str, str | int]] = [{}]
    for name, values in axes.items():
        combinations = [{**one, name: value} for one in combinations for value in values]
    return combinations
