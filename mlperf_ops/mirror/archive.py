"""A mirror in one file, for a machine that no network reaches: export to a tar, import from it.

Both are whole or absent. An import trusts nothing in the archive: names must stay inside, every file must have the size
and digest of its row in the archive's own mirror.json, and a good file that is there already is never replaced by
another one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from mlperf_ops.errors import ConfigError, ResultError, ToolError
from mlperf_ops.mirror.manifest import (
    MANIFEST,
    NEW_PREFIX,
    Manifest,
    MirrorFile,
    held,
    is_good,
    read,
    require_inside,
    verify,
    write,
)
from mlperf_ops.typed import load

_CHUNK_BYTES = 1 << 20
_MAX_MANIFEST_BYTES = 64 << 20
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    added: tuple[str, ...]
    already: int


def export(folder: Path, target: Path) -> int:
    """Write a verified mirror into one tar file; return its size in bytes.

    Raises:
        ConfigError: The folder is no mirror.
        ToolError: A file of it is missing or damaged, or the target cannot be written; then it is not there.
    """
    found = verify(folder)
    bad = {name: what for name, what in found.faults.items() if what != "foreign"}
    if bad:
        name, what = next(iter(bad.items()))
        raise ToolError(
            f"{name} of the mirror {folder} is {what}, and {len(bad) - 1} more",
            hint="run 'mlperf-ops mirror fetch' again",
        )
    if not target.parent.is_dir():
        raise ConfigError(f"there is no folder {target.parent}", hint="is the stick mounted?")
    temporary = target.with_name(f".{target.name}.part")
    try:
        with temporary.open("wb") as stream:
            with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for name in (MANIFEST, *(one.name for one in read(folder).files)):
                    _add(tar, folder / name, name)
            stream.flush()
            os.fsync(stream.fileno())  # a stick is pulled out soon after
        os.replace(temporary, target)
    except OSError as error:
        raise _refused(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return target.stat().st_size


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    info = tarfile.TarInfo(name)
    info.size = path.stat().st_size
    info.mode = 0o644
    with path.open("rb") as stream:
        tar.addfile(info, stream)


def import_(archive: Path, folder: Path) -> Imported:
    """Take the files of an exported mirror into a mirror, which may hold others already.

    Raises:
        ConfigError: The archive is none, or names files outside of the mirror.
        ToolError: A file in it is damaged, another file of the same name is there, or the disk is full; then nothing of
            it was taken.
    """
    if not archive.is_file():
        raise ConfigError(f"there is no file {archive}", hint="give what 'mlperf-ops mirror export' wrote")
    with held(folder):
        for left in folder.glob(f"{NEW_PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
        mine = read(folder) if (folder / MANIFEST).is_file() else Manifest()
        with _reading(archive) as tar, tempfile.TemporaryDirectory(dir=folder, prefix=NEW_PREFIX) as work:
            theirs = _manifest(tar, archive)
            wanted = _wanted(folder, mine, theirs)
            _unpack(tar, archive, Path(work), wanted)
            for name in sorted(wanted):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(Path(work) / name, target)
            others = tuple(one for one in mine.files if one.name not in wanted)
            merged = replace(mine, files=others).with_files(theirs.files)
            sentences = tuple(sorted({*mine.not_covered, *theirs.not_covered}))
            write(folder, replace(merged, not_covered=sentences))
    return Imported(tuple(sorted(wanted)), len(theirs.files) - len(wanted))


@contextmanager
def _reading(archive: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(archive, mode="r:") as tar:
            yield tar
    except (tarfile.TarError, EOFError) as error:
        raise ConfigError(
            f"{archive} is no mirror that was exported, or is cut off: {error}", hint="export and copy it again"
        ) from error


def _manifest(tar: tarfile.TarFile, archive: Path) -> Manifest:
    """Read mirror.json, which comes first."""
    first = tar.next()
    stream = tar.extractfile(first) if first is not None and first.name == MANIFEST and first.isreg() else None
    if first is None or stream is None or first.size > _MAX_MANIFEST_BYTES:
        raise ConfigError(
            f"{archive} does not begin with {MANIFEST}", hint="give what 'mlperf-ops mirror export' wrote"
        )
    where = f"{MANIFEST} in {archive}"
    try:
        manifest = load(Manifest, json.loads(stream.read()), where)
    except ValueError as error:
        raise ResultError(f"{where} is not JSON: {error}") from error
    for one in manifest.files:
        require_inside(one.name, where)
        if one.name == MANIFEST or one.name.startswith("."):
            raise ConfigError(f"{where}: unexpected file name {one.name!r}", hint="export it again")
    return manifest


def _wanted(folder: Path, mine: Manifest, theirs: Manifest) -> dict[str, MirrorFile]:
    """Return what has to be unpacked.

    Raises:
        ToolError: A good file of the mirror has other bytes.
    """
    here = mine.by_name()
    wanted = {}
    for one in theirs.files:
        own = here.get(one.name)
        there = own is not None and (folder / one.name).is_file() and is_good(folder / one.name, own)
        if own is None or not there or (own.sha256 != one.sha256 and one.kind == "index"):
            wanted[one.name] = one
        elif own.sha256 != one.sha256:
            raise ToolError(
                f"{one.name} is in the mirror {folder} already, with other bytes than in the archive",
                hint="remove the one that is wrong, or import into another folder",
            )
    return wanted


def _unpack(tar: tarfile.TarFile, archive: Path, work: Path, wanted: dict[str, MirrorFile]) -> None:
    left = dict(wanted)
    for member in tar:
        require_inside(member.name, str(archive))
        one = left.pop(member.name, None)
        if one is None:
            continue
        stream = tar.extractfile(member) if member.isreg() else None
        if stream is None or not _copied(stream, work / member.name, one):
            raise ToolError(f"{one.name} in {archive} is damaged", hint="export and copy it again")
    if left:
        raise ToolError(f"{archive} lacks {min(left)}, and {len(left) - 1} more", hint="export and copy it again")


def _copied(stream: IO[bytes], path: Path, wanted: MirrorFile) -> bool:
    """Write a file and tell whether it has the right digest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with path.open("wb") as out:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            out.write(chunk)
    return digest.hexdigest() == wanted.sha256


def _refused(path: Path, error: OSError) -> ToolError:
    if error.errno in _DISK_FULL:
        return ToolError(f"no space is left for {path}", hint="use a larger disk; nothing was left behind")
    return ToolError(f"{path} cannot be written: {error.strerror or error}", hint="choose another place")
