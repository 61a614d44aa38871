"""The figures of a result, out of LoadGen's own logs: metric, latency percentiles, throughput, what took the time.

No figure is measured here. Where LoadGen states no throughput for a scenario it is derived from its mean latency, and
says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from types import MappingProxyType

from mlperf_ops import wording
from mlperf_ops.catalogue import Round
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.model import Result
from mlperf_ops.power_log import power_time
from mlperf_ops.report.evidence import CellRun

_NS_PER_MS = 1e6
_NS_PER_SECOND = 1e9
_PERCENTILE = re.compile(r"result_(?P<percent>\d+\.\d+)_percentile_latency_ns")
_PERCENTILE_OF_QUERY = re.compile(r"result_(?P<percent>\d+\.\d+)_percentile_per_query_latency_ns")
# LoadGen's estimates are named after the scenario whose percentile they are of: ss is SingleStream's, ms MultiStream's.
_ESTIMATES = MappingProxyType({"early_stopping_latency_ss": 90.0, "early_stopping_latency_ms": 99.0})
# Offline sends all samples in one query: its percentiles say nothing about a request.
LATENCY_SCENARIOS = ("SingleStream", "MultiStream", "Server", "Interactive")
_ZONE_STEP_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Metric:
    """The figure by which a result is ranked.

    Attributes:
        value: In `unit`.
        unit: "ms", or the round's name of a throughput such as "Samples/s".
        label: What it is of, such as "90th percentile"; empty for a throughput.
        note: What to know about it; empty when there is nothing.
    """

    value: float
    unit: str
    label: str = ""
    note: str = ""

    @property
    def text(self) -> str:
        """Figure and unit."""
        return f"{wording.number(self.value)} {self.unit}"


@dataclass(frozen=True, slots=True)
class Throughput:
    """Samples or queries per second, and whether LoadGen states it or it follows from a latency."""

    value: float
    unit: str
    derived: str  # how it was derived; empty for LoadGen's own metric


@dataclass(frozen=True, slots=True)
class Latencies:
    """LoadGen's latency percentiles of a run, ascending.

    Attributes:
        of: "query" where a query holds several samples, else "sample".
        points: Percentile (50.0 to 99.9) and latency in ms.
        maximum_ms: The longest of all.
        limit_ms: The round's bound on `limit_percentile`; None when it has none.
    """

    of: str
    points: tuple[tuple[float, float], ...]
    maximum_ms: float | None
    limit_ms: float | None
    limit_percentile: float

    def at(self, percentile: float) -> float | None:
        """Return the latency in ms at one of LoadGen's percentiles."""
        return next((value for percent, value in self.points if percent == percentile), None)


@dataclass(frozen=True, slots=True)
class Span:
    """When a cell ran.

    Attributes:
        measured: Start and length in seconds, counted from `start`, of what LoadGen measured; None when unknown.
    """

    start: datetime
    seconds: float
    measured: tuple[float, float] | None


def _fields(cell: CellRun | None) -> JsonObject:
    if cell is None or cell.result is None or cell.result.loadgen is None:
        return {}
    return cell.result.loadgen.fields


def _float(found: Json) -> float | None:
    return float(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else None


def metric(cell: CellRun | None, round_: Round) -> Metric | None:
    """Return the metric of a performance run, by the round's own field and unit for the scenario."""
    fields = _fields(cell)
    if cell is None or not fields:
        return None
    scenario = cell.cell.scenario
    rules = round_.models.get(cell.official_benchmark)
    field = (rules.result_field_override.get(scenario) if rules else None) or round_.result_field[scenario]
    unit = (rules.units_override.get(scenario) if rules else None) or round_.units_default[scenario]
    found = _float(fields.get(field))
    if field not in _ESTIMATES:
        return None if found is None else Metric(found, unit)
    percentile = _ESTIMATES[field]
    label = f"{percentile:g}th percentile"
    if found:
        return Metric(found / _NS_PER_MS, "ms", label)
    # Too few queries for LoadGen's estimate: the plain percentile is shown, and is no MLPerf metric.
    plain = latencies(cell, round_)
    value = None if plain is None else plain.at(percentile)
    return None if value is None else Metric(value, "ms", label, "too few queries for LoadGen's own estimate")


def latencies(cell: CellRun | None, round_: Round) -> Latencies | None:
    """Return the latency percentiles of a performance run; None for Offline and where LoadGen states none."""
    fields = _fields(cell)
    if cell is None or cell.cell.mode != "performance" or cell.cell.scenario not in LATENCY_SCENARIOS:
        return None
    of, points = "query", _points(fields, _PERCENTILE_OF_QUERY)
    if not points:
        of, points = "sample", _points(fields, _PERCENTILE)
    if not points:
        return None
    longest = _float(fields.get("result_max_query_latency_ns") or fields.get("result_max_latency_ns"))
    rules = round_.models.get(cell.official_benchmark)
    limit = rules.target_latency_ns.get(cell.cell.scenario) if rules else None
    tail = _float(fields.get("effective_target_latency_percentile"))
    return Latencies(
        of=of,
        points=points,
        maximum_ms=None if longest is None else longest / _NS_PER_MS,
        limit_ms=None if not limit else limit / _NS_PER_MS,
        limit_percentile=99.0 if tail is None else round(100 * tail, 4),
    )


def _points(fields: JsonObject, pattern: re.Pattern[str]) -> tuple[tuple[float, float], ...]:
    matched = ((pattern.fullmatch(key), _float(found)) for key, found in fields.items())
    return tuple(
        sorted((float(match["percent"]), found / _NS_PER_MS) for match, found in matched if match and found is not None)
    )


def throughput(cell: CellRun | None, round_: Round) -> Throughput | None:
    """Return the throughput of a performance run."""
    fields = _fields(cell)
    stated = metric(cell, round_)
    if cell is None or stated is None or cell.cell.mode != "performance":
        return None
    if cell.cell.scenario not in ("SingleStream", "MultiStream"):
        return Throughput(stated.value, stated.unit, "")
    alone = _float(fields.get("result_qps_without_loadgen_overhead"))
    if alone:
        return Throughput(alone, "Samples/s", "1 / mean latency, one sample at a time")
    mean_ns = _float(fields.get("result_mean_query_latency_ns")) or _float(fields.get("result_mean_latency_ns"))
    count = _float(fields.get("effective_samples_per_query")) or 1.0
    if not mean_ns:
        return None
    return Throughput(count * _NS_PER_SECOND / mean_ns, "Samples/s", f"{count:g} samples / mean query latency")


def span(result: Result) -> Span | None:
    """Return when a cell ran.

    LoadGen writes the begin and end of its measurement in the host's local time without naming the zone. Zones differ
    from UTC by whole quarters of an hour, so the begin is known where only one such shift falls into the cell's time.
    """
    start = wording.moment(result.started_at)
    if start is None:
        return None
    fields = {} if result.loadgen is None else result.loadgen.fields
    begin, end = (_local(fields.get(key)) for key in ("power_begin", "power_end"))
    if result.accuracy is not None or begin is None or end is None:
        return Span(start, result.elapsed_seconds, None)  # an accuracy run measures in parts
    seconds = (end - begin).total_seconds()
    offset = (begin - start).total_seconds() % _ZONE_STEP_SECONDS
    if offset > _ZONE_STEP_SECONDS - 1:
        offset = 0.0  # started_at is in whole seconds
    fits = offset + seconds <= result.elapsed_seconds + 1
    unique = offset + _ZONE_STEP_SECONDS + seconds > result.elapsed_seconds + 1
    measured = (offset, min(seconds, result.elapsed_seconds - offset)) if fits and unique and seconds >= 0 else None
    return Span(start, result.elapsed_seconds, measured)


def _local(found: Json) -> datetime | None:
    try:
        return power_time(str(found)).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def end_of(one: Span) -> datetime:
    """Return when a cell ended."""
    return one.start + timedelta(seconds=one.seconds)
