"""Shared things in a plan: which cells hold them, and the order of cells that keeps the queues short. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from mlperf_ops.errors import ConfigError, unknown_name
from mlperf_ops.lab import LabHost
from mlperf_ops.lab_vars import PREFIX, SharedThing
from mlperf_ops.model import COMPLIANCE_TESTS, Mode
from mlperf_ops.plan_model import Plan, PlannedCell, PlannedHost, SharedOwner
from mlperf_ops.power.inventory import PowerLab
from mlperf_ops.schedule import Job, best_order


def held_by(host: LabHost, mode: Mode, power: PowerLab) -> tuple[str, ...]:
    """Return the shared things that a cell of a host holds while it runs; performance is measured with its analyzer."""
    kind = "compliance" if mode in COMPLIANCE_TESTS else mode
    shared = host.vars.shared.items()
    names = {name for name, one in shared if kind in (one.modes if isinstance(one, SharedThing) else one)}
    measured = power.sut(host.name) if kind == "performance" else None
    return tuple(sorted(names | {use.analyzer for use in (measured.uses if measured else ())}))


def owners(hosts: Iterable[LabHost], power: PowerLab) -> tuple[SharedOwner, ...]:
    """Return which host keeps the lease of each thing, where it is not the controller itself; of analyzers: directors.

    Raises:
        ConfigError: Hosts name different ones, so that they would not see each other's leases.
    """
    found: dict[str, tuple[str, str]] = {
        use.analyzer: (sut.director, sut.host) for sut in power.suts for use in sut.uses
    }
    for host in hosts:
        for name, one in host.vars.shared.items():
            owner = (one.owner or "") if isinstance(one, SharedThing) else ""
            first, other = found.setdefault(name, (owner, host.name))
            if first != owner:
                raise ConfigError(
                    f"{host.place.at(f'{PREFIX}shared', name)}: host {host.name} says that "
                    f"{owner or 'the controller'} keeps the lease of {name}, host {other} says "
                    f"{first or 'the controller'}",
                    hint="name one owner, best in group_vars of all hosts",
                )
    return tuple(SharedOwner(name, owner) for name, (owner, _) in sorted(found.items()) if owner)


def check_owners(hosts: Iterable[LabHost], known: Collection[str] | None) -> None:
    """Refuse a lease that a host of no inventory keeps.

    Args:
        hosts: The SUTs.
        known: All hosts of the inventory; None: unknown, and not compared.

    Raises:
        ConfigError: An owner is none of them.
    """
    if known is None:
        return
    for host in hosts:
        for name, one in host.vars.shared.items():
            if isinstance(one, SharedThing) and one.owner is not None and one.owner not in known:
                where = host.place.at(f"{PREFIX}shared", name, "owner")
                raise unknown_name("host of the inventory", one.owner, known, where=where)


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
