"""`mlperf_only`: run a part of a plan. Pure.

A pattern is `benchmark`, `benchmark/scenario`, `benchmark/scenario/mode` or a cell's whole name; a part may have `*`,
and the mode `compliance` stands for every compliance test. The plan stays whole: what is left out now is run later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from mlperf_ops.errors import ConfigError, unknown_name
from mlperf_ops.model import COMPLIANCE_TESTS, Cell

_PARTS = ("benchmark", "scenario", "mode")
_COMPLIANCE = "compliance"


def patterns_of(given: str | Sequence[str]) -> tuple[str, ...]:
    """Return the patterns of a variable: a list of them, or one text with commas, as the command line gives it."""
    found = given.split(",") if isinstance(given, str) else [str(one) for one in given]
    return tuple(one.strip() for one in found if one.strip())


def chosen(cell: Cell, patterns: Sequence[str]) -> bool:
    """Tell whether a cell is to run; without patterns every one is."""
    return not patterns or any(_matches(cell, pattern) for pattern in patterns)


def check_patterns(patterns: Sequence[str], cells: Iterable[Cell], where: str) -> None:
    """Refuse a pattern that chooses nothing of a plan: a mistyped one would silently run nothing.

    Raises:
        ConfigError: Names the pattern, the part of it that no cell has, and the nearest name.
    """
    there = list(cells)
    for pattern in patterns:
        if any(_matches(cell, pattern) for cell in there):
            continue
        words = _words(pattern)
        if not 1 <= len(words) <= len(_PARTS) + 1:
            raise ConfigError(f"{where}: '{pattern}' has {len(words)} parts; expected benchmark/scenario/mode")
        if meant := _shifted(words, there):
            raise ConfigError(
                f"{where}: '{pattern}' chooses no cell; a pattern is benchmark/scenario/mode, with * for any",
                hint=f"did you mean '{meant}'?",
            )
        kinds = ("system", *_PARTS) if len(words) > len(_PARTS) else _PARTS
        left = there
        for kind, word in zip(kinds, words, strict=False):
            names = {str(getattr(cell, kind)) for cell in left}
            left = [cell for cell in left if _has(word, kind, cell)]
            if not left:
                known = names | ({_COMPLIANCE} if kind == "mode" and names & {*COMPLIANCE_TESTS} else set())
                raise unknown_name(kind, word, known, where=f"{where}: '{pattern}'")


def _shifted(words: Sequence[str], cells: Sequence[Cell]) -> str:
    """Return the pattern that leaves out no part before or after the given ones; "" where it chooses nothing either."""
    names = {str(getattr(cell, kind)) for cell in cells for kind in ("system", *_PARTS)}
    by_folded = {name.casefold(): name for name in names}
    named = [by_folded.get(word.casefold(), word) for word in words]
    before = (["*"] * count + named for count in range(1, len(_PARTS) + 1 - len(named)))
    after = named + ["*"] * (len(_PARTS) + 1 - len(named))
    found = ("/".join(one) for one in (*before, after) if one != list(words))
    return next((one for one in found if any(_matches(cell, one) for cell in cells)), "")


def _words(pattern: str) -> list[str]:
    return pattern.split("/")


def _matches(cell: Cell, pattern: str) -> bool:
    words = _words(pattern)
    if len(words) > len(_PARTS) + 1:
        return False
    kinds = ("system", *_PARTS) if len(words) > len(_PARTS) else _PARTS
    return all(_has(word, kind, cell) for kind, word in zip(kinds, words, strict=False))


def _has(word: str, kind: str, cell: Cell) -> bool:
    if kind == "mode" and word == _COMPLIANCE:
        return cell.mode in COMPLIANCE_TESTS
    return fnmatchcase(str(getattr(cell, kind)), word)
