"""The systems of a plan as packing describes them: whose facts count, and what the packed runs used."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mlperf_ops import documents
from mlperf_ops.errors import ResultError
from mlperf_ops.plan_model import PlannedHost
from mlperf_ops.selection import ScenarioAttempts
from mlperf_ops.system_facts import Usage, load_facts
from mlperf_ops.system_hosts import SystemHost


def hosts_of_system(run: Path, hosts: Iterable[PlannedHost], system: str, names: Iterable[str]) -> list[SystemHost]:
    """Return the hosts whose facts describe a system.

    An imported host that brings no facts takes those of the other hosts of its system.

    Args:
        run: The results folder.
        hosts: Of the plan.
        system: The system.
        names: Hosts that ran something of it.

    Raises:
        ResultError: A host's facts.json is missing or has another form.
    """
    wanted = set(names)
    all_of_it = [host for host in hosts if host.system == system]
    ran = [host for host in all_of_it if host.name in wanted]
    speaking = [host for host in ran if _tells(run, host)] or [host for host in all_of_it if _tells(run, host)] or ran
    return [host_of_system(run, host) for host in speaking]


def _tells(run: Path, host: PlannedHost) -> bool:
    return bool(host.home) or (run / "hosts" / host.name / "facts.json").exists()


def host_of_system(run: Path, host: PlannedHost) -> SystemHost:
    """Return a planned host with the facts that were collected from it.

    Raises:
        ResultError: facts.json is missing or has another form.
    """
    path = run / "hosts" / host.name / "facts.json"
    if not path.exists():
        raise ResultError(
            f"no facts were collected from host {host.name}: there is no {path}", hint="run playbooks/collect.yml"
        )
    facts = load_facts(path)
    # A host of imported results has no home.
    return SystemHost(host.name, host.system_type, host.system_description, facts, typed=bool(host.home))


def usage_of(system: str, pairs: list[ScenarioAttempts]) -> Usage:
    """Return what the packed runs of a system used, each version once."""
    specs = [attempt.spec for pair in pairs for attempt in (pair.performance, pair.accuracy)]
    versions: dict[str, set[str]] = {}
    for spec in specs:
        versions.setdefault(spec.backend.name, set())
        for name, version in spec.packages.items():
            versions.setdefault(name, set()).add(version)
    frameworks = {spec.backend.name for spec in specs}
    return Usage(
        system=system,
        frameworks={name: sorted(versions[name]) for name in frameworks},
        software={
            name: sorted(found)
            for name, found in versions.items()
            if name not in frameworks and name != documents.HARNESS
        },
        devices=tuple(sorted({spec.backend.device for spec in specs})),
    )
