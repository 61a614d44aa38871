"""Read pieces of files below a host's mlperf_home: by a shell over any connection, or from this machine's own disk.

The shell needs `tail`, `head`, `stat` and `sha256sum`, which every Linux has (coreutils or BusyBox); no Python starts
on the host, and `tail` seeks, so that a piece costs what it holds wherever it lies in its file.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from mlperf_ops.errors import ResultError, ToolError
from mlperf_ops.files import sha256_file

MANIFEST, RESULT = "manifest.json", "result.json"
COLLECTED = "collected.json"  # of an attempt whose logs were removed from the host on request
CHUNK_BYTES = 4 << 20  # Ansible's connection joins what it reads: its time grows with the square of a piece
_BLOCK_BYTES = 1 << 20
_IDENTITY = (MANIFEST, RESULT)
_ATTEMPT, _DIGEST, _SIZE = "attempt", "digest", "size"
_WORDS = 3


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file: `count` bytes from `offset` on; the path is relative to mlperf_home."""

    path: str
    offset: int
    count: int


@dataclass(frozen=True, slots=True)
class Described:
    """An attempt that has ended, as its host has it now.

    Attributes:
        digests: sha256 of manifest.json and result.json, which no manifest lists.
        sizes: Bytes of each file, by name; of a file in a folder "power/client.json".
    """

    digests: dict[str, str]
    sizes: dict[str, int]


class Source(Protocol):
    """A host, as far as fetching wants to know it."""

    def describe(self, attempts: Sequence[str]) -> dict[str, Described]:
        """Return what attempts there are of those asked for, by path below mlperf_home."""

    def read(self, pieces: Sequence[Piece]) -> bytes:
        """Return the bytes of pieces, one after another.

        Raises:
            ToolError: There are fewer; names the first file that was asked for.
        """

    def stream(self, piece: Piece) -> Iterator[bytes]:
        """Return the bytes of a large piece in blocks of a few MiB at most.

        Raises:
            ToolError: There are fewer.
        """

    def sha256(self, path: str) -> str:
        """Return the digest of a file as the host itself reads it; "" when it cannot."""


def describe_script(home: str, attempts: Iterable[str]) -> str:
    """Return a script that prints a line for each attempt, each digest that identifies it, and each file's size."""
    names = " ".join(_IDENTITY)
    lines = [f"cd {shlex.quote(home)} || exit 1"]
    for path in attempts:
        quoted = shlex.quote(path)
        lines.append(
            f"if [ -f {quoted}/{RESULT} ]; then echo {_ATTEMPT} - {quoted}; (cd {quoted} && "
            f"sha256sum {names} | sed 's/^\\([0-9a-f]*\\) [ *]/{_DIGEST} \\1 /' && "
            f"stat -c '{_SIZE} %s %n' * */* 2> /dev/null); fi"
        )
    return "\n".join([*lines, ""])


def read_description(said: str) -> dict[str, Described]:
    """Read what `describe_script` printed; lines of a login script are none of ours."""
    found: dict[str, Described] = {}
    current: Described | None = None
    for line in said.splitlines():
        words = line.split(" ", _WORDS - 1)
        if len(words) != _WORDS:
            continue
        kind, value, name = words
        if kind == _ATTEMPT:
            current = found.setdefault(name, Described({}, {}))
        elif current is not None and kind == _DIGEST:
            current.digests[name] = value
        elif current is not None and kind == _SIZE and value.isdigit():
            current.sizes[name] = int(value)
    return found


def read_script(home: str, pieces: Iterable[Piece]) -> str:
    """Return a script that prints pieces one after another, and nothing else."""
    lines = [f"cd {shlex.quote(home)} || exit 1"]
    for piece in pieces:
        path = shlex.quote(piece.path)
        # `head` also where a whole file is wanted: one that has grown since must not shift what follows.
        whole = f"head -c {piece.count} {path}"
        lines.append(f"tail -c +{piece.offset + 1} {path} | head -c {piece.count}" if piece.offset else whole)
    return "\n".join([*lines, ""])


class ShellSource:
    """A host by its shell."""

    def __init__(
        self,
        home: str,
        run: Callable[[str], bytes],
        opened: Callable[[str], AbstractContextManager[IO[bytes]]] | None = None,
    ) -> None:
        """Keep how to run a script and get what it printed.

        Args:
            home: mlperf_home, absolute.
            run: Runs a script with the host's /bin/sh; what a login script printed comes before its own output.
            opened: Does the same and lets its output be read while it comes; None where the connection has no way. It
                need not be reliable: what it leaves out is read by `run`.
        """
        self._home = home
        self._run = run
        self._opened = opened

    def describe(self, attempts: Sequence[str]) -> dict[str, Described]:
        """Return what attempts there are, by path."""
        if not attempts:
            return {}
        return read_description(self._run(describe_script(self._home, attempts)).decode(errors="replace"))

    def read(self, pieces: Sequence[Piece]) -> bytes:
        """Return the bytes of pieces."""
        wanted = sum(piece.count for piece in pieces)
        said = self._run(read_script(self._home, pieces))
        if len(said) < wanted:
            raise ToolError(f"the host sent {len(said)} of {wanted} bytes of {pieces[0].path}")
        return said[len(said) - wanted :]

    def stream(self, piece: Piece) -> Iterator[bytes]:
        """Return the bytes of a large piece; where a stream breaks off, one ordinary piece leads over to the next."""
        here = 0
        while here < piece.count:
            rest = Piece(piece.path, piece.offset + here, piece.count - here)
            before = here
            for block in self._streamed(rest):
                here += len(block)
                yield block
            if here == before:
                self._opened = None
            if here < piece.count:
                block = self.read([Piece(piece.path, piece.offset + here, min(CHUNK_BYTES, piece.count - here))])
                here += len(block)
                yield block

    def _streamed(self, piece: Piece) -> Iterator[bytes]:
        if self._opened is None:
            return
        mark = secrets.token_hex()  # ends what a login script prints
        script = f"echo {mark}\n{read_script(self._home, [piece])}"
        with self._opened(script) as pipe:
            if not any(line.strip().endswith(mark.encode()) for line in iter(lambda: pipe.readline(_BLOCK_BYTES), b"")):
                return
            left = piece.count
            while left and (block := pipe.read(min(_BLOCK_BYTES, left))):
                left -= len(block)
                yield block

    def sha256(self, path: str) -> str:
        """Return the digest that the host computes."""
        script = f"cd {shlex.quote(self._home)} && sha256sum {shlex.quote(path)}\n"
        words = self._run(script).decode(errors="replace").splitlines()[-1:]
        return words[0].split(" ")[0] if words else ""


class LocalSource:
    """This machine: no process is started, because it may be measuring."""

    def __init__(self, home: Path) -> None:
        """Keep mlperf_home."""
        self._home = home

    def describe(self, attempts: Sequence[str]) -> dict[str, Described]:
        """Return what attempts there are, by path."""
        found: dict[str, Described] = {}
        for path in attempts:
            folder = self._home / path
            if (folder / RESULT).is_file():
                digests = {name: sha256_file(folder / name) for name in _IDENTITY if (folder / name).is_file()}
                every = [*folder.glob("[!.]*"), *folder.glob("[!.]*/[!.]*")]
                sizes = {one.relative_to(folder).as_posix(): one.stat().st_size for one in every if one.is_file()}
                found[path] = Described(digests, sizes)
        return found

    def read(self, pieces: Sequence[Piece]) -> bytes:
        """Return the bytes of pieces."""
        parts: list[bytes] = []
        for piece in pieces:
            path = self._home / piece.path
            try:
                with path.open("rb") as stream:
                    stream.seek(piece.offset)
                    part = stream.read(piece.count)
            except OSError as error:
                raise ToolError(f"cannot read {path}: {error.strerror or error}") from error
            if len(part) < piece.count:
                raise ToolError(f"{path} has fewer than {piece.offset + piece.count} bytes")
            parts.append(part)
        return b"".join(parts)

    def stream(self, piece: Piece) -> Iterator[bytes]:
        """Return the bytes of a large piece."""
        for start in range(0, piece.count, CHUNK_BYTES):
            yield self.read([Piece(piece.path, piece.offset + start, min(CHUNK_BYTES, piece.count - start))])

    def sha256(self, path: str) -> str:
        """Return the digest of a file."""
        return sha256_file(self._home / path) if (self._home / path).is_file() else ""


def check_described(key: str, path: str, one: Described | None) -> Described:
    """Return what a host has of an attempt.

    Raises:
        ResultError: It is not whole.
    """
    if one is None or any(name not in one.digests for name in _IDENTITY):
        raise ResultError(f"{key}: {path} is not on the host any more, or has no {MANIFEST}")
    return one
