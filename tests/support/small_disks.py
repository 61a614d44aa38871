"""Small file systems for tests of full disks, which are gone when a test ends, also when its session was killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

_SOURCE = "mlperf-ops-test-"  # with the pid of the session: whose mounts are left over is told by that


@contextlib.contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """Mount a tmpfs of that size on an existing folder.

    Raises:
        subprocess.CalledProcessError: This machine does not let a test mount a file system.
    """
    source = f"{_SOURCE}{os.getpid()}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", source, str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def unmount_left_over() -> None:
    """Unmount what killed sessions have left: pytest, which clears their folders, would stumble over it."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        source, point, *_ = line.split()
        pid = source.removeprefix(_SOURCE)
        if source != pid and not Path("/proc", pid).exists():
            subprocess.run(["umount", "-l", point], check=False, capture_output=True)
