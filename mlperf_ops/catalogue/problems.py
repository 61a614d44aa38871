"""From pydantic's validation errors to one sentence with file, line, key path and the nearest valid name."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mlperf_ops.errors import ConfigError, unknown_name
from mlperf_ops.expected import sentence_of
from mlperf_ops.files import Json
from mlperf_ops.yamlfile import KeyPath, Locate, show_key_path

T = TypeVar("T", bound=BaseModel)
_KEY = "[key]"  # pydantic's mark for "the key itself is wrong"


def validate(model: type[T], data: Json, path: Path, locate: Locate, below: KeyPath = ()) -> T:
    """Build a catalogue model from YAML data.

    Args:
        model: The pydantic model.
        data: What `load_yaml_with_lines` gave.
        path: The file, for the sentence.
        locate: Key path -> line, of the same call.
        below: Key path of `data` in the file, where it is a part of it.

    Raises:
        ConfigError: One sentence: file:line: key path: what is wrong, with the nearest valid name as hint.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: expected a mapping, found {'nothing' if data is None else type(data).__name__}")
    try:
        # As JSON, so that strict types hold ("1024" is no number) while a YAML list is still a tuple.
        return model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise _sentence(error, model, data, _Where(path, locate, tuple(below))) from error


@dataclass(frozen=True, slots=True)
class Misfit:
    """One place of a file that does not fit its model.

    Attributes:
        key_path: The place; a key that is missing or unknown is its last part.
        error: The sentence.
    """

    key_path: tuple[str | int, ...]
    error: ConfigError


def misfits(model: type[T], data: Json, path: Path, locate: Locate) -> list[Misfit]:
    """Return every place where YAML data does not fit a model, in the order of the file; arguments as of `validate`.

    Raises:
        ConfigError: The data is no mapping.
    """
    try:
        validate(model, data, path, locate)
    except ConfigError as error:
        if not isinstance(error.__cause__, ValidationError):
            raise
        details = error.__cause__.errors(include_url=False)
        unknown = {detail["loc"][:-1] for detail in details if detail["type"] == "extra_forbidden"}
        where = _Where(path, locate, ())
        found = [
            Misfit(_place(detail, data), _told(detail, details, model, data, where))
            for detail in details
            # A mistyped key gives two errors, the unknown key and the missing one: the first explains both.
            if not (detail["type"] == "missing" and detail["loc"][:-1] in unknown)
        ]
        # What is wrong within a list makes pydantic call the list too short as well.
        told = [one for one in found if not any(_within(other.key_path, one.key_path) for other in found)]
        once = {(one.key_path, str(one.error)): one for one in told}
        return sorted(once.values(), key=lambda one: locate(one.key_path))
    return []


def _within(path: tuple[str | int, ...], outer: tuple[str | int, ...]) -> bool:
    return len(path) > len(outer) and path[: len(outer)] == outer


def _place(detail: ErrorDetails, data: Json) -> tuple[str | int, ...]:
    return _key_path(detail["loc"], data, missing=detail["type"] == "missing")


@dataclass(frozen=True, slots=True)
class _Where:
    path: Path
    locate: Locate
    below: tuple[str | int, ...]

    def at(self, line_of: KeyPath, shown: KeyPath) -> str:
        line = self.locate((*self.below, *line_of))
        return f"{self.path}:{line}: {show_key_path((*self.below, *shown)) or 'file'}"


def _sentence(error: ValidationError, model: type[BaseModel], data: Json, where: _Where) -> ConfigError:
    # A mistyped key gives two errors, the unknown key and the missing one: the first explains both.
    details = error.errors(include_url=False)
    detail = min(details, key=lambda detail: detail["type"] != "extra_forbidden")
    return _told(detail, details, model, data, where)


def _told(
    detail: ErrorDetails, details: Sequence[ErrorDetails], model: type[BaseModel], data: Json, where: _Where
) -> ConfigError:
    """Return the sentence of one error; those of the other types that a value may have are told with it."""
    kind, value = detail["type"], detail["input"]
    key_path = _key_path(detail["loc"], data, missing=kind == "missing")
    if kind == "union_tag_invalid":
        key_path = (*key_path, str(detail["ctx"]["discriminator"]).strip("'"))
        value = detail["ctx"]["tag"]
    parent, here = where.at(key_path, key_path[:-1]), where.at(key_path, key_path)
    if kind == "extra_forbidden":
        return unknown_name("key", str(key_path[-1]), _keys(_hint_at(model, data, key_path[:-1])), where=parent)
    if kind == "missing" and isinstance(key_path[-1], int):
        return ConfigError(f"{parent}: expected {key_path[-1] + 1} values, found {key_path[-1]}")
    if kind == "missing":
        return ConfigError(f"{parent}: key '{key_path[-1]}' is missing")
    if kind == "literal_error" and detail["loc"][-1] == _KEY:
        mapping = _hint_at(model, data, key_path[:-1])
        return unknown_name("key", str(value), _literals(typing.get_args(mapping)[0]), where=parent)
    if kind == "literal_error" and isinstance(value, str):
        return unknown_name("value", value, _literals(_hint_at(model, data, key_path)), where=here)
    if kind == "union_tag_invalid":
        tags = [tag.strip("' ") for tag in str(detail["ctx"]["expected_tags"]).split(",")]
        return unknown_name("value", str(value), tags, where=here)
    same = [one for one in details if _key_path(one["loc"], data, missing=False) == key_path]
    return ConfigError(f"{here}: {sentence_of(same or [detail])}", hint=_hint(same or [detail]))


def _key_path(loc: tuple[str | int, ...], data: Json, *, missing: bool) -> tuple[str | int, ...]:
    """Keep of pydantic's location what is in the file; it also names the branches of unions."""
    kept: list[str | int] = []
    for index, part in enumerate(loc):
        if isinstance(data, dict) and part in data:
            data = data[str(part)]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        elif not (missing and index == len(loc) - 1):
            continue
        kept.append(part)
    return tuple(kept)


def _hint(details: Sequence[ErrorDetails]) -> str | None:
    kinds, value = {detail["type"] for detail in details}, details[0]["input"]
    if kinds == {"string_type"} and isinstance(value, bool | int | float):
        return "put it in quotes to make it text"
    if kinds <= {"int_type", "float_type", "bool_type"} and isinstance(value, str):
        return "write it without quotes"
    return None


def _hint_at(hint: Any, data: Json, key_path: tuple[str | int, ...]) -> Any:  # noqa: ANN401  # type hints are data
    """Return the type that stands at a key path of the file."""
    hint = _strip(hint, data)
    for part in key_path:
        if isinstance(data, dict):
            data = data.get(str(part))
        elif isinstance(data, list) and isinstance(part, int):
            data = data[part]
        if isinstance(hint, type) and issubclass(hint, BaseModel):
            fields = {field.alias or name: field.annotation for name, field in hint.model_fields.items()}
            hint = fields.get(str(part))
        elif typing.get_origin(hint) is dict:
            hint = typing.get_args(hint)[1]
        elif typing.get_origin(hint) is tuple:
            hint = typing.get_args(hint)[0]
        hint = _strip(hint, data)
    return hint


def _strip(hint: Any, data: Json) -> Any:  # noqa: ANN401  # type hints are data
    """Take off Annotated and None, and choose a union's branch by the literal that the data holds."""
    while typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) not in (Union, types.UnionType):
        return hint
    branches = [arg for arg in typing.get_args(hint) if arg is not type(None)]
    if len(branches) == 1:
        return _strip(branches[0], data)
    for branch in branches:
        tags = (
            _literals(branch.model_fields["type"].annotation) if "type" in getattr(branch, "model_fields", {}) else []
        )
        if isinstance(data, dict) and data.get("type") in tags:
            return branch
    return hint


def _keys(hint: Any) -> list[str]:  # noqa: ANN401  # type hints are data
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return [field.alias or name for name, field in hint.model_fields.items()]
    return []


def _literals(hint: Any) -> list[str]:  # noqa: ANN401  # type hints are data
    if typing.get_origin(hint) is Literal:
        return [str(arg) for arg in typing.get_args(hint)]
    return [name for arg in typing.get_args(hint) for name in _literals(arg)]
