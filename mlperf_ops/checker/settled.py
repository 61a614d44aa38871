"""When the names in a folder are as an earlier walk found them.

A folder's own times change whenever a name in it comes, goes or becomes another file. Where they are the same, so are
its names, and only its files have to be looked at again. That is believed only on file systems that are known to keep
it, and never of a folder that changed shortly before it was read (cf. git's cache of untracked files).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

# A file or folder that changed this shortly before it was read may change again without another time (cf. git's index).
TOO_YOUNG_NS = 2_000_000_000
_KEEPERS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "zfs"})
_MOUNTS = Path("/proc/self/mountinfo")
_MOUNT_POINT, _BEFORE_TYPE = 4, "-"


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
