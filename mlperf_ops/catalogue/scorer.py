"""Scorers: how each accuracy metric of the rounds is computed, here and officially."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field, JsonValue, model_validator
from typing_extensions import Self

from mlperf_ops.catalogue.base import CatalogueModel, Entry, Name
from mlperf_ops.catalogue.scorer_parameters import Method

InputName: TypeAlias = Literal["labels", "vocab", "tokenizer", "trace"]


class ScorerInput(CatalogueModel):
    """A file or folder that scoring needs beside the accuracy log."""

    help: str = Field(description="What it is, in words.")
    required: bool = True


class OfficialScript(CatalogueModel):
    """The script of mlcommons/inference that computes the metric.

    Placeholders in `argv`, `env` and `links`: {log}, {work} (an empty folder, also the working directory), {tree} (the
    checkout), an input's name, the same with `_parent` (name of the folder that holds the input), and each parameter.
    An item whose placeholder has no value is left out together with the one before it.
    """

    script: str = Field(description="Path in the repository.")
    argv: tuple[str, ...] = ()
    flags: dict[str, str] = Field(default_factory=dict, description="Parameter that is true -> flag.")
    env: dict[str, str] = Field(default_factory=dict)
    links: dict[str, str] = Field(
        default_factory=dict, description="Symbolic links to make: path below {work} -> target."
    )
    output: str = Field(default="stdout", description="Where its text is: stdout, stderr, or a file below {work}.")
    needs: str = Field(description="What it needs to run, in words.")


class Scorer(Entry):
    """scorers/<name>.yaml: one way of turning an accuracy log into accuracy.txt."""

    method: Method | None = Field(description="None: only the official script computes it; `note` says why.")
    metrics: tuple[str, ...] = Field(description="What accuracy.txt states; keys of accuracy_regex.")
    not_computed: tuple[str, ...] = Field(default=(), description="Those of `metrics` that `method` leaves out.")
    benchmarks: dict[Name, tuple[Name, ...]] = Field(description="Family -> its variants in the rounds.")
    parameters: dict[str, JsonValue] = Field(default_factory=dict, description="Of the method; see scorer_parameters.")
    inputs: dict[InputName, ScorerInput] = Field(default_factory=dict)
    library: str = Field(default="", description="What does the mathematics.")
    form: str = Field(description="Example of the line of accuracy.txt.")
    official: OfficialScript
    note: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.method is None and not self.note:
            raise ValueError("a scorer without a method needs note: a sentence that says why")
        if self.method is not None and not self.library:
            raise ValueError("a scorer with a method needs library: what does the mathematics")
        for name in self.not_computed:
            if name not in self.metrics:
                raise ValueError(f"'{name}' is not one of metrics")
        return self

    @property
    def models(self) -> tuple[str, ...]:
        """All benchmarks of the rounds that it scores."""
        return tuple(name for variants in self.benchmarks.values() for name in variants)
