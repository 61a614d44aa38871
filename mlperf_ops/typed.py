"""JSON to frozen dataclasses and back, by their type hints.

This module is shipped to hosts: standard library only, so no pydantic here. The controller exports the JSON Schema of
the same classes with pydantic (`mlperf_ops.schemas`).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Hashable, Mapping
from typing import Any, TypeVar

from mlperf_ops.errors import ResultError, nearest, unknown_name
from mlperf_ops.files import JsonObject

T = TypeVar("T")
_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}

UNSET: Mapping[str, bool] = types.MappingProxyType({"omit_default": True})
"""Metadata of a field that `dump` leaves out while it has its default: what was written before the field existed, and
its digest, stay as they are."""


@functools.cache
def _hints(cls: Hashable) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def load(cls: type[T], value: object, where: str) -> T:
    """Build a dataclass from parsed JSON, strictly.

    Args:
        cls: A dataclass whose fields are JSON scalars, dataclasses, tuples, dicts or unions of these with None.
        value: What `json.loads` gave.
        where: File (and key) for the error message.

    Raises:
        ResultError: A key is unknown or missing, or a value has another type; names the key and the nearest valid one.
    """
    if not isinstance(value, Mapping):
        raise ResultError(f"{where}: expected an object, found {type(value).__name__}")
    hints = _hints(cls)  # type: ignore[arg-type]  # a class is hashable
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in value:
        if key not in fields:
            guess = nearest(str(key), fields)
            raise ResultError(f"{where}: unknown key '{key}'", hint=f"did you mean '{guess}'?" if guess else None)
    made: dict[str, Any] = {}
    for name, field in fields.items():
        if name in value:
            made[name] = _convert(hints[name], value[name], f"{where}: {name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ResultError(f"{where}: key '{name}' is missing")
    return cls(**made)


def _convert(hint: Any, value: Any, where: str) -> Any:  # noqa: ANN401  # a type hint is data here
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        branches = [arg for arg in args if arg is not type(None)]
        if len(branches) == 1:
            return _convert(branches[0], value, where)
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ResultError(f"{where}: expected a list, found {type(value).__name__}")
        return tuple(_convert(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ResultError(f"{where}: expected an object, found {type(value).__name__}")
        return {key: _convert(args[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin is typing.Literal:
        if value not in args:
            wrong = unknown_name("value", str(value), map(str, args), where=where)
            raise ResultError(wrong.message, hint=wrong.hint)
        return value
    if dataclasses.is_dataclass(hint):
        return load(hint, value, where)  # type: ignore[arg-type]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (int, float, str, bool) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise ResultError(f"{where}: expected {_WORDS[hint]}, found {json.dumps(value, default=str)}")
    return value


@functools.cache
def _dumped(cls: Hashable) -> tuple[tuple[str, bool, Any], ...]:
    """Return name, whether it may be left out, and default of each field."""
    return tuple(
        (field.name, bool(field.metadata.get("omit_default")), field.default)
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]  # a class is hashable
    )


def dump(instance: object) -> JsonObject:
    """Return the JSON object of a dataclass instance; `load` of it gives an equal instance.

    Like `dataclasses.asdict`, without its copy of every text and number. A field whose metadata says `omit_default` is
    left out while it has its default.
    """
    made: JsonObject = {}
    for name, optional, default in _dumped(type(instance)):  # type: ignore[arg-type]  # a class is hashable
        value = getattr(instance, name)
        if not (optional and value == default):
            made[name] = _plain(value)
    return made


def _plain(value: Any) -> Any:  # noqa: ANN401  # any field of a dataclass
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return type(value)([_plain(item) for item in value])
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return dump(value) if dataclasses.is_dataclass(value) else value
