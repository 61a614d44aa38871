"""What a host holds below mlperf_home: verify cheaply or in full, unpack whole or not at all, record.

A digest that was read once is trusted while nothing says that the file was touched (size, times of change, inode) and
the machine has not booted since. Before cells run everything is read in full: a disk that gives other bytes than it was
given changes no time.

Runs on a host's own Python (3.8 or newer), standard library only. The digests are those of `mlperf_ops.files`; a test
keeps the two equal.
"""

from __future__ import annotations

import contextlib
import errno
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
    from collections.abc import Iterator, Mapping

_CHUNK_BYTES = 1 << 20
_IGNORED_FOLDER = "__pycache__"  # what Python itself leaves in a folder is not its content
_LOCK_NAME = ".provision.lock"
_LEFTOVERS = ("store/*/.*", "harness/.*", ".python.*")  # temporary folders that a killed module leaves
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


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
    raw = text.encode("utf-8")
    if path.is_file() and path.read_bytes() == raw:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
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
    return listing_sha256(read_folder(path)) if path.is_dir() else sha256_file(path)


def read_folder(folder: Path) -> dict[str, str]:
    """Read every file of a folder; return name -> sha256."""
    return {item.relative_to(folder).as_posix(): sha256_file(item) for item in _files(folder)}


def listing_sha256(listing: Mapping[str, str]) -> str:
    """Return the digest of a folder with these files."""
    rows = [[name, listing[name]] for name in sorted(listing)]
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


def listing_path(folder: Path) -> Path:
    """Return where the digests of a folder's files are kept, beside it."""
    return folder.parent / f".{folder.name}.files"


def listing_text(listing: Mapping[str, str]) -> str:
    """Serialise as `sha256sum` does."""
    return "".join(f"{listing[name]}  {name}\n" for name in sorted(listing))


def parse_listing(text: str) -> dict[str, str]:
    """Read what `listing_text` wrote."""
    rows = (line.partition("  ") for line in text.splitlines())
    return {name: sha256 for sha256, _, name in rows}


def differences(wanted: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """Compare two listings; return name -> "damaged", "missing" or "foreign"."""
    faults = {name: "missing" for name in wanted if name not in found}
    faults.update({name: "foreign" for name in found if name not in wanted})
    faults.update({name: "damaged" for name in wanted if name in found and wanted[name] != found[name]})
    return dict(sorted(faults.items()))


def faults_of(folder: Path, sha256: str) -> dict[str, str]:
    """Read a part of a store in full and name the files that are not as they were brought.

    Args:
        folder: `<component>/<sha12>`, or another folder that `install` made.
        sha256: Digest of its content or the first digits of it: of the folder, or of the one file in it.

    Returns:
        name -> what is wrong; the name is "" when the whole is wrong and nothing says which file it is.
    """
    found = read_folder(folder)
    if listing_sha256(found).startswith(sha256) or (len(found) == 1 and next(iter(found.values())).startswith(sha256)):
        return {}
    if len(found) == 1:
        return {next(iter(found)): "damaged"}
    try:
        wanted = parse_listing(listing_path(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        wanted = {}
    return differences(wanted, found) if listing_sha256(wanted).startswith(sha256) else {"": "damaged"}


def boot_id() -> str:
    """Return what is different after each boot; empty where the kernel does not tell."""
    try:
        return Path(_BOOT_ID).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def signature(path: Path) -> str:
    """Return what changes when anybody touches a file or folder: number of files, bytes, times of change.

    Reads no content, so that a no-change run costs a host almost nothing. Unlike the time of modification nobody can
    set the time of change back.
    """
    digest = hashlib.sha256()
    for item in _files(path) if path.is_dir() else [path]:
        stat = item.stat()
        times = f"{stat.st_mtime_ns}\0{stat.st_ctime_ns}"
        digest.update(f"{item}\0{stat.st_size}\0{times}\0{stat.st_ino}\n".encode())
    return digest.hexdigest()


class Ledger:
    """state/store.json: the digests that were read once, with the signature of what was read, and the boot."""

    def __init__(self, home: Path, *, full: bool = False) -> None:
        """Read it; a ledger that cannot be read is an empty one, and everything is read again.

        Args:
            home: mlperf_home.
            full: Trust nothing that this very ledger has not read.
        """
        self._path = home / "state" / "store.json"
        self._entries: dict[str, Any] = {}
        self._boot = boot_id()
        self._full = full
        self._fresh: set[str] = set()
        with contextlib.suppress(OSError, ValueError):
            loaded = json.loads(self._path.read_text(encoding="utf-8"))
            self._entries = loaded["entries"] if loaded.get("schema") == 1 else {}

    def digest(self, path: Path) -> str:
        """Return the sha256 of a path, read only when what was read before cannot be trusted."""
        now = signature(path)
        known = self.known(path, now)
        if known is None:
            known = sha256_path(path)
            self.note(path, now, known)
        return known

    def known(self, path: Path, now: str) -> str | None:
        """Return the digest of a path whose signature is `now`, None when it has to be read."""
        entry = self._entries.get(str(path), {})
        if entry.get("signature") != now:
            return None
        trusted = str(path) in self._fresh or (not self._full and entry.get("boot") == self._boot)
        return str(entry["sha256"]) if trusted else None

    def note(self, path: Path, now: str, sha256: str) -> None:
        """Keep a digest that was just read."""
        self._entries[str(path)] = {"signature": now, "sha256": sha256, "boot": self._boot}
        self._fresh.add(str(path))

    def paths(self) -> list[Path]:
        """Return what was read once."""
        return [Path(name) for name in sorted(self._entries)]

    def forget(self, path: Path) -> None:
        """Have a path, and what is below it, read again the next time."""
        below = f"{path}{os.sep}"
        self._entries = {
            name: entry for name, entry in self._entries.items() if name != str(path) and not name.startswith(below)
        }

    def save(self) -> None:
        """Write what is still there."""
        kept = {name: entry for name, entry in self._entries.items() if os.path.lexists(name)}
        write_atomic(self._path, pretty_json({"schema": 1, "entries": kept}))


def full_or(error: OSError, doing: str) -> HostError:
    """Say in one sentence what the file system refused."""
    if error.errno in _DISK_FULL:
        return HostError(f"{doing}: the disk is full", "free some space or set mlperf_home to a larger disk")
    return HostError(f"{doing}: {error.strerror or error}")


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


def remove_leftovers(home: Path) -> None:
    """Remove the temporary folders of modules that were killed. The home must be held: whoever made them is gone."""
    for pattern in _LEFTOVERS:
        for folder in [path for path in home.glob(pattern) if path.is_dir()]:
            shutil.rmtree(str(folder), ignore_errors=True)


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
        listing = read_folder(temporary)
        found = listing.get(member, "") if member else listing_sha256(listing)
        if found != sha256:
            raise HostError(f"{folder.name} arrived with sha256 {found}, expected {sha256}", "run the play again")
        write_atomic(listing_path(folder), listing_text(listing))
        os.chmod(temporary, 0o755)  # noqa: S103  # mkdtemp's 0700 would hide components from other users of the host
        if folder.exists():
            shutil.rmtree(folder)
        os.rename(temporary, folder)
    except OSError as error:
        raise full_or(error, f"cannot unpack into {folder}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
