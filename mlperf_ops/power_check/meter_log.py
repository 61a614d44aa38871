"""ptd_logs.txt: errors and uncertain readings of the meter.

The official checker leaves out 800 s at each end of the run where 0.8 s are meant, and ends at the first line that it
tolerates. What it would say, and what the log says, are therefore two findings: the first with "official", the second
with "rules".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from mlperf_ops.catalogue.power_rules import PowerRules
from mlperf_ops.files import JsonObject
from mlperf_ops.power_check.model import Measurement, PowerFinding
from mlperf_ops.power_log import power_seconds

_FILE = "power/ptd_logs.txt"
_STAMP = re.compile(r"\d\d-\d\d-\d{4} \d\d:\d\d:\d\d\.\d{3}")
# From the line feed before it: a known beginning is found many times as fast as the start of any line.
_USUAL = re.compile(r"\n(.{23}): ((?:WARNING|ERROR):.+)")
_ACTIVATED = re.compile(r"Uncertainty checking for Yokogawa\S+ is activated")
_UNCERTAIN = re.compile(r"Uncertainty \d+.\d+%, which is above \d+\.\d+% limit for the last sample(?P<channel>, )?")
_WORDS = (("WARNING:", False), ("ERROR:", True))
_OFFICIAL_MARGIN_S = 800.0  # meant as milliseconds
_MARGIN_S = 0.8
_PERCENT = 100


class _Said(NamedTuple):
    """What a line with ERROR: or WARNING: says after the word."""

    text: str
    is_error: bool

    @property
    def uncertain(self) -> re.Match[str] | None:
        if self.is_error or "Uncertainty " not in self.text:
            return None
        return _UNCERTAIN.search(self.text)


_Line: TypeAlias = tuple[_Said, float | None]
"""What it says, and when in seconds since 1970: None where that cannot be read."""


def errors_and_uncertainty(server: JsonObject, measured: Measurement, rules: PowerRules) -> Iterator[PowerFinding]:
    """Check errors and warnings of the meter, officially and by what they are."""
    text = measured.meter_text
    if not text.strip("\n"):
        return  # the list of files says so
    ranging = _ranging(text, f"{server.get('session_name')}_ranging")
    begin, end = measured.testing.begin_s, measured.testing.end_s
    if ranging is None:
        yield PowerFinding("meter-errors", "official", _FILE, "the log does not show when ranging began and ended")
        return
    yield from _activation(text, ranging[0])
    if begin is None or end is None:
        return  # readings and clock say so
    usual = _usual(text)
    lines = _marked(text) if usual is None else usual
    objection = _official(lines, ranging, (begin, end), rules)
    official = None if objection is None else _objected(objection)
    if official is not None:
        yield official
    for found in _strict(lines, ranging, measured, rules):
        if official is None or found.subject != official.subject:  # else it says the same again
            yield found


def _objected(line: _Said) -> PowerFinding:
    """Return the finding of a line at which the official checker fails."""
    message = f"the meter reported: {line.text}"
    if line.uncertain is not None:
        return PowerFinding("uncertainty", "official", _FILE, message, value=line.text)
    return PowerFinding("meter-errors", "official", _FILE, message, value=line.text, symptom="errors")


def _ranging(text: str, mark: str) -> tuple[float, float] | None:
    said, start = _said(text, f": Go with mark {mark!r}", 0)
    while said is not None and power_seconds(said) is None:
        said, start = _said(text, f": Go with mark {mark!r}", start)
    stop, _ = _said(text, ": Completed test", start) if said is not None else (None, 0)
    begin_s, end_s = power_seconds(said), power_seconds(stop)  # None of None
    return None if begin_s is None or end_s is None else (begin_s, end_s)


def _said(text: str, words: str, start: int) -> tuple[str | None, int]:
    """Return the stamp of the first line that says nothing but these words, and where the next line begins."""
    while (at := text.find(words, start)) >= 0:
        line, start = _line_at(text, at)
        stamp = _STAMP.match(line)
        if stamp and line[stamp.end() :].strip() == words:
            return stamp[0], start
    return None, start


def _line_at(text: str, position: int) -> tuple[str, int]:
    """Return the line that holds a position, and where the next one begins."""
    end = text.find("\n", position)
    end = len(text) if end < 0 else end
    return text[text.rfind("\n", 0, position) + 1 : end], end + 1


def _activation(text: str, ranging_start: float) -> Iterator[PowerFinding]:
    found = _ACTIVATED.search(text)
    if found is None:
        yield PowerFinding("uncertainty", "official", _FILE, "the meter's uncertainty check was not switched on")
        return
    line, _ = _line_at(text, found.start())
    stamp = _STAMP.match(line)
    time_s = power_seconds(stamp[0]) if stamp else None
    if time_s is None or time_s >= ranging_start:
        yield PowerFinding(
            "uncertainty", "official", _FILE, "the meter's uncertainty check was switched on after ranging began"
        )


def _marked(text: str) -> list[_Line]:
    """Return the lines with one of the words, in order; a line with both comes twice."""
    lines: list[_Line] = []
    for line in text.split("\n"):
        for word, is_error in _WORDS:
            rest = line.partition(word)[2]
            if rest:
                stamp = _STAMP.match(line)
                lines.append((_Said(rest.strip(), is_error), power_seconds(stamp[0]) if stamp else None))
    return lines


def _usual(text: str) -> list[_Line] | None:
    """Return what `_marked` does, found at once; None where a line with one of the words has another form.

    A meter says few things many times, each of which is kept once: all texts would take many times the log's size.
    """
    lines: list[_Line] = []
    told: dict[str, _Said] = {}
    stamp, time_s = "", None
    for found in _USUAL.finditer(text):
        at, marked = found.groups()
        if at != stamp:
            stamp, time_s = at, power_seconds(at) if _STAMP.match(at) else None
        said = told.get(marked)
        if said is None:
            word, _, rest = marked.partition(":")
            said = told[marked] = _Said(rest.strip(), word == "ERROR")
        lines.append((said, time_s))
    return lines if len(lines) == sum(text.count(word) for word, _ in _WORDS) else None


def _official(
    lines: Iterable[_Line], ranging: tuple[float, float], run: tuple[float, float], rules: PowerRules
) -> _Said | None:
    """Return the line at which the official checker fails; None where it passes, with a warning or without."""
    begin, end = run[0] + _OFFICIAL_MARGIN_S, run[1] - _OFFICIAL_MARGIN_S
    starts = tuple([start.strip() for start in rules.ranging_errors])
    for line, time_s in lines:
        if time_s is None:
            return line
        if line.is_error:
            if line.text in rules.testing_errors:
                return None
            if not ranging[0] < time_s < ranging[1]:
                return line
            if not line.text.startswith(starts):
                return None
        elif begin < time_s < end:
            uncertain = line.uncertain
            return line if uncertain is not None and not uncertain["channel"] else None
    return None


def _strict(
    lines: Iterable[_Line], ranging: tuple[float, float], measured: Measurement, rules: PowerRules
) -> Iterator[PowerFinding]:
    """Look at every line, with the margin that is meant."""
    first = (measured.testing.begin_s or 0.0) + _MARGIN_S
    last = (measured.testing.end_s or 0.0) - _MARGIN_S
    errors: list[str] = []
    inside: set[float] = set()
    for line, time_s in lines:
        if time_s is None:
            continue
        if line.is_error:
            if line.text not in rules.testing_errors and not ranging[0] < time_s < ranging[1]:
                errors.append(line.text)
        elif first < time_s < last and line.uncertain:
            inside.add(time_s)
    if errors:
        yield PowerFinding(
            "meter-errors",
            "rules",
            _FILE,
            f"the meter reported {len(errors)} errors outside of ranging, such as: {errors[0]}",
            value=str(len(errors)),
            limit="0",
            symptom="errors",
        )
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
