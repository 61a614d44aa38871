"""One walk over a submission tree: names, sizes and links, without opening a file."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mlperf_ops.errors import SubmissionError


@dataclass(slots=True)
class Folder:
    """What a folder holds, by name; sizes in bytes."""

    folders: list[str] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)


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
class Tree:
    """The names below a folder. Locations are relative, with "/"; "" is the root."""

    root: Path
    folders: dict[str, Folder] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)

    def folder(self, location: str) -> Folder:
        """Return what a folder holds; an empty one when it does not exist."""
        return self.folders.get(location) or Folder()

    def has_folder(self, location: str) -> bool:
        """Whether there is such a folder."""
        return location in self.folders

    def size(self, location: str) -> int | None:
        """Return a file's size in bytes, or None when there is no such file."""
        parent, _, name = location.rpartition("/")
        return self.folder(parent).files.get(name)

    def path(self, location: str) -> Path:
        """Return the absolute path of a location."""
        return self.root / location


def join(parent: str, name: str) -> str:
    """Return the location of `name` in the folder `parent`."""
    return f"{parent}/{name}" if parent else name


def read_tree(root: Path) -> Tree:
    """Walk a submission tree. Links are noted; only one to a file inside the tree counts as a file itself.

    Raises:
        SubmissionError: There is no such folder.
    """
    if not root.is_dir():
        raise SubmissionError(
            f"{root} is not a folder", hint="give the folder that holds the divisions, such as results/<run>/submission"
        )
    tree = Tree(root)
    pending = [""]
    while pending:
        location = pending.pop()
        folder = tree.folders[location] = Folder()
        try:
            with os.scandir(root / location) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            tree.unreadable[location] = error.strerror or str(error)
            continue
        for entry in found:
            here = join(location, entry.name)
            if entry.is_symlink():
                _note_link(tree, folder, entry, here)
            elif entry.is_dir(follow_symlinks=False):
                folder.folders.append(entry.name)
                pending.append(here)
            else:
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    folder.files[entry.name] = status.st_size
                else:  # reading a pipe or a device might never end
                    tree.unreadable[here] = "it is no regular file"
    return tree


def _note_link(tree: Tree, folder: Folder, entry: os.DirEntry[str], location: str) -> None:
    target = os.readlink(entry.path)
    resolved = os.path.realpath(entry.path)
    problem: str | None = None
    if not os.path.exists(resolved):
        problem = "it leads nowhere"
    elif PurePosixPath(target).is_absolute():
        problem = "it is absolute"
    elif not (resolved + os.sep).startswith(os.path.realpath(tree.root) + os.sep):
        problem = "it leads out of the tree"
    tree.links.append(Link(location, target, problem))
    if problem is None and os.path.isfile(resolved):
        folder.files[entry.name] = os.path.getsize(resolved)
