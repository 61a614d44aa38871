"""Which of LoadGen's conditions a performance run missed, by how much, and what to change, in sentences. Pure.

What is suggested, and how careful that is, stands in `better_target`. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlperf_ops.files import Json
from mlperf_ops.harness.better_target import DIGITS, a_little_lower, for_more_queries, lower_rate
from mlperf_ops.harness.run_figures import (
    EARLY_STOPPING,
    LATENCY,
    MIN_DURATION,
    MIN_QUERIES,
    MS_PER_S,
    NS_PER_MS,
    Figures,
    Limit,
    LoadgenScenario,
)

_LONG_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Knobs:
    """What the user calls the settings that a suggestion is about."""

    qps: str = "target_qps"
    latency: str = "target_latency_ms"
    queries: str = "min_query_count"


def missed(
    scenario: LoadgenScenario, fields: Mapping[str, Json], errors: Sequence[str] = (), knobs: Knobs | None = None
) -> list[str]:
    """Return a sentence for each condition that a run missed.

    Args:
        scenario: LoadGen's.
        fields: Keys of the detail log; a number that is not there is left out of the sentence.
        errors: LoadGen's error lines, which say what ended a run early.
        knobs: What the user calls the settings.
    """
    run, knobs = Figures(scenario, fields, errors), knobs or Knobs()
    causes = []
    if run.missed(MIN_DURATION):
        causes.append(_too_short(run, knobs))
    if run.missed(MIN_QUERIES):
        causes.append(_too_few(run, knobs))
    if run.missed(LATENCY):
        causes.append(_too_slow(run, knobs))
    elif run.missed(EARLY_STOPPING):
        causes.append(_stopped_early(run, knobs))
    return causes


def _too_short(run: Figures, knobs: Knobs) -> str:
    """Minimum duration."""
    least_ms, seconds = run.number("effective_min_duration_ms"), run.seconds()
    told = "shorter than its minimum duration"
    if least_ms is None or seconds is None or seconds >= least_ms / MS_PER_S:
        return told
    told += f": {_seconds(seconds)} of {_seconds(least_ms / MS_PER_S)}"
    return _with(told, _stopped_by(run, knobs) or _more_queries(run, knobs))


def _more_queries(run: Figures, knobs: Knobs) -> str:
    wanted, target = for_more_queries(run), run.target_qps
    if wanted is None:
        return ""
    if run.scenario == "Offline":
        was = "" if target is None else f" from {_plain(target, 6)}"
        return f"raise {knobs.qps}{was} to about {_plain(wanted, DIGITS)}"
    was = f" from {_plain(MS_PER_S / target, 6)}" if target is not None else ""
    return f"lower {knobs.latency}{was} to about {_plain(wanted, DIGITS)}"


def _stopped_by(run: Figures, knobs: Knobs) -> str:
    """Return what to do about what ended the run before its time."""
    if run.ended_by:
        count, limit_ms = run.number("effective_max_query_count"), run.number("effective_max_duration_ms")
        if run.ended_by == "max_query_count":
            limit = "" if count is None else f" {count:.0f}"
        else:
            limit = "" if limit_ms is None else f" {_seconds(limit_ms / MS_PER_S)}"
        return f"{run.ended_by}{limit} ended it: raise or remove that"
    if run.is_overloaded and run.target_qps is not None:
        lower = _lower(run, knobs, lower_rate(run, run.target_qps))
        return f"it ended with too many queries under way: {lower}"
    return ""


def _too_few(run: Figures, knobs: Knobs) -> str:
    """Minimum number of queries, in Offline of samples."""
    found, least, what = run.number("result_query_count"), run.number("effective_min_query_count"), "queries"
    if run.scenario == "Offline":
        found, least = run.number("effective_samples_per_query"), run.number("effective_min_sample_count")
        what = "samples"
    told, advice = f"fewer {what} than its minimum", _stopped_by(run, knobs)
    if found is None or least is None or found >= least:
        return _with(told, advice)
    return _with(f"{told}: {found:.0f} of {least:.0f} {what}", advice)


def _too_slow(run: Figures, knobs: Knobs) -> str:
    """Latency constraints of Server."""
    told = "the latency constraint was missed"
    over, target = run.over(), run.target_qps
    if not over:
        return told
    at = "" if target is None else f" at {_plain(target, 6)} qps"
    told += ": " + " and ".join(_over(one) for one in over) + at
    if hopeless := run.hopeless(over):
        least = (hopeless[0].least or 0.0) / NS_PER_MS
        return _with(told, f"no lower rate helps: even the quickest query took {_plain(least, 3)} ms")
    return told if target is None else _with(told, _lower(run, knobs, lower_rate(run, target, over)))


def _over(one: Limit) -> str:
    """Return "p99 17.2 ms > 15 ms"."""
    limit, measured = _plain(one.limit / NS_PER_MS, 4), _plain(one.measured / NS_PER_MS, 3)
    if measured == limit:
        measured = _plain(one.measured / NS_PER_MS, 6)
    return f"{one.name} {measured} ms > {limit} ms"


def _lower(run: Figures, knobs: Knobs, wanted: float) -> str:
    told = f"lower {knobs.qps} to about {_plain(wanted, DIGITS)}"
    if run.fell_behind and run.completed_qps is not None:
        told += f", it completed only {_plain(run.completed_qps, 3)} qps"
    return told


def _stopped_early(run: Figures, knobs: Knobs) -> str:
    """Early stopping, where the latency constraint itself was met."""
    told = "early stopping was not satisfied"
    text = " ".join(run.text(f"early_stopping_{name}result") for name in ("", "ttft_", "tpot_"))
    processed = [int(one) for one in re.findall(r"processed (\d+) queries", text, re.IGNORECASE)]
    more = [int(one) for one in re.findall(r"at least (\d+) more queries", text)]
    least = [int(one) for one in re.findall(r"process at least (\d+) queries", text)]
    if run.scenario == "Server" and processed and more:
        needed, target = processed[0] + max(more), run.target_qps
        told += f": {processed[0]} queries are too few for a latency so near to its limit"
        advice = f"raise {knobs.queries} to at least {needed}"
        if target is not None:
            advice += f", or lower {knobs.qps} to about {_plain(a_little_lower(target), DIGITS)}"
        return _with(told, advice)
    if processed and least:
        told += f": {processed[0]} of {least[0]} queries"
        return _with(told, _stopped_by(run, knobs) or f"raise {knobs.queries} to at least {least[0]}")
    return told


def _with(told: str, advice: str) -> str:
    return f"{told} ({advice})" if advice else told


def _plain(value: float, digits: int) -> str:
    """Return a number with so many significant digits, and never with an exponent."""
    return f"{value:.0f}" if value >= 10**digits else f"{value:.{digits}g}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= _LONG_SECONDS else f"{seconds:.3g} s"
