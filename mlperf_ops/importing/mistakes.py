"""Mistakes of a map, gathered so that one run tells them all."""

from __future__ import annotations

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
    """Return one error that tells all: a single one is left as it is, of several each has its line."""
    distinct = {str(error): error for error in found}
    if len(distinct) == 1:
        return next(iter(distinct.values()))
    return ConfigError("\n  ".join((f"{path} has {len(distinct)} mistakes, and nothing was imported:", *distinct)))
