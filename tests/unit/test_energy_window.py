"""From readings to the energy of LoadGen's window, with numbers that can be computed by hand."""

from __future__ import annotations

import pytest

from mlperf_ops.harness.energy.model import Reading
from mlperf_ops.harness.energy.window import COLUMNS, energies, readings_of, row
from mlperf_ops.power_metrics import read_watts


def watts(*pairs: tuple[float, float]) -> list[Reading]:
    return [Reading(time, "d", watts=value) for time, value in pairs]


def joules(*pairs: tuple[float, float]) -> list[Reading]:
    return [Reading(time, "d", joules=value) for time, value in pairs]


def test_power_is_the_mean_of_the_positive_readings_strictly_inside() -> None:
    found = energies(watts((10, 1000), (11, 100), (12, 0), (13, 200), (14, -5), (20, 1000)), 10, 20)[0]
    assert (found.average_watts, found.joules, found.readings) == (150, 1500, 2)
    assert found.longest_gap_seconds == 6


def test_the_mean_is_that_of_the_official_rule_on_the_meters_own_lines() -> None:
    begin, end = "01-31-2026 10:00:01.500", "01-31-2026 10:00:08.250"
    values = [10, 20, 30, 0, 50, 60.25, 70, 80, 90, 100]
    lines = [f"Time,01-31-2026 10:00:0{second}.000,Watts,{value},V" for second, value in enumerate(values)]
    inside = read_watts(lines, begin, end)
    ours = energies(watts(*[(float(second), float(value)) for second, value in enumerate(values)]), 1.5, 8.25)[0]
    assert ours.average_watts == sum(inside) / len(inside)
    assert ours.readings == len(inside)


def test_a_counter_is_read_off_at_both_ends_of_the_window() -> None:
    # 100 W until 11, then 300 W: 10.5 to 12.25 is 0.5 s of 100 W and 1.25 s of 300 W.
    found = energies(joules((10, 0), (11, 100), (12, 400), (13, 700)), 10.5, 12.25)[0]
    assert found.joules == pytest.approx(0.5 * 100 + 1.25 * 300)
    assert found.average_watts == pytest.approx((0.5 * 100 + 1.25 * 300) / 1.75)
    assert found.rule == "counter"


@pytest.mark.parametrize(
    ("readings", "problem"),
    [
        (watts((1, 5), (30, 5)), "no reading above 0 W in the window"),
        (joules((11, 0), (30, 5)), "its readings do not reach from begin to end"),
        (joules((5, 0), (19, 5)), "its readings do not reach from begin to end"),
        (joules((5, 0), (12, 50), (13, 4), (25, 60)), "the counter fell: it was reset, or is no counter"),
    ],
)
def test_what_cannot_be_told_is_said_and_not_guessed(readings: list[Reading], problem: str) -> None:
    found = energies(readings, 10, 20)[0]
    assert (found.joules, found.average_watts, found.problem) == (None, None, problem)


def test_a_line_survives_the_file_and_a_torn_one_is_passed_over() -> None:
    readings = [
        Reading(1769883602.123, "gpu0", watts=71.4),
        Reading(1769883603.5, "package-0/dram", joules=0.000123),
        Reading(1769883604.0, "gpu0", watts=0.0),
    ]
    lines = [",".join(COLUMNS), *(",".join(row("s", one)) for one in readings)]
    assert lines[1] == "2026-01-31T18:20:02.123Z,71.4,,s,gpu0"
    assert list(readings_of(lines)) == readings
    assert list(readings_of([*lines[:3], lines[3][:20]])) == readings[:2]
    assert list(readings_of([])) == []
