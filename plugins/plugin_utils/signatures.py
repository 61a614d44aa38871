"""Signatures of files by what the kernel says of them: names, sizes, times and file numbers. No content is read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_BYTECODE = "__pycache__"  # comes and goes by itself


class Signature(NamedTuple):
    """Of the files below some folders: a digest, and when the newest of them was written."""

    digest: str
    newest_ns: int


def signature(paths: Iterable[Path], leave_out: Collection[Path] = ()) -> Signature:
    """Return the signature of files and of all files below folders; what does not exist has one, too.

    Args:
        paths: Files and folders.
        leave_out: Files and folders that do not count.

    Raises:
        OSError: A folder cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    newest_ns = 0
    left_out = {str(path) for path in leave_out}
    for path in paths:
        digest.update(f"{path}\n".encode(errors="surrogateescape"))
        for name, state in _files(str(path), left_out):
            parts: tuple[int, ...] = ()
            if state is not None:
                parts = (state.st_mode, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
                newest_ns = max(newest_ns, state.st_mtime_ns)  # a hard link more is a change, but none of the content
            digest.update(f"{name}\n{parts}\n".encode(errors="surrogateescape"))
    return Signature(digest.hexdigest(), newest_ns)


def _files(path: str, left_out: set[str]) -> Iterator[tuple[str, os.stat_result | None]]:
    """Yield files and folders in the order of their names, folders without their times, which follow their files."""
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        yield path, os.stat(path)
        return
    for entry in entries:
        if entry.path in left_out or entry.name == _BYTECODE:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield entry.path, None
            yield from _files(entry.path, left_out)
        else:
            yield entry.path, entry.stat(follow_symlinks=False)
