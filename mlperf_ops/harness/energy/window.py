"""From readings to the energy of LoadGen's own window. Pure; standard library only.

Power is averaged as the official checker does it: the plain mean of the positive readings strictly between
`power_begin` and `power_end`. A counter is read off at both ends, by a straight line between the readings around each.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import pairwise

from mlperf_ops.harness.energy.model import Reading

COLUMNS = ("t_utc", "watts", "joules", "source", "domain")


@dataclass(frozen=True, slots=True)
class Energy:
    """What one domain used in the window.

    Attributes:
        domain: Its name.
        rule: "mean" of power, or difference of a "counter".
        readings: That lie in the window.
        longest_gap_seconds: Between two readings around or in it.
        average_watts: None where it cannot be told.
        joules: The same.
        problem: Why it cannot.
    """

    domain: str
    rule: str
    readings: int
    longest_gap_seconds: float | None
    average_watts: float | None
    joules: float | None
    problem: str | None = None


def row(source: str, reading: Reading) -> list[str]:
    """Return a line of the CSV file: time as 2026-01-31T18:20:02.123Z, then watts or joules."""
    at = datetime.fromtimestamp(reading.time, timezone.utc).replace(tzinfo=None)
    watts, joules = (
        "" if value is None else f"{value:.6f}".rstrip("0").rstrip(".") for value in (reading.watts, reading.joules)
    )
    return [f"{at.isoformat(timespec='milliseconds')}Z", watts, joules, source, reading.domain]


def readings_of(lines: Iterable[str]) -> Iterator[Reading]:
    """Read the lines of a CSV file; one that was cut off in the middle is passed over."""
    for fields in csv.DictReader(lines):
        if (reading := _reading(fields)) is not None:
            yield reading


def _reading(fields: Mapping[str, str | None]) -> Reading | None:
    try:
        time = datetime.fromisoformat((fields["t_utc"] or "").replace("Z", "+00:00")).timestamp()
        watts, joules = (float(text) if (text := fields[name]) else None for name in ("watts", "joules"))
    except (KeyError, ValueError):
        return None
    if watts is None and joules is None:
        return None
    return Reading(time, fields.get("domain") or "", watts, joules)


def energies(readings: Iterable[Reading], begin: float, end: float) -> tuple[Energy, ...]:
    """Return the energy of each domain, in the order in which they came.

    Args:
        readings: In the order of time.
        begin: `power_begin`, in seconds since 1970, UTC.
        end: `power_end`.
    """
    domains: dict[str, list[Reading]] = {}
    for one in readings:
        domains.setdefault(one.domain, []).append(one)
    return tuple(
        (_of_power if all(one.watts is not None for one in found) else _of_counter)(domain, found, begin, end)
        for domain, found in domains.items()
    )


def _of_power(domain: str, found: list[Reading], begin: float, end: float) -> Energy:
    inside = [one.watts for one in found if begin < one.time < end and one.watts is not None and one.watts > 0]
    gap = _longest_gap(found, begin, end)
    if not inside:
        return Energy(domain, "mean", 0, gap, None, None, "no reading above 0 W in the window")
    average = sum(inside) / len(inside)
    return Energy(domain, "mean", len(inside), gap, average, average * (end - begin))


def _of_counter(domain: str, found: list[Reading], begin: float, end: float) -> Energy:
    points = [(one.time, one.joules) for one in found if one.joules is not None]
    inside = sum(begin < time < end for time, _ in points)
    gap = _longest_gap(found, begin, end)
    first, last = _at(points, begin), _at(points, end)
    if first is None or last is None:
        return Energy(domain, "counter", inside, gap, None, None, "its readings do not reach from begin to end")
    if any(later < earlier for (_, earlier), (_, later) in pairwise(points)):
        return Energy(domain, "counter", inside, gap, None, None, "the counter fell: it was reset, or is no counter")
    return Energy(domain, "counter", inside, gap, (last - first) / (end - begin), last - first)


def _at(points: list[tuple[float, float]], time: float) -> float | None:
    for (before, low), (after, high) in pairwise(points):
        if before <= time <= after:
            return high if after == before else low + (high - low) * (time - before) / (after - before)
    return None


def _longest_gap(found: list[Reading], begin: float, end: float) -> float | None:
    """Return the longest time without a reading that touches the window; None where there are fewer than two."""
    gaps = [
        later.time - earlier.time for earlier, later in pairwise(found) if later.time > begin and earlier.time < end
    ]
    return round(max(gaps), 3) if gaps else None
