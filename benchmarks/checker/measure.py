"""Run a command and say what it and its processes took."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_EVERY_SECONDS = 0.05
_SHARE = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)  # proportional: a page of two processes counts half for each


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took.

    Attributes:
        wall_s: From start to end.
        cpu_s: User and system time of all its processes.
        largest_mb: Peak memory of its largest process.
        all_mb: Peak of what all its processes hold together; pages that they share count once.
        exit_code: Its exit code.
    """

    wall_s: float
    cpu_s: float
    largest_mb: float
    all_mb: float
    exit_code: int


def measure(command: Sequence[str], folder: Path | None = None) -> Cost:
    """Run a command to its end, its output thrown away."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    peak = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_EVERY_SECONDS):
            peak[0] = max(peak[0], sum(_share_kb(pid) for pid in _family(process.pid)))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    done.set()
    watcher.join()
    return Cost(
        round(wall_s, 2),
        round(usage.ru_utime + usage.ru_stime, 2),
        round(usage.ru_maxrss / 1024, 1),
        round(peak[0] / 1024, 1),
        process.returncode,
    )


def _family(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        except OSError:
            continue
        found.extend(map(int, children.split()))
    return found


def _share_kb(pid: int) -> int:
    try:
        found = _SHARE.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0
