"""Look at a campaign: the controller's files, and the hosts where they are to be asked. Only reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlperf_ops.campaign.access import Reach, reach
from mlperf_ops.campaign.ask import TIMEOUT_SECONDS, ask
from mlperf_ops.campaign.model import Status
from mlperf_ops.campaign.obstacles import obstacles
from mlperf_ops.campaign.read import flags_of, plan_and_play
from mlperf_ops.campaign.summary import status_of
from mlperf_ops.campaign.waiting import waiting
from mlperf_ops.collected import read_collection
from mlperf_ops.doctor.model import Access
from mlperf_ops.errors import ResultError, ToolError
from mlperf_ops.smoke_files import without_inputs


def look(
    run: Path,
    inventory: str | None,
    reached: Reach | None = None,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    given: Path | None = None,
) -> Status:
    """Return where a campaign stands.

    Args:
        run: The results folder.
        inventory: As the user wrote it; None takes what the plan names.
        reached: How to reach the hosts that are asked; None asks nobody.
        timeout_seconds: For all hosts together.
        given: The results folder as the user wrote it, for the commands that are shown; None: by default.

    Raises:
        ResultError: The plan cannot be read.
    """
    plan, play = plan_and_play(run)
    collection = read_collection(run)
    return status_of(
        plan,
        str(run),
        collection,
        inventory=inventory or plan.inventory,
        asked=None if reached is None else ask(plan, collection.earlier, reached, timeout_seconds=timeout_seconds),
        obstacles=obstacles(run, play_goes_on=play is not None),
        waiting=waiting(run),
        lacking=without_inputs(run, plan),
        play=play,
        flags=flags_of(run, inventory or plan.inventory, given),
    )


def reach_hosts(run: Path, inventory: str | None, extra_vars: Sequence[str] = (), host: str | None = None) -> Reach:
    """Return how the hosts of a run are reached, or the one that is named.

    Raises:
        ConfigError: The inventory cannot be used.
        ResultError: The plan cannot be read.
        ToolError: Ansible could not resolve the connections.
    """
    found = reach(inventory or plan_and_play(run)[0].inventory, extra_vars)
    if host is None:
        return found
    return Reach(
        {name: one for name, one in found.access.items() if name == host},
        {name: one for name, one in found.problems.items() if name == host},
    )


def home_of(run: Path, host: str) -> str:
    """Return mlperf_home of a host of the plan.

    Raises:
        ResultError: The plan cannot be read, or has no such host.
    """
    plan, _ = plan_and_play(run)
    found = next((one.home for one in plan.hosts if one.name == host), "")
    if not found:
        raise ResultError(f"{run} does not say where host {host} keeps its runs", hint="its results were imported")
    return found


def way_to(host: str, reached: Reach) -> Access:
    """Return how a host is reached.

    Raises:
        ToolError: It cannot be.
    """
    if host in reached.problems:
        raise ToolError(reached.problems[host])
    if host not in reached.access:
        raise ToolError(
            f"the inventory has no host {host} that is measured or keeps a lease", hint="mlperf-ops plan -i INVENTORY"
        )
    return reached.access[host]
