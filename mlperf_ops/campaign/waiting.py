"""Which cells wait for a shared thing now: each host's worker notes it in `results/<run>/waiting/<host>.json`.

A note counts while the process that wrote it lives, so that a killed controller leaves nobody waiting.
"""

from __future__ import annotations

from pathlib import Path

from mlperf_ops.errors import MlperfOpsError
from mlperf_ops.files import read_json, write_json
from mlperf_ops.lease import book

FOLDER = "waiting"


def note(run: Path, host: str, cell: str, sentence: str) -> None:
    """Note what a host's cell waits for; "" when it waits no more.

    Raises:
        ToolError: The note cannot be written.
    """
    path = run / FOLDER / f"{host}.json"
    if not sentence:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"schema": 1, "host": host, "cell": cell, "reason": sentence, "process": book.this_process()})


def waiting(run: Path) -> dict[tuple[str, str], str]:
    """Return for what and behind whom cells wait, by host and cell."""
    found = {}
    for path in sorted((run / FOLDER).glob("*.json")):
        try:
            told = read_json(path)
            if not book.is_dead(told):
                found[str(told["host"]), str(told["cell"])] = str(told["reason"])
        except (MlperfOpsError, OSError, KeyError, TypeError):  # noqa: PERF203  # a file for each host
            continue  # it was taken back just now, or is of another version: no obstacle that anybody can name
    return found
