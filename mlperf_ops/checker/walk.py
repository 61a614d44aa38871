"""One walk over a submission tree: names, sizes and links, without opening a file."""

from __future__ import annotations

import operator
import os
import sys
import time
from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from mlperf_ops.checker import settled
from mlperf_ops.checker.tree import Folder, Link, Tree, join
from mlperf_ops.errors import SubmissionError

STATE = 4  # numbers of a file's state: times of modification and change, file number, size
_HALF, _ALL = 1 << 63, 1 << 64
_name = operator.attrgetter("name")


def read_tree(
    root: Path, submitter: str | None = None, *, stamps: bool = False, known: Mapping[str, Folder] | None = None
) -> Tree:
    """Walk a submission tree. Links are noted; only one to a file inside the tree counts as a file itself.

    Args:
        root: The tree.
        submitter: Leave out the folders of all other submitters.
        stamps: Also note of each folder what tells it from an earlier one.
        known: What an earlier walk with stamps found, by location. Folders that are as they were are taken from it.

    Raises:
        SubmissionError: There is no such folder.
    """
    if not root.is_dir():
        raise SubmissionError(
            f"{root} is not a folder", hint="give the folder that holds the divisions, such as results/<run>/submission"
        )
    tree = Tree(root, stamped=stamps)
    _walk(tree, submitter, known or {}, stamps=stamps)
    tree.links.sort(key=lambda link: link.location.split("/"))
    return tree


def _walk(tree: Tree, submitter: str | None, known: Mapping[str, Folder], *, stamps: bool) -> None:
    """Read all folders. One process does: to send half of the names to another one takes as long as to find them."""
    pending = [""]
    root = str(tree.root)
    newest_ns = time.time_ns() - settled.TOO_YOUNG_NS
    lasting = stamps and submitter is None and settled.keeps_times(tree.root)
    device = os.stat(root).st_dev
    while pending:
        location = pending.pop()
        place = f"{root}/{location}"
        try:
            # Before its names: if these change meanwhile, its own state is another one the next time.
            status = os.stat(place) if lasting else None
            # Another device is another file system, mounted there.
            own = _own(status) if status is not None and status.st_dev == device else None
            earlier = known.get(location) if own else None
            if earlier is not None and own == earlier.own and _holds(earlier, place):
                tree.folders[location] = earlier
                pending += _places(location, earlier)
                continue
            with os.scandir(place) as entries:
                found = sorted(entries, key=_name)
        except OSError as error:
            tree.folders[location] = Folder()
            tree.unreadable[location] = error.strerror or str(error)
            continue
        folder = tree.folders[location] = Folder()
        only = submitter if location and "/" not in location else None
        states = _note(tree, location, folder, found, only, stamps=stamps)
        pending += _places(location, folder)
        if stamps:
            folder.states = _numbers(states)
            folder.young = max((*states[::STATE], *states[1::STATE]), default=0) > newest_ns
            if own and not folder.odd and max(own[:2]) <= newest_ns:
                folder.own = own


def _places(location: str, folder: Folder) -> list[str]:
    return [f"{location}/{name}" for name in folder.folders] if location else folder.folders.copy()


def _holds(earlier: Folder, place: str) -> bool:
    """Whether the files of a folder whose names are the same are as they were, and had not just changed then."""
    if earlier.young:
        return False
    states: list[int] = []
    try:
        for name in earlier.files:
            status = os.lstat(f"{place}/{name}")
            states += (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)
    except OSError:
        return False
    return _numbers(states) == earlier.states


def _note(
    tree: Tree, location: str, folder: Folder, found: list[os.DirEntry[str]], only: str | None, *, stamps: bool
) -> list[int]:
    """Note what a folder holds; return the states of its files and links, none without `stamps`.

    Args:
        tree: Where links and what cannot be read are noted.
        location: The folder.
        folder: What to fill.
        found: What is in it, in order.
        only: Leave out all other folders in it; None: none.
        stamps: Also look at the states.
    """
    folders, files = folder.folders, folder.files
    states: list[int] = []
    odd: list[str] = []
    for entry in found:
        name = sys.intern(entry.name)  # most names are in many folders
        if entry.is_dir(follow_symlinks=False):
            if only is None or name == only:
                folders.append(name)
            else:
                tree.narrowed.add(location)
                odd.append("")  # it is not as it is with the others
        elif entry.is_file(follow_symlinks=False):
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError as error:  # it was there a moment ago
                tree.unreadable[join(location, name)] = error.strerror or str(error)
                odd.append(name)
                continue
            files[name] = status.st_size
            if stamps:
                states += (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)
        elif entry.is_symlink():
            states += _note_link(tree, folder, entry, join(location, name))
            odd += (name, tree.links[-1].target)
        else:  # reading a pipe or a device might never end
            tree.unreadable[join(location, name)] = "it is no regular file"
            odd.append(name)
    folder.odd = tuple(odd)
    return states


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


def _state(status: os.stat_result) -> tuple[int, ...]:
    """Return what tells a file from an earlier one: it was changed, replaced, or moved here."""
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size


def _own(status: os.stat_result) -> array[int]:
    """Return what tells a folder from an earlier one with other names in it."""
    return _numbers((status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev))


def _numbers(states: Iterable[int]) -> array[int]:
    """Return an array of 64-bit numbers; a time before 1970 is negative, and a file number may have the highest bit."""
    try:
        return array("q", states)
    except OverflowError:
        return array("q", [(one + _HALF) % _ALL - _HALF for one in states])
