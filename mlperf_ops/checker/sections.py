"""A file of sections, each with its digest, which are read only when they are asked for.

A section is rows of texts, or numbers: what can be read at once, however many there are.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mlperf_ops.files import write_atomic

_COUNT_BYTES = 8


def rows_section(rows: Iterable[Sequence[str]]) -> bytes:
    """Return a section of rows of texts, none of which has a NUL in it."""
    lengths, texts = array("I"), list[str]()
    for row in rows:
        lengths.append(len(row))
        texts += row
    count = len(lengths).to_bytes(_COUNT_BYTES, "little")
    return count + lengths.tobytes() + "\0".join(texts).encode(errors="surrogateescape")


def rows_of(section: bytes) -> Iterator[list[str]]:
    """Yield the rows of a section."""
    lengths = array("I")
    end = _COUNT_BYTES + lengths.itemsize * int.from_bytes(section[:_COUNT_BYTES], "little")
    lengths.frombytes(section[_COUNT_BYTES:end])
    texts = section[end:].decode(errors="surrogateescape").split("\0")
    start = 0
    for length in lengths:
        yield texts[start : start + length]
        start += length


def numbers_of(section: bytes) -> array[int]:
    """Return the numbers of a section, each of 64 bits."""
    numbers = array("q")
    numbers.frombytes(section)
    return numbers


class Sections:
    """What a file of sections holds; nothing when it cannot be read, is broken or of another version."""

    def __init__(self, path: Path, version: str) -> None:
        """Read the file."""
        self._held: dict[str, tuple[str, bytes]] = {}
        try:
            head, _, body = path.read_bytes().partition(b"\n")
            told = json.loads(head)
            if told["version"] != version:
                return
            start = 0
            for name, size, digest in told["sections"]:
                self._held[name] = digest, body[start : start + size]
                start += size
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            self._held = {}

    def get(self, name: str) -> bytes:
        """Return a section.

        Raises:
            ValueError: There is no such section, or it is not as it was written.
        """
        digest, section = self._held.get(name, ("", b""))
        if _digest(section) != digest:
            raise ValueError(f"section {name} is broken")
        return section


def write_sections(path: Path, version: str, sections: Mapping[str, bytes]) -> None:
    """Write a file of sections, whole.

    Raises:
        ToolError: It cannot be written.
    """
    told = [[name, len(section), _digest(section)] for name, section in sections.items()]
    head = json.dumps({"version": version, "sections": told})
    write_atomic(path, b"\n".join((head.encode(), b"".join(sections.values()))))


def _digest(section: bytes) -> str:
    return hashlib.sha256(section).hexdigest()
