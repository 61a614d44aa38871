"""Shared things in a plan: which cells hold them, and the order of cells that keeps the queues short. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from mlperf_ops.lab import LabHost
from mlperf_ops.model import COMPLIANCE_TESTS, Mode, Plan, PlannedCell, PlannedHost
from mlperf_ops.schedule import Job, best_order


def held_by(host: LabHost, mode: Mode) -> tuple[str, ...]:
    """Return the shared things that a cell of a host holds while it runs."""
    kind = "compliance" if mode in COMPLIANCE_TESTS else mode
    return tuple(sorted(name for name, modes in host.vars.shared.items() if kind in modes))


def job_of(planned: PlannedCell, seconds: float | None) -> Job:
    """Return a cell as the scheduler sees it; without a duration nobody knows when it ends."""
    return Job(planned.cell.key, planned.host, math.inf if seconds is None else seconds, planned.holds)


def with_order(hosts: Sequence[PlannedHost], cells: Iterable[PlannedCell]) -> tuple[PlannedHost, ...]:
    """Give each host the order of its cells that finishes the campaign earliest, where it is not that of the plan."""
    planned = [one for one in cells if one.status == "planned"]
    jobs = [job_of(one, None if one.expected is None else one.expected.high) for one in planned]
    order = best_order(jobs)

    def keys(of: Iterable[Job], host: str) -> tuple[str, ...]:
        return tuple(job.key for job in of if job.host == host)

    return tuple(
        host if keys(order, host.name) == keys(jobs, host.name) else replace(host, order=keys(order, host.name))
        for host in hosts
    )


def in_order(plan: Plan) -> tuple[PlannedCell, ...]:
    """Return the cells that can run, host by host in the order in which each host runs them."""
    found: list[PlannedCell] = []
    for host in plan.hosts:
        own = [one for one in plan.cells if one.host == host.name and one.status == "planned"]
        turns = {key: turn for turn, key in enumerate(host.order)}
        found += sorted(own, key=lambda one: turns.get(one.cell.key, len(turns)))
    return tuple(found)


def queues(plan: Plan) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each shared thing that more than one host needs, with these hosts."""
    found: dict[str, list[str]] = {}
    for one in plan.cells:
        for thing in one.holds:
            hosts = found.setdefault(thing, [])
            if one.host not in hosts:
                hosts.append(one.host)
    yield from ((thing, tuple(hosts)) for thing, hosts in sorted(found.items()) if len(hosts) > 1)
