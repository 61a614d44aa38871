"""A tree of simulated files: attributes with a reader and a writer, links, and folders that follow from the paths."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from tests.lab.hardware.values import error

Read: TypeAlias = Callable[[], str]
Write: TypeAlias = Callable[[str], None]
Present: TypeAlias = Callable[[], bool]

READ_ONLY = 0o444
READ_WRITE = 0o644
WRITE_ONLY = 0o200


@dataclass(frozen=True, slots=True)
class Attr:
    """A file: each read is made anew, and each ``write`` call is one value, as in sysfs.

    Attributes:
        read: gives the text, with its newline.
        write: takes the text as it was written; raises OSError with what the driver answers.
        mode: permission bits. As in sysfs they bind root too: a file without a w bit cannot be opened for writing.
    """

    read: Read
    write: Write | None = None
    mode: int = READ_ONLY


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: str


Node: TypeAlias = Attr | Link


def _always() -> bool:
    return True


class Tree:
    """Nodes by path (``/sys/devices/…``); a path can be absent at times, with all that is below it."""

    def __init__(self) -> None:
        """An empty tree."""
        self._nodes: dict[str, Node] = {}
        self._folders: dict[str, dict[str, None]] = {"/": {}}
        self._present: dict[str, Present] = {}

    def attr(self, path: str, read: Read, write: Write | None = None, *, mode: int | None = None) -> None:
        """Add a file; it is writable when it has a writer."""
        self.add(path, Attr(read, write, mode or (READ_WRITE if write else READ_ONLY)))

    def text(self, path: str, text: str, *, mode: int = READ_ONLY) -> None:
        """Add a file that always reads the same; a newline is added."""
        self.add(path, Attr(lambda: f"{text}\n", mode=mode))

    def link(self, path: str, target: str, *, present: Present = _always) -> None:
        """Add a symbolic link."""
        self.add(path, Link(target))
        self.when(path, present)

    def add(self, path: str, node: Node) -> None:
        """Add a node and the folders above it."""
        self._nodes[path] = node
        self._enter(path)

    def folder(self, path: str) -> None:
        """Add a folder that may stay empty."""
        self._folders.setdefault(path, {})
        self._enter(path)

    def when(self, path: str, present: Present) -> None:
        """Let a node or folder exist only while ``present()``."""
        if present is not _always:
            self._present[path] = present

    def _enter(self, path: str) -> None:
        while path != "/":
            parent, _, name = path.rpartition("/")
            parent = parent or "/"
            siblings = self._folders.setdefault(parent, {})
            if name in siblings:
                return
            siblings[name] = None
            path = parent

    def is_there(self, path: str) -> bool:
        """Whether the path exists now."""
        if path not in self._nodes and path not in self._folders:
            return False
        while path != "/":
            if not self._present.get(path, _always)():
                return False
            path = path.rpartition("/")[0] or "/"
        return True

    def node(self, path: str) -> Node | None:
        """The file or link at the path; None for a folder.

        Raises:
            OSError: ENOENT when there is nothing.
        """
        if not self.is_there(path):
            raise error(errno.ENOENT)
        return self._nodes.get(path)

    def file(self, path: str) -> Attr:
        """The file at the path.

        Raises:
            OSError: ENOENT when there is nothing, EISDIR or EINVAL when it is no file.
        """
        node = self.node(path)
        if node is None:
            raise error(errno.EISDIR)
        if isinstance(node, Link):
            raise error(errno.EINVAL)
        return node

    def names(self, path: str) -> Iterator[str]:
        """What a folder holds now.

        Raises:
            OSError: ENOENT when there is nothing, ENOTDIR when it is no folder.
        """
        if self.node(path) is not None:
            raise error(errno.ENOTDIR)
        base = "" if path == "/" else path
        return (name for name in self._folders[path] if self._present.get(f"{base}/{name}", _always)())

    def files(self) -> Iterator[str]:
        """Paths of all nodes, also of those that are absent now."""
        return iter(self._nodes)
