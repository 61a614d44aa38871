"""Short text files of a tree: read once, whatever bytes they hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from mlperf_ops.checker.tree import Tree

LONGEST_BYTES = 8 << 20  # verification texts and summaries have some kilobytes
_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"


@dataclass(frozen=True)
class TextFile:
    """A text file of the tree.

    Attributes:
        location: Relative to the tree.
        exists: There is such a file.
        text: What it says, characters that are no UTF-8 replaced; "" when it is missing or cannot be read.
        problem: Why it cannot be read as UTF-8; None when it can.
        is_read: Its bytes could be read.
    """

    location: str
    exists: bool
    text: str
    problem: str | None
    is_read: bool = True

    @cached_property
    def rows(self) -> list[str]:
        """Its lines, divided as Python's text files are."""
        plain = "\r" not in self.text
        return (self.text if plain else self.text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")

    @cached_property
    def lines(self) -> list[str]:
        """Its lines without white space at their ends."""
        return [row.strip() for row in self.rows]

    @cached_property
    def _lowered(self) -> str:
        return self.text.lower()

    def number(self, label: str) -> float | None:
        """Return the number after "label =" or "label:", at the start of a line; None when no line has it.

        Args:
            label: Words, in any case.
        """
        if label.lower() not in self._lowered:
            return None
        pattern = re.compile(rf"\s*{label}\s*[=:]\s*({_NUMBER})", re.IGNORECASE)
        return next((float(match[1]) for line in self.lines if (match := pattern.match(line))), None)


def is_encodable(text: str) -> bool:
    """Whether a text is one: JSON may escape half a character, and a name on a disk may be any bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_text(tree: Tree, location: str) -> TextFile:
    """Read a text file of a tree; its first 8 MiB count."""
    if tree.size(location) is None:
        return TextFile(location, exists=False, text="", problem=None)
    try:
        raw = tree.read(location, LONGEST_BYTES)
    except OSError as error:
        return TextFile(location, exists=True, text="", problem=error.strerror or str(error), is_read=False)
    try:
        return TextFile(location, exists=True, text=raw.decode(), problem=None)
    except UnicodeDecodeError as error:
        shown = f"byte 0x{raw[error.start]:02x} at {error.start} is no UTF-8"
        return TextFile(location, exists=True, text=raw.decode(errors="replace"), problem=shown)
