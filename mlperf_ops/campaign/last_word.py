"""What is said of a play that was cut off: what goes on on the hosts without it, and how to go on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

from mlperf_ops.campaign.live import look, reach_hosts
from mlperf_ops.campaign.model import DONE, TO_COME, Status
from mlperf_ops.campaign.show import progress
from mlperf_ops.errors import MlperfOpsError
from mlperf_ops.runlock import read_owner
from mlperf_ops.wording import plural

INTERRUPTED = 99
"""What ansible-playbook exits with after Ctrl-C."""
_SHELL_BASE = 128


def was_cut_off(returncode: int) -> bool:
    """Tell whether a play did not come to its own end.

    Args:
        returncode: Of its process; negative: the signal that ended it.
    """
    return returncode < 0 or returncode == INTERRUPTED


def exit_code(returncode: int) -> int:
    """Return what a shell would make of it."""
    return returncode if returncode >= 0 else _SHELL_BASE - returncode


def how_it_ended(returncode: int) -> str:
    """Say how a play was cut off."""
    if returncode >= 0:
        return "the play was interrupted"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    return f"the play was killed ({name})"


def run_of(pid: int) -> Path | None:
    """Return the results folder that a process has worked on; None when it did not come that far."""
    for path in sorted(Path("results").glob("*/owner.json")):
        owner = read_owner(path.parent)
        if owner is not None and owner.pid == pid:
            return path.parent
    return None


def last_words(run: Path, inventory: str, extra_vars: list[str], again: str) -> Iterator[str]:
    """Ask the hosts what goes on there, and yield a sentence for each cell, and how to go on.

    Args:
        run: The results folder.
        inventory: As the user wrote it.
        extra_vars: For Ansible, which resolves how hosts are reached.
        again: The command that goes on.
    """
    try:
        status = look(run, inventory, reach_hosts(run, inventory, extra_vars))
    except MlperfOpsError as error:
        yield f"what goes on on the hosts is not known: {error}"
        yield f"cells that run go on without it; to take their results and run the rest: {again}"
        return
    yield from _on_hosts(status)
    left = sum(1 for cell in status.cells if cell.state in TO_COME)
    done = sum(1 for cell in status.cells if cell.state in DONE)
    yield f"{plural(done, 'cell')} of {len(status.cells)} {'is' if done == 1 else 'are'} done, {left} left"
    if left:
        yield f"to go on, which takes what runs now and starts no cell twice: {again}"


def _on_hosts(status: Status) -> Iterator[str]:
    running = [cell for cell in status.cells if cell.state == "running"]
    for cell in running:
        yield f"{cell.key} goes on on {cell.host} without it, and keeps its result: {progress(cell)}"
    if not running:
        yield "no cell of it runs on a host that answers"
    for host in status.hosts:
        if host.state in {"unreachable", "unknown"}:
            yield f"{host.name} does not say what it runs: {host.detail}"
