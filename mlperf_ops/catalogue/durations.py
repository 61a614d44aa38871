"""How long runs took elsewhere: what a plan falls back on where nothing is known of the lab's own machines."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator
from typing_extensions import Self

from mlperf_ops.catalogue.base import CatalogueModel, Count, Entry, Name
from mlperf_ops.catalogue.round import Provenance
from mlperf_ops.model import Mode, Scenario

Kind: TypeAlias = Mode | Literal["ranging"]
Row: TypeAlias = Annotated[
    tuple[Count, ...],
    Field(min_length=5, max_length=5, description="[runs, shortest, median, 90th percentile, longest], in seconds."),
]


class Range(CatalogueModel):
    """Seconds from the shortest to the longest."""

    shortest: Annotated[float, Field(ge=0)]
    longest: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.longest < self.shortest:
            raise ValueError(f"longest is {self.longest:g}, less than shortest, {self.shortest:g}")
        return self


class Durations(Entry):
    """durations/<name>.yaml: how long the published runs of a round took."""

    source: Provenance
    around_seconds: Range = Field(description="Loading and scoring, which LoadGen does not time.")
    repeat_share: Annotated[float, Field(ge=0, lt=1)] = Field(description="Of a campaign, for cells that run again.")
    models: dict[Name, dict[Scenario, dict[Kind, Row]]] = Field(description="Official benchmark, scenario, kind.")

    @model_validator(mode="after")
    def _sorted(self) -> Self:
        for model, scenarios in self.models.items():
            for scenario, kinds in scenarios.items():
                for kind, (runs, *seconds) in kinds.items():
                    if not runs or seconds != sorted(seconds):
                        raise ValueError(
                            f"{model}, {scenario}, {kind}: expected [runs, shortest, median, 90th percentile, longest]"
                        )
        return self

    def row(self, model: str, scenario: Scenario, mode: Mode) -> tuple[int, int, int, int, int] | None:
        """Return [runs, shortest, median, 90th percentile, longest] of a cell; None when nobody published any.

        A compliance test is a performance run with other settings: it counts as one where the test itself has no row.
        """
        kinds = self.models.get(model, {}).get(scenario, {})
        found = kinds.get(mode) or (kinds.get("performance") if mode != "accuracy" else None)
        return None if found is None else (found[0], found[1], found[2], found[3], found[4])
