"""Who owns a results folder: one play or command at a time.

`results/<run_id>/owner.json` names the owner: the topmost `ansible-playbook` above the calling process, so that all
steps of one play share it, or else the caller itself. A dead owner never blocks: it is recognised by its pid, the start
time of that pid and the boot id of the machine, so a reused pid or a reboot cannot keep a folder busy.

The start times come from `/proc`. Where there is none, ownership falls back to the caller's pid.
"""

from __future__ import annotations

import fcntl
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from mlperf_ops.errors import BusyError, ResultError, ToolError
from mlperf_ops.files import pretty_json, read_json, write_atomic
from mlperf_ops.typed import load

OWNER_FILE = "owner.json"

_PLAYBOOK = "ansible-playbook"
_MAX_COMMAND_CHARACTERS = 200
_STAT_STATE, _STAT_PARENT, _STAT_START = 0, 1, 19  # places after the command name in /proc/<pid>/stat


@dataclass(frozen=True, slots=True)
class Owner:
    """owner.json: a process that cannot be mistaken for another one."""

    pid: int
    start_ticks: int | None  # field 22 of /proc/<pid>/stat: clock ticks after boot; None without /proc
    boot_id: str
    command: str  # without the values of extra variables, which may be secret


@dataclass(frozen=True, slots=True)
class _Process:
    parent: int
    start_ticks: int
    argv: tuple[str, ...]


def _process(pid: int) -> _Process | None:
    """Read a live process; a zombie has ended and counts as none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    if fields[_STAT_STATE] in {"Z", "X"}:
        return None
    argv = tuple(part.decode(errors="replace") for part in raw.rstrip(b"\0").split(b"\0"))
    return _Process(parent=int(fields[_STAT_PARENT]), start_ticks=int(fields[_STAT_START]), argv=argv)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def shown_command(argv: tuple[str, ...]) -> str:
    """Return a command line for people, without the values of `-e`: passwords are passed there."""
    shown: list[str] = []
    hide_next = False
    for part in argv:
        if hide_next:
            shown.append("…")
            hide_next = False
        elif part in {"-e", "--extra-vars"}:
            shown.append(part)
            hide_next = True
        elif part.startswith("--extra-vars=") or (part.startswith("-e") and not part.startswith("--")):
            shown.append("-e …")
        else:
            shown.append(shlex.quote(part))
    text = " ".join(shown)
    return text if len(text) <= _MAX_COMMAND_CHARACTERS else text[: _MAX_COMMAND_CHARACTERS - 1] + "…"


def _is_playbook(argv: tuple[str, ...]) -> bool:
    """Tell `ansible-playbook …` and `python /path/ansible-playbook …` from a command that only mentions it."""
    return any(os.path.basename(part) == _PLAYBOOK for part in argv[:2])


def current_owner(pid: int | None = None) -> Owner:
    """Return the owner that a process (default: this one) acts for."""
    start = os.getpid() if pid is None else pid
    chosen, chosen_process = start, _process(start)
    walk, process = start, chosen_process
    while process is not None and walk > 1:
        if _is_playbook(process.argv):
            chosen, chosen_process = walk, process
        walk = process.parent
        process = _process(walk)
    if chosen_process is None:
        return Owner(pid=chosen, start_ticks=None, boot_id=_boot_id(), command="")
    return Owner(chosen, chosen_process.start_ticks, _boot_id(), shown_command(chosen_process.argv))


def is_alive(owner: Owner) -> bool:
    """Tell whether this very process still runs on this boot of this machine."""
    if owner.boot_id != _boot_id():
        return False
    process = _process(owner.pid)
    if process is not None:
        return owner.start_ticks in {None, process.start_ticks}
    if Path("/proc/self/stat").exists():
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def read_owner(run: Path) -> Owner | None:
    """Return who owns a results folder; None when nobody ever did, or the file tells nothing usable."""
    path = run / OWNER_FILE
    if not path.is_file():
        return None
    try:
        return load(Owner, read_json(path), str(path))
    except ResultError:
        return None  # only an interrupted disk leaves this; a lock nobody can read must not block for ever


def acquire(run: Path, *, me: Owner | None = None) -> Owner:
    """Become the owner of `results/<run_id>`, or stay it.

    Args:
        run: The results folder; made when missing.
        me: The owner to enter; default: `current_owner()`.

    Raises:
        BusyError: Another live process owns the folder.
        ToolError: The folder cannot be written.
    """
    mine = me or current_owner()
    try:
        run.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(run, os.O_RDONLY)
    except OSError as error:
        raise ToolError(f"cannot use the results folder {run}: {error.strerror or error}") from error
    try:
        # Closes the gap between reading and writing owner.json; the kernel drops it with the descriptor.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        other = read_owner(run)
        if other is not None and other != mine and is_alive(other):
            raise BusyError(
                f"{run} is in use by process {other.pid} ({other.command}), as {run / OWNER_FILE} says",
                hint="wait until it has ended, or give this run another mlperf_run_id",
            )
        if other != mine:
            write_atomic(run / OWNER_FILE, pretty_json(asdict(mine)))
    finally:
        os.close(descriptor)
    return mine


def release(run: Path, owner: Owner) -> None:
    """Give a folder up when this process itself owns it; what a play owns stays the play's until it ends."""
    if owner.pid == os.getpid() and read_owner(run) == owner:
        (run / OWNER_FILE).unlink(missing_ok=True)


@contextmanager
def hold(run: Path) -> Iterator[Owner]:
    """Own a results folder for the time of a `with` block.

    Raises:
        BusyError: Another live process owns the folder.
        ToolError: The folder cannot be written.
    """
    owner = acquire(run)
    try:
        yield owner
    finally:
        release(run, owner)
