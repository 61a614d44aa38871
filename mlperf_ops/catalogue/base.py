"""What all catalogue entries share."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""A name that is also a file and directory name: no spaces, no slashes."""
Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Commit: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
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
