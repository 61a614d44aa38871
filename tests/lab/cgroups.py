"""Groups of a lab: one for each host in every controller, below the groups that the tool itself runs in.

So the limits of whoever calls the tool hold for the hosts too. Three layouts exist: version 1 and hybrid (a hierarchy
for each controller), version 2 alone, and version 2 with systemd as the machine's PID 1. In the last one systemd owns
the tree, so nspawn asks it for a scope and nothing is made here.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from mlperf_ops.errors import ToolError
from tests.lab.machine import PREFIX

_PAYLOAD = "payload"  # nspawn's name for what runs in the host
_REMOVE_SECONDS = 5.0
_FREEZE_SECONDS = 5.0


def _mounts() -> list[tuple[str, Path, set[str]]]:
    """Return file system type, mount point and options of all cgroup mounts."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        if kind in {"cgroup", "cgroup2"}:
            found.append((kind, Path(left.split(" ")[4]), set(options.split(","))))
    return found


def hierarchies(pid: int | str = "self") -> dict[str, Path]:
    """Return the group of a process in each mounted hierarchy, by its controllers ("" for version 2)."""
    groups: dict[str, Path] = {}
    mounts = _mounts()
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for kind, point, options in mounts:
            same = set(controllers.split(",")) <= options if controllers else kind == "cgroup2"
            if same and (kind == "cgroup2") == (not controllers):
                groups.setdefault(controllers, point / path.lstrip("/"))
    return groups


def systemd_owns_them() -> bool:
    """Tell whether nspawn can and must ask the machine's systemd for a scope."""
    return Path("/run/systemd/system").is_dir() and set(hierarchies()) == {""}


def parents() -> list[Path]:
    """Return where the groups of a new lab go; empty where systemd makes them."""
    return [] if systemd_owns_them() else list(hierarchies().values())


def make(above: list[Path], lab_id: str, host: str) -> list[Path]:
    """Make the groups of a host and return them."""
    made = []
    for parent in above:
        lab = parent / f"{PREFIX}-{lab_id}"
        for group in (lab, lab / host):
            try:
                group.mkdir(exist_ok=True)
                # A new cpuset is empty, and no process can enter it before both are set.
                for name in ("cpuset.cpus", "cpuset.mems"):
                    own, outer = group / name, group.parent / name
                    if own.exists() and outer.exists() and not own.read_text().strip():
                        own.write_text(outer.read_text())
            except OSError as error:
                raise ToolError(
                    f"cannot make the cgroup {group}: {error.strerror}",
                    hint="are the cgroups of this machine writable?",
                ) from error
        made.append(lab / host)
    return made


def remove(above: list[Path], lab_id: str, host: str | None = None) -> list[Path]:
    """Remove the groups of a lab, or of one host of it, and return those that are still in use after some seconds."""
    tops = [parent / f"{PREFIX}-{lab_id}" for parent in above]
    left = [top / host if host else top for top in tops]
    until = time.monotonic() + _REMOVE_SECONDS
    while True:
        left = [top for top in left if not _remove_tree(top)]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.05)


def _remove_tree(top: Path) -> bool:
    for folder, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
    return not top.exists()


def _freezer(pid1: int) -> tuple[Path, str, str, str]:
    """Return the file that freezes a host, what freezes, what thaws, and what it reads when frozen."""
    groups = hierarchies(pid1)
    old = next((group for names, group in groups.items() if "freezer" in names.split(",")), None)
    group = old if old is not None else groups[""]
    if _PAYLOAD in group.parts:
        place = group.parts.index(_PAYLOAD)
        group = Path(*group.parts[: place + 1])
    if old is not None:
        return group / "freezer.state", "FROZEN", "THAWED", "FROZEN"
    return group / "cgroup.freeze", "1", "0", "1"


def freeze(pid1: int) -> None:
    """Stop all processes of the host with this PID 1, and return when they stand still.

    Raises:
        ToolError: They do not within some seconds.
    """
    path, word, _, reads = _freezer(pid1)
    until = time.monotonic() + _FREEZE_SECONDS
    path.write_text(word)
    while path.read_text().strip() != reads:
        if time.monotonic() > until:
            raise ToolError(f"{path} does not become {reads}")
        path.write_text(word)
        time.sleep(0.02)


def thaw(pid1: int) -> None:
    """Let them go on; no error when they do already."""
    path, _, word, _ = _freezer(pid1)
    path.write_text(word)


def is_frozen(pid1: int) -> bool:
    """Tell whether the host stands still."""
    path, _, _, reads = _freezer(pid1)
    try:
        return path.read_text().strip() != ("THAWED" if reads == "FROZEN" else "0")
    except OSError:
        return False
