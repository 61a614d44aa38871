"""mirror.json: of every file of a mirror its digest, size, licence and what it is for; and the check against it.

Layout below the mirror's folder:

    mirror.json
    packages/<file>.whl                 wheels of hosts and controller, package files of components
    checkouts/<name>-<commit12>.pack    a pinned commit of a repository, as far as it is needed
    apt/<release>/…                     a flat Debian repository
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from filelock import FileLock, Timeout

from mlperf_ops.errors import BusyError, ConfigError, MlperfOpsError, ToolError
from mlperf_ops.files import read_json, sha256_file, write_json
from mlperf_ops.typed import dump, load

MANIFEST = "mirror.json"
PACKAGES = "packages"
CHECKOUTS = "checkouts"
APT = "apt"
NEW_PREFIX = ".new."
_LOCK = ".lock"
_LOCK_SECONDS = 5.0

FileKind = Literal["wheel", "component", "checkout", "os-package", "index"]
Fault = Literal["missing", "damaged", "foreign"]


@dataclass(frozen=True, slots=True)
class MirrorFile:
    """One file of a mirror."""

    name: str  # below the mirror's folder, with slashes
    sha256: str
    size_bytes: int
    kind: FileKind
    package: str
    version: str
    license: str  # SPDX name or the terms in words, as the package says; "unknown" when it does not
    purpose: tuple[str, ...]  # what it is for, such as "hosts, Python 3.11 on x86_64"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a mirror holds, and what of the wanted it does not."""

    files: tuple[MirrorFile, ...] = ()
    not_covered: tuple[str, ...] = ()  # one sentence each
    schema: int = 1

    def by_name(self) -> dict[str, MirrorFile]:
        """Return the files by their names."""
        return {one.name: one for one in self.files}

    def with_files(self, files: Iterable[MirrorFile]) -> Manifest:
        """Return a manifest with further files; purposes of the same file are joined."""
        known = self.by_name()
        for one in files:
            before = known.get(one.name)
            purposes = one.purpose + (before.purpose if before is not None else ())
            known[one.name] = MirrorFile(
                one.name, one.sha256, one.size_bytes, one.kind, one.package, one.version, one.license,
                tuple(sorted(set(purposes))),
            )  # fmt: skip
        return Manifest(tuple(known[name] for name in sorted(known)), self.not_covered)


@dataclass(frozen=True, slots=True)
class Verified:
    """What `verify` found: name -> what is wrong with it."""

    files: int
    size_bytes: int
    faults: dict[str, Fault] = field(default_factory=dict)


def read(folder: Path) -> Manifest:
    """Read a mirror's manifest.

    Raises:
        ConfigError: The folder is no mirror.
        ResultError: mirror.json is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ConfigError(f"{folder} is no mirror: it has no {MANIFEST}", hint="fill it with 'mlperf-ops mirror fetch'")
    manifest = load(Manifest, read_json(path), str(path))
    for one in manifest.files:
        require_inside(one.name, str(path))
    return manifest


def require_inside(name: str, where: str) -> None:
    """Refuse a name that leads out of the mirror's folder.

    Raises:
        ConfigError: It does, or it is no plain relative name.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or name != "/".join(parts):
        raise ConfigError(f"{where}: unexpected file name {name!r}", hint="get the mirror from its source again")


def write(folder: Path, manifest: Manifest) -> bool:
    """Write mirror.json when it is different; say whether it was."""
    return write_json(folder / MANIFEST, dump(manifest))


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Let one process at a time change a mirror, and say in one sentence what the file system refused.

    Raises:
        BusyError: Another process is at it.
        ToolError: The folder cannot be made or written, or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / _LOCK, timeout=_LOCK_SECONDS):
            yield
    except Timeout as error:
        raise BusyError(f"another process is changing the mirror {folder}", hint="wait until it has ended") from error
    except MlperfOpsError:
        raise
    except OSError as error:
        said = error.strerror or str(error)
        raise ToolError(
            f"the mirror {folder} cannot be written: {said}", hint="free space there, or choose another folder"
        ) from error


def actual_files(folder: Path) -> set[str]:
    """List what lies in a mirror besides its manifest and lock."""
    found = set()
    for base, folders, names in os.walk(folder):
        inner = Path(base).relative_to(folder)
        links = [name for name in folders if (Path(base) / name).is_symlink()]
        found |= {(inner / name).as_posix() for name in (*names, *links)}
    return found - {MANIFEST, _LOCK}


def verify(folder: Path) -> Verified:
    """Read every byte of a mirror and compare it with the manifest.

    Raises:
        ConfigError: The folder is no mirror.
        ToolError: A file cannot be read.
    """
    manifest = read(folder)
    faults: dict[str, Fault] = dict.fromkeys(actual_files(folder) - set(manifest.by_name()), "foreign")
    for one in manifest.files:
        path = folder / one.name
        if not path.is_file() or path.is_symlink():
            faults[one.name] = "missing"
        elif not is_good(path, one):
            faults[one.name] = "damaged"
    return Verified(len(manifest.files), sum(one.size_bytes for one in manifest.files), dict(sorted(faults.items())))


def is_good(path: Path, wanted: MirrorFile) -> bool:
    """Whether a file has the size and the digest of its row.

    Raises:
        ToolError: It cannot be read.
    """
    try:
        return path.stat().st_size == wanted.size_bytes and sha256_file(path) == wanted.sha256
    except OSError as error:
        raise ToolError(f"{path} cannot be read: {error.strerror or error}", hint="check the disk") from error
