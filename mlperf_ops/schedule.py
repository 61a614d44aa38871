"""Who runs what when: hosts in parallel, cells of a host in turn, shared things one holder at a time. Pure; seconds.

A host runs its cells in a fixed order. Before a cell that needs shared things (a power analyzer) the host queues for
them, first come first served, and holds them until the cell ends; while it waits it does nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

_MOST_TRIALS = 400  # of the search for a better order; each simulates the whole campaign


@dataclass(frozen=True, slots=True)
class Job:
    """A cell to run. `seconds` is infinite where nobody knows how long it takes."""

    key: str
    host: str
    seconds: float
    holds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Slot:
    """When a job runs, in seconds since the start of the campaign.

    Attributes:
        ready: When its host was free for it.
        waits_for: The shared thing that it waited for last, "" when it started at once.
        behind: The slot whose end let it start: the job before on its host, or who held the thing; None at the start.
    """

    job: Job
    ready: float
    start: float
    end: float
    waits_for: str
    behind: int | None


Schedule: TypeAlias = tuple[Slot, ...]
"""In the order in which jobs queued; `Slot.behind` counts in it."""


def simulate(jobs: Sequence[Job]) -> Schedule:
    """Run jobs, those of a host in the given order."""
    queues: dict[str, list[Job]] = {}
    for job in jobs:
        queues.setdefault(job.host, []).append(job)
    turn = dict.fromkeys(queues, 0)
    free: dict[str, float] = dict.fromkeys(queues, 0.0)
    last: dict[str, int | None] = dict.fromkeys(queues)
    released: dict[str, tuple[float, int]] = {}
    slots: list[Slot] = []
    while waiting := [host for host in queues if turn[host] < len(queues[host])]:
        # Who is ready first has queued first: nobody who comes later can be let in before.
        host = min(waiting, key=lambda name: free[name])
        job = queues[host][turn[host]]
        start, waits_for, behind = free[host], "", last[host]
        for thing in job.holds:
            when, holder = released.get(thing, (0.0, 0))
            if when > start:
                start, waits_for, behind = when, thing, holder
        end = start + job.seconds
        slots.append(Slot(job, free[host], start, end, waits_for, behind))
        turn[host] += 1
        free[host], last[host] = end, len(slots) - 1
        released.update((thing, (end, len(slots) - 1)) for thing in job.holds)
    return tuple(slots)


def finish(schedule: Schedule) -> float:
    """Return when the last job ends; 0 without any."""
    return max((slot.end for slot in schedule), default=0.0)


def critical_path(schedule: Schedule) -> Schedule:
    """Return the jobs that decide about the end, in order: each starts when the one before ends, on whatever host."""
    if not schedule:
        return ()
    path = [max(schedule, key=lambda slot: slot.end)]
    while (behind := path[-1].behind) is not None:
        path.append(schedule[behind])
    return tuple(reversed(path))


# --- the order that finishes earliest --------------------------------------------------------------------------------


def best_order(jobs: Sequence[Job]) -> tuple[Job, ...]:
    """Return the jobs in an order that finishes the campaign as early as we can find, never later than as they come.

    Without shared things any order is equally good, and they stay as they come. Otherwise the orders of a list
    scheduler, by several priorities, are tried, and the best is improved by moving single jobs. Equal jobs give equal
    orders. A job of unknown duration counts as the longest known one.
    """
    given = tuple(jobs)
    if len({job.host for job in given if job.holds}) < 2:  # noqa: PLR2004  # nobody to wait for
        return given
    known = [job.seconds for job in given if job.seconds != float("inf")]
    stand_in = max(known, default=1.0)
    timed = tuple(replace(job, seconds=min(job.seconds, stand_in)) for job in given)
    bound = _least(timed)
    best = min((timed, *(_listed(timed, rule) for rule in _RULES)), key=_cost)
    best = _improved(best, bound) if finish(simulate(best)) > bound else best
    originals = {(job.host, job.key): job for job in given}
    return tuple(originals[job.host, job.key] for job in best)


def _cost(jobs: Sequence[Job]) -> tuple[float, float]:
    """Weigh an order: first the end of the campaign, then how early the hosts are through on the whole."""
    ends: dict[str, float] = {}
    for slot in simulate(jobs):
        ends[slot.job.host] = slot.end
    return max(ends.values(), default=0.0), sum(ends.values())


def _least(jobs: Iterable[Job]) -> float:
    """Return what no order can beat: the busiest host's own time, or the busiest thing's."""
    busy: dict[tuple[str, str], float] = {}
    for job in jobs:
        for key in (("host", job.host), *(("thing", thing) for thing in job.holds)):
            busy[key] = busy.get(key, 0.0) + job.seconds
    return max(busy.values(), default=0.0)


_RULES = ("host", "thing", "free")


def _listed(jobs: Sequence[Job], rule: str) -> tuple[Job, ...]:
    """Schedule greedily: of all jobs that can start earliest, the one of highest priority; return the jobs as started.

    Args:
        jobs: To run.
        rule: host: the host with most to do goes first; thing: those that hold things go first, the things with most to
            do before others; free: those that hold nothing go first.
    """
    left = list(jobs)
    load: dict[str, float] = {}
    for job in left:
        for name in (f"host {job.host}", *(f"thing {thing}" for thing in job.holds)):
            load[name] = load.get(name, 0.0) + job.seconds
    free: dict[str, float] = {}
    order: list[Job] = []
    while left:
        index = min(range(len(left)), key=lambda at: _priority(left[at], rule, load, free))
        job = left.pop(index)
        names = (f"host {job.host}", *(f"thing {thing}" for thing in job.holds))
        end = max(free.get(name, 0.0) for name in names) + job.seconds
        for name in names:
            free[name] = end
            load[name] -= job.seconds
        order.append(job)
    return tuple(order)


def _priority(job: Job, rule: str, load: Mapping[str, float], free: Mapping[str, float]) -> tuple[float, ...]:
    things = [f"thing {thing}" for thing in job.holds]
    host = f"host {job.host}"
    start = max(free.get(name, 0.0) for name in (host, *things))
    queue = max((load[name] for name in things), default=0.0)
    if rule == "host":
        return (start, -load[host], -queue, -job.seconds)
    if rule == "thing":
        return (start, -queue, -load[host], -job.seconds)
    return (start, queue, -load[host], -job.seconds)


def _improved(jobs: tuple[Job, ...], bound: float) -> tuple[Job, ...]:
    """Move single jobs to other turns of their host while that ends the campaign earlier."""
    best, cost = jobs, _cost(jobs)
    trials = 0
    again = True
    while again and cost[0] > bound:
        again = False
        for moved in _moves(best):
            if trials >= _MOST_TRIALS:
                return best
            trials += 1
            found = _cost(moved)
            if found < cost:
                best, cost, again = moved, found, True
                break
    return best


def _moves(jobs: tuple[Job, ...]) -> Iterable[tuple[Job, ...]]:
    """Yield the orders in which one job of a host takes another turn."""
    turns: dict[str, list[int]] = {}
    for index, job in enumerate(jobs):
        turns.setdefault(job.host, []).append(index)
    for places in turns.values():
        for source in range(len(places)):
            for target in range(len(places)):
                if source == target:
                    continue
                order = list(places)
                order.insert(target, order.pop(source))
                moved = list(jobs)
                for place, index in zip(places, order, strict=True):
                    moved[place] = jobs[index]
                yield tuple(moved)
