"""Mistakes of a map, gathered so that one run tells them all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlperf_ops.errors import ConfigError


@dataclass(slots=True)
class Mistakes:
    """What is wrong with a map."""

    found: list[ConfigError] = field(default_factory=list)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Note the mistake that ends the block, and go on behind it."""
        try:
            yield
        except ConfigError as error:
            self.found.append(error)

    def refuse(self, path: Path) -> None:
        """Raise what was found, if anything.

        Raises:
            ConfigError: The one mistake, or all of them, a line each.
        """
        if self.found:
            raise as_one(path, self.found)


def as_one(path: Path, found: Sequence[ConfigError]) -> ConfigError:
    """Return one error that tells all: a single one is left as it is, of several each has its line.

    What is wrong alike in several places, such as a key that all results lack, is told once.
    """
    alike: dict[tuple[str, str | None], list[str]] = {}
    for error in sorted(found, key=lambda error: _line(error.message, path)):
        where, said = _parts(error.message, path)
        places = alike.setdefault((said, error.hint), [])
        if where not in places:
            places.append(where)
    told = [ConfigError(places[0] + said + _also(places[1:]), hint=hint) for (said, hint), places in alike.items()]
    if len(told) == 1:
        return told[0]
    lines = (f"{path} has {len(told)} mistakes, and nothing was imported:", *map(str, told))
    return ConfigError("\n  ".join(lines))


def _parts(message: str, path: Path) -> tuple[str, str]:
    """Split "file:line: key: " from what is said."""
    match = re.match(rf"{re.escape(str(path))}:\d+: (?:[\w.\[\]]+: )?", message)
    return (match[0], message[match.end() :]) if match else ("", message)


def _also(places: Sequence[str]) -> str:
    if not places:
        return ""
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return f"; the same at {places[0].rstrip(': ')}{more}"


def _line(sentence: str, path: Path) -> int:
    """Return the line of the file that a sentence starts with; 0 where it is about the whole."""
    number = sentence.removeprefix(f"{path}:").partition(":")[0]
    return int(number) if number.isdecimal() else 0
