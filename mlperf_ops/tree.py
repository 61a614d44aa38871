"""A derived folder as one value: compared as a whole, and swapped in as a whole.

Files are given as bytes, or as the path of a file to copy. They are copied and never linked: tools that people run on
a submission write into its files, and a link would let them change the raw result behind it.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from mlperf_ops.errors import ToolError
from mlperf_ops.files import sha256_file

Content: TypeAlias = bytes | Path
Files: TypeAlias = Mapping[PurePosixPath, Content]


def is_current(folder: Path, files: Files) -> bool:
    """Say whether a folder holds exactly these files: no other one, no link, no empty folder, the same bytes."""
    if not folder.is_dir() or folder.is_symlink():
        return False
    expected_folders = {parent for path in files for parent in path.parents} - {PurePosixPath()}
    found_files: set[PurePosixPath] = set()
    found_folders: set[PurePosixPath] = set()
    for path in folder.rglob("*"):
        relative = PurePosixPath(path.relative_to(folder).as_posix())
        if path.is_symlink():
            return False
        (found_folders if path.is_dir() else found_files).add(relative)
    if found_files != set(files) or found_folders != expected_folders:
        return False
    return all(is_same(folder / path, content) for path, content in files.items())


def is_same(path: Path, content: Content) -> bool:
    """Say whether a file holds exactly this content."""
    if isinstance(content, bytes):
        return path.stat().st_size == len(content) and path.read_bytes() == content
    return filecmp.cmp(path, content, shallow=False)


def replace(folder: Path, files: Files) -> None:
    """Make a folder hold exactly these files.

    The new folder is built beside the old one and takes its place by renaming, so that a crash leaves the old tree or
    the new one, possibly under its temporary name until the next call of `recover`.

    Raises:
        ToolError: The disk is full or the parent folder cannot be written; the old tree is as it was.
    """
    new, old = _temporary(folder)
    with _as_tool_error(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        recover(folder)
        try:
            for path, content in files.items():
                target = new / path
                target.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, bytes):
                    target.write_bytes(content)
                else:
                    shutil.copyfile(content, target)
            if folder.is_symlink() or folder.is_file():
                raise ToolError(f"{folder} is not a folder", hint="move it away; it is not mlperf-ops' own")
            if folder.exists():
                folder.rename(old)
            try:
                new.rename(folder)
            except OSError:
                if old.exists():
                    old.rename(folder)
                raise
        finally:
            shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def recover(folder: Path) -> bool:
    """Put right what an interrupted `replace` left: an old tree without a new one comes back, rests are removed.

    Returns:
        Whether there was anything to put right.

    Raises:
        ToolError: The parent folder cannot be written.
    """
    new, old = _temporary(folder)
    found = old.is_dir() or new.is_dir()
    with _as_tool_error(folder):
        if old.is_dir():
            if folder.exists():
                shutil.rmtree(old)
            else:
                old.rename(folder)
        if new.is_dir():
            shutil.rmtree(new)
    return found


def keep(source: Path, target: Path, sha256: str) -> bool:
    """Keep a file under another name as well, as a hard link where the file system can; say whether it was new.

    Args:
        source: A file that is never written again.
        target: Where else it shall be found.
        sha256: Digest of the source.

    Raises:
        ToolError: The target cannot be written.
    """
    with _as_tool_error(target):
        if is_kept(source, target, sha256):
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.new")
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, temporary)
        temporary.replace(target)
    return True


def is_kept(source: Path, target: Path, sha256: str) -> bool:
    """Say whether `keep` would find nothing to do."""
    return target.is_file() and (os.path.samefile(source, target) or sha256_file(target) == sha256)


def _temporary(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")


@contextlib.contextmanager
def _as_tool_error(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ToolError(f"cannot write {target}: {error.strerror or error}") from error
