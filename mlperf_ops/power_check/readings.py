"""The readings of both runs: what cannot be read, and of the run that counts how many, gaps, what the meter says."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import math
from collections.abc import Iterator, Sequence

from mlperf_ops.catalogue.power_rules import PowerRules
from mlperf_ops.files import JsonObject
from mlperf_ops.power_check.model import Measurement, Objector, PowerFinding, Run, objects

_SAMPLES, _VALID = 4, 6  # fields of the reply to Watts
_MOST = 0.5
NO_FACTOR = "no power factor"
"""Value of a finding that the measuring software's own check alone makes."""


def readings(taken: Measurement, rules: PowerRules) -> Iterator[PowerFinding]:
    """Report what cannot be read of either run, count the readings during the run that counts, and look for gaps."""
    # Of a run that is much shorter than ranging the measuring software's own check reads neither.
    unread: Objector = "rules" if taken.shorter_percent > rules.shorter_testing_percent else "official"
    if taken.ranging.begin_s is not None and taken.ranging.end_s is not None:  # else other checks say so
        yield from _unreadable(taken, taken.ranging, taken.ranging.problem or taken.ranging.factor_problem, unread)
    run = taken.testing
    name = f"{run.folder}/spl.txt"
    yield from _unreadable(taken, run, run.problem, "official")
    if run.problem is not None or not _complete(taken, run):
        return
    yield from _unreadable(taken, run, run.factor_problem, unread, value=NO_FACTOR)
    measured = run.measured
    if run.average_watts is None:
        seen = "no reading above 0 W during the run" if measured else "the meter was silent during the whole run"
        yield PowerFinding("readings", "official", name, seen, symptom=None if measured else "silent")
        return
    gap_s, since_s = _longest_gap(run, [reading.time_s for reading in measured])
    least = rules.least_readings_share * math.floor(run.duration_s)  # one a second: as many as whole seconds
    if len(measured) < least:
        missing = run.duration_s - len(measured)
        silent = gap_s > missing * _MOST
        at = f"{dt.datetime.fromtimestamp(since_s, dt.timezone.utc):%H:%M:%S}"
        yield PowerFinding(
            "readings",
            "rules",
            name,
            f"the meter was silent for {gap_s:.0f} s of the run of {run.duration_s:.0f} s, from {at} on"
            if silent
            else f"{len(measured)} readings in a run of {run.duration_s:.0f} s, one a second is due",
            value=f"{len(measured)} readings",
            limit=f"at least {least:.0f}",
            symptom="silent" if silent else None,
        )
    elif gap_s > rules.longest_gap_seconds:
        yield PowerFinding(
            "readings",
            "advice",
            name,
            f"no reading for {gap_s:.1f} s during the run",
            value=f"{gap_s:.1f} s",
            limit=f"at most {rules.longest_gap_seconds:g} s",
        )


def _complete(taken: Measurement, run: Run) -> bool:
    """Whether a run has both of its logs; a missing file is a finding of its own."""
    return taken.has(f"{run.folder}/spl.txt") and taken.has(f"{run.folder}/mlperf_log_detail.txt")


def _unreadable(
    taken: Measurement, run: Run, problem: str | None, objector: Objector, value: str | None = None
) -> Iterator[PowerFinding]:
    if problem is not None and _complete(taken, run):
        yield PowerFinding("readings", objector, f"{run.folder}/spl.txt", problem, value=value)


def _longest_gap(run: Run, times: Sequence[float]) -> tuple[float, float]:
    """Return length and begin of the longest time without a reading, the edges of the run included."""
    begin, end = run.begin_s or 0.0, run.end_s or 0.0
    return max((after - before, before) for before, after in itertools.pairwise((begin, *times, end)))


def replies(server: JsonObject, rules: PowerRules) -> Iterator[PowerFinding]:
    """Look at how many readings of the last measurement the meter itself calls valid."""
    said = [str(one.get("reply")) for one in objects(server.get("ptd_messages")) if one.get("cmd") == "Watts"]
    fields = said[-1].split(",") if said else []
    try:
        samples, valid = int(fields[_SAMPLES]), int(fields[_VALID])
    except (IndexError, ValueError):
        return  # another form of the reply says nothing about the readings
    if valid != samples:
        many = valid < rules.least_readings_share * samples
        yield PowerFinding(
            "readings",
            "rules" if many else "advice",
            "power/server.json",
            f"the meter calls {samples - valid} of its {samples} readings invalid",
            value=str(valid),
            limit=str(samples),
            symptom="invalid",
        )


def one_cause(found: Sequence[PowerFinding]) -> tuple[PowerFinding, ...]:
    """Return the findings, with one instead of several where the meter had errors or fell silent.

    Readings with errors are invalid, and a meter that falls silent may report an error for each missing one.
    """
    silent, errors, invalid = (
        [one for one in found if one.symptom == symptom] for symptom in ("silent", "errors", "invalid")
    )
    main = next(iter((*silent, *errors)), None)
    also = [one for one in (*errors, *invalid) if one is not main]
    if main is None or not also:
        return tuple(found)
    whole = dataclasses.replace(
        main,
        objector="official" if any(one.objector == "official" for one in (main, *also)) else main.objector,
        message="; ".join(one.message for one in (main, *also)),
    )
    return tuple(whole if one is main else one for one in found if one not in also)
