"""Look at a campaign: the controller's files, and the hosts where they are to be asked. Only reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlperf_ops.campaign.access import reach
from mlperf_ops.campaign.ask import TIMEOUT_SECONDS, ask
from mlperf_ops.campaign.model import Status
from mlperf_ops.campaign.obstacles import obstacles
from mlperf_ops.campaign.read import plan_and_play
from mlperf_ops.campaign.summary import status_of
from mlperf_ops.collected import read_collection


def look(  # what the command line says
    run: Path,
    inventory: str | None,
    *,
    live: bool,
    timeout_seconds: float = TIMEOUT_SECONDS,
    extra_vars: Sequence[str] = (),
    given: Path | None = None,
) -> Status:
    """Return where a campaign stands.

    Args:
        run: The results folder.
        inventory: As the user wrote it; None takes what the plan names.
        live: Ask the hosts.
        timeout_seconds: For all hosts together.
        extra_vars: Passed on to Ansible when it resolves how hosts are reached.
        given: The results folder as the user wrote it, for the commands that are shown; None: by default.

    Raises:
        ConfigError: The inventory cannot be used.
        ResultError: The plan cannot be read.
        ToolError: Ansible could not resolve the connections.
    """
    plan, play = plan_and_play(run)
    inventory = inventory or plan.inventory
    collection = read_collection(run)
    asked = None
    if live:
        asked = ask(plan, collection.earlier, reach(inventory, extra_vars), timeout_seconds=timeout_seconds)
    return status_of(
        plan,
        str(run),
        collection,
        inventory=inventory,
        asked=asked,
        obstacles=obstacles(run, play_goes_on=play is not None),
        play=play,
        flags=() if given is None else ("--results", str(given)),
    )
