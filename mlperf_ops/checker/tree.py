"""A submission tree as a walk over it found it (`mlperf_ops.checker.walk`): names, sizes and links.

A tree can note which of its folders and files a check looks at, so that the check's findings can be kept for as long as
nothing of these has changed (`mlperf_ops.checker.cache`).
"""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_READ_BYTES = 1 << 20
_NOTHING = array("q")


@dataclass(slots=True)
class Folder:
    """What a folder holds, by name; sizes in bytes. All but the names is of a walk with stamps only.

    Attributes:
        folders: Names of the folders in it, sorted.
        files: Name -> size of the files in it, sorted.
        odd: What else is in it, such as links with their targets, or was left out.
        states: Of each file and link in turn: times of modification and change in ns, file number, size in bytes.
        own: Its own times, number and device, where equal ones tell later that its names are the same; else empty.
        young: A file in it has just changed, and might change again without another time.
    """

    folders: list[str] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)
    odd: tuple[str, ...] = ()
    states: array[int] = field(default_factory=lambda: _NOTHING)
    own: array[int] = field(default_factory=lambda: _NOTHING)
    young: bool = False

    def is_as(self, earlier: Folder) -> bool:
        """Whether nothing in it came, went or changed since an earlier walk."""
        return (
            self.states == earlier.states
            and self.folders == earlier.folders
            and self.odd == earlier.odd
            and self.files.keys() == earlier.files.keys()
        )


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link.

    Attributes:
        location: Relative to the tree.
        target: As written in the link.
        problem: Why it cannot be submitted; None for a relative link to something inside the tree.
    """

    location: str
    target: str
    problem: str | None


@dataclass(slots=True)
class Touched:
    """What was looked at: folders by their names, files also by their contents.

    `facts`: what a check of the whole tree found out about single files, by location; it holds as long as their folder.
    """

    folders: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Tree:
    """The names below a folder. Locations are relative, with "/"; "" is the root.

    A check of a submitter, system or result has to ask through the methods, which note what it looks at. `stamped`: the
    folders have stamps, so that what is noted is of use. `narrowed` are the folders of which a walk for one submitter
    left something out: what they hold is more than is listed. `facts` are those of an earlier check that still hold.
    """

    root: Path
    stamped: bool = False
    folders: dict[str, Folder] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    narrowed: set[str] = field(default_factory=set)
    touched: Touched = field(default_factory=Touched)
    facts: Mapping[str, str] = field(default_factory=dict)

    def folder(self, location: str) -> Folder:
        """Return what a folder holds; an empty one when it does not exist."""
        self.touched.folders.add(location)
        return self.folders.get(location) or Folder()

    def has_folder(self, location: str) -> bool:
        """Whether there is such a folder."""
        self.touched.folders.add(location.rpartition("/")[0])
        return location in self.folders

    def size(self, location: str) -> int | None:
        """Return a file's size in bytes, or None when there is no such file."""
        parent, _, name = location.rpartition("/")
        self.touched.folders.add(parent)
        folder = self.folders.get(parent)
        return None if folder is None else folder.files.get(name)

    def path(self, location: str) -> Path:
        """Return the path of a location, to read it."""
        return Path(self.file(location))

    def file(self, location: str) -> str:
        """Return the path of a location as text, which is made quicker, to read it."""
        self.touched.folders.add(location.rpartition("/")[0])
        self.touched.files.add(location)
        return f"{self.root}/{location}"

    def read(self, location: str, most_bytes: int = sys.maxsize) -> bytes:
        """Read a file, at most so many bytes of it.

        Raises:
            OSError: It cannot be read.
        """
        path = self.file(location)
        parent, _, name = location.rpartition("/")
        known = self.folders.get(parent)
        # One more than there is: a regular file gives less than was asked for only at its end.
        asked = min(most_bytes, (0 if known is None else known.files.get(name, 0)) + 1)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            content = os.read(descriptor, asked)
            if len(content) < asked or asked == most_bytes:
                return content
            parts = [content]  # it has grown since the walk
            while part := os.read(descriptor, min(most_bytes - sum(map(len, parts)), _READ_BYTES)):
                parts.append(part)
            return b"".join(parts)
        finally:
            os.close(descriptor)


def join(parent: str, name: str) -> str:
    """Return the location of `name` in the folder `parent`."""
    return f"{parent}/{name}" if parent else name
