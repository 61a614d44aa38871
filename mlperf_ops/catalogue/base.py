"""What all catalogue entries share."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from mlperf_ops.patterns import Commit, Name, Sha256

__all__ = ["CatalogueModel", "Commit", "Count", "Entry", "LoadgenScenario", "Name", "Positive", "Sha256"]

Count: TypeAlias = Annotated[int, Field(ge=0)]
Positive: TypeAlias = Annotated[float, Field(gt=0)]

LoadgenScenario: TypeAlias = Literal["SingleStream", "MultiStream", "Server", "Offline"]
"""The scenarios that LoadGen itself knows; an Interactive result is a Server run with another configuration name."""


class CatalogueModel(BaseModel):
    """Frozen, and strict: an unknown key or a number in quotes is an error, never a guess."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=(), defer_build=True)


class Entry(CatalogueModel):
    """The head of every catalogue file; the file is called `<name>.yaml`."""

    schema_version: Literal[1] = Field(default=1, alias="schema", description="Version of the file's form.")
    name: Name = Field(description="What users and other entries call it; equal to the file name.")
    description: str = Field(default="", description="One line for `mlperf-ops catalogue list`.")
