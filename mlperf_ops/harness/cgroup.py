"""The memory group that this process is in: its limit, and whom the kernel ended in it. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_CONTROL = "/.control"  # where systemd puts what it runs for a unit beside its main process
_NO_LIMIT = 1 << 60  # version 1 says so by a number near the largest


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """What the kernel says of a group.

    Attributes:
        limit_bytes: None for no limit.
        oom_kills: Processes that the kernel's out-of-memory killer has ended in it.
    """

    limit_bytes: int | None
    oom_kills: int


def own(root: Path = Path("/")) -> MemoryGroup | None:
    """Read the group of this process; None where there is none to read."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        below = path.removesuffix(_CONTROL).lstrip("/")
        if "memory" in controllers.split(","):
            group = root / "sys/fs/cgroup/memory" / below
            return _read(group / "memory.limit_in_bytes", group / "memory.oom_control")
        if not controllers:
            group = root / "sys/fs/cgroup" / below
            found = _read(group / "memory.max", group / "memory.events")
            if found is not None:
                return found
    return None


def _read(limit: Path, events: Path) -> MemoryGroup | None:
    try:
        word = limit.read_text().strip()
        kills = [line.split()[1] for line in events.read_text().splitlines() if line.startswith("oom_kill ")]
    except OSError:
        return None
    most = None if word == "max" or int(word) >= _NO_LIMIT else int(word)
    return MemoryGroup(most, int(kills[0]) if kills else 0)
