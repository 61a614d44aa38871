"""The names in folders as an earlier walk found them, for folders that have not changed since.

A folder's own times change whenever a name in it comes, goes or becomes another file. Where they are the same, so are
its names, and only its files have to be looked at again. That is believed only on file systems that are known to keep
it, and never of a folder that changed shortly before it was read (cf. git's cache of untracked files).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# A file or folder that changed this shortly before it was read may change again without another time (cf. git's index).
TOO_YOUNG_NS = 2_000_000_000
_KEEPERS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "zfs"})
_MOUNTS = Path("/proc/self/mountinfo")
_MOUNT_POINT, _BEFORE_TYPE = 4, "-"
_STATE = 4  # numbers of a folder's state


def folder_state(status: os.stat_result) -> list[int]:
    """Return what tells a folder from an earlier one with other names in it."""
    return [status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]


def is_settled(state: Sequence[int], started_ns: int) -> bool:
    """Whether a later change of a folder gives it another state, for names read after a time."""
    return max(state[:2]) <= started_ns - TOO_YOUNG_NS


def keeps_times(root: Path, mounts: Path = _MOUNTS) -> bool:
    """Whether the file system of a folder is known to keep the time of every change of names."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
        place = os.path.realpath(root) + "/"
    except OSError:
        return False
    longest, kind = "", ""
    for line in lines:
        fields = line.split(" ")
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[_MOUNT_POINT]).rstrip("/") + "/"
        if place.startswith(point) and len(point) >= len(longest):  # the last of several at one place counts
            longest, kind = point, fields[fields.index(_BEFORE_TYPE) + 1]
    return kind in _KEEPERS


@dataclass(frozen=True, slots=True)
class Listing:
    """What an earlier walk found.

    Attributes:
        texts: Names, by number.
        rows: By location of the folder: its state, how many folders it holds, and the numbers of their names and of
            the names of its files.
    """

    texts: Sequence[str] = ()
    rows: Mapping[str, list[int]] = field(default_factory=dict)

    def names(self, location: str, state: list[int]) -> tuple[list[str], list[str]] | None:
        """Return the names of the folders and files in a folder that has this state; None where they are not known."""
        row = self.rows.get(location)
        if row is None or row[:_STATE] != state:
            return None
        texts, files = self.texts, _STATE + 1 + row[_STATE]
        return [texts[number] for number in row[_STATE + 1 : files]], [texts[number] for number in row[files:]]
