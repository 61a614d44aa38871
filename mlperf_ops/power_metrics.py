"""The power metric of a result: what the meter read while LoadGen measured.

Source: power_check.py of the official checker. Average power is the mean of the positive readings of spl.txt strictly
between LoadGen's `power_begin` and `power_end`; times are compared as they are written, without a time zone. Server,
Offline and Interactive results state it in watts. SingleStream and MultiStream results state the energy of a query in
millijoules; a MultiStream result that is inferred from a SingleStream run counts eight queries.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.errors import ResultError
from mlperf_ops.power_log import is_reading, power_time, reading

_MILLI = 1000
_PER_QUERY = frozenset({"SingleStream", "MultiStream"})
_STREAMS_OF_MULTISTREAM = 8


@dataclass(frozen=True, slots=True)
class PowerMetric:
    """What a power measurement gives.

    Attributes:
        value: In watts, or in millijoules per query for SingleStream and MultiStream; None when it cannot be computed.
        average_watts: Mean of the readings that count; None without any.
        duration_s: From `power_begin` to `power_end`.
        readings: How many readings count.
        problem: Why there is no value, in one sentence.
    """

    value: float | None
    average_watts: float | None
    duration_s: float
    readings: int
    problem: str | None = None


def read_watts(lines: Iterable[str], begin: str, end: str) -> list[float]:
    """Return the positive readings of spl.txt strictly between two times, in watts and in the file's order.

    Args:
        lines: Lines of spl.txt; those that are no readings are passed over.
        begin: LoadGen's `power_begin`.
        end: LoadGen's `power_end`.

    Raises:
        ValueError: A time or a reading is none.
    """
    first, last = power_time(begin), power_time(end)
    found = []
    for line in lines:
        if is_reading(line):
            time, stated = reading(line)
            if first < power_time(time) < last and (watts := float(stated)) > 0:
                found.append(watts)
    return found


def power_metric(  # what the official checker takes from four places
    spl: Path,
    begin: str,
    end: str,
    scenario: str,
    query_count: int | None,
    measured_scenario: str | None = None,
    watts: Sequence[float] | None = None,
) -> PowerMetric:
    """Compute the power metric of a result.

    Args:
        spl: The meter's log of the performance run, spl.txt.
        begin: `power_begin` of the performance run's detail log.
        end: `power_end` of it.
        scenario: Scenario of the result's folder, as MLPerf spells it.
        query_count: `result_query_count` of the log; only the energy of a query needs it.
        measured_scenario: Scenario that LoadGen ran; None: the same.
        watts: What `read_watts` gives of spl.txt, where it is known already.

    Raises:
        ResultError: spl.txt cannot be read.
    """
    try:
        if watts is None:
            with spl.open(encoding="utf-8", errors="replace") as stream:
                watts = read_watts(stream, begin, end)
        duration_s = (power_time(end) - power_time(begin)).total_seconds()
    except OSError as error:
        raise ResultError(f"cannot read {spl}: {error.strerror or error}") from error
    except ValueError as error:
        return PowerMetric(None, None, 0.0, 0, f"{spl.name} or the log's power times cannot be read: {error}")
    if not watts:
        return PowerMetric(None, None, duration_s, 0, f"no reading above 0 W between {begin} and {end}")
    average_watts = sum(watts) / len(watts)
    if not math.isfinite(average_watts):
        return PowerMetric(None, None, duration_s, len(watts), "a reading is no finite number")
    if scenario not in _PER_QUERY:
        return PowerMetric(average_watts, average_watts, duration_s, len(watts))
    if not query_count or query_count < 0:
        return PowerMetric(None, average_watts, duration_s, len(watts), "the log states no query count")
    inferred = scenario == "MultiStream" and measured_scenario == "SingleStream"
    streams = _STREAMS_OF_MULTISTREAM if inferred else 1
    energy_mj = average_watts * duration_s * streams * _MILLI / query_count
    return PowerMetric(energy_mj, average_watts, duration_s, len(watts))
