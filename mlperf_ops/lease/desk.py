"""Ask the host that owns a shared thing: in this process where it is this machine, else by one command over SSH."""

from __future__ import annotations

import functools
import json
import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from mlperf_ops.campaign.ask import LOCAL, run_script
from mlperf_ops.campaign.look import quoted_home
from mlperf_ops.doctor.model import Access, Progress
from mlperf_ops.doctor.ssh_settings import HostProblemError
from mlperf_ops.errors import ToolError
from mlperf_ops.files import JsonObject
from mlperf_ops.lease import book

FOLDER_VARIABLE = "MLPERF_OPS_LEASES"
TIMEOUT_SECONDS = 15.0
THIS_MACHINE = Access(LOCAL, "")
_END = "MLPERF_OPS_LEASE_BOOK"

# Whether a cell runs on a host. The kernel's own list of locks is read, because trying the lock would hold it for a
# moment, and a cell that starts just then would be refused.
_EVIDENCE = r"""
cd "$home" 2>/dev/null || { echo ended; exit 0; }
[ -s runs/.lock ] || { echo ended; exit 0; }
inode=$(stat -c %i runs/.lock) || exit 1
grep -q ":$inode " /proc/locks || { echo ended; exit 0; }
read -r lock < runs/.lock
case "$lock" in '' | "$cell "*) echo alive ;; *) echo ended ;; esac
"""


def folder() -> str:
    """Return the folder of the books on every owner."""
    return os.environ.get(FOLDER_VARIABLE) or book.FOLDER


def asked(
    access: Access, requests: Sequence[JsonObject], *, timeout_seconds: float = TIMEOUT_SECONDS
) -> list[JsonObject]:
    """Do requests of `book.perform` on an owner, and return the answers.

    Raises:
        ToolError: The owner cannot be reached, or its book cannot be used.
    """
    if access.connection == LOCAL:
        # No process of its own: where controller and SUT are one machine, it would show in a latency.
        told = book.answer(Path(folder()), [dict(one) for one in requests])
    else:
        python = access.python if access.python.startswith("/") else "python3"
        words = shlex.join([python, "-", folder(), json.dumps(list(requests))])
        told = _parsed(_run(access, f"exec {words} <<'{_END}'\n{_source()}\n{_END}\n", timeout_seconds))
    if "error" in told:
        raise ToolError(f"the leases on {where_text(access)} cannot be used: {told['error']}")
    return cast("list[JsonObject]", told["answers"])


def evidence(access: Access, home: str, cell: str) -> bool | None:
    """Whether a host runs a cell now; None where it cannot be asked."""
    try:
        said = _run(access, f"home={quoted_home(home)}\ncell={shlex.quote(cell)}\n{_EVIDENCE}", TIMEOUT_SECONDS)
    except ToolError:
        return None
    words = said.decode(errors="replace").split()
    return {"alive": True, "ended": False}.get(words[-1] if words else "")


def where_of(access: Access) -> str:
    """Return what two controllers call a host alike: the address that is connected to, or which machine this is."""
    if access.connection == LOCAL:
        return f"this machine {book.boot_id()} {book.pid_space()}"
    return f"{access.address}:{access.port or 22}"


def where_text(access: Access) -> str:
    """Return an owner in words."""
    return "this machine" if access.connection == LOCAL else access.address


def _run(access: Access, script: str, timeout_seconds: float) -> bytes:
    deadline = time.monotonic() + timeout_seconds
    try:
        return run_script(access, script, Progress(deadline, deadline))
    except HostProblemError as problem:
        remedy = f" ({problem.remedy})" if problem.remedy else ""
        raise ToolError(f"{where_text(access)} cannot be asked about leases: {problem.message}{remedy}") from None


def _parsed(said: bytes) -> JsonObject:
    lines = said.decode(errors="replace").strip().splitlines()
    try:
        return cast("JsonObject", json.loads(lines[-1] if lines else ""))
    except ValueError:
        return {"error": f"python3 said '{lines[-1]}'" if lines else "it has no python3 that works"}


@functools.cache
def _source() -> str:
    return Path(book.__file__).read_text(encoding="utf-8")
