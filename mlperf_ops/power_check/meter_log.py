"""ptd_logs.txt: errors and uncertain readings of the meter.

The official checker leaves out 800 s at each end of the run where 0.8 s are meant, and ends at the first line that it
tolerates. What it would say, and what the log says, are therefore two findings: the first with "official", the second
with "rules".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from mlperf_ops.catalogue.power_rules import PowerRules
from mlperf_ops.files import JsonObject
from mlperf_ops.power_check.model import Measurement, PowerFinding
from mlperf_ops.power_log import power_seconds

_FILE = "power/ptd_logs.txt"
_STAMP = re.compile(r"\d\d-\d\d-\d{4} \d\d:\d\d:\d\d\.\d{3}")
_ACTIVATED = re.compile(r"Uncertainty checking for Yokogawa\S+ is activated")
_UNCERTAIN = re.compile(r"Uncertainty \d+.\d+%, which is above \d+\.\d+% limit for the last sample(?P<channel>, )?")
_WORDS = (("WARNING:", False), ("ERROR:", True))
_COMPLETED = ": Completed test"
_OFFICIAL_MARGIN_S = 800.0  # meant as milliseconds
_MARGIN_S = 0.8
_PERCENT = 100


class _Line(NamedTuple):
    """A line with ERROR: or WARNING:."""

    text: str  # after the colon
    is_error: bool
    stamp: str | None

    @property
    def time_s(self) -> float | None:
        return power_seconds(self.stamp)  # None of None

    @property
    def uncertain(self) -> re.Match[str] | None:
        if self.is_error or "Uncertainty " not in self.text:
            return None
        return _UNCERTAIN.search(self.text)


def errors_and_uncertainty(server: JsonObject, measured: Measurement, rules: PowerRules) -> Iterator[PowerFinding]:
    """Check errors and warnings of the meter, officially and by what they are."""
    if not any(measured.meter_lines):
        return  # the list of files says so
    ranging = _ranging(measured.meter_lines, f"{server.get('session_name')}_ranging")
    begin, end = measured.testing.begin_s, measured.testing.end_s
    if ranging is None:
        yield PowerFinding("meter-errors", "official", _FILE, "the log does not show when ranging began and ended")
        return
    yield from _activation(measured.meter_lines, ranging[0])
    if begin is None or end is None:
        return  # readings and clock say so
    lines = list(_marked(measured.meter_lines))
    objection = _official(lines, ranging, (begin, end), rules)
    if objection is not None:
        yield PowerFinding("meter-errors", "official", _FILE, f"the meter reported: {objection}", value=objection)
        return
    yield from _strict(lines, ranging, measured, rules)


def _ranging(lines: tuple[str, ...], mark: str) -> tuple[float, float] | None:
    start: float | None = None
    go = f": Go with mark {mark!r}"
    for line in lines:
        if (go if start is None else _COMPLETED) not in line:
            continue
        stamp = _STAMP.match(line)
        said = line[stamp.end() :].strip() if stamp else None
        if start is None:
            if said == go:
                start = power_seconds(line[: _width(stamp)])
        elif said == _COMPLETED:
            stop = power_seconds(line[: _width(stamp)])
            return None if stop is None else (start, stop)
    return None


def _width(stamp: re.Match[str] | None) -> int:
    return stamp.end() if stamp else 0


def _activation(lines: tuple[str, ...], ranging_start: float) -> Iterator[PowerFinding]:
    for line in lines:
        if " is activated" in line and _ACTIVATED.search(line):
            stamp = _STAMP.match(line)
            time_s = power_seconds(stamp[0]) if stamp else None
            if time_s is None or time_s >= ranging_start:
                yield PowerFinding(
                    "uncertainty",
                    "official",
                    _FILE,
                    "the meter's uncertainty check was switched on after ranging began",
                )
            return
    yield PowerFinding("uncertainty", "official", _FILE, "the meter's uncertainty check was not switched on")


def _marked(lines: tuple[str, ...]) -> Iterator[_Line]:
    for line in lines:
        for word, is_error in _WORDS:
            if word in line:
                text = line.partition(word)[2]
                if text:
                    stamp = _STAMP.match(line)
                    yield _Line(text.strip(), is_error, stamp[0] if stamp else None)


def _official(
    lines: list[_Line], ranging: tuple[float, float], run: tuple[float, float], rules: PowerRules
) -> str | None:
    """Return the line at which the official checker fails; None where it passes, with a warning or without."""
    begin, end = run[0] + _OFFICIAL_MARGIN_S, run[1] - _OFFICIAL_MARGIN_S
    starts = tuple([start.strip() for start in rules.ranging_errors])
    for line in lines:
        time_s = line.time_s
        if time_s is None:
            return line.text
        if line.is_error:
            if line.text in rules.testing_errors:
                return None
            if not ranging[0] < time_s < ranging[1]:
                return line.text
            if not line.text.startswith(starts):
                return None
        elif begin < time_s < end:
            uncertain = line.uncertain
            return line.text if uncertain is not None and not uncertain["channel"] else None
    return None


def _strict(
    lines: list[_Line], ranging: tuple[float, float], measured: Measurement, rules: PowerRules
) -> Iterator[PowerFinding]:
    """Look at every line, with the margin that is meant."""
    begin, end = measured.testing.begin_s or 0.0, measured.testing.end_s or 0.0
    errors = [
        line.text
        for line in lines
        if line.is_error
        and line.text not in rules.testing_errors
        and (time_s := line.time_s) is not None
        and not ranging[0] < time_s < ranging[1]
    ]
    if errors:
        yield PowerFinding(
            "meter-errors",
            "rules",
            _FILE,
            f"the meter reported {len(errors)} errors outside of ranging, such as: {errors[0]}",
            value=str(len(errors)),
            limit="0",
        )
    inside = {
        time_s
        for line in lines
        if line.uncertain and (time_s := line.time_s) is not None and begin + _MARGIN_S < time_s < end - _MARGIN_S
    }
    readings = len(measured.testing.measured)
    if inside and readings:
        share = len(inside) / readings * _PERCENT
        many = share > rules.uncertain_share_percent
        yield PowerFinding(
            "uncertainty",
            "rules" if many else "advice",
            _FILE,
            f"{len(inside)} of {readings} readings of the run are less certain than "
            f"{rules.uncertainty_limit_percent:g} %",
            value=f"{share:.1f} %",
            limit=f"at most {rules.uncertain_share_percent:g} %" if many else "0 %",
        )
