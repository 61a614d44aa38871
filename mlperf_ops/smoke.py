"""What a smoke run shows of every planned cell: whether it would run, and what is missing. Pure."""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from mlperf_ops.checker.model import CheckReport, Finding
from mlperf_ops.collected import Earlier
from mlperf_ops.matrix import MatrixRow
from mlperf_ops.plan_model import Plan, PlannedCell
from mlperf_ops.smoke_files import why_lacking

State: TypeAlias = Literal["runs", "would fail", "left out", "impossible"]
Step: TypeAlias = Literal["load", "run", "aggregate", "check", ""]

_LACKS = frozenset({"missing", "failed", "refused", "conflict"})
_LOADING = frozenset({"no_program", "no_provider", "wrong_tensor", "bad_input", "bad_settings", "bad_affinity"})


@dataclass(frozen=True, slots=True)
class SmokeCell:
    """One cell of a host.

    Attributes:
        state: It runs up to the checked tree, it would fail, it was not asked to run, or the plan itself says that it
            cannot run.
        step: Where it fails; "" where it does not.
        reason: What is missing or wrong, and what to do; "" where nothing is.
        not_judged: Rules of the checker that a run of seconds cannot meet by design.
    """

    key: str
    host: str
    state: State
    step: Step
    reason: str
    not_judged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SmokeVerdict:
    """All cells, and what is wrong with the tree beside them."""

    cells: tuple[SmokeCell, ...]
    problems: tuple[str, ...]

    @property
    def ready(self) -> bool:
        """Whether nothing would fail."""
        return not self.problems and all(one.state != "would fail" for one in self.cells)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a smoke run has left.

    Attributes:
        earlier: The collected attempts.
        lacking: host -> component -> why it is not there.
        dropped: host -> why it dropped out of the run.
        left_out: host -> keys of cells that mlperf_only left out.
        matrix: How each cell stands for packing.
        checks: checks.json; None: nothing was checked.
        problem: Why there is no tree or no check; "" where there are both.
    """

    earlier: Sequence[Earlier]
    lacking: Mapping[str, Mapping[str, str]]
    dropped: Mapping[str, str]
    matrix: Sequence[MatrixRow]
    checks: CheckReport | None
    problem: str = ""
    left_out: Mapping[str, Names[str]] = field(default_factory=dict)


def judge(plan: Plan, seen: Seen) -> SmokeVerdict:
    """Say of each planned cell whether it would run."""
    cells = tuple(_cell(one, plan, seen) for one in plan.cells)
    wide = () if seen.checks is None else tuple(_wide(seen.checks))
    # Without any tree each cell says why; where all of them ran, the problem is one of its own.
    alone = (seen.problem,) if seen.problem and all(one.state != "would fail" for one in cells) else ()
    return SmokeVerdict(cells, (*alone, *wide))


def _cell(planned: PlannedCell, plan: Plan, seen: Seen) -> SmokeCell:
    plain = SmokeCell(planned.cell.key, planned.host, "runs", "", "")
    if planned.status == "impossible":
        return replace(plain, state="impossible", reason=planned.reason or "")
    own = [
        one
        for one in seen.earlier
        if (one.host, one.cell.key, one.cell.request_sha256) == (planned.host, planned.cell.key, planned.request_sha256)
    ]
    lacks = why_lacking(planned.request, seen.lacking.get(planned.host, {}))
    if lacks:
        return replace(plain, state="would fail", step="load", reason=lacks)
    if not own and planned.host not in seen.dropped and planned.cell.key in seen.left_out.get(planned.host, ()):
        return replace(plain, state="left out", reason="--only left it out")
    if not own:
        why = seen.dropped.get(planned.host) or "it left no result: it did not start, or its result was not collected"
        return replace(plain, state="would fail", step="load", reason=why)
    result = own[-1].result
    if result.verdict == "failed":
        failure = result.failure
        told = "; ".join(result.reasons) or (failure.message if failure else "it failed")
        hint = f" ({failure.hint})" if failure and failure.hint else ""
        step: Step = "load" if failure and failure.kind in _LOADING else "run"
        return replace(plain, state="would fail", step=step, reason=told + hint)
    stands = _standing(planned, seen.matrix)
    if stands:
        return replace(plain, state="would fail", step="aggregate", reason=stands)
    objections, not_judged = _findings(planned, plan, seen.checks)
    plain = replace(plain, not_judged=not_judged)
    if objections:
        return replace(plain, state="would fail", step="check", reason="; ".join(objections))
    return plain


def _standing(planned: PlannedCell, matrix: Iterable[MatrixRow]) -> str:
    """Return why a cell that ran is of no use for the tree, "" where it is."""
    cell = planned.cell
    for row in matrix:
        if (row.system, row.benchmark, row.scenario) == (cell.system, cell.benchmark, cell.scenario):
            for one in row.cells:
                if one.cell == cell.mode and one.state in _LACKS:
                    return f"{one.state}: {one.reason}"
    return ""


def _findings(planned: PlannedCell, plan: Plan, checks: CheckReport | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what the check objects to in a cell's result, and the rules that are not judged."""
    if checks is None:
        return (), ()
    cell, division = planned.cell, plan.division_of(planned)
    places = {
        one.location
        for one in checks.results
        if (one.division, one.system, one.benchmark, one.scenario)
        == (division, cell.system, cell.benchmark, cell.scenario)
    }
    found = [one for one in checks.findings if one.affects in places and one.severity != "advice"]
    objections = tuple(dict.fromkeys(_told(one) for one in found if one.expected_because is None))
    return objections, tuple(sorted({one.rule for one in found if one.expected_because is not None}))


def _wide(checks: CheckReport) -> Iterable[str]:
    """Yield what the check objects to in more than one result."""
    places = {one.location for one in checks.results}
    for one in checks.findings:
        if one.affects not in places and one.severity != "advice" and one.expected_because is None:
            yield f"{one.location}: {_told(one)}"


def _told(one: Finding) -> str:
    return f"{one.rule}: {one.message} ({one.fix})"
