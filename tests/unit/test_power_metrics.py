"""The power metric: which readings count, and what is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlperf_ops.errors import ResultError
from mlperf_ops.power_log import power_factor, power_seconds, power_time
from mlperf_ops.power_metrics import power_metric

BEGIN, END = "07-25-2025 10:00:00.000", "07-25-2025 10:10:00.500"


@pytest.fixture
def spl(tmp_path: Path) -> Path:
    readings = [
        ("07-25-2025 10:00:00.000", 900.0),  # at the begin: does not count
        ("07-25-2025 10:00:00.001", 100.0),
        ("07-25-2025 10:05:00.000", 300.0),
        ("07-25-2025 10:06:00.000", 0.0),  # not positive
        ("07-25-2025 10:07:00.000", -5.0),
        ("07-25-2025 10:10:00.500", 900.0),  # at the end
        ("08-01-2024 10:05:00.000", 900.0),  # a later month of an earlier year
    ]
    path = tmp_path / "spl.txt"
    path.write_text("# meter\n" + "".join(f"Time,{time},Watts,{watts},Volts,230\n" for time, watts in readings))
    return path


@pytest.mark.parametrize("scenario", ["Offline", "Server", "Interactive"])
def test_average_power_in_watts(spl: Path, scenario: str) -> None:
    metric = power_metric(spl, BEGIN, END, scenario, None)
    assert (metric.value, metric.readings, metric.duration_s) == (200.0, 2, 600.5)


def test_energy_of_a_query_in_millijoules(spl: Path) -> None:
    assert power_metric(spl, BEGIN, END, "SingleStream", 1000).value == 200.0 * 600.5 * 1000 / 1000


def test_an_inferred_multistream_query_is_eight_queries(spl: Path) -> None:
    own = power_metric(spl, BEGIN, END, "MultiStream", 1000, "MultiStream").value
    inferred = power_metric(spl, BEGIN, END, "MultiStream", 1000, "SingleStream").value
    assert own is not None
    assert inferred == own * 8


@pytest.mark.parametrize(
    ("begin", "scenario", "queries", "problem"),
    [
        ("07-25-2025 10:09:00.000", "Offline", None, "no reading above 0 W"),
        ("yesterday", "Offline", None, "cannot be read"),
        (BEGIN, "SingleStream", 0, "no query count"),
        (BEGIN, "SingleStream", None, "no query count"),
    ],
)
def test_without_a_value_there_is_a_reason(
    spl: Path, begin: str, scenario: str, queries: int | None, problem: str
) -> None:
    metric = power_metric(spl, begin, END, scenario, queries)
    assert metric.value is None
    assert problem in (metric.problem or "")


@pytest.mark.parametrize("line", ["Time,07-25-2025 10:01:00.000", "Time,07-25-2025 10:01:00.000,Watts,many", "Timer"])
def test_a_damaged_line_is_a_reason(spl: Path, line: str) -> None:
    spl.write_text(spl.read_text() + line + "\n")
    assert power_metric(spl, BEGIN, END, "Offline", None).problem is not None


def test_a_line_that_is_cut_after_the_run_does_not_matter(spl: Path) -> None:
    spl.write_text(spl.read_text() + "Time,07-25-2025 10:10:01.000,Wat")
    assert power_metric(spl, BEGIN, END, "Offline", None).value == 200.0


def test_a_reading_that_is_no_number_is_a_reason(spl: Path) -> None:
    spl.write_text("Time,07-25-2025 10:01:00.000,Watts,inf,\n")
    assert power_metric(spl, BEGIN, END, "Offline", None).problem == "a reading is no finite number"


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="cannot read"):
        power_metric(tmp_path / "spl.txt", BEGIN, END, "Offline", None)


def test_times_of_any_width_are_read() -> None:
    texts = ["12-31-2024 23:59:59.9", "1-1-2025 0:00:00.5", "01-01-2025 00:00:00.500001", "07-25-2025 10:00:00.482"]
    times = [power_time(text) for text in texts]
    assert sorted(times) == times
    assert times[3].isoformat() == "2025-07-25T10:00:00.482000"
    assert power_time("01-01-2025 00:00:00.500") == times[1]


@pytest.mark.parametrize("text", ["", "07-25-2025T10:00:00.482", "13-25-2025 10:00:00.482", "07-25-2025 10:00:00+01:0"])
def test_what_is_no_time_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="time data"):
        power_time(text)


@pytest.mark.parametrize("text", ["", "07-25-2025 24:00:00.000", "02-30-2025 10:00:00.482", 5, None])
def test_what_is_no_time_has_no_seconds(text: object) -> None:
    assert power_seconds(text) is None


def test_seconds_keep_milliseconds_and_take_times_as_they_are_written() -> None:
    assert power_seconds("01-02-1970 00:00:01.250") == 86401.25
    later, earlier = power_seconds("07-25-2025 15:27:44.482"), power_seconds("7-25-2025 15:27:43.482")
    assert later is not None
    assert earlier is not None
    assert later - earlier == pytest.approx(1, abs=1e-6)


def test_a_line_of_readings_may_lack_a_power_factor() -> None:
    line = "Time,07-25-2025 10:01:00.000,Watts,200.0,Volts,230.0,Amps,0.9,PF,0.97,Mark,run"
    assert power_factor(line) == 0.97
    assert power_factor(line.partition(",Volts")[0]) is None
