"""An attempt on its way: its files as far as they have come, their digests, and the rename into place.

`.attempt_1.partial` beside `attempt_1` holds the files; each is a beginning of the host's file. Whoever comes next,
after a kill or a cut cable, reads them once for their digest and asks for the missing bytes only.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.errors import MlperfOpsError, ResultError, ToolError
from mlperf_ops.fetching.source import COLLECTED, MANIFEST, RESULT, Described, check_described
from mlperf_ops.files import read_json, sha256_file

_BLOCK_BYTES = 1 << 20
_IDENTITY = (MANIFEST, RESULT)
_NAME = re.compile(r"(?:(?:power|ranging|run_1)/)?[^./\0][^/\0]*")  # a file, or one of a power measurement


@contextlib.contextmanager
def disk_sentences(path: Path) -> Iterator[None]:
    """Turn an error of this machine's disk into a sentence."""
    try:
        yield
    except OSError as error:
        hint = "make room and collect again: it goes on where it stopped" if error.errno == errno.ENOSPC else None
        raise ToolError(f"cannot write {path}: {error.strerror or error}", hint=hint) from error


@dataclass(frozen=True, slots=True)
class Wanted:
    """An attempt that is to be here.

    Attributes:
        key: Its cell, for sentences.
        path: Below mlperf_home on the host.
        target: Its folder here.
    """

    key: str
    path: str
    target: Path

    @property
    def partial(self) -> Path:
        """Where it is put together."""
        return self.target.with_name(f".{self.target.name}.partial")


class PartialFile:
    """A file on its way: what is here of it, and the digest of that."""

    def __init__(self, source: str, target: Path, size: int, sha256: str) -> None:
        """Know a file of a host, of which nothing is here yet."""
        self.source = source
        self.target = target
        self.size = size
        self.sha256 = sha256
        self.here = 0
        self.repeated = False
        self._digest = hashlib.sha256()

    def resume(self) -> None:
        """Take what an earlier fetch has left."""
        with contextlib.suppress(FileNotFoundError):
            if self.target.stat().st_size > self.size:
                self.target.unlink()
            with self.target.open("rb") as stream:
                while block := stream.read(_BLOCK_BYTES):
                    self._digest.update(block)
                    self.here += len(block)

    def append(self, data: bytes | memoryview) -> None:
        """Add the next bytes."""
        if not self.here:
            self.target.parent.mkdir(exist_ok=True)  # of a file in a folder
        with self.target.open("ab") as stream:
            stream.write(data)
        self._digest.update(data)
        self.here += len(data)

    def again(self) -> None:
        """Begin anew."""
        self.target.unlink(missing_ok=True)
        self.here, self.repeated, self._digest = 0, True, hashlib.sha256()

    @property
    def left(self) -> int:
        """Bytes that are still to come."""
        return self.size - self.here

    @property
    def whole(self) -> bool:
        """All its bytes are here, whatever they are."""
        return self.here == self.size

    @property
    def good(self) -> bool:
        """Its digest is the one that is wanted."""
        return self._digest.hexdigest() == self.sha256


class Copy:
    """One attempt on its way."""

    def __init__(self, wanted: Wanted, described: Described | None) -> None:
        """Make the hidden folder, or take an earlier one.

        Raises:
            ResultError: The host does not have the attempt whole.
            ToolError: The folder cannot be made.
        """
        self.wanted = wanted
        self._described = check_described(wanted.key, wanted.path, described)
        self.problem = ""
        self._listed = False
        with disk_sentences(wanted.partial):
            wanted.target.parent.mkdir(parents=True, exist_ok=True)
            self._set_aside_another()
            wanted.partial.mkdir(exist_ok=True)
        self.files = [self._file(name, self._described.digests[name]) for name in _IDENTITY]

    def attempt(self, step: Callable[[], None]) -> None:
        """Do a step; what it says when it fails is this copy's problem, and nobody else's."""
        try:
            step()
        except MlperfOpsError as error:
            self.problem = str(error)

    def _set_aside_another(self) -> None:
        """Keep what was begun of an attempt that this host does not have any more: a host that was set up anew."""
        for name in _IDENTITY:  # they come first, in one piece
            known = self.wanted.partial / name
            if known.is_file() and sha256_file(known) != self._described.digests[name]:
                aside = tempfile.mkdtemp(dir=known.parent.parent, prefix=f".other.{self.wanted.target.name}.")
                os.replace(self.wanted.partial, aside)
                return

    def _file(self, name: str, sha256: str) -> PartialFile:
        if name not in self._described.sizes:
            why = "is missing on the host, but its manifest lists it"
            if COLLECTED in self._described.sizes:
                why = "was removed from the host on request, after another copy had been verified"
            raise ResultError(f"{self.wanted.key}: {name} of {self.wanted.path} {why}")
        source = f"{self.wanted.path}/{name}"
        made = PartialFile(source, self.wanted.partial / name, self._described.sizes[name], sha256)
        with disk_sentences(made.target):
            made.resume()
        return made

    def read_manifest(self) -> None:
        """Add the files that the manifest lists, the smallest first.

        Raises:
            ResultError: The manifest has another form, or a file is missing on the host.
        """
        listed = read_json(self.wanted.partial / MANIFEST).get("files")
        if not isinstance(listed, dict):
            raise ResultError(f"{self.wanted.key}: {MANIFEST} of {self.wanted.path} lists no files")
        for name in listed:
            if not _NAME.fullmatch(name) or name in _IDENTITY:
                raise ResultError(f"{self.wanted.key}: {MANIFEST} of {self.wanted.path} names an unexpected '{name}'")
        files = [self._file(name, str(sha256)) for name, sha256 in listed.items()]
        self.files += sorted(files, key=lambda one: (one.size, one.source))
        self._listed = True

    @property
    def bytes_in_all(self) -> int:
        """Size of the attempt."""
        return sum(one.size for one in self.files)

    @property
    def whole(self) -> bool:
        """Every file is here and is the manifest's."""
        return self._listed and not self.problem and all(one.whole and one.good for one in self.files)

    def take(self) -> None:
        """Rename the attempt into place, once.

        Raises:
            ToolError: That cannot be done.
        """
        if not self.wanted.partial.exists():
            return
        target = self.wanted.target
        with disk_sentences(target):
            if target.exists():  # left by an interrupted fetch: it has no result.json or no manifest.json
                aside = tempfile.mkdtemp(dir=target.parent, prefix=f".incomplete.{target.name}.")
                os.replace(target, aside)
            os.replace(self.wanted.partial, target)


def verify(target: Path) -> None:
    """Read every file of an attempt in place again, and compare it with its manifest.

    Raises:
        ResultError: A file is missing or differs.
    """
    listed = read_json(target / MANIFEST).get("files")
    for name, sha256 in (listed if isinstance(listed, dict) else {}).items():
        if not (target / name).is_file() or sha256_file(target / name) != sha256:
            raise ResultError(f"{target / name} does not match {MANIFEST}, so nothing was removed from the host")
