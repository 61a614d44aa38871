"""From a mistake in the inventory to one sentence with file, line, key path and the nearest valid name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from pydantic import ValidationError

from mlperf_ops.errors import ConfigError, unknown_name
from mlperf_ops.expected import choices, sentence_of
from mlperf_ops.files import Json
from mlperf_ops.lab_energy import EnergySource, UnofficialEnergy
from mlperf_ops.lab_model import LabModel
from mlperf_ops.lab_vars import (
    PREFIX,
    BackendConfig,
    BackendOptions,
    BenchmarkEntry,
    ComponentOverride,
    HostVars,
    PowerAnalyzer,
    PowerAnalyzerUse,
    PowerSupplies,
    QueryCounts,
    SharedThing,
)
from mlperf_ops.tuning import BenchmarkTuning, Tuning, model_at
from mlperf_ops.yamlfile import KeyPath, show_key_path

Locate: TypeAlias = Callable[[str, KeyPath, Json], str]
"""(host, key path, resolved value) -> "file:line", or "" when no file of the inventory says that."""


@dataclass(frozen=True, slots=True)
class Place:
    """Names the place of a host's value for error messages."""

    host: str
    variables: Mapping[str, Json]
    locate: Locate

    def at(self, *key_path: str | int) -> str:
        """Return "file:line: key path", or the host where no file says it."""
        found = self.locate(self.host, key_path, value_at(self.variables, key_path))
        return f"{found or 'host ' + self.host}: {show_key_path(key_path)}"


def value_at(data: Any, key_path: Sequence[str | int]) -> Json:  # noqa: ANN401  # parsed JSON
    """Return the value at a key path; None where there is none."""
    for part in key_path:
        if not _has(data, part):
            return None
        data = data[part]
    return cast("Json", data)


def _has(data: object, part: str | int) -> bool:
    if isinstance(data, Mapping):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def sentence(error: ValidationError, place: Place) -> ConfigError:
    """Turn pydantic's errors into the one sentence that helps most."""
    # A mistyped key gives two errors, the unknown key and the missing one: the first explains both.
    details = error.errors(include_url=False)
    detail = min(details, key=lambda one: one["type"] != "extra_forbidden")
    kind, value = detail["type"], detail["input"]
    key_path = _present(detail["loc"], place.variables, keep_last=kind == "missing")
    if kind == "extra_forbidden":
        known = _keys_beside(key_path)
        if len(key_path) == 1:
            return unknown_name("variable", str(key_path[0]), known, where=place.at(*key_path))
        where = place.at(*key_path).removesuffix(show_key_path(key_path)) + show_key_path(key_path[:-1])
        return unknown_name("key", str(key_path[-1]), known, where=where)
    where = place.at(*key_path)
    if kind == "missing":
        missing = f"'{key_path[-1]}' is missing"
        if len(key_path) == 1:
            return ConfigError(
                f"host {place.host}: variable {missing}", hint="set it in the inventory's group_vars/all"
            )
        return ConfigError(f"{place.at(*key_path[:-1])}: key {missing}")
    # Of a union pydantic gives an error for each branch.
    same = [one for one in details if _present(one["loc"], place.variables, keep_last=False) == key_path] or [detail]
    if kind == "literal_error" and isinstance(value, str) and len(same) == 1:
        return unknown_name("value", value, choices(detail), where=where)
    return ConfigError(f"{where}: {sentence_of(same)}")


def _present(loc: tuple[str | int, ...], data: Any, *, keep_last: bool) -> tuple[str | int, ...]:  # noqa: ANN401
    """Keep of pydantic's location what is in the data; it also names the branches of unions."""
    kept: list[str | int] = []
    for index, part in enumerate(loc):
        if _has(data, part):
            data = data[part]
        elif not (keep_last and index == len(loc) - 1):
            continue
        kept.append(part)
    return tuple(kept)


_BELOW: Mapping[str, type[LabModel]] = {
    "components": ComponentOverride,
    "power_analyzer": PowerAnalyzerUse,
    "power_analyzers": PowerAnalyzer,
    "power_supplies": PowerSupplies,
    "shared": SharedThing,
    "test_query_count": QueryCounts,
    "unofficial_energy": UnofficialEnergy,
}


def _keys_beside(key_path: tuple[str | int, ...]) -> list[str]:
    """Return the valid names where an unknown key stands."""
    if len(key_path) == 1:
        return [field.alias or name for name, field in HostVars.model_fields.items()]
    if key_path[0] == f"{PREFIX}unofficial_energy" and "sources" in key_path[:-1]:
        return list(EnergySource.model_fields)
    if isinstance(key_path[0], str) and (below := _BELOW.get(key_path[0].removeprefix(PREFIX))):
        return list(below.model_fields)
    if key_path[0] == f"{PREFIX}tuning":
        return list(model_at(Tuning, key_path[1:-1]).model_fields)
    if "tuning" in key_path[:-1]:
        inside = key_path[key_path.index("tuning") + 1 : -1]
        return list(model_at(BenchmarkTuning, inside).model_fields)
    if "backend" not in key_path[:-1]:
        return list(BenchmarkEntry.model_fields)
    return list((BackendConfig if key_path[-2] == "backend" else BackendOptions).model_fields)
