"""The target to try after a performance run that is INVALID. Pure, standard library only.

A suggested target is a step, no prediction: LoadGen's figures of one run do not show how latency grows with the rate.

- Server, over its latency limit: the rate times (limit / measured percentile), which fits where latency grows in
  proportion to the rate and is careful near saturation, where it grows faster. A system that fell behind its schedule
  gets 0.95 of what it completed where that is less, and never less than half of its rate is suggested: farther away one
  run says nothing. Where the quickest query was over the limit, no rate helps, and none is suggested.
- Server, early stopping alone: 0.95 of the rate, or as many queries as LoadGen says that it needs at least.
- Offline, too short: the throughput that was measured. LoadGen makes a tenth more samples than the target needs.
- SingleStream and MultiStream, too short: the mean latency that was measured. LoadGen makes twice as many queries as
  the target latency needs, so that a run ends short only where the target is more than twice the mean.

Suggestions have two significant digits and are rounded to the side that helps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mlperf_ops.files import Json
from mlperf_ops.harness.run_figures import (
    EARLY_STOPPING,
    LATENCY,
    MIN_DURATION,
    NS_PER_MS,
    NS_PER_S,
    Figures,
    Limit,
    LoadgenScenario,
)

DIGITS = 2
"""How many significant digits a suggestion has."""

_BACK_OFF = 0.95
_LARGEST_STEP = 0.5
_NOT_MISSED = "its target is not what it missed"


@dataclass(frozen=True, slots=True)
class Step:
    """A target that is likely to suit better than the one of the run; the user.conf key and its value, qps or ms."""

    key: Literal["target_qps", "target_latency"]
    value: float


def better_target(scenario: LoadgenScenario, fields: Mapping[str, Json], errors: Sequence[str] = ()) -> Step | str:
    """Return the target to try next after an INVALID run, or in a sentence why none is known that would help.

    It is the one that `constraints.missed` suggests. Only the target is the submitter's free choice: a count or a
    duration that was missed for another reason stays as the round and the inventory have it.

    Args:
        scenario: LoadGen's.
        fields: Keys of the detail log.
        errors: LoadGen's error lines.
    """
    run = Figures(scenario, fields, errors)
    return _lower(run) if run.scenario == "Server" else _longer(run)


def _longer(run: Figures) -> Step | str:
    """Return the target of the other scenarios, which they may miss by being too short."""
    if not run.missed(MIN_DURATION):
        return _NOT_MISSED
    wanted = None if run.ended_by else for_more_queries(run)
    if wanted is None:
        return "no better target follows from its log"
    return Step("target_qps" if run.scenario == "Offline" else "target_latency", wanted)


def _lower(run: Figures) -> Step | str:
    """Return the target of Server, which it may miss by being too slow."""
    target, over = run.target_qps, run.over()
    if target is None:
        return "its log does not tell its target"
    if run.hopeless(over):
        return "no lower rate helps: even the quickest query was over the limit"
    if run.missed(LATENCY) and over:
        return Step("target_qps", lower_rate(run, target, over))
    if run.is_overloaded:
        return Step("target_qps", lower_rate(run, target))
    if run.missed(EARLY_STOPPING) and not run.ended_by:
        return Step("target_qps", a_little_lower(target))
    return _NOT_MISSED


def for_more_queries(run: Figures) -> float | None:
    """Return the target with which LoadGen makes enough queries: qps in Offline, ms in the stream scenarios."""
    target = run.target_qps
    if run.scenario == "Offline":
        speed = run.number("result_samples_per_second")
        return None if speed is None or target is None or speed <= target else _rounded(speed, up=True)
    if run.scenario == "Server":
        return None
    mean = run.mean_ns
    if mean is None or (target is not None and mean * target >= NS_PER_S):
        return None
    return _rounded(mean / NS_PER_MS, up=False)


def lower_rate(run: Figures, target: float, over: Iterable[Limit] = ()) -> float:
    """Return the rate that a run of Server may keep up with; qps.

    Args:
        run: Its figures.
        target: The rate that it had.
        over: The limits that it was over.
    """
    wanted = target * min((one.limit / one.measured for one in over), default=1.0)
    if run.fell_behind and run.completed_qps is not None:
        wanted = min(wanted, _BACK_OFF * run.completed_qps)
    return _rounded(max(min(wanted, _BACK_OFF * target), _LARGEST_STEP * target), up=False)


def a_little_lower(target: float) -> float:
    """Return the next rate of a run that kept up with its own; qps."""
    return _rounded(_BACK_OFF * target, up=False)


def _rounded(value: float, *, up: bool) -> float:
    """Return a number with so many significant digits, rounded up or down."""
    step = 10.0 ** (math.floor(math.log10(value)) - (DIGITS - 1))
    steps = math.ceil(value / step - 1e-9) if up else math.floor(value / step + 1e-9)
    return float(f"{steps * step:.{DIGITS}g}")
