"""Numbers, names and untrusted text as readers see them: the same words on the page and on the terminal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone

from mlperf_ops.files import Json

_THOUSAND = 1000.0
_UNITS_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")
_KIBI = 1024.0
_MINUTE_SECONDS, _HOUR_SECONDS = 60.0, 3600.0
_UNITS = {"bytes": "bytes", "us": "µs", "ms": "ms", "seconds": "s", "mib": "MiB", "gib": "GiB", "mbit": "Mbit/s"}
_KEPT_CONTROLS = "\n\t"
_ACRONYMS = {
    word.casefold(): word
    for word in (
        *("CPU", "CPUs", "GPU", "NUMA", "SMT", "BIOS", "OS", "ID", "PCIe", "L1d", "L1i", "L2", "L3"),
        *("MHz", "MiB", "GiB", "LoadGen", "NumPy"),
    )
}


def visible(text: str) -> str:
    """Return text without characters that act instead of being shown: terminal escapes, controls, direction marks.

    Log text comes from elsewhere. Each such character becomes its code in brackets, so that a reader sees it was there.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character in _KEPT_CONTROLS or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn")
        else f"[U+{ord(character):04X}]"
        for character in text
    )


def one_line(text: str) -> str:
    """Return visible text with all white space folded to single spaces."""
    return visible(" ".join(text.split()))


def number(value: float) -> str:
    """Write a figure with four or more significant digits and thousands separators: 0.1234, 5.210, 18,342."""
    if abs(value) >= _THOUSAND:
        return f"{value:,.0f}" if abs(value) >= _THOUSAND * 10 else f"{value:,.1f}"
    return f"{value:#.4g}".rstrip(".")


def in_order(name: str) -> list[str | int]:
    """Return what sorts names as people number them: h2 before h10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)]


def percent(value: float) -> str:
    """Write an accuracy or a target as exactly as targets are given, without trailing zeros: 80, 75.6954."""
    return f"{value:.4f}".rstrip("0").rstrip(".")


def plural(count: int, singular: str, several: str | None = None) -> str:
    """Write a count with its noun: "1 finding", "3 findings"."""
    return f"{count:,} {singular if count == 1 else several or singular + 's'}"


def duration(seconds: float) -> str:
    """Write a duration in the unit that fits: 0.4 s, 12 s, 10 min 5 s, 2 h 3 min."""
    if seconds < 10:  # noqa: PLR2004  # below ten seconds a digit more
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE_SECONDS:
        return f"{whole} s"
    if whole < _HOUR_SECONDS:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(round(seconds / _MINUTE_SECONDS), 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def size(count_bytes: float) -> str:
    """Write a size in binary units: 512 B, 23.5 GiB."""
    value, unit = float(count_bytes), _UNITS_BYTES[0]
    for larger in _UNITS_BYTES[1:]:
        if value < _KIBI:
            break
        value, unit = value / _KIBI, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.4g} {unit}"


def moment(text: str) -> datetime | None:
    """Read an RFC 3339 time stamp as UTC; None when it is none."""
    try:
        read = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)


def period(moments: Iterable[datetime]) -> str:
    """Write from when to when: "2026-11-22, 18:00:03 to 18:04:12 UTC"."""
    ordered = sorted(moments)
    if not ordered:
        return "nothing ran"
    first, last = ordered[0], ordered[-1]
    if first.date() == last.date():
        return f"{first:%Y-%m-%d, %H:%M:%S} to {last:%H:%M:%S} UTC"
    return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def title(name: str) -> str:
    """Turn a key into words: "cpu_cores_per_socket" becomes "CPU cores per socket"; units move to the value."""
    words = (name if _unit(name) is None else name.rpartition("_")[0]).split("_")
    shown = [_ACRONYMS.get(word.casefold(), word) for word in words]
    first = shown[0]
    return " ".join([first if first in _ACRONYMS.values() else first[:1].upper() + first[1:], *shown[1:]])


def _bare(key: str) -> str:
    return one_line(key if _unit(key) is None else key.rpartition("_")[0])


def _unit(name: str) -> str | None:
    """Return the unit that a key ends with."""
    return _UNITS.get(name.rpartition("_")[2]) if "_" in name else None


def value(found: Json, name: str = "") -> str:
    """Write any JSON value in a line; sizes get a unit, absent parts are left out.

    Args:
        found: The value.
        name: Its key; a unit at its end goes with its numbers, and "…_bytes" makes them sizes.
    """
    if found is None:
        return "not stated"
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, (int, float)):
        unit = _unit(name)
        shown = f"{found:,}" if isinstance(found, int) else f"{found:g}"
        return size(found) if unit == "bytes" else f"{shown} {unit}" if unit else shown
    if isinstance(found, str):
        return one_line(found)
    if isinstance(found, Mapping):
        parts = ((key, item) for key, item in found.items() if item is not None)
        return ", ".join(f"{_bare(key)} {value(item, key if _unit(key) else name)}" for key, item in parts)
    separator = "; " if any(isinstance(item, Mapping) for item in found) else ", "
    return separator.join(value(item, name) for item in found) or "none"


def utc(seconds: float) -> str:
    """Return a time since the epoch as ISO 8601 in UTC, to the second: such texts compare as the times do."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
