"""Bring attempts whole: several small files as one piece, a large one as a stream, each compared with its digest.

A file whose digest is not the manifest's is fetched once more from its first byte; then it is told in a sentence. One
attempt that cannot come keeps none of the others from coming.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from mlperf_ops.errors import MlperfOpsError, ToolError
from mlperf_ops.fetching.parts import Copy, PartialFile, Wanted, disk_sentences
from mlperf_ops.fetching.source import CHUNK_BYTES, Described, Piece, Source

SMALL_BYTES = 2 * CHUNK_BYTES  # an attempt up to this comes whole at the end of its cell, of a larger one so much
_SPARE_BYTES = 64 << 20

Progress = Callable[[int, int], None]
"""Told bytes that are here, and bytes of all that is wanted, after each piece."""


@contextlib.contextmanager
def alone(folder: Path, waiting: Callable[[], object]) -> Iterator[None]:
    """Let one process at a time fetch into a folder: the worker of a play that was killed may live on for a while.

    Args:
        folder: Made when missing.
        waiting: Called once when another process is at it.

    Raises:
        ToolError: The folder cannot be used.
    """
    with disk_sentences(folder):
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
    chosen: list[tuple[Copy, PartialFile]] = []
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


def _up_to(files: Sequence[PartialFile], most_bytes: int | None) -> list[PartialFile]:
    """Return the files that fit into a number of bytes, in their order."""
    if most_bytes is None:
        return list(files)
    chosen: list[PartialFile] = []
    for file in files:
        most_bytes -= file.size
        if most_bytes < 0:
            break
        chosen.append(file)
    return chosen


def _no_room(wanted: Wanted, others_bytes: int, files: Sequence[PartialFile]) -> str:
    needed = sum(file.left for file in files)
    free = max(shutil.disk_usage(wanted.partial).free - others_bytes, 0)
    if not needed or needed <= free - _SPARE_BYTES:
        return ""
    return (
        f"{wanted.key}: {wanted.path} needs {shown_bytes(needed)} more below {wanted.target.parent}, where "
        f"{shown_bytes(free)} are free, and {shown_bytes(_SPARE_BYTES)} are to stay free (make room and collect again; "
        "it goes on where it stopped)"
    )


def _transfer(files: Sequence[tuple[Copy, PartialFile]], source: Source, progress: Progress | None) -> None:
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


def _next_batch(queue: deque[tuple[Copy, PartialFile]]) -> list[tuple[Copy, PartialFile]]:
    """Take files off the queue as long as they fit into a piece; none when the next one is larger."""
    batch: list[tuple[Copy, PartialFile]] = []
    room = CHUNK_BYTES
    while queue and (queue[0][0].problem or queue[0][1].left <= room):
        copy, file = queue.popleft()
        if not copy.problem:
            batch.append((copy, file))
            room -= file.left
    return batch


def _streamed(copy: Copy, file: PartialFile, source: Source) -> Iterator[None]:
    if copy.problem:
        return
    for block in source.stream(Piece(file.source, file.here, file.left)):
        with disk_sentences(file.target):
            file.append(block)
        yield


def _one_batch(batch: Sequence[tuple[Copy, PartialFile]], source: Source) -> None:
    pieces = [Piece(file.source, file.here, file.left) for _, file in batch if file.left]
    data = memoryview(source.read(pieces) if pieces else b"")
    for copy, file in batch:
        count = file.left
        try:
            with disk_sentences(file.target):
                file.append(data[:count])
        except ToolError as error:
            copy.problem = f"{copy.wanted.key}: {error}"
        data = data[count:]


def _alone(one: tuple[Copy, PartialFile], source: Source) -> None:
    try:
        if not one[0].problem:
            _one_batch([one], source)
    except ToolError as error:
        one[0].problem = f"{one[0].wanted.key}: {error}"


def _settled(copy: Copy, file: PartialFile, source: Source) -> bool:
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


def shown_bytes(count: float) -> str:
    """Return a size for people: 312 kB, 1.2 GB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:  # noqa: PLR2004
            return f"{count:.0f} {unit}" if unit != "MB" or count >= 100 else f"{count:.1f} {unit}"  # noqa: PLR2004
        count /= 1000
    return f"{count:.1f} GB"
