"""The systems of a results folder as their descriptions stand now, and what people still have to fill in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.catalogue import Catalogue, Round
from mlperf_ops.errors import MlperfOpsError
from mlperf_ops.lab_vars import PREFIX
from mlperf_ops.packed_systems import hosts_of_system, usage_of
from mlperf_ops.plan_model import Plan
from mlperf_ops.selection import ScenarioAttempts, select
from mlperf_ops.system import SystemDescription
from mlperf_ops.system_facts import Usage
from mlperf_ops.system_fields import FROM_RUNS
from mlperf_ops.system_hosts import describe_hosts


@dataclass(frozen=True, slots=True)
class RunSystem:
    """A system of a plan.

    Attributes:
        name: Its directory in the submission tree.
        hosts: All hosts of the plan that are it.
        description: None when there is none yet.
        problem: Why there is none.
    """

    name: str
    hosts: tuple[str, ...]
    description: SystemDescription | None
    problem: str | None


def run_systems(run: Path, plan: Plan, round_: Round, catalogue: Catalogue) -> tuple[RunSystem, ...]:
    """Describe the systems of a results folder from the facts and results that were collected so far."""
    pairs = select(run, plan, catalogue).scenarios
    made = []
    for system in dict.fromkeys(host.system for host in plan.hosts):
        planned = [host for host in plan.hosts if host.system == system]
        names = tuple(host.name for host in planned)
        divisions = (plan.division_of(cell) for cell in plan.cells if cell.cell.system == system)
        try:
            description = describe_hosts(
                round_,
                hosts_of_system(run, planned, system, names),
                division=next(divisions, plan.division),
                submitter=plan.submitter,
                usage=_usage(plan, system, [pair for pair in pairs if pair.performance.spec.cell.system == system]),
            )
        except MlperfOpsError as error:
            made.append(RunSystem(system, names, None, str(error)))
        else:
            made.append(RunSystem(system, names, description, None))
    return tuple(made)


def _usage(plan: Plan, system: str, pairs: list[ScenarioAttempts]) -> Usage:
    """Return what the results used; before there are any, what the plan asks for."""
    if pairs:
        return usage_of(system, pairs)
    backends = [cell.request.get("backend") for cell in plan.cells if cell.cell.system == system and cell.request]
    asked = [backend for backend in backends if isinstance(backend, dict)]
    return Usage(
        system=system,
        frameworks={str(backend["name"]): [] for backend in asked},
        devices=tuple(sorted({str(backend["device"]) for backend in asked})),
        source="plan",
    )


def to_fill_in(system: RunSystem, round_: Round) -> str:
    """Return the fields that only people know as YAML for the inventory, "" when nothing is missing.

    The values are empty: the plan refuses those that have to say something until somebody has given them.
    """
    if system.description is None or not set(system.description.unknown) - FROM_RUNS:
        return ""
    required = round_.system_description.non_empty
    unknown = sorted(system.description.unknown.items(), key=lambda item: item[0] not in required)
    unknown = [(key, reason) for key, reason in unknown if key not in FROM_RUNS]
    lines = [f"# host_vars of {', '.join(system.hosts)}, or group_vars of their common group", _HEAD]
    for key, reason in unknown:
        lines += [f"  # {reason}{'' if key in required else ' (may stay empty)'}", f'  {key}: ""']
    return "\n".join(lines) + "\n"


_HEAD = f"{PREFIX}system_description:"


def described(systems: Sequence[RunSystem]) -> dict[str, SystemDescription]:
    """Return the systems that have a description."""
    return {one.name: one.description for one in systems if one.description is not None}
