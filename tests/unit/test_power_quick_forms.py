"""What is found in power logs at once is what is found line by line, whatever the lines are."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.power_check import Measurement, read_measurement
from mlperf_ops.power_check.meter_log import errors_and_uncertainty
from mlperf_ops.power_check.model import Reading, Run
from mlperf_ops.power_log import power_factor, power_seconds, reading, usual_readings
from mlperf_ops.power_metrics import read_watts
from tests.support.meter_logs import BEGIN_S, DAY, END_S, HEAD

RULES = load_catalogue().round("v6.1").power
STAMPS = st.sampled_from(
    [f"{DAY} 15:{minute:02}:30.500" for minute in (0, 5, 15, 21, 37, 54)] + ["02-30-2025 15:37:30.500"]
)
SAID = st.sampled_from(
    [
        *("WARNING: Uncertainty 1.42%, which is above 1.00% limit for the last sample!", "WARNING: USB."),
        "WARNING: Uncertainty 1.42%, which is above 1.00% limit for the last sample, logical channel 1!",
        "WARNING: Uncertainty unknown for the last measurement sample!",
        "ERROR: Can't evaluate uncertainty of this sample!",
        *("ERROR: USB.", "ERROR: Bad watts reading nan from WT310", "WARNING:", "ERROR: WARNING: both", "ranging"),
    ]
)  # fmt: skip
LINES = st.builds(lambda stamp, said: f"{stamp}: {said}", STAMPS, SAID)
SAYS_NOTHING = f"\n{DAY} 15:05:00.000: ERROR:"
"""A line that no finding comes from, and that is of no usual form: the log is read line by line."""

VALUES = st.sampled_from(["41.5", "-0.25", "nan", "1e3", "", "x"])
READINGS = st.builds(
    lambda stamp, watts, factor, more: f"Time,{stamp},Watts,{watts},Volts,230.1,Amps,0.2,PF,{factor}{more}",
    STAMPS, VALUES, VALUES, st.sampled_from(["", ",Mark,run", "\r", "\nMark", ",Ch1,Watts,3"]),
)  # fmt: skip


def findings(text: str) -> list[object]:
    testing = Run("run_1", BEGIN_S, END_S, (Reading(END_S - 1, 40.0, None),))
    measured = Measurement({}, {}, testing, testing, text, {})
    return list(errors_and_uncertainty({"session_name": "s"}, measured, RULES))


@settings(deadline=None)
@given(lines=st.lists(LINES, max_size=8))
def test_a_meter_log_read_at_once_gives_the_findings_of_its_lines(lines: list[str]) -> None:
    text = "\n".join((*HEAD, *lines))
    assert findings(text) == findings(text + SAYS_NOTHING)


def test_the_lines_of_this_test_give_findings() -> None:
    uncertain = f"{DAY} 15:37:30.500: WARNING: Uncertainty 1.42%, which is above 1.00% limit for the last sample!"
    for said in (uncertain, f"{DAY} 15:15:30.500: ERROR: Bad watts reading nan from WT310"):
        assert findings("\n".join((*HEAD, said)))


@settings(deadline=None)
@given(lines=st.lists(READINGS | st.text(max_size=30), max_size=5))
def test_readings_found_at_once_are_those_of_the_lines(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = usual_readings(text)
    if found is not None:
        by_line = [line for line in text.split("\n") if line.startswith("Time")]
        told = [(power_seconds(reading(line)[0]), float(reading(line)[1]), power_factor(line)) for line in by_line]
        assert repr(found) == repr(told)  # nan is not equal to itself


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(READINGS | st.text(max_size=30), max_size=5))
def test_the_readings_of_a_measurement_are_those_of_the_power_metric(lines: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run_1"
    run.mkdir(exist_ok=True)
    begin, end = f"{DAY} 15:05:30.500", f"{DAY} 15:54:30.500"
    said = [{"key": key, "value": value} for key, value in (("power_begin", begin), ("power_end", end))]
    (run / "mlperf_log_detail.txt").write_text("".join(f":::MLLOG {json.dumps(one)}\n" for one in said))
    (run / "spl.txt").write_text("\n".join(lines))
    testing = read_measurement(tmp_path).testing
    with (run / "spl.txt").open() as stream:
        assert testing.problem is not None or testing.watts == read_watts(stream, begin, end)
