"""What the report is made from, as plain data: cells with their evidence, host facts, packaging and the check."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from mlperf_ops.catalogue import Round
from mlperf_ops.checker.model import CheckReport
from mlperf_ops.files import Json
from mlperf_ops.model import Cell, Result, Spec
from mlperf_ops.plan_model import Plan, PlannedCell
from mlperf_ops.selection import ComplianceOutcome

CellState: TypeAlias = Literal["valid", "invalid", "failed", "missing", "impossible", "unreadable"]
"""A result's verdict; "missing" when nothing was collected, "impossible" when the plan says so."""


@dataclass(frozen=True, slots=True)
class CellRun:
    """A cell of the run: what was planned and what came of it.

    Attributes:
        planned: The plan's entry; None for a result that the plan does not know any more.
        stale: The result is of an earlier plan's request.
        folder: The attempt's folder, relative to the run.
        on_host: The attempt's folder on the host, relative to `home`.
        manifest: File name -> sha256, as the host wrote it.
        problem: Why there is no result, or why it cannot be read.
        attempts: Attempts of this very spec that were collected.
    """

    cell: Cell
    host: str
    home: str
    official_benchmark: str
    planned: PlannedCell | None
    state: CellState
    stale: bool = False
    folder: str | None = None
    on_host: str | None = None
    spec: Spec | None = None
    result: Result | None = None
    user_conf: str | None = None
    manifest: tuple[tuple[str, str], ...] = ()
    problem: str | None = None
    attempts: int = 0

    @property
    def anchor(self) -> str:
        """Name of the cell's place in the page."""
        host = "" if self.host == self.cell.system else f"-{self.host}"  # several hosts may measure one cell
        return f"cell-{self.cell.key.replace('/', '-')}{host}"


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact of a host and where it was read."""

    name: str
    value: Json
    origin: str


@dataclass(frozen=True, slots=True)
class HostFacts:
    """hosts/<host>/facts.json: facts, and names of those that nobody could read with the reason."""

    name: str
    system: str
    facts: tuple[Fact, ...]
    unknown: tuple[tuple[str, str], ...]
    problem: str | None = None

    def get(self, name: str) -> Json:
        """Return a fact's value, None when it is unknown."""
        return next((fact.value for fact in self.facts if fact.name == name), None)


@dataclass(frozen=True, slots=True)
class Packaging:
    """What aggregation left in report/: the tree's results, what was kept out, and the system descriptions.

    Attributes:
        locations: "system/benchmark/scenario" to the result's folder in the tree.
        counting: "system/benchmark/scenario" and a host whose runs fill it, where several hosts measured it.
        also: "system/benchmark/scenario" that ran, and a further one that it stands for.
        refused: Cell and why it must not be packed.
        tests: "system/benchmark/scenario/TESTxx" and what its verification came to.
        systems: The submission's own words on each system, as facts.
    """

    locations: tuple[tuple[str, str], ...]
    refused: tuple[tuple[str, str], ...]
    systems: tuple[HostFacts, ...]
    counting: tuple[tuple[str, str], ...] = ()
    also: tuple[tuple[str, str], ...] = ()
    tests: tuple[tuple[str, ComplianceOutcome], ...] = ()

    def outcome(self, cell: Cell) -> ComplianceOutcome | None:
        """Return what became of a compliance cell, None when it was not verified."""
        return next((one for key, one in self.tests if key == cell.key), None)

    def stands_for(self, cell: Cell) -> list[str]:
        """Return the further "benchmark/scenario" that a cell's runs stand for."""
        key = f"{cell.system}/{cell.benchmark}/{cell.scenario}"
        return [place.partition("/")[2] for ran, place in self.also if ran == key]

    def counts(self, cell: Cell, host: str) -> bool:
        """Whether a host's run of a cell is the one in the tree."""
        return (f"{cell.system}/{cell.benchmark}/{cell.scenario}", host) in self.counting

    def location(self, cell: Cell) -> str | None:
        """Return the folder of a cell's result in the tree, None when it is not there."""
        key = f"{cell.system}/{cell.benchmark}/{cell.scenario}"
        return next((path for name, path in self.locations if name == key), None)


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that the report shows.

    Attributes:
        cells: In the order of the plan; results that the plan does not know come last.
        packaging: Empty when nothing was aggregated.
        checks: checks.json; None when the check did not run, `checks_problem` then says why.
        has_tree: There is a submission tree, so that it can be checked.
        plan_file: Name of the file that planned it all: plan.json, or imported.json.
    """

    folder: Path
    plan: Plan
    round: Round
    cells: tuple[CellRun, ...]
    hosts: tuple[HostFacts, ...]
    packaging: Packaging
    checks: CheckReport | None
    checks_problem: str | None
    has_tree: bool
    plan_file: str
