"""What a host holds below mlperf_home: verify cheaply, unpack whole or not at all, record.

Runs on a host's own Python (3.8 or newer), standard library only. The digests are those of `mlperf_ops.files`; a test
keeps the two equal.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK_BYTES = 1 << 20
_IGNORED_FOLDER = "__pycache__"  # what Python itself leaves in a folder is not its content
_LOCK_NAME = ".provision.lock"


class HostError(Exception):
    """A failure that the user reads as one sentence, with a hint that says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep both apart."""
        super().__init__(message if not hint else f"{message} ({hint})")


def pretty_json(value: object) -> str:
    """Serialise as `mlperf_ops.files.pretty_json`."""
    return json.dumps(value, sort_keys=True, indent=2, allow_nan=False) + "\n"


def write_atomic(path: Path, text: str) -> bool:
    """Write a text file whole or not at all, unless it already holds the text; say whether it changed."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
    return True


def sha256_file(path: Path) -> str:
    """Return the hexadecimal sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while True:
            chunk = stream.read(_CHUNK_BYTES)
            if not chunk:
                return digest.hexdigest()
            digest.update(chunk)


def _files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and _IGNORED_FOLDER not in path.relative_to(folder).parts
    )


def sha256_path(path: Path) -> str:
    """Return the digest of a file, or one digest over the names and contents of a folder."""
    if not path.is_dir():
        return sha256_file(path)
    names = sorted((item.relative_to(path).as_posix(), item) for item in _files(path))
    listing = [[name, sha256_file(item)] for name, item in names]
    return hashlib.sha256(json.dumps(listing, separators=(",", ":")).encode()).hexdigest()


def signature(path: Path) -> str:
    """Return what changes when anybody touches a file or folder: number of files, bytes, times of change.

    Reads no content, so that a no-change run costs a host almost nothing.
    """
    digest = hashlib.sha256()
    for item in _files(path) if path.is_dir() else [path]:
        stat = item.stat()
        digest.update(f"{item}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ino}\n".encode())
    return digest.hexdigest()


class Ledger:
    """state/store.json: the digests that were read once, with the signature of what was read."""

    def __init__(self, home: Path) -> None:
        """Read it; a ledger that cannot be read is an empty one, and everything is read again."""
        self._path = home / "state" / "store.json"
        self._entries: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            loaded = json.loads(self._path.read_text(encoding="utf-8"))
            self._entries = loaded["entries"] if loaded.get("schema") == 1 else {}

    def digest(self, path: Path) -> str:
        """Return the sha256 of a path, read only when its signature is not the recorded one."""
        now = signature(path)
        entry = self._entries.get(str(path), {})
        if entry.get("signature") != now:
            entry = {"signature": now, "sha256": sha256_path(path)}
            self._entries[str(path)] = entry
        return str(entry["sha256"])

    def save(self) -> None:
        """Write what is still there."""
        kept = {name: entry for name, entry in self._entries.items() if os.path.lexists(name)}
        write_atomic(self._path, pretty_json({"schema": 1, "entries": kept}))


def expand(text: str) -> Path:
    """Return an absolute path; `~` is the home folder of the user that the module runs as."""
    path = Path(os.path.expanduser(text))
    if not path.is_absolute():
        raise HostError(f"'{text}' is not an absolute path", "set mlperf_home to one, or to one that starts with ~")
    return path


def require_usable(home: Path, needed_bytes: int) -> None:
    """Make sure that the home can be written and has room.

    Args:
        home: mlperf_home; need not exist yet.
        needed_bytes: Free space that the next step takes.

    Raises:
        HostError: It cannot be written, or there is too little space; one sentence.
    """
    there = home
    while not os.path.exists(there) and there != there.parent:  # unlike Path.exists, False where it may not look
        there = there.parent
    if not there.is_dir():
        raise HostError(f"mlperf_home {home} cannot be made: {there} is not a folder", "set mlperf_home elsewhere")
    if not os.access(there, os.W_OK | os.X_OK):
        raise HostError(f"mlperf_home {home} cannot be written: no permission on {there}", "set mlperf_home elsewhere")
    stat = os.statvfs(there)
    if stat.f_flag & os.ST_RDONLY:
        raise HostError(f"mlperf_home {home} is on a read-only file system", "set mlperf_home elsewhere")
    free_bytes = stat.f_bavail * stat.f_frsize
    if free_bytes < needed_bytes:
        raise HostError(
            f"mlperf_home {home} has {free_bytes >> 20} MiB free, {needed_bytes >> 20} MiB are needed",
            "free some space or set mlperf_home to a larger disk",
        )


@contextlib.contextmanager
def held(home: Path) -> Iterator[None]:
    """Let one controller at a time change what a host holds.

    Raises:
        HostError: Another one is at it.
    """
    state = home / "state"
    state.mkdir(parents=True, exist_ok=True)
    with (state / _LOCK_NAME).open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise HostError(f"another play is provisioning {home}", "wait until it has ended") from error
        yield


def extract(archive: Path, target: Path) -> None:
    """Unpack one of our own tar files into a folder."""
    with tarfile.open(archive) as tar:
        for member in tar:
            stream = tar.extractfile(member)
            if stream is None or member.name.startswith("/") or ".." in member.name.split("/"):
                raise HostError(f"{archive.name} holds an unexpected entry '{member.name}'", "run the play again")
            path = target / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with stream, path.open("wb") as out:
                shutil.copyfileobj(stream, out)


def install(archive: Path, folder: Path, member: str, sha256: str) -> None:
    """Unpack an archive so that its folder is there with the right digest, or not at all.

    Args:
        archive: Tar file on this host.
        folder: Where the content goes; replaced when it is there already.
        member: The file inside that is the content; empty when the whole folder is.
        sha256: Digest of the content.

    Raises:
        HostError: What arrived has another digest, or the disk is full.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        extract(archive, temporary)
        found = sha256_path(temporary / member if member else temporary)
        if found != sha256:
            raise HostError(f"{folder.name} arrived with sha256 {found}, expected {sha256}", "run the play again")
        os.chmod(temporary, 0o755)  # noqa: S103  # mkdtemp's 0700 would hide components from other users of the host
        if folder.exists():
            shutil.rmtree(folder)
        os.rename(temporary, folder)
    except OSError as error:
        raise HostError(f"cannot unpack into {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
