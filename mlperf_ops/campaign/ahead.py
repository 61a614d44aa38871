"""What hosts still run, when each of them is through, and what decides about the end. Pure; seconds.

Queues for shared things are part of it, as in the plan's own forecast.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mlperf_ops.campaign.model import TO_COME, CellStatus, CriticalPath, Play
from mlperf_ops.plan_model import Plan, PlannedHost, Seconds
from mlperf_ops.schedule import Job, Schedule, simulate

_ENDED = frozenset({"invalid", "failed", "tainted"})


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is to come.

    Attributes:
        cells: Of each host, in the order in which it runs them: the running cell first, then as its plan says. Unlike
            other blocked cells, those that wait for a shared thing are among them.
        remaining: Until each host is through; None where nothing is to come or no duration is known.
        path: The host that finishes last, and what it has to run or to wait for; None where nobody knows.
    """

    cells: Mapping[str, Sequence[CellStatus]]
    remaining: Mapping[str, Seconds | None]
    path: CriticalPath | None


def look_ahead(
    plan: Plan, cells: Sequence[CellStatus], play: Play | None, queued: Collection[tuple[str, str]] = ()
) -> Ahead:
    """Say what is to come.

    Args:
        plan: The plan.
        cells: The states of its cells.
        play: Who works on it now.
        queued: Cells that wait for a shared thing, by host and key.
    """
    by_host = {host.name: _in_order(host, cells, play, queued) for host in plan.hosts}
    holds = {(one.host, one.cell.key): one.holds for one in plan.cells}
    # Who measures now holds what it needs, and who waits stands in front of those whose turn comes later.
    names = sorted(by_host, key=lambda name: _rank(by_host[name], queued))
    low, high = (
        simulate(
            [
                Job(cell.key, name, getattr(cell.remaining, end, 0.0), holds.get((name, cell.key), ()))
                for name in names
                for cell in by_host[name]
            ]
        )
        for end in ("low", "high")
    )
    lows, highs = _ends(low), _ends(high)
    remaining = {
        name: _range(lows[name], highs[name]) if any(cell.remaining is not None for cell in mine) else None
        for name, mine in by_host.items()
    }
    known = {name: found for name, found in remaining.items() if found is not None}
    last = max(known, key=lambda name: known[name].high, default=None)
    path = None if last is None else CriticalPath(last, _path(high, last), known[last])
    return Ahead(by_host, remaining, path)


def _in_order(
    host: PlannedHost, cells: Sequence[CellStatus], play: Play | None, queued: Collection[tuple[str, str]]
) -> list[CellStatus]:
    """Return what a host still runs. A cell that ended in the play that goes on waits for the next one."""
    mine = [
        cell
        for cell in cells
        if cell.host == host.name
        and (cell.state in TO_COME or (cell.host, cell.key) in queued)
        and not _had_its_turn(cell, play)
    ]
    turns = {key: turn for turn, key in enumerate(host.order)}
    return sorted(mine, key=lambda cell: (cell.state != "running", turns.get(cell.key, len(turns))))


def _had_its_turn(cell: CellStatus, play: Play | None) -> bool:
    if play is None or cell.state not in _ENDED or cell.attempt is None:
        return False
    # What no earlier play has brought is of this one.
    return cell.path is None or (play.since is not None and cell.ended_at is not None and cell.ended_at >= play.since)


def _rank(cells: Sequence[CellStatus], queued: Collection[tuple[str, str]]) -> int:
    if any(cell.state == "running" for cell in cells):
        return 0
    return 1 if any((cell.host, cell.key) in queued for cell in cells) else 2


def _ends(schedule: Schedule) -> dict[str, float]:
    return {slot.job.host: slot.end for slot in schedule}  # the last of a host is its end


def _range(one: float, other: float) -> Seconds:
    """Return both ends: longer cells may let another host queue first, so that this one is through earlier."""
    low, high = sorted((round(one, 1), round(other, 1)))
    return Seconds(low, high, "its cells, and what they wait for")


def _path(schedule: Schedule, host: str) -> tuple[str, ...]:
    """Return what leads to the end of a host; a cell of another host, that it waits for, with the name of that host."""
    at: int | None = max(index for index, slot in enumerate(schedule) if slot.job.host == host)
    found: list[str] = []
    while at is not None:
        job = schedule[at].job
        found.append(job.key if job.host == host else f"{job.host}: {job.key}")
        at = schedule[at].behind
    return tuple(reversed(found))
