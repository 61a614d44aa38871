"""One walk over a submission tree: names, sizes and links, without opening a file.

A tree can note which of its folders and files a check looks at, so that the check's findings can be kept for as long as
nothing of these has changed (`mlperf_ops.checker.cache`).
"""

from __future__ import annotations

import operator
import os
import stat
import sys
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mlperf_ops.checker.listing import Listing, folder_state, is_settled, keeps_times
from mlperf_ops.errors import SubmissionError

_READ_BYTES = 1 << 20
_STATE = 4  # numbers of a file's state
_ALL_BITS = (1 << 64) - 1  # a time before 1970 is negative
_name = operator.attrgetter("name")


@dataclass(slots=True)
class Folder:
    """What a folder holds, by name; sizes in bytes.

    Attributes:
        folders: Names of the folders in it, sorted.
        files: Name -> size of the files in it, sorted.
        stamp: Changes when a name, size, time or file number in it changes; empty when the walk was without stamps.
        newest_ns: Time of the latest change of a file in it; 0 when the walk was without stamps.
        plain: It holds nothing but files and folders.
        state: Its own state, where an equal one tells later that its names are the same; empty where none does.
    """

    folders: list[str] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)
    stamp: bytes = b""
    newest_ns: int = 0
    plain: bool = False
    state: Sequence[int] = ()


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
        return self.folder(parent).files.get(name)

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


def read_tree(root: Path, submitter: str | None = None, *, stamps: bool = False, known: Listing | None = None) -> Tree:
    """Walk a submission tree. Links are noted; only one to a file inside the tree counts as a file itself.

    Args:
        root: The tree.
        submitter: Leave out the folders of all other submitters.
        stamps: Also stamp every folder.
        known: What an earlier walk with stamps over all submitters found.

    Raises:
        SubmissionError: There is no such folder.
    """
    if not root.is_dir():
        raise SubmissionError(
            f"{root} is not a folder", hint="give the folder that holds the divisions, such as results/<run>/submission"
        )
    tree = Tree(root, stamped=stamps)
    _walk(tree, submitter, known or Listing(), stamps=stamps)
    tree.links.sort(key=lambda link: link.location.split("/"))
    return tree


def _walk(tree: Tree, submitter: str | None, known: Listing, *, stamps: bool) -> None:
    """Read all folders. One process does: to send half of the names to another one takes as long as to find them."""
    pending = [""]
    root = str(tree.root)
    started_ns = time.time_ns()
    lasting = stamps and submitter is None and keeps_times(tree.root)
    device = os.stat(root).st_dev
    while pending:
        location = pending.pop()
        folder = tree.folders[location] = Folder()
        place = f"{root}/{location}"
        try:
            # Before its names: if these change meanwhile, its state is another one the next time.
            own = os.stat(place) if lasting else None
            # Another device is another file system, mounted there.
            state = folder_state(own) if own is not None and own.st_dev == device else []
            if state and (names := known.names(location, state)) and _look_again(folder, place, *names):
                folder.state = state
                pending += _places(location, folder)
                continue
            with os.scandir(place) as entries:
                found = sorted(entries, key=_name)
        except OSError as error:
            tree.unreadable[location] = error.strerror or str(error)
            continue
        only = submitter if location and "/" not in location else None
        _note(tree, location, folder, found, only, stamps=stamps)
        pending += _places(location, folder)
        if state and folder.plain and is_settled(state, started_ns):
            folder.state = state


def _places(location: str, folder: Folder) -> list[str]:
    return [f"{location}/{name}" for name in folder.folders] if location else folder.folders.copy()


def _note(
    tree: Tree, location: str, folder: Folder, found: list[os.DirEntry[str]], only: str | None, *, stamps: bool
) -> None:
    """Note what a folder holds.

    Args:
        tree: Where links and what cannot be read are noted.
        location: The folder.
        folder: What to fill.
        found: What is in it, in order.
        only: Leave out all other folders in it; None: none.
        stamps: Also stamp it.
    """
    folders, files = folder.folders, folder.files
    states: list[int] = []
    newest_ns = 0
    odd: list[str] = []  # what else the stamp tells: links, what is no file, what was left out
    for entry in found:
        name = sys.intern(entry.name)  # most names are in many folders
        if entry.is_dir(follow_symlinks=False):
            if only is None or name == only:
                folders.append(name)
            else:
                tree.narrowed.add(location)
                odd.append("")  # its stamp is another one than that of a folder without the others
        elif entry.is_file(follow_symlinks=False):
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError as error:  # it was there a moment ago
                tree.unreadable[join(location, name)] = error.strerror or str(error)
                odd.append(name)
                continue
            files[name] = status.st_size
            if stamps:
                modified_ns, changed_ns = status.st_mtime_ns, status.st_ctime_ns
                states += (modified_ns, changed_ns, status.st_ino, status.st_size)
                newest_ns = max(newest_ns, modified_ns, changed_ns)
        elif entry.is_symlink():
            told = _note_link(tree, folder, entry, join(location, name))
            states += told
            newest_ns = max(newest_ns, *told[::_STATE], *told[1::_STATE])
            odd += (name, tree.links[-1].target)
        else:  # reading a pipe or a device might never end
            tree.unreadable[join(location, name)] = "it is no regular file"
            odd.append(name)
    if stamps:
        folder.stamp, folder.newest_ns, folder.plain = _stamp(folder, states, odd), newest_ns, not odd


def _look_again(folder: Folder, place: str, folders: list[str], files: list[str]) -> bool:
    """Look at the files of a folder whose names are known; False where one is not what it was, and nothing is noted.

    Args:
        folder: What to fill.
        place: Its path.
        folders: Names of the folders in it.
        files: Names of the files in it.
    """
    states: list[int] = []
    sizes: dict[str, int] = {}
    newest_ns = 0
    try:
        for name in files:
            status = os.lstat(f"{place}/{name}")
            if not stat.S_ISREG(status.st_mode):
                return False
            modified_ns, changed_ns, size = status.st_mtime_ns, status.st_ctime_ns, status.st_size
            sizes[name] = size
            states += (modified_ns, changed_ns, status.st_ino, size)
            newest_ns = max(newest_ns, modified_ns, changed_ns)
    except OSError:
        return False
    folder.folders, folder.files = folders, sizes
    folder.stamp, folder.newest_ns = _stamp(folder, states, []), newest_ns
    return True


def _state(status: os.stat_result) -> tuple[int, ...]:
    """Return what tells a file from an earlier one: it was changed, replaced, or moved here."""
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size


def _stamp(folder: Folder, states: list[int], odd: list[str]) -> bytes:
    """Return what tells a folder from an earlier one: the names in it, and the states of its files one by one."""
    names = "\0".join((*folder.folders, "", *folder.files, "", *odd)).encode(errors="surrogateescape")  # none is empty
    try:
        told = array("Q", states).tobytes()
    except OverflowError:
        told = array("Q", [state & _ALL_BITS for state in states]).tobytes()
    return b"%08x%b%b" % (len(names), names, told)


def _note_link(tree: Tree, folder: Folder, entry: os.DirEntry[str], location: str) -> tuple[int, ...]:
    target, own = os.readlink(entry.path), _state(entry.stat(follow_symlinks=False))
    resolved = os.path.realpath(entry.path)
    problem: str | None = None
    if not os.path.exists(resolved):
        problem = "it leads nowhere"
    elif PurePosixPath(target).is_absolute():
        problem = "it is absolute"
    elif not (resolved + os.sep).startswith(os.path.realpath(tree.root) + os.sep):
        problem = "it leads out of the tree"
    tree.links.append(Link(location, target, problem))
    if not os.path.isfile(resolved):
        return own
    status = os.stat(resolved)
    if problem is None:
        folder.files[entry.name] = status.st_size
    return own + _state(status)
