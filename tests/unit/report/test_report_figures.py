"""Figures out of real LoadGen logs: the metric of each scenario, percentiles, throughput, when it ran."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.files import Json
from mlperf_ops.loadgen_log import read_detail
from mlperf_ops.model import LoadgenOutcome, Result
from mlperf_ops.report import figures
from mlperf_ops.report.evidence import CellRun, Run
from mlperf_ops.report.gather import read_run


@pytest.fixture(scope="module")
def whole(demonstration: Path) -> Run:
    return read_run(demonstration, load_catalogue())


def cell_of(run: Run, scenario: str, mode: str = "performance") -> CellRun:
    return next(cell for cell in run.cells if (cell.cell.scenario, cell.cell.mode) == (scenario, mode) and cell.result)


def log_of(run: Run, cell: CellRun) -> dict[str, Json]:
    assert cell.folder is not None
    return read_detail(run.folder / cell.folder / "mlperf_log_detail.txt").values


def number(log: dict[str, Json], key: str) -> float:
    found = log[key]
    assert isinstance(found, (int, float))
    return float(found)


def with_fields(cell: CellRun, **changes: Json) -> CellRun:
    """The cell with other figures; None takes one away."""
    assert cell.result is not None
    assert cell.result.loadgen is not None
    fields: dict[str, Json] = {
        key: found for key, found in {**cell.result.loadgen.fields, **changes}.items() if found is not None
    }
    loadgen = dataclasses.replace(cell.result.loadgen, fields=fields)
    return dataclasses.replace(cell, result=dataclasses.replace(cell.result, loadgen=loadgen))


@pytest.mark.parametrize(
    ("scenario", "key", "scale", "unit", "label"),
    [
        ("SingleStream", "early_stopping_latency_ss", 1e6, "ms", "90th percentile"),
        ("MultiStream", "early_stopping_latency_ms", 1e6, "ms", "99th percentile"),
        ("Server", "result_completed_samples_per_sec", 1, "Queries/s", ""),
        ("Offline", "result_samples_per_second", 1, "Samples/s", ""),
    ],
)
def test_the_metric_is_the_one_that_the_round_names(
    whole: Run, scenario: str, key: str, scale: float, unit: str, label: str
) -> None:
    cell = cell_of(whole, scenario)
    found = figures.metric(cell, whole.round)
    assert found == figures.Metric(number(log_of(whole, cell), key) / scale, unit, label)


def test_too_few_queries_for_an_estimate_show_the_plain_percentile_and_say_so(whole: Run) -> None:
    cell = with_fields(cell_of(whole, "SingleStream"), early_stopping_latency_ss=0)
    found = figures.metric(cell, whole.round)
    assert found is not None
    assert found.value == number(log_of(whole, cell), "result_90.00_percentile_latency_ns") / 1e6
    assert found.note == "too few queries for LoadGen's own estimate"


def test_percentiles_rise_and_are_of_whole_queries_in_multistream(whole: Run) -> None:
    cell = cell_of(whole, "MultiStream")
    found = figures.latencies(cell, whole.round)
    assert found is not None
    assert found.of == "query"
    assert [percent for percent, _ in found.points] == [50.0, 90.0, 95.0, 97.0, 99.0, 99.9]
    assert [value for _, value in found.points] == sorted(value for _, value in found.points)
    assert found.at(99.0) == number(log_of(whole, cell), "result_99.00_percentile_per_query_latency_ns") / 1e6
    assert found.limit_ms is None


def test_the_rounds_limit_goes_with_server_only(whole: Run) -> None:
    server, single = (figures.latencies(cell_of(whole, one), whole.round) for one in ("Server", "SingleStream"))
    assert server is not None
    assert single is not None
    assert (server.limit_ms, server.limit_percentile, server.of) == (15.0, 99.0, "sample")
    assert single.limit_ms is None


def test_offline_has_no_latency_and_an_accuracy_run_no_figures(whole: Run) -> None:
    assert figures.latencies(cell_of(whole, "Offline"), whole.round) is None
    assert figures.latencies(cell_of(whole, "Server", "accuracy"), whole.round) is None
    assert figures.throughput(cell_of(whole, "Server", "accuracy"), whole.round) is None
    assert figures.metric(None, whole.round) is None


def test_throughput_is_loadgens_or_says_how_it_was_derived(whole: Run) -> None:
    offline, single, multi = (cell_of(whole, one) for one in ("Offline", "SingleStream", "MultiStream"))
    found = figures.throughput(offline, whole.round)
    assert found is not None
    assert (found.value, found.derived) == (number(log_of(whole, offline), "result_samples_per_second"), "")
    found = figures.throughput(single, whole.round)
    assert found is not None
    assert found.value == number(log_of(whole, single), "result_qps_without_loadgen_overhead")
    assert found.derived
    found = figures.throughput(multi, whole.round)
    assert found is not None
    assert found.value == pytest.approx(8e9 / number(log_of(whole, multi), "result_mean_query_latency_ns"))
    assert found.derived == "8 samples / mean query latency"


def result_at(begin: str | None, end: str | None, *, started: str, elapsed: float, cell: CellRun) -> Result:
    assert cell.result is not None
    fields: dict[str, Json] = {"power_begin": begin, "power_end": end}
    loadgen = LoadgenOutcome("VALID", fields, (), 0)
    return dataclasses.replace(cell.result, started_at=started, elapsed_seconds=elapsed, loadgen=loadgen)


@pytest.mark.parametrize("begin_hour", ["18", "20", "13"])
def test_loadgens_local_time_is_placed_whatever_the_hosts_zone(whole: Run, begin_hour: str) -> None:
    result = result_at(
        f"11-22-2026 {begin_hour}:02:13.500",
        f"11-22-2026 {begin_hour}:02:23.500",
        started="2026-11-22T18:02:11+00:00",
        elapsed=14.0,
        cell=cell_of(whole, "Server"),
    )
    span = figures.span(result)
    assert span is not None
    assert span.measured == (2.5, 10.0)


def test_a_measurement_that_could_lie_in_two_places_is_not_drawn(whole: Run) -> None:
    result = result_at(
        "11-22-2026 18:20:00.000",
        "11-22-2026 18:30:00.000",
        started="2026-11-22T18:00:00+00:00",
        elapsed=3000.0,
        cell=cell_of(whole, "Server"),
    )
    span = figures.span(result)
    assert span is not None
    assert (span.seconds, span.measured) == (3000.0, None)


def test_a_time_that_is_none_gives_no_span(whole: Run) -> None:
    result = result_at(None, None, started="yesterday", elapsed=1.0, cell=cell_of(whole, "Server"))
    assert figures.span(result) is None
