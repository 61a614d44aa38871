"""JSON Schemas of the files that people and tools write and read, for editors and for docs/reference/schemas.

`python -m mlperf_ops.schemas FOLDER` writes them; a test keeps the committed ones up to date.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, create_model

from mlperf_ops import model, plan_model
from mlperf_ops.campaign.board import Event
from mlperf_ops.campaign.model import Status
from mlperf_ops.catalogue.benchmark import Benchmark, Family
from mlperf_ops.catalogue.component import ComponentEntry
from mlperf_ops.catalogue.durations import Durations
from mlperf_ops.catalogue.earlier import EarlierRound
from mlperf_ops.catalogue.implementation import Implementation
from mlperf_ops.catalogue.platform import Platform
from mlperf_ops.catalogue.round import Round
from mlperf_ops.catalogue.scorer import Scorer
from mlperf_ops.checker.model import CheckReport
from mlperf_ops.files import JsonObject, write_json
from mlperf_ops.importing.import_map import ImportMap
from mlperf_ops.pack_manifest import PackManifest

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_CATALOGUE: dict[str, type[BaseModel]] = {
    "round": Round,
    "earlier-round": EarlierRound,
    "benchmark": Benchmark,
    "benchmark-family": Family,
    "component": ComponentEntry,
    "implementation": Implementation,
    "platform": Platform,
    "scorer": Scorer,
    "durations": Durations,
    "import-map": ImportMap,
}
_FILES: dict[str, type] = {
    "plan": plan_model.Plan,
    "spec": model.Spec,
    "result": model.Result,
    "cells": plan_model.CollectedHost,
    "checks": CheckReport,
    "pack-manifest": PackManifest,
    "status": Status,
    "watch-event": Event,
}


def schemas() -> dict[str, JsonObject]:
    """Return the JSON Schema of every file kind, by the kind's name."""
    made = _CATALOGUE | {name: model_of(cls) for name, cls in _FILES.items()}
    return {name: {"$schema": _DIALECT, **made[name].model_json_schema()} for name in sorted(made)}


@functools.cache
def model_of(cls: type) -> type[BaseModel]:
    """Return a pydantic model with the fields of a dataclass, and as strict as `mlperf_ops.typed.load`."""
    # Json is a recursive alias, which pydantic can only follow in its own form.
    hints = typing.get_type_hints(cls, localns={"Json": JsonValue, "JsonObject": dict[str, JsonValue]})
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        default: Any = ...
        if field.default is not dataclasses.MISSING:
            default = field.default
        options: dict[str, Any] = {"alias": field.name}
        if field.default_factory is not dataclasses.MISSING:
            options["default_factory"] = field.default_factory
        else:
            options["default"] = default
        # An underscore behind the name, because "schema" is an attribute of every pydantic model.
        fields[f"{field.name}_"] = (_as_models(hints[field.name]), Field(**options))
    config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())
    return create_model(cls.__name__, __config__=config, __doc__=cls.__doc__, **fields)


def _as_models(hint: Any) -> Any:  # noqa: ANN401  # a type hint is data here
    """Replace the dataclasses inside a type hint by their models."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return model_of(hint)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is None or hint is JsonValue or origin is typing.Literal:
        return hint
    swapped = tuple(_as_models(arg) for arg in args)
    return typing.Union[swapped] if origin in (typing.Union, types.UnionType) else origin[swapped]  # noqa: UP007


def write(folder: Path) -> list[Path]:
    """Write all schemas as <kind>.json; return the files that changed."""
    return [path for name, schema in schemas().items() if write_json(path := folder / f"{name}.json", schema)]


if __name__ == "__main__":
    write(Path(sys.argv[1]))
