"""Refuse that two runs stand for one cell, unless the inventory says which of them counts. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlperf_ops.errors import ConfigError
from mlperf_ops.lab import LabHost
from mlperf_ops.lab_vars import PREFIX
from mlperf_ops.model import Cell, Division
from mlperf_ops.plan_model import OnConflict
from mlperf_ops.plan_wanted import Wanted


@dataclass(slots=True)
class TakenCells:
    """The cells that are planned so far.

    Attributes:
        on_conflict: What becomes of a cell that several hosts of a system measure.
        by: Key of a cell -> the hosts that run it, where the inventory says so, and for which division.
    """

    on_conflict: OnConflict
    by: dict[str, list[tuple[LabHost, str, Division]]] = field(default_factory=dict)

    def take(self, cell: Cell, wanted: Wanted, division: Division) -> None:
        """Note that an item of the inventory wants a cell.

        Raises:
            ConfigError: It was planned before; names both places.
        """
        place = wanted.at("benchmark")
        for other, where, theirs in self.by.get(cell.key, ()):
            if other is wanted.host:
                raise ConfigError(
                    f"{place}: cell {cell.key} is planned twice, first by {where}",
                    hint="a run is filed in one division; give a second one its own mlperf_system"
                    if division != theirs
                    else None,
                )
            system = wanted.host.place.at(f"{PREFIX}system")
            both = f"cell {cell.key} is planned on host {other.name} and on host {wanted.host.name}"
            if self.on_conflict != "best":
                raise ConfigError(
                    f"{system}: {both}",
                    hint="give each host its own mlperf_system, or let the best valid result count: "
                    f"{PREFIX}on_conflict: best",
                )
            if division != theirs:
                raise ConfigError(f"{system}: {both}, there for {theirs} and here for {division}")
        self.by.setdefault(cell.key, []).append((wanted.host, place, division))
