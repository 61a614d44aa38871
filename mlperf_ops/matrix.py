"""What is there and what is missing of a submission: system x benchmark x scenario x cell, with owner and reason.

A closed or network submission needs more than the inventory may ask for: every required scenario, and the compliance
tests of the benchmark. Both follow from the round's data; a row that nobody planned says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mlperf_ops.attempts import Attempt, NotUsable
from mlperf_ops.catalogue import Round
from mlperf_ops.model import SCENARIOS, Division, Scenario
from mlperf_ops.needs import Need, needs
from mlperf_ops.plan_model import Filing, Plan, PlannedCell
from mlperf_ops.selection import MODES, Selection

State: TypeAlias = Literal[
    "valid",
    "invalid",
    "tainted",
    "failed test",
    "missing",
    "failed",
    "refused",
    "conflict",
    "impossible",
    "not planned",
]


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One cell: its mode or test, how it stands, on which hosts, and why it is not better."""

    cell: str
    state: State
    hosts: tuple[str, ...]
    reason: str

    @property
    def good(self) -> bool:
        """Whether nothing is left to do."""
        return self.state == "valid"


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One place of the submission.

    Attributes:
        need: Why the place is in the matrix: the round requires it, requires one of several, or lists it as optional;
            `planned`: only the plan asks for it.
        alternatives: The scenarios of which one is enough, for `one of`.
        stands_on: The scenario whose runs fill the place; None: its own.
        cells: Performance, accuracy and the compliance tests that the division demands.
    """

    division: Division
    system: str
    benchmark: str
    scenario: Scenario
    need: Need
    alternatives: tuple[Scenario, ...]
    stands_on: str | None
    cells: tuple[MatrixCell, ...]

    @property
    def complete(self) -> bool:
        """Whether every cell is good."""
        return all(cell.good for cell in self.cells)


def missing_rows(rows: Sequence[MatrixRow]) -> list[MatrixRow]:
    """Return the rows that keep the submission from being valid."""
    done = {(row.division, row.system, row.benchmark, row.scenario) for row in rows if row.complete}
    return [
        row
        for row in rows
        if not row.complete
        and not any((row.division, row.system, row.benchmark, other) in done for other in row.alternatives)
    ]


def matrix(plan: Plan, round_: Round, selection: Selection) -> tuple[MatrixRow, ...]:
    """Return the rows of all systems and benchmarks of a plan, in its order.

    Args:
        plan: The whole plan.
        round_: Its round.
        selection: What was found of its cells, and what packing refused.
    """
    return tuple(_Matrix(plan, round_, selection).rows())


@dataclass(frozen=True, slots=True)
class _Matrix:
    plan: Plan
    round: Round
    selection: Selection

    def rows(self) -> Iterator[MatrixRow]:
        for (division, system, benchmark, official), sources in self._places().items():
            wanted = needs(self.plan, self.round, division, system, official)
            for scenario in (one for one in SCENARIOS if one in {*sources, *wanted}):
                need, alternatives = wanted.get(scenario, ("planned", ()))
                if need == "optional" and scenario not in sources:
                    continue
                key = f"{system}/{benchmark}/{scenario}"
                source = sources.get(scenario, key)
                cells = tuple(self._cell(key, source, mode) for mode in (*MODES, *self._tests(division, official)))
                stands_on = None if source == key else source
                yield MatrixRow(division, system, benchmark, scenario, need, alternatives, stands_on, cells)

    def _places(self) -> dict[tuple[Division, str, str, str], dict[Scenario, str]]:
        """Return (division, system, benchmark, official benchmark) -> scenario -> key of the runs behind it."""
        found: dict[tuple[Division, str, str, str], dict[Scenario, str]] = {}
        for planned in self.plan.cells:
            cell = planned.cell
            group = (self.plan.division_of(planned), cell.system, cell.benchmark, planned.official_benchmark)
            found.setdefault(group, {})[cell.scenario] = _key(planned)
        for planned in self.plan.cells:
            for filing in planned.also:
                name = _place_name(planned, filing)
                group = (self.plan.division_of(planned), planned.cell.system, name, filing.official_benchmark)
                found.setdefault(group, {}).setdefault(filing.scenario, _key(planned))
        return found

    def _tests(self, division: Division, official: str) -> tuple[str, ...]:
        if not self.round.divisions[division].compliance_tests or official not in self.round.models:
            return ()
        return tuple(self.round.rules(official).compliance)

    def _cell(self, key: str, source: str, mode: str) -> MatrixCell:
        """Say how a cell of the place `key` stands, whose runs are those of `source`."""
        planned = [one for one in self.plan.cells if _key(one) == source and one.cell.mode == mode]
        hosts = tuple(dict.fromkeys(one.host for one in planned))
        if not planned:
            return MatrixCell(mode, "not planned", (), "the plan has no such cell")
        runnable = [one for one in planned if one.status == "planned"]
        if not runnable:
            return MatrixCell(mode, "impossible", hosts, planned[0].reason or "")
        conflict = self.selection.conflict(source)
        if conflict is not None and conflict.rule is None and mode in MODES:
            return MatrixCell(mode, "conflict", hosts, conflict.sentence)
        seen = [self.selection.attempt(one) for one in runnable]
        usable = [one for one in seen if isinstance(one, Attempt)]
        if not usable:
            why = [one for one in seen if isinstance(one, NotUsable)]
            return MatrixCell(mode, why[0].kind, hosts, "; ".join(dict.fromkeys(one.reason for one in why)))
        refused = next((one.reason for one in self.selection.refused if one.key == f"{key}/{mode}"), None)
        standing = self._standing(source, mode, usable[0])
        if refused is not None:
            return MatrixCell(mode, "invalid" if standing.state == "invalid" else "refused", hosts, refused)
        outcome = self.selection.tests.get(f"{key}/{mode}")
        if outcome is not None and not outcome.passed:
            return MatrixCell(mode, "failed test", (usable[0].planned.host,), outcome.sentence)
        return standing

    def _standing(self, source: str, mode: str, attempt: Attempt) -> MatrixCell:
        """Say how the attempt stands that counts for a cell; `attempt` where nothing was to choose."""
        pair = next((one for one in self.selection.scenarios if one.key == source), None)
        if pair is not None and mode in MODES:
            attempt = pair.performance if mode == "performance" else pair.accuracy
        result, hosts = attempt.result, (attempt.planned.host,)
        if result.verdict != "valid":
            return MatrixCell(mode, "invalid", hosts, "; ".join(result.reasons))
        if result.tainted:
            return MatrixCell(mode, "tainted", hosts, "; ".join(result.tainted))
        return MatrixCell(mode, "valid", hosts, "")


def _key(planned: PlannedCell) -> str:
    cell = planned.cell
    return f"{cell.system}/{cell.benchmark}/{cell.scenario}"


def _place_name(planned: PlannedCell, filing: Filing) -> str:
    """Return the name of a further place: the cell's own benchmark, or the one with a lower target."""
    return planned.cell.benchmark if filing.official_benchmark == planned.official_benchmark else filing.benchmark
