"""What keeps hosts of a run from running cells, as the controller's files tell. Only reads."""

from __future__ import annotations

from pathlib import Path

from mlperf_ops.doctor import record
from mlperf_ops.errors import ResultError
from mlperf_ops.files import read_json

DROPPED = "dropped.json"


def obstacles(run: Path, *, play_goes_on: bool = False) -> dict[str, str]:
    """Return a sentence for each host that the preflight left out, or that dropped out of the last play.

    Args:
        run: The results folder.
        play_goes_on: A play works on it now: who dropped out of the one before is no obstacle any more.
    """
    dropped = {} if play_goes_on else _dropped(run)
    # A host that the preflight left out is not merely without results: it says why.
    return {**dropped, **{name: f"the preflight left it out: {why}" for name, why in record.blocked(run).items()}}


def _dropped(run: Path) -> dict[str, str]:
    try:
        hosts = read_json(run / DROPPED).get("hosts")
    except ResultError:
        return {}  # no host dropped out, or nobody can tell: that is no obstacle
    return {
        name: f"it dropped out at '{one.get('task', '')}': {one.get('message', '')}"
        for name, one in (hosts if isinstance(hosts, dict) else {}).items()
        if isinstance(one, dict)
    }
