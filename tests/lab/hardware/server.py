# ruff: noqa: ARG002  # the signatures are libfuse's
"""The FUSE process of one simulated machine.

``python -m tests.lab.hardware.server MOUNTPOINT LAYOUT CPUS PACKAGES THREADS`` stays in the foreground, has one
thread, and ends when its mount is gone. Each ``write`` call is one value and each
``open`` reads anew, as in sysfs; nothing is cached (direct_io). Needs libfuse 2 or 3.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
import time
from typing import Any

import mfusepy

from tests.lab.hardware.cpus import Topology
from tests.lab.hardware.machine import Machine
from tests.lab.hardware.tree import Attr, Link
from tests.lab.hardware.values import error

_NS_GET_PARENT = 0xB702  # linux/nsfs.h
_SYSFS_SIZE = 4096
_ROOT_READS, _ROOT_WRITES, _OTHERS_READ, _OTHERS_WRITE = 0o400, 0o200, 0o004, 0o002
_FOLDER_MODE = 0o755


class Files(mfusepy.Operations):  # type: ignore[misc]
    """The tree of a machine as file system operations."""

    use_ns = True

    def __init__(self, machine: Machine) -> None:
        """Serve the machine."""
        self.machine = machine
        self._texts: dict[int, bytes] = {}
        self._next = 1
        self._boots = Boots()
        self._since = time.time_ns()

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        """Owner is root; files of sysfs have the size of a page, those of /proc none."""
        self._maybe_rebooted()
        node = self.machine.tree.node(path)
        links, size = 1, 0
        if node is None:
            mode, links = stat.S_IFDIR | _FOLDER_MODE, 2
        elif isinstance(node, Link):
            mode = stat.S_IFLNK | 0o777
        else:
            mode, size = stat.S_IFREG | node.mode, 0 if path.startswith("/proc") else _SYSFS_SIZE
        times = dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), self._since)
        return {"st_mode": mode, "st_nlink": links, "st_size": size, "st_uid": 0, "st_gid": 0, **times}

    def readdir(self, path: str, fh: int) -> list[str]:
        """The names that are there now."""
        return [".", "..", *self.machine.tree.names(path)]

    def readlink(self, path: str) -> str:
        """The target of a link."""
        node = self.machine.tree.node(path)
        if not isinstance(node, Link):
            raise error(errno.EINVAL)
        return node.target

    def open(self, path: str, flags: int) -> int:
        """Check permissions, for root too, as sysfs and /proc/sys do."""
        attr = self.machine.tree.file(path)
        how = flags & os.O_ACCMODE
        if how in (os.O_WRONLY, os.O_RDWR):
            self._allow(attr, _ROOT_WRITES, _OTHERS_WRITE)
            self.machine.refusal_to_open(path)
        if how in (os.O_RDONLY, os.O_RDWR):
            self._allow(attr, _ROOT_READS, _OTHERS_READ)
        self._next += 1
        return self._next

    @staticmethod
    def _allow(attr: Attr, root: int, others: int) -> None:
        uid = mfusepy.fuse_get_context()[0]
        if not attr.mode & (root if uid == 0 else others):
            raise error(errno.EACCES)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """A read from the start asks the driver; later ones go on in what it said."""
        if offset == 0 or fh not in self._texts:
            self._texts[fh] = self.machine.tree.file(path).read().encode()
        return self._texts[fh][offset : offset + size]

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """One value, wherever the file position is."""
        try:
            text = data.decode()
        except UnicodeDecodeError as bad:
            raise error(errno.EINVAL) from bad
        self.machine.write(path, text)
        return len(data)

    def release(self, path: str, fh: int) -> int:
        """Forget what was read."""
        self._texts.pop(fh, None)
        return 0

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        """Accepted and without effect, so that ``echo x > file`` works."""
        self.machine.tree.file(path)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        """Accepted and without effect, like the following two."""
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        """Accepted and without effect."""
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        """Accepted and without effect."""
        return 0

    def create(self, path: str, mode: int, fi: Any = None) -> int:  # noqa: ANN401  # mfusepy's own type
        """Nobody can make files in sysfs: EACCES."""
        raise error(errno.EACCES)

    def mkdir(self, path: str, mode: int) -> int:
        """EPERM."""
        raise error(errno.EPERM)

    def unlink(self, path: str) -> int:
        """EPERM."""
        raise error(errno.EPERM)

    def rename(self, old: str, new: str) -> int:
        """EPERM."""
        raise error(errno.EPERM)

    def statfs(self, path: str) -> dict[str, int]:
        """Nothing to give away."""
        return {"f_bsize": _SYSFS_SIZE, "f_namemax": 255}

    def _maybe_rebooted(self) -> None:
        if self._boots.is_new(mfusepy.fuse_get_context()[2]):
            self.machine.boot()


class Boots:
    """Tells the boots of a host apart: each has a process namespace of its own, one level below this process's.

    The mount survives a reboot of the host, but a real machine forgets its knobs. Containers inside a host are two
    levels below and mean nothing.
    """

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._own = os.stat("/proc/self/ns/pid").st_ino
        self._host: int | None = None
        self._pinned: int | None = None

    def is_new(self, pid: int) -> bool:
        """Whether a process is the first one seen of a boot that follows another boot."""
        try:
            number = os.stat(f"/proc/{pid}/ns/pid").st_ino
            if number in (self._own, self._host):
                return False
            namespace = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        if not self._is_child(namespace):
            os.close(namespace)
            return False
        # Held open until the next boot: its number would else be given to the next namespace.
        if self._pinned is not None:
            os.close(self._pinned)
        first = self._host is None
        self._host, self._pinned = number, namespace
        return not first

    def _is_child(self, namespace: int) -> bool:
        try:
            parent = fcntl.ioctl(namespace, _NS_GET_PARENT)
        except OSError:
            return False
        try:
            return os.fstat(parent).st_ino == self._own
        finally:
            os.close(parent)


def main(argv: list[str]) -> None:
    """Serve until the mount is gone."""
    mountpoint, layout, cpus, packages, threads = argv
    machine = Machine(layout, Topology(int(cpus), int(packages), int(threads)))
    mfusepy.FUSE(
        Files(machine),
        mountpoint,
        foreground=True,
        nothreads=True,
        direct_io=True,
        allow_other=True,
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
        fsname=f"simulated-{layout}",
        subtype="lab",
    )


if __name__ == "__main__":
    main(sys.argv[1:])
