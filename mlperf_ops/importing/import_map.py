"""import.yaml: which folder of logs is which result, and what only its maker knows of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, JsonValue, StringConstraints

from mlperf_ops.catalogue.base import CatalogueModel
from mlperf_ops.catalogue.problems import Misfit, misfits, validate
from mlperf_ops.errors import ConfigError, nearest
from mlperf_ops.files import Json
from mlperf_ops.harness.accuracy_log import AnswerType
from mlperf_ops.importing.mistakes import as_one
from mlperf_ops.model import SCENARIOS, ComplianceTest, Division, Scenario
from mlperf_ops.patterns import PathName
from mlperf_ops.plan_model import OnConflict
from mlperf_ops.yamlfile import KeyPath, load_yaml_with_lines, show_key_path

Folder: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
Text: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
ImportedMode: TypeAlias = Literal["performance", "accuracy", ComplianceTest]


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
    folders: dict[ImportedMode, Folder] = Field(min_length=1, description="Mode -> folder of its logs, below --from.")
    compliance: bool = Field(
        default=True, description="Take the compliance tests over that lie beside the runs by their official names."
    )
    user_conf: Folder | None = Field(default=None, description="user.conf, where it is not among the logs.")
    answer_type: AnswerType | None = Field(
        default=None, description="Type of the numbers in logged answers, for the tests that read them."
    )
    eos_token_id: int | None = Field(default=None, ge=0, description="TEST06: end-of-sequence token of the tokenizer.")
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


@dataclass(frozen=True, slots=True)
class MapFile:
    """A map with the folder that it speaks of.

    Attributes:
        map: The checked file.
        base: --from.
        path: The file.
        line: Key path -> line of the file.
        misfits: What is wrong with its form. `map` is the file without these places.
    """

    map: ImportMap
    base: Path
    path: Path
    line: Callable[[KeyPath], int]
    misfits: tuple[Misfit, ...] = ()

    def misfit(self, *key_path: str | int) -> bool:
        """Whether the form of a value is wrong, so that what `map` holds in its place says nothing."""
        return any(one.key_path == key_path for one in self.misfits)

    def lost(self, key: str, index: int) -> bool:
        """Whether a key is wrong or mistyped, at the top or in a result, so that it is not missing there."""
        known = {field.alias or name for name, field in ImportMap.model_fields.items()}
        for one in self.misfits:
            for above in ((), ("results", index)):
                name = str(one.key_path[len(above)]) if one.key_path[: len(above)] == above != one.key_path else ""
                if name == key or (name and name not in known and nearest(name, known) == key):
                    return True
        return False

    def at(self, *key_path: str | int) -> str:
        """Return file, line and key of a value."""
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
    """Read and check the form of a map.

    A wrong scenario or key of a result is kept as a misfit, so that the names of the others can be looked up as well.

    Raises:
        ConfigError: The form is wrong; each mistake with file, line and key. Or there is no folder `base`.
    """
    if not base.is_dir():
        raise ConfigError(f"{base} is not a folder", hint="--from names the folder that the map's paths start at")
    data, line = load_yaml_with_lines(path)
    found = misfits(ImportMap, data, path, line)
    try:
        made = validate(ImportMap, _without(data, found), path, line)
    except ConfigError as error:
        raise as_one(path, [one.error for one in found] or [error]) from error
    return MapFile(made, base, path, line, tuple(found))


def _without(data: Json, found: Sequence[Misfit]) -> Json:
    """Return a map without what does not fit; a scenario, which a result must have, becomes any."""
    mended = copy.deepcopy(data)
    for one in found:
        # Half of an implementation is none.
        whole = next((at + 1 for at, part in enumerate(one.key_path) if part in _WHOLE), len(one.key_path))
        parent = mended
        for part in one.key_path[: whole - 1]:
            if isinstance(parent, dict):
                parent = parent.get(str(part))
            elif isinstance(parent, list) and isinstance(part, int):
                parent = parent[part]
        key = str(one.key_path[whole - 1]) if one.key_path else ""
        if isinstance(parent, dict) and key in parent:
            if key == "scenario":
                parent[key] = SCENARIOS[0]
            else:
                del parent[key]
    return mended


_WHOLE = ("implementation", "measurements")
