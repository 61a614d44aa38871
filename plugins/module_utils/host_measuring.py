"""What a host measures right now, and for which run. Looks only: taking the lock could keep a cell from starting.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError

_HARNESS = "mlperf_ops.harness"
_ATTEMPT = "--attempt"


class Measuring(NamedTuple):
    """A cell that runs."""

    cell: str
    run_id: str  # "" where it cannot be told


def measuring(home: Path) -> Measuring | None:
    """Return the cell that runs, None for none.

    The harness writes "<cell> (pid N)" into runs/.lock and holds it for as long as the cell runs. Which run it is for
    is told by the folder of its attempt, runs/<run id>/….
    """
    try:
        purpose = (home / "runs" / ".lock").read_text(encoding="utf-8").strip()
        pid = int(purpose.rpartition("(pid ")[2].rstrip(")"))
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (OSError, ValueError):
        return None
    if _HARNESS not in command:
        return None
    run_id = ""
    if _ATTEMPT in command[:-1]:
        attempt = command[command.index(_ATTEMPT) + 1]
        first = os.path.relpath(attempt, str(home / "runs")).split(os.sep)[0]
        run_id = "" if first in {os.curdir, os.pardir} else first  # started through another name of the same folder
    return Measuring(purpose.partition(" (pid ")[0], run_id)


def require_no_other_run(home: Path, run_id: str) -> None:
    """Refuse to change what the next cells of another run rely on, and to disturb the one that runs.

    Raises:
        HostError: A cell of another run is being measured.
    """
    now = measuring(home)
    if now is not None and now.run_id and now.run_id != run_id:
        raise HostError(
            f"run '{now.run_id}' measures {now.cell} on this host, so nothing below {home} was changed",
            f"wait until run '{now.run_id}' has ended",
        )
