"""Times and readings of a power measurement, as LoadGen and the meter write them. Pure.

spl.txt has a line a second: "Time,<time>,Watts,<watts>,…,PF,<power factor>,…". Times have no time zone: they are
compared as they are written.
"""

from __future__ import annotations

import datetime as dt
import functools
import re

_FORMAT = "%m-%d-%Y %H:%M:%S.%f"
# A time as both write it; strptime takes twenty times as long.
_USUAL_TIME = r"\d\d-\d\d-\d{4} (?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}"
_MINUTE = len("07-25-2025 15:27:")
_USUAL = re.compile(_USUAL_TIME, re.ASCII)
# From the line feed before it: a known beginning is found many times as fast as the start of any line.
_USUAL_READING = re.compile(rf"\nTime,({_USUAL_TIME}),[^,\n]*,([^,\n]*)" + r",[^,\n]*" * 5 + r",([^,\n]*)", re.ASCII)
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  # as the times themselves
_TIME, _WATTS, _POWER_FACTOR = 1, 3, 9  # fields of a line of spl.txt
_NO_FIELDS = ("",) * _WATTS


def power_time(text: str) -> dt.datetime:
    """Return a time of the power logs, as in "07-25-2025 15:27:44.482", without a time zone.

    Raises:
        ValueError: The text is no such time.
    """
    if _USUAL.fullmatch(text):
        try:
            return dt.datetime.fromisoformat(f"{text[6:10]}-{text[:5]}{text[10:]}")
        except ValueError:
            pass  # strptime says what is wrong
    return dt.datetime.strptime(text, _FORMAT)  # noqa: DTZ007  # compared as written


def power_seconds(text: object) -> float | None:
    """Return a time of the power logs in seconds since 1970; None when it is none."""
    try:
        if isinstance(text, str) and _USUAL.fullmatch(text):
            return _usual_seconds(text)
        return (power_time(text) - _EPOCH).total_seconds() if isinstance(text, str) else None
    except ValueError:
        return None


def _usual_seconds(text: str) -> float:
    """Return a time of the usual form in seconds since 1970.

    Raises:
        ValueError: There is no such day.
    """
    return _minute_seconds(text[:_MINUTE]) + float(text[_MINUTE:])


@functools.lru_cache(maxsize=256)
def _minute_seconds(text: str) -> float:
    return (dt.datetime.fromisoformat(f"{text[6:10]}-{text[:5]}{text[10:]}00") - _EPOCH).total_seconds()


def is_reading(line: str) -> bool:
    """Whether a line of spl.txt is one of readings, as the official checker tells them."""
    return line.startswith("Time")


def reading(line: str) -> tuple[str, str]:
    """Return time and watts of a line of readings, as written; "" for what it lacks, which matters only in a run."""
    fields = [*line.split(",", _WATTS + 1), *_NO_FIELDS]
    return fields[_TIME], fields[_WATTS]


def power_factor(line: str) -> float | None:
    """Return the power factor of a line of readings; None when it has none.

    Raises:
        ValueError: It is no number.
    """
    fields = line.split(",", _POWER_FACTOR + 1)
    return float(fields[_POWER_FACTOR]) if len(fields) > _POWER_FACTOR else None


def usual_readings(text: str) -> list[tuple[float, float, float]] | None:
    """Return the readings of spl.txt, found at once: time in seconds since 1970, watts, power factor.

    Returns:
        None when a line of readings has another form than the meter's usual one.
    """
    text = f"\n{text}"
    found = _USUAL_READING.finditer(text)  # all their texts at once would take several times the file's size
    try:
        made = [(_usual_seconds(one[1]), float(one[2]), float(one[3])) for one in found]
    except ValueError:
        return None
    return made if len(made) == text.count("\nTime") else None
