"""import.yaml: which folder of logs is which result, and what only its maker knows of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, JsonValue, StringConstraints

from mlperf_ops.catalogue.base import CatalogueModel
from mlperf_ops.catalogue.problems import mistakes, validate
from mlperf_ops.errors import ConfigError, nearest
from mlperf_ops.harness.accuracy_log import AnswerType
from mlperf_ops.model import Division, Mode, OnConflict, Scenario
from mlperf_ops.patterns import PathName
from mlperf_ops.yamlfile import KeyPath, load_yaml_with_lines, show_key_path

Folder: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
Text: TypeAlias = Annotated[str, StringConstraints(min_length=1)]


class Maker(CatalogueModel):
    """What made a result."""

    made_by: Text = Field(description='Harness and version, such as "NVIDIA harness v5.1-dev".')
    source: str = Field(default="", description="Where its code is: address and commit.")
    argv: tuple[str, ...] = Field(default=(), description="The command that ran.")
    framework: Text = Field(description='Such as "TensorRT".')
    framework_version: str = ""
    device: str = Field(default="cpu", description="What it computed on: cpu, gpu …")
    provider: str = ""
    packages: dict[str, str] = Field(default_factory=dict, description="Further software: name -> version.")
    simulated: bool = Field(default=False, description="A stand-in took part: never packed.")


class Numbers(CatalogueModel):
    """What measurements.json says of the numbers; quote "no", which YAML reads as false."""

    input_data_types: Text
    weight_data_types: Text
    retraining: Text
    weight_transformations: Text
    starting_weights_filename: Text


class MappedSystem(CatalogueModel):
    """A system of the results. One that the plan of the folder has already needs no description."""

    system: PathName
    host: PathName | None = Field(default=None, description="Name of its folder below hosts/; default: the system's.")
    system_type: str | None = None
    description_file: Folder | None = Field(default=None, description="A systems/<name>.json below --from.")
    description: dict[str, JsonValue] = Field(default_factory=dict, description="Fields; they win over the file's.")


class MappedResult(CatalogueModel):
    """One result: a scenario of a benchmark on a system."""

    system: str
    benchmark: PathName
    official: str | None = Field(default=None, description="Benchmark of the round that an own name stands for.")
    scenario: Scenario
    division: Division | None = None
    folders: dict[Mode, Folder] = Field(
        min_length=1, description="Mode, or compliance test -> folder of its logs, below --from."
    )
    compliance: bool = Field(
        default=True, description="Take the compliance tests over that lie beside the runs by their official names."
    )
    answer_type: AnswerType | None = Field(
        default=None,
        description="TEST01: how one number of an answer is written; default: byte, the official script's.",
    )
    eos_token_id: int | None = Field(default=None, description="TEST06: default: the round's.")
    user_conf: Folder | None = Field(default=None, description="user.conf, where it is not among the logs.")
    implementation: Maker | None = None
    measurements: Numbers | None = None
    measurements_file: Folder | None = Field(default=None, description="A measurements JSON below --from.")
    calibration: str = Field(default="", description="What was calibrated how, for calibration.md.")


class ImportMap(CatalogueModel):
    """import.yaml. What stands at the top holds for every result that has none of its own."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    round: str | None = Field(default=None, description="Default: that of the results folder's plan.")
    submitter: PathName | None = Field(default=None, description="Default: that of the plan.")
    division: Division | None = Field(default=None, description="Default: that of the plan.")
    on_conflict: OnConflict = Field(default="refuse", description="For a folder without a plan of its own.")
    implementation: Maker | None = None
    measurements: Numbers | None = None
    systems: tuple[MappedSystem, ...] = Field(min_length=1)
    results: tuple[MappedResult, ...] = Field(min_length=1)


class AlreadyToldError(ConfigError):
    """What follows from another mistake: it is not told, because the other one is."""


@dataclass(frozen=True, slots=True)
class MapFile:
    """A map with the folder that it speaks of.

    Attributes:
        map: The checked file, without what is wrong in it.
        base: --from.
        path: The file.
        line: Key path -> line of the file.
        mistakes: What is wrong with its form: nothing may be written then.
        kept: "systems" and "results" -> places in the file of those that are in `map`.
        lost: Keys of the top that are not in `map` because of a mistake.
        broken: Systems of which the same holds.
    """

    map: ImportMap
    base: Path
    path: Path
    line: Callable[[KeyPath], int]
    mistakes: tuple[ConfigError, ...] = ()
    kept: Mapping[str, Sequence[int]] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()

    def at(self, *key_path: str | int) -> str:
        """Return file, line and key of a value; an index is that of `map`."""
        match key_path:
            case (str(name), int(index), *rest) if name in self.kept:
                key_path = (name, self.kept[name][index], *rest)
        return f"{self.path}:{self.line(key_path)}: {show_key_path(key_path)}"

    def below(self, name: str, where: str, *, folder: bool = False) -> Path:
        """Return a file or folder below --from.

        Raises:
            ConfigError: It is not there, or not below --from; names the nearest one beside it.
        """
        path = self.base / name
        if not path.resolve().is_relative_to(self.base.resolve()):
            raise ConfigError(f"{where}: '{name}' is not below {self.base}")
        if path.is_dir() if folder else path.is_file():
            return path
        kind = "folder" if folder else "file"
        raise ConfigError(f"{where}: there is no {kind} {path}", hint=self._beside(path))

    def _beside(self, path: Path) -> str | None:
        """Name what was probably meant: the first part of the path that does not exist, and its nearest neighbour."""
        parent = path.parent
        while not parent.is_dir() and parent != parent.parent:
            path, parent = parent, parent.parent
        guess = nearest(path.name, (one.name for one in parent.iterdir()))
        return f"did you mean '{(parent / guess).relative_to(self.base)}'?" if guess else None


def read_map(path: Path, base: Path) -> MapFile:
    """Read a map and check its form. What is wrong in single systems and results is kept for later.

    Raises:
        ConfigError: One sentence with file, line and key, or several: nothing of the map can be used; or there is no
            folder `base`.
    """
    if not base.is_dir():
        raise ConfigError(f"{base} is not a folder", hint="--from names the folder that the map's paths start at")
    data, line = load_yaml_with_lines(path)
    if not isinstance(data, dict):
        return MapFile(validate(ImportMap, data, path, line), base, path, line)  # which says what else it is
    found = mistakes(ImportMap, data, path, line)
    wrong = list(found.values())
    kept: dict[str, list[int]] = {}
    broken: set[str] = set()
    lost = {str(key_path[0]) for key_path in found if key_path and not _entry(key_path)}
    known = [field.alias or name for name, field in ImportMap.model_fields.items()]
    meant = {guess for key in lost if key not in known and (guess := nearest(key, known)) is not None}
    lost |= meant - set(data)  # a mistyped key: the right one is not missing
    if lost & set(_LISTS) or () in found:
        raise together(wrong, path)
    usable = {key: value for key, value in data.items() if key not in lost}
    for name in _LISTS:
        entries = usable.get(name)
        assert isinstance(entries, list)  # noqa: S101  # it would be in `lost`
        bad = {key_path[1] for key_path in found if _entry(key_path) and key_path[0] == name}
        kept[name] = [index for index in range(len(entries)) if index not in bad]
        if name == "systems":
            named = (entries[index] for index in sorted(bad) if isinstance(index, int))
            broken |= {str(entry["system"]) for entry in named if isinstance(entry, dict) and "system" in entry}
        usable[name] = [entries[index] for index in kept[name]]
        if not kept[name]:
            raise together(wrong, path)
    return MapFile(
        validate(ImportMap, usable, path, line),
        base,
        path,
        line,
        tuple(wrong),
        kept,
        frozenset(lost),
        frozenset(broken),
    )


_LISTS = ("systems", "results")


def _entry(key_path: KeyPath) -> bool:
    """Whether a key path leads into one system or one result, so that the others can be used."""
    return len(key_path) > 1 and key_path[0] in _LISTS and isinstance(key_path[1], int)


def together(problems: Sequence[ConfigError], path: Path) -> ConfigError:
    """Return one error for all mistakes of a map, in the order of its lines; what is wrong alike is told once."""
    alike: dict[tuple[str, str | None], list[str]] = {}
    for one in sorted(problems, key=lambda one: _line(one, path)):
        where, said = _parts(one.message, path)
        alike.setdefault((said, one.hint), []).append(where)
    told = [ConfigError(where[0] + said + _also(where[1:]), hint=hint) for (said, hint), where in alike.items()]
    if len(told) == 1:
        return told[0]
    listed = "\n".join(f"  {one}" for one in told)
    return ConfigError(f"{path} has {len(told)} mistakes; nothing was imported:\n{listed}")


def _parts(message: str, path: Path) -> tuple[str, str]:
    """Split "file:line: key: " from what is said."""
    match = re.match(rf"{re.escape(str(path))}:\d+: (?:[\w.\[\]]+: )?", message)
    return (match[0], message[match.end() :]) if match else ("", message)


def _line(problem: ConfigError, path: Path) -> int:
    match = re.match(rf"{re.escape(str(path))}:(\d+)", problem.message)
    return int(match[1]) if match else 0


def _also(places: Sequence[str]) -> str:
    if not places:
        return ""
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return f"; the same at {places[0].rstrip(': ')}{more}"
