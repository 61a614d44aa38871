"""How long cells took against what the plan expected, and the plan's own schedule as a Gantt plot."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlperf_ops.plan_model import PlannedCell, Seconds
from mlperf_ops.plan_shared import in_order, job_of
from mlperf_ops.report import figures, gantt
from mlperf_ops.report.evidence import CellRun, Run
from mlperf_ops.report.rows import Tone
from mlperf_ops.schedule import Schedule, Slot, simulate
from mlperf_ops.wording import duration, one_line, plural

_PACK_FROM_RATIO = 3.0  # of what was planned: then the campaign was interrupted, and its pauses would hide its cells
_PERCENT = 100.0
_AS_EXPECTED = "as expected"


@dataclass(frozen=True, slots=True)
class Prediction:
    """A cell that has run, in words: its expected range, where that came from, what it took, and the error.

    Attributes:
        error: Of the middle of the range, such as "+12 %".
        word: "as expected", or by how much the range was missed.
    """

    key: str
    host: str
    anchor: str
    expected: str
    source: str
    why: str
    measured: str
    error: str
    word: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Durations:
    """The section of the page.

    Attributes:
        plot: The schedule of plan.json and, below each host's, what really ran; "" without any duration.
        packed: The plot leaves out the pauses between the cells that ran.
        left_out: Planned cells that the plot does not show, because nobody knew how long they take.
        summary: The predictions in one sentence; "" without any.
    """

    plot: str
    packed: bool
    left_out: int
    shared: tuple[str, ...]
    predictions: tuple[Prediction, ...]
    summary: str


def durations(run: Run) -> Durations:
    """Draw the schedule and compare it with what happened."""
    cells = in_order(run.plan)
    drawn = [one for one in cells if one.expected is not None]
    schedule = simulate([job_of(one, None if one.expected is None else one.expected.high) for one in drawn])
    ran = _ran(run)
    end = max((slot.end for slot in schedule), default=0.0)
    packed = bool(ran) and bool(schedule) and max(one.start + one.seconds for one in ran) > _PACK_FROM_RATIO * end
    things = tuple(sorted({thing for one in drawn for thing in one.holds}))
    lanes = _lanes(run, schedule, drawn, _packed(ran) if packed else ran, things)
    return Durations(
        plot=gantt.gantt_plot("gantt", "The plan's schedule, and what ran", lanes) if schedule else "",
        packed=packed,
        left_out=len(cells) - len(drawn),
        shared=things,
        predictions=tuple(_prediction(cell, expected) for cell, expected in _compared(run)),
        summary=summary(run),
    )


# --- the schedule ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Ran:
    """A cell that has run, in seconds since the first start."""

    cell: CellRun
    start: float
    seconds: float


def _ran(run: Run) -> list[_Ran]:
    found = [(cell, span) for cell in run.cells if cell.result is not None and (span := figures.span(cell.result))]
    first = min((span.start for _, span in found), default=None)
    if first is None:
        return []
    return sorted(
        (_Ran(cell, (span.start - first).total_seconds(), span.seconds) for cell, span in found),
        key=lambda one: one.start,
    )


def _packed(ran: Sequence[_Ran]) -> list[_Ran]:
    """Let each host's cells follow one another without a pause."""
    ends: dict[str, float] = {}
    made: list[_Ran] = []
    for one in ran:
        start = ends.get(one.cell.host, 0.0)
        ends[one.cell.host] = start + one.seconds
        made.append(_Ran(one.cell, start, one.seconds))
    return made


def _lanes(
    run: Run, schedule: Schedule, drawn: Sequence[PlannedCell], ran: Sequence[_Ran], things: Sequence[str]
) -> list[gantt.Lane]:
    planned = {(one.host, one.cell.key): one for one in drawn}
    several = len({one.cell.benchmark for one in drawn}) > 1
    lanes: list[gantt.Lane] = []
    for host in run.plan.hosts:
        name = one_line(host.name)
        own = [slot for slot in schedule if slot.job.host == host.name]
        if own:
            bars = tuple(_planned(slot, planned[host.name, slot.job.key], several=several) for slot in own)
            lanes.append(gantt.Lane(name, bars))
        done = tuple(_done(one) for one in ran if one.cell.host == host.name)
        if done:
            lanes.append(gantt.Lane("ran" if own else f"{name}, ran", done, thin=True))
    for thing in things:
        held = [slot for slot in schedule if thing in slot.job.holds]
        holders = [gantt.Stretch(one_line(slot.job.host), slot.start, slot.job.seconds, "held") for slot in held]
        lanes.append(gantt.Lane(one_line(thing), tuple(holders)))
    return lanes


def _planned(slot: Slot, cell: PlannedCell, *, several: bool) -> gantt.Stretch:
    return gantt.Stretch(
        names=_words(cell, several=several),
        start=slot.start,
        seconds=slot.job.seconds,
        kind=_kind(cell.cell.mode),
        certain=0.0 if cell.expected is None else cell.expected.low,
        waited=slot.start - slot.ready,
    )


def _done(one: _Ran) -> gantt.Stretch:
    kind: gantt.Kind = "failed" if one.cell.state == "failed" else _kind(one.cell.cell.mode)
    return gantt.Stretch("", one.start, one.seconds, kind)


def _words(planned: PlannedCell, *, several: bool) -> tuple[str, ...]:
    """Return the names of a cell, the longest first: the plot takes the first that has room."""
    cell = planned.cell
    initials = "".join(letter for letter in cell.scenario if letter.isupper())
    names = (f"{cell.scenario} {cell.mode}", cell.scenario, *((initials,) if len(initials) > 1 else ()))
    return (f"{one_line(cell.benchmark)} {names[0]}", *names) if several else names


def _kind(mode: str) -> gantt.Kind:
    if mode in {"accuracy", "performance"}:
        return "accuracy" if mode == "accuracy" else "performance"
    return "test"


# --- the predictions -------------------------------------------------------------------------------------------------


def _compared(run: Run) -> Iterator[tuple[CellRun, Seconds]]:
    """Yield the cells that ran to their end as the plan has them now, with what it expected."""
    for cell in run.cells:
        expected = None if cell.planned is None else cell.planned.expected
        if expected is not None and cell.result is not None and cell.state != "failed" and not cell.stale:
            yield cell, expected


def _took(cell: CellRun) -> float:
    return 0.0 if cell.result is None else cell.result.elapsed_seconds


def _middle(expected: Seconds) -> float:
    return (expected.low + expected.high) / 2


def _prediction(cell: CellRun, expected: Seconds) -> Prediction:
    took, middle = _took(cell), _middle(expected)
    if took > expected.high:
        word = f"{_share(took, expected.high)} longer than the longest expected"
    elif took < expected.low:
        word = f"{_share(took, expected.low)} shorter than the shortest expected"
    else:
        word = _AS_EXPECTED
    return Prediction(
        key=one_line(cell.cell.key),
        host=one_line(cell.host),
        anchor=cell.anchor,
        expected=between(expected.low, expected.high),
        source=expected.source or "",
        why=one_line(expected.why),
        measured=duration(took),
        error=f"{(took / middle - 1) * _PERCENT:+.0f} %" if middle else "",
        word=word,
        tone="good" if word == _AS_EXPECTED else "expected",
    )


def _share(took: float, bound: float) -> str:
    return f"{abs(took / bound - 1) * _PERCENT:.0f} %" if bound else duration(took)


def between(low: float, high: float) -> str:
    """Write a range of seconds: "10 min 1 s to 13 min"."""
    first, last = duration(low), duration(high)
    return first if first == last else f"{first} to {last}"


def summary(run: Run) -> str:
    """Say in one sentence how well the plan predicted the durations; "" when nothing can be compared."""
    found = list(_compared(run))
    if not found:
        return ""
    inside = sum(1 for cell, expected in found if expected.low <= _took(cell) <= expected.high)
    took = sum(_took(cell) for cell, _ in found)
    low, high = sum(one.low for _, one in found), sum(one.high for _, one in found)
    errors = [abs(_took(cell) / _middle(one) - 1) * _PERCENT for cell, one in found if _middle(one)]
    off = f"; the middle of a cell's range is off by {statistics.median(errors):.0f} % (median)" if errors else ""
    return (
        f"{inside} of {plural(len(found), 'cell')} took as long as the plan expected; in all {duration(took)}, "
        f"expected {between(low, high)}{off}"
    )
