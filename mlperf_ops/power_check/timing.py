"""Clocks, durations and the level of power of the two runs."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mlperf_ops.catalogue.power_rules import PowerRules
from mlperf_ops.catalogue.round import Round
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.power_check.model import Measurement, PowerFinding, Run

_SERVER = "power/server.json"
_MS = 1000
_DST_S = 3600  # a clock that was set for daylight saving
_START, _STOP = 1, 2  # the stamps right before and after the workload
_PERCENT = 100
_OF_LEVEL = ("mlperf_log_detail.txt", "spl.txt")


def clocks(client: JsonObject, server: JsonObject, measured: Measurement, round_: Round) -> Iterator[PowerFinding]:
    """Compare the clocks of client and server, and both with LoadGen's."""
    limit_ms = round_.limits.power_phase_time_tolerance_ms
    apart: dict[str, float] = {}
    for run, name in ((measured.ranging, "ranging"), (measured.testing, "testing")):
        ours, theirs = _stamps(client.get("phases"), name), _stamps(server.get("phases"), name)
        if len(ours) != len(theirs) or len(ours) <= _STOP:
            yield PowerFinding(
                "clock", "official", _SERVER, f"client and server recorded different steps of {name}",
                value=str(len(theirs)), limit=str(len(ours)),
            )  # fmt: skip
            continue
        apart_ms = max(abs(one - other) for one, other in zip(ours, theirs, strict=True)) * _MS
        if not apart_ms <= limit_ms:
            apart[name] = apart_ms
        if measured.has(f"{run.folder}/mlperf_log_detail.txt"):
            yield from _within(run, ours[_START], ours[_STOP], name)
    if apart:  # one cause, one finding
        worst_ms = max(apart.values())
        yield PowerFinding(
            "clock",
            "official",
            _SERVER,
            f"the clocks of client and server are {worst_ms:.0f} ms apart in {' and '.join(apart)}",
            value=f"{worst_ms:.0f} ms",
            limit=f"at most {limit_ms} ms",
        )


def _within(run: Run, start: float, stop: float, name: str) -> Iterator[PowerFinding]:
    for what, time_s in (("begin", run.begin_s), ("end", run.end_s)):
        file = f"{run.folder}/mlperf_log_detail.txt"
        if time_s is None:
            yield PowerFinding("clock", "official", file, f"the log of {name} has no power_{what}")
        elif not (start < time_s < stop or start < time_s - _DST_S < stop):
            yield PowerFinding(
                "clock",
                "official",
                file,
                f"LoadGen's power_{what} is outside of the time of {name}",
                value=f"{time_s:.3f}",
                limit=f"{start:.3f} to {stop:.3f}",
            )


def _stamps(phases: Json, name: str) -> list[float]:
    steps = phases.get(name) if isinstance(phases, dict) else None
    found: list[float] = []
    for step in steps if isinstance(steps, list) else []:
        stamp = step[0] if isinstance(step, list) and step else None
        if isinstance(stamp, bool) or not isinstance(stamp, (int, float)):
            return []
        found.append(float(stamp))
    return found


def durations(measured: Measurement, rules: PowerRules) -> Iterator[PowerFinding]:
    """Compare the lengths of the runs with each other and with what is due."""
    ranging, testing = measured.ranging.duration_s, measured.testing.duration_s
    if measured.shorter_percent > rules.shorter_testing_percent:
        yield PowerFinding(
            "duration",
            "advice",
            "run_1/mlperf_log_detail.txt",
            "the run that counts is much shorter than ranging",
            value=f"{testing:.0f} s",
            limit=f"{ranging:.0f} s of ranging",
        )
    for run, least in (
        (measured.ranging, rules.least_ranging_seconds),
        (measured.testing, rules.least_testing_seconds),
    ):
        if run.begin_s is None or run.end_s is None:
            continue  # the clock says so
        due = min(least, testing)
        share = rules.least_ranging_share
        if run is measured.ranging and run.duration_s < due * share:
            yield PowerFinding(
                "duration",
                "rules",
                "ranging/mlperf_log_detail.txt",
                f"ranging took {ranging:.1f} s, less than {share * _PERCENT:g} % of the {due:.0f} s that are due: it "
                "may not have seen the highest power",
                value=f"{ranging:.1f} s",
                limit=f"at least {least:g} s",
            )
        elif run.duration_s < least:
            yield PowerFinding(
                "duration",
                "advice",
                f"{run.folder}/mlperf_log_detail.txt",
                f"power was measured for {run.duration_s:.0f} s only",
                value=f"{run.duration_s:.0f} s",
                limit=f"at least {least:g} s",
            )


def levels(measured: Measurement, round_: Round) -> Iterator[PowerFinding]:
    """Compare the power of the run that counts with that of ranging: a lower one may be outside of the ranges."""
    needed = [f"{run.folder}/{name}" for run in (measured.ranging, measured.testing) for name in _OF_LEVEL]
    if not all(measured.has(name) for name in needed):
        return
    ranging, testing = measured.ranging.average_watts, measured.testing.average_watts
    if testing is None and measured.testing.problem is None:
        return  # the official checker takes -1 W; that there are no readings is said already
    # The official checker takes -1 W where there is no reading.
    low, high = round(-1.0 if ranging is None else ranging, 5), round(-1.0 if testing is None else testing, 5)
    least = round_.limits.power_testing_vs_ranging_min_delta_perc
    percent = math.nan if low == 0 else round((high / low - 1) * _PERCENT, 2)
    if not percent > least:
        yield PowerFinding(
            "level",
            # Of a run that is much shorter the official checker warns, and then compares no power.
            "rules" if measured.shorter_percent > round_.power.shorter_testing_percent else "official",
            "run_1/spl.txt",
            f"the run drew {high:g} W, ranging {low:g} W: the ranges were set for more",
            value=f"{percent:g} %",
            limit=f"above {least:g} %",
        )
