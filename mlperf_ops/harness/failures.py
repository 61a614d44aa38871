"""Failures of a cell, told by the process that met them to the one that writes result.json.

Standard library only.
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

from mlperf_ops.model import Failure

FAILURE_FILE = "failure.json"
EXIT_FAILURE = 70
REBOOTED = "the host rebooted or lost power during the cell"
KILLED = "the cell's processes were killed (no reboot)"
# What libraries print when memory runs out, each in its own words.
_OUT_OF_MEMORY = (
    "bad_alloc",
    "Failed to allocate memory",
    "Memory allocation",
    "Cannot allocate memory",
    "Unable to allocate",
    "failed to map segment",
)


class CellError(Exception):
    """A cell cannot go on, and this says why in one sentence and what to do."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        """Keep the class of the failure ("wrong_tensor", "missing_data", …) beside its sentence."""
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint


def tells_of_memory(text: str) -> bool:
    """Whether a message is a library's way to say that memory ran out."""
    return any(words in text for words in _OUT_OF_MEMORY)


def tells_of_full_disk(text: str) -> bool:
    """Whether a message is the system's way to say that the disk is full."""
    return any(os.strerror(number) in text for number in (errno.ENOSPC, errno.EDQUOT))


def describe(error: BaseException) -> CellError:
    """Turn any exception into a CellError with the most useful kind."""
    if isinstance(error, CellError):
        return error
    text = str(error).strip() or type(error).__name__
    if isinstance(error, MemoryError) or tells_of_memory(text):
        return CellError("out_of_memory", f"memory ran out: {text}", "lower max_batch, streams or the sample count")
    if (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or tells_of_full_disk(text):
        return CellError("disk_full", f"no disk space is left for the run: {text}", "free space below mlperf_home")
    hint = getattr(error, "hint", None) or "the last lines of console.log show where"
    message = getattr(error, "message", None) or f"{type(error).__name__}: {text}"
    return CellError("bad_input" if hasattr(error, "exit_code") else "crash", message, hint)


def leave(error: BaseException, attempt: Path) -> None:
    """Leave the failure for the supervising process; a full disk must not hide the cause."""
    told = describe(error)
    try:
        (attempt / FAILURE_FILE).write_text(json.dumps([told.kind, told.message, told.hint]))
    except OSError as disk:
        print(f"failure: {told.kind}: {told.message} (and not recorded: {disk})", flush=True)  # noqa: T201  # console.log


def read(attempt: Path, last_lines: tuple[str, ...]) -> Failure | None:
    """Read what the process left, if it had the time."""
    path = attempt / FAILURE_FILE
    if not path.is_file():
        return None
    kind, message, hint = json.loads(path.read_text())
    return Failure(kind=kind, message=message, hint=hint, last_lines=last_lines)
