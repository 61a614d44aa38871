"""Processes of a lab, found by what they are and never by a remembered number alone: numbers are reused."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.lab.machine import NETNS

SUPERVISOR = Path(__file__).with_name("supervise.sh")
PROXY = Path(__file__).with_name("proxy.py")

_TURN_SECONDS = 0.02


def argv_of(pid: int) -> tuple[str, ...]:
    """Return the command line of a live process; empty for one that has ended."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(part.decode(errors="replace") for part in raw.rstrip(b"\0").split(b"\0")) if raw else ()


def all_pids() -> list[int]:
    """Return the numbers of all processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _matching(test: Callable[[tuple[str, ...]], bool]) -> list[int]:
    return [pid for pid in all_pids() if test(argv_of(pid))]


def supervisors(folder: Path) -> list[int]:
    """Return the supervisors of the hosts whose folders are `folder` or lie below it."""
    name = SUPERVISOR.name
    return _matching(
        lambda argv: len(argv) > 2 and os.path.basename(argv[1]) == name and Path(argv[2]).is_relative_to(folder)
    )


def containers(folder: Path) -> list[int]:
    """Return the nspawn processes of the hosts whose folders are `folder` or lie below it."""

    def is_ours(argv: tuple[str, ...]) -> bool:
        if not argv or os.path.basename(argv[0]) != "systemd-nspawn":
            return False
        return any(Path(part.partition("=")[2]).is_relative_to(folder) for part in argv if part.startswith("--dir"))

    return _matching(is_ours)


def proxies(folder: Path) -> list[int]:
    """Return the proxies of the lab in a folder."""
    return _matching(
        lambda argv: (
            len(argv) > 2 and os.path.basename(argv[-2]) == PROXY.name and Path(argv[-1]).is_relative_to(folder)
        )
    )


def children(pid: int) -> list[int]:
    """Return the direct children of a process."""
    with contextlib.suppress(OSError):
        return [int(part) for part in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [other for other in all_pids() if parent(other) == pid]


def parent(pid: int) -> int:
    """Return the parent of a process; 0 for one that has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat[stat.rindex(")") + 2 :].split()[1])


def pid1(folder: Path) -> int | None:
    """Return the PID 1 of the running host in a folder, as the machine counts it."""
    found = containers(folder)  # while it starts, nspawn's own children still have its command line
    for container in found:
        for child in children(container):
            if child not in found:
                return child
    return None


def in_namespaces(names: Iterable[str]) -> list[int]:
    """Return the processes in any of these network namespaces; never one of the caller's own namespace."""
    wanted = {_identity(str(NETNS / name)) for name in names}
    wanted -= {None, _identity("/proc/self/ns/net")}
    return [pid for pid in all_pids() if wanted and _identity(f"/proc/{pid}/ns/net") in wanted]


def _identity(path: str) -> tuple[int, int] | None:
    try:
        told = os.stat(path)
    except OSError:
        return None
    return told.st_dev, told.st_ino


def kill(pids: Iterable[int], *, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to processes; those that have ended are fine."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_until(gone: Callable[[], bool], seconds: float) -> bool:
    """Ask again and again until something is true; say whether it became so."""
    until = time.monotonic() + seconds
    while not gone():
        if time.monotonic() > until:
            return False
        time.sleep(_TURN_SECONDS)
    return True
