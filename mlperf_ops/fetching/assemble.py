"""Put an attempt together beside its place, go on with what is there, verify it, and only then rename it into place.

`.attempt_1.partial` beside `attempt_1` holds the files as far as they have come; each is a beginning of the host's
file. Whoever comes next, after a kill or a cut cable, reads them once for their digest and asks for the missing bytes
only. A file whose digest is not the manifest's is fetched once more from its first byte; then it is told in a sentence.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.errors import MlperfOpsError, ResultError, ToolError
from mlperf_ops.fetching.source import (
    CHUNK_BYTES,
    COLLECTED,
    MANIFEST,
    RESULT,
    Described,
    Piece,
    Source,
    check_described,
)
from mlperf_ops.files import read_json, sha256_file

SMALL_BYTES = 2 * CHUNK_BYTES  # an attempt up to this comes whole at the end of its cell, of a larger one so much
_BLOCK_BYTES = 1 << 20
_SPARE_BYTES = 64 << 20
_IDENTITY = (MANIFEST, RESULT)

Progress = Callable[[int, int], None]
"""Told bytes that are here, and bytes of all that is wanted, after each piece."""


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


class _File:
    """A file on its way: what is here of it, and the digest of that."""

    def __init__(self, source: str, target: Path, size: int, sha256: str) -> None:
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
        with _sentences(wanted.partial):
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
        for name in _IDENTITY:
            known = self.wanted.partial / name
            size = self._described.sizes.get(name)
            if known.is_file() and size == known.stat().st_size:
                digest = hashlib.sha256(known.read_bytes()).hexdigest()
                if digest != self._described.digests[name]:
                    aside = tempfile.mkdtemp(dir=known.parent.parent, prefix=f".other.{self.wanted.target.name}.")
                    os.replace(self.wanted.partial, aside)
                    return

    def _file(self, name: str, sha256: str) -> _File:
        if name not in self._described.sizes:
            why = "is missing on the host, but its manifest lists it"
            if COLLECTED in self._described.sizes:
                why = "was removed from the host on request, after another copy had been verified"
            raise ResultError(f"{self.wanted.key}: {name} of {self.wanted.path} {why}")
        source = f"{self.wanted.path}/{name}"
        made = _File(source, self.wanted.partial / name, self._described.sizes[name], sha256)
        with _sentences(made.target):
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
            if not name or "/" in name or name.startswith(".") or name in _IDENTITY:
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
        with _sentences(target):
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


@contextlib.contextmanager
def alone(folder: Path, waiting: Callable[[], object]) -> Iterator[None]:
    """Let one process at a time fetch into a folder: the worker of a play that was killed may live on for a while.

    Args:
        folder: Made when missing.
        waiting: Called once when another process is at it.

    Raises:
        ToolError: The folder cannot be used.
    """
    with _sentences(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def bring(
    wanted: Sequence[Wanted], source: Source, *, most_bytes: int | None = None, progress: Progress | None = None
) -> list[str]:
    """Bring attempts, each as far as it goes; one that cannot come keeps none of the others from coming.

    Args:
        wanted: The attempts; those that came whole are in place afterwards.
        source: Their host.
        most_bytes: Of each attempt so much at most, its smallest files; one that is larger stays in its hidden folder.
        progress: Told how far it is.

    Returns:
        A sentence for each attempt that could not be brought.

    Raises:
        Exception: What the source raises when its connection is lost; what has come is kept.
    """
    described = source.describe([one.path for one in wanted])
    copies: list[Copy] = []
    problems: list[str] = []
    for one in wanted:
        made = _begun(one, described.get(one.path))
        if isinstance(made, Copy):
            copies.append(made)
        else:
            problems.append(made)
    _transfer([(copy, file) for copy in copies for file in copy.files], source, None)
    for copy in _sound(copies):
        copy.attempt(copy.read_manifest)
    sound = sorted(_sound(copies), key=lambda copy: copy.bytes_in_all)
    chosen: list[tuple[Copy, _File]] = []
    for copy in sound:
        part = _up_to(copy.files, most_bytes)
        copy.problem = _no_room(copy.wanted, sum(file.left for _, file in chosen if not file.whole), part)
        if not copy.problem:
            chosen += [(copy, file) for file in part]
    _transfer(chosen, source, progress)
    for copy in sound:
        if copy.whole:
            copy.attempt(copy.take)
    return problems + [copy.problem for copy in copies if copy.problem]


def _begun(wanted: Wanted, described: Described | None) -> Copy | str:
    try:
        return Copy(wanted, described)
    except MlperfOpsError as error:
        return str(error)


def _sound(copies: Iterable[Copy]) -> list[Copy]:
    return [copy for copy in copies if not copy.problem]


def _up_to(files: Sequence[_File], most_bytes: int | None) -> list[_File]:
    """Return the files that fit into a number of bytes, in their order."""
    if most_bytes is None:
        return list(files)
    chosen: list[_File] = []
    for file in files:
        most_bytes -= file.size
        if most_bytes < 0:
            break
        chosen.append(file)
    return chosen


def _no_room(wanted: Wanted, others_bytes: int, files: Sequence[_File]) -> str:
    needed = sum(file.left for file in files)
    free = shutil.disk_usage(wanted.partial).free - others_bytes - _SPARE_BYTES
    if not needed or needed <= free:
        return ""
    return (
        f"{wanted.key}: {wanted.path} needs {shown_bytes(needed)} more below {wanted.target.parent}, where "
        f"{shown_bytes(max(free, 0))} are left (make room and collect again; it goes on where it stopped)"
    )


def _transfer(files: Sequence[tuple[Copy, _File]], source: Source, progress: Progress | None) -> None:
    """Bring files: several small ones as one piece, what is larger than a piece as a stream of its own."""
    total = sum(file.size for _, file in files)
    queue = deque(one for one in files if not _settled(*one, source))

    def told() -> None:
        if progress is not None:
            progress(sum(file.here for _, file in files), total)

    while queue:
        batch = _next_batch(queue)
        try:
            if batch:
                _one_batch(batch, source)
            elif queue:
                batch = [queue.popleft()]
                for _ in _streamed(*batch[0], source):
                    told()
        except ToolError as error:
            if len(batch) > 1:  # one of them is shorter than it was, or gone; the others are not to blame
                for one in batch:
                    _alone(one, source)
            else:
                batch[0][0].problem = f"{batch[0][0].wanted.key}: {error}"
        queue.extendleft(one for one in reversed(batch) if not _settled(*one, source))
        for copy in dict.fromkeys(copy for copy, _ in batch if copy.whole):
            copy.attempt(copy.take)
        told()


def _next_batch(queue: deque[tuple[Copy, _File]]) -> list[tuple[Copy, _File]]:
    """Take files off the queue as long as they fit into a piece; none when the next one is larger."""
    batch: list[tuple[Copy, _File]] = []
    room = CHUNK_BYTES
    while queue and (queue[0][0].problem or queue[0][1].left <= room):
        copy, file = queue.popleft()
        if not copy.problem:
            batch.append((copy, file))
            room -= file.left
    return batch


def _streamed(copy: Copy, file: _File, source: Source) -> Iterator[None]:
    if copy.problem:
        return
    for block in source.stream(Piece(file.source, file.here, file.left)):
        with _sentences(file.target):
            file.append(block)
        yield


def _one_batch(batch: Sequence[tuple[Copy, _File]], source: Source) -> None:
    pieces = [Piece(file.source, file.here, file.left) for _, file in batch if file.left]
    data = memoryview(source.read(pieces) if pieces else b"")
    for copy, file in batch:
        count = file.left
        try:
            with _sentences(file.target):
                file.append(data[:count])
        except ToolError as error:
            copy.problem = f"{copy.wanted.key}: {error}"
        data = data[count:]


def _alone(one: tuple[Copy, _File], source: Source) -> None:
    try:
        if not one[0].problem:
            _one_batch([one], source)
    except ToolError as error:
        one[0].problem = f"{one[0].wanted.key}: {error}"


def _settled(copy: Copy, file: _File, source: Source) -> bool:
    """Tell whether nothing more is to come of a file: it is here, or its attempt is given up."""
    if copy.problem:
        return True
    if not file.whole or (file.size == 0 and not file.target.exists()):
        return False
    if file.good:
        return True
    if not file.repeated:
        file.again()
        return False
    wrong = source.sha256(file.source) != file.sha256
    where = "on the host itself: look at its disk" if wrong else "on the way: look at the network and this disk"
    copy.problem = (
        f"{copy.wanted.key}: {file.target.name} of {copy.wanted.path} does not match its manifest, twice; it is "
        f"damaged {where} (nothing was taken over)"
    )
    return True


@contextlib.contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Turn an error of this machine's disk into a sentence."""
    try:
        yield
    except OSError as error:
        hint = "make room and collect again: it goes on where it stopped" if error.errno == errno.ENOSPC else None
        raise ToolError(f"cannot write {path}: {error.strerror or error}", hint=hint) from error


def shown_bytes(count: float) -> str:
    """Return a size for people: 312 kB, 1.2 GB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:  # noqa: PLR2004
            return f"{count:.0f} {unit}" if unit != "MB" or count >= 100 else f"{count:.1f} {unit}"  # noqa: PLR2004
        count /= 1000
    return f"{count:.1f} GB"
