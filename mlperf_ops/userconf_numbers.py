"""Numbers of a user.conf as C's library reads them for LoadGen, and those that it has no use for. Pure.

The parser (mlcommons/inference, loadgen/test_settings_internal.cc) takes a word that `strtoul` or `strtod` reads to its
end, which "nan" and "1e999" are, too. Counts, times and switches are then read by `strtoull`, which stops at the first
letter that it does not know; rates, and the latencies of streams, by `strtod`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["int", "float", "bool"]

_INTEGER = re.compile(r"([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_HEXADECIMAL = re.compile(r"[+-]?0[xX]([0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)([pP][+-]?[0-9]+)?")
_ENDLESS = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_NO_NUMBER = re.compile(r"[+-]?nan(\([0-9A-Za-z_]*\))?", re.IGNORECASE)
_FORMS = (_INTEGER, _DECIMAL, _HEXADECIMAL, _ENDLESS, _NO_NUMBER)

COUNTED = 1 << 64
"""LoadGen counts up to this, without it."""
_LONGEST_DIGITS = 30  # longer ones are far beyond it
_MOST_MS = ((1 << 63) - 1) // 1_000_000  # times are compared in signed nanoseconds
_MOST: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("min_duration", "max_duration", "target_latency", "ttft_latency", "tpot_latency"),
            (_MOST_MS, "LoadGen's clock cannot hold it"),
        ),
        "max_async_queries": ((1 << 31) - 1, "LoadGen keeps 32 bits of it"),
    }
)
_PERCENTILE = "target_latency_percentile"


def is_number(text: str) -> bool:
    """Whether LoadGen's parser takes a word as a value."""
    return any(form.fullmatch(text) for form in _FORMS)


def read(text: str, kind: Kind) -> int | float:
    """Return what LoadGen reads; a number that is no number for some doubles.

    Args:
        text: A word that the parser takes.
        kind: What the key holds.
    """
    return _double(text) if kind == "float" else _unsigned(text)


def value_problem(key: str, text: str, kind: Kind) -> tuple[str, str] | None:
    """Say what was expected, and what LoadGen makes of a value that was not meant; None for a good value."""
    return _rate_problem(key, _double(text)) if kind == "float" else _whole_problem(key, text, kind)


def _whole_problem(key: str, text: str, kind: Kind) -> tuple[str, str] | None:
    meant, got = _double(text), _unsigned(text)
    reads = f"LoadGen reads {got}"
    if kind == "bool":
        return None if meant in {0, 1} and meant == got else ("0 or 1", reads)
    if not math.isfinite(meant) and not _INTEGER.fullmatch(text):
        return "a whole number", reads
    if meant < 0:
        return "a number, 0 or more", f"LoadGen reads a very large one, {got}"
    most, why = _MOST.get(key, (COUNTED - 1, reads))
    if abs(_whole(text)) > most:
        return f"a whole number up to {most}", why if got < COUNTED - 1 else reads
    if float(got) != meant:
        if text.lstrip("+-").isdigit():
            return "a number without a leading 0", f"LoadGen reads it as octal, {got}"
        return "a whole number", reads
    return None


def _rate_problem(key: str, meant: float) -> tuple[str, str] | None:
    if key == _PERCENTILE:
        good, expected = 0 < meant < 100, "a number above 0 and below 100"  # noqa: PLR2004  # per cent
    else:
        good, expected = 0 < meant < COUNTED, "a number above 0" if meant <= 0 else "a finite number above 0"
    if good:
        return None
    if math.isnan(meant):
        return expected, "LoadGen reads it as no number at all"
    if math.isinf(meant):
        return expected, "LoadGen reads it as infinite"
    if key == _PERCENTILE:
        return expected, "LoadGen has no such latency"
    if meant <= 0:
        return expected, f"LoadGen reads it as {'no speed at all' if meant == 0 else 'a speed below 0'}"
    return f"a number above 0 and below {COUNTED}", "LoadGen cannot count so many"


def _double(text: str) -> float:
    if _NO_NUMBER.fullmatch(text):
        return math.nan
    if not _HEXADECIMAL.fullmatch(text):
        return float(text)
    try:
        return float.fromhex(text)
    except OverflowError:
        return -math.inf if text.startswith("-") else math.inf


def _whole(text: str) -> int:
    """Return the whole number that a word begins with; a very long one is cut, as all of them are too large."""
    found = _INTEGER.match(text)
    if found is None:
        return 0
    sign, digits = found.groups()
    base = 16 if digits[1:2] in {"x", "X"} else 8 if digits.startswith("0") else 10
    number = int(digits.removeprefix("0x").removeprefix("0X").lstrip("0")[:_LONGEST_DIGITS] or "0", base)
    return -number if sign == "-" else number


def _unsigned(text: str) -> int:
    number = _whole(text)
    return COUNTED - 1 if abs(number) >= COUNTED else number % COUNTED
