"""Which of LoadGen's conditions a performance run missed, by how much, and what to change. Pure.

A suggested target is a step, no prediction: LoadGen's figures of one run do not show how latency grows with the rate.

- Server, over its latency limit: the rate times (limit / measured percentile), which fits where latency grows in
  proportion to the rate and is careful near saturation, where it grows faster. A system that fell behind its schedule
  gets 0.95 of what it completed where that is less, and never less than half of its rate is suggested: farther away one
  run says nothing. Where the quickest query was over the limit, no rate helps, and none is suggested.
- Server, early stopping alone: 0.95 of the rate, or as many queries as LoadGen says that it needs at least.
- Offline, too short: the throughput that was measured. LoadGen makes a tenth more samples than the target needs.
- SingleStream and MultiStream, too short: the mean latency that was measured. LoadGen makes twice as many queries as
  the target latency needs, so that a run ends short only where the target is more than twice the mean.

Suggestions have two significant digits and are rounded to the side that helps. Standard library only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mlperf_ops.files import Json

_DIGITS = 2
_BACK_OFF = 0.95
_LARGEST_STEP = 0.5
_FELL_BEHIND = 0.98  # completed / scheduled rate
_NS_PER_MS, _NS_PER_S, _MS_PER_S = 1e6, 1e9, 1e3
_LONG_SECONDS = 10
# What LoadGen's error line says when it stopped issuing queries, and the setting that made it stop.
_STOPPED = (("Max query count reached", "max_query_count"), ("Max test duration reached", "max_duration"))
_OVERLOADED = "Too many outstanding queries"
_SAMPLES = "samples"

# Keys of the detail log that are read here and are no result by themselves.
KEYS = frozenset(
    {
        "effective_target_latency_percentile",
        "effective_min_query_count",
        "effective_min_sample_count",
        "effective_max_query_count",
        "effective_max_duration_ms",
        "requested_use_token_latencies",
        "requested_server_ttft_latency",
        "requested_server_tpot_latency",
        "result_overlatency_query_count",
        *(f"result_first_token_{p}_percentile_latency_ns" for p in ("90.00", "95.00", "97.00", "99.00", "99.90")),
        *(f"result_time_per_output_token_{p}_percentile_ns" for p in ("90.00", "95.00", "97.00", "99.00", "99.90")),
        "result_first_token_min_latency_ns",
        "result_time_to_output_token_min",
        "early_stopping_ttft_result",
        "early_stopping_tpot_result",
    }
)


@dataclass(frozen=True, slots=True)
class Knobs:
    """What the user calls the settings that a suggestion is about."""

    qps: str = "target_qps"
    latency: str = "target_latency_ms"
    queries: str = "min_query_count"


@dataclass(frozen=True, slots=True)
class Step:
    """A target that is likely to suit better than the one of the run; the user.conf key and its value, qps or ms."""

    key: Literal["target_qps", "target_latency"]
    value: float


def better_target(
    scenario: Literal["SingleStream", "MultiStream", "Server", "Offline"],
    fields: Mapping[str, Json],
    errors: Sequence[str] = (),
) -> Step | str:
    """Return the target to try next after an INVALID run, or in a sentence why none is known that would help.

    It is the one that `missed` suggests. Only the target is the submitter's free choice: a count or a duration that
    was missed for another reason stays as the round and the inventory have it.

    Args:
        scenario: LoadGen's.
        fields: Keys of the detail log.
        errors: LoadGen's error lines.
    """
    return _Run(scenario, fields, errors, Knobs()).step()


def missed(
    scenario: Literal["SingleStream", "MultiStream", "Server", "Offline"],
    fields: Mapping[str, Json],
    errors: Sequence[str] = (),
    knobs: Knobs | None = None,
) -> list[str]:
    """Return a sentence for each condition that a run missed.

    Args:
        scenario: LoadGen's.
        fields: Keys of the detail log; a number that is not there is left out of the sentence.
        errors: LoadGen's error lines, which say what ended a run early.
        knobs: What the user calls the settings.
    """
    run = _Run(scenario, fields, errors, knobs or Knobs())
    causes = []
    if fields.get("result_min_duration_met") is False:
        causes.append(run.too_short())
    if fields.get("result_min_queries_met") is False:
        causes.append(run.too_few())
    if fields.get("result_perf_constraints_met") is False:
        causes.append(run.too_slow())
    elif fields.get("early_stopping_met") is False:
        causes.append(run.stopped_early())
    return causes


class _Run:
    """A run's figures."""

    def __init__(self, scenario: str, fields: Mapping[str, Json], errors: Sequence[str], knobs: Knobs) -> None:
        self._scenario, self._fields, self._errors, self._knobs = scenario, fields, errors, knobs

    def _number(self, *names: str) -> float | None:
        """Return the first of some keys that is a number above 0."""
        for name in names:
            value = self._fields.get(name)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
                return float(value)
        return None

    def too_short(self) -> str:
        """Minimum duration."""
        least_ms, seconds = self._number("effective_min_duration_ms"), self._seconds()
        told = "shorter than its minimum duration"
        if least_ms is None or seconds is None or seconds >= least_ms / _MS_PER_S:
            return told
        told += f": {_seconds(seconds)} of {_seconds(least_ms / _MS_PER_S)}"
        return _with(told, self._stopped_by() or self._more_queries())

    def _seconds(self) -> float | None:
        """Return what LoadGen compares with the minimum duration, out of the figures that it logs."""
        if self._scenario == "Offline":
            latest = self._number("result_max_latency_ns")
            return None if latest is None else latest / _NS_PER_S
        count = self._number("result_query_count")
        if count is None:
            return None
        rate = self._number(
            "result_scheduled_samples_per_sec" if self._scenario == "Server" else "result_qps_with_loadgen_overhead"
        )
        if rate is not None:
            return (count - 1) / rate
        mean = self._number("result_mean_query_latency_ns", "result_mean_latency_ns")
        return None if mean is None else count * mean / _NS_PER_S

    def _more_queries(self) -> str:
        wanted, target = self._for_more_queries(), self._number("effective_target_qps")
        if wanted is None:
            return ""
        if self._scenario == "Offline":
            was = "" if target is None else f" from {_plain(target, 6)}"
            return f"raise {self._knobs.qps}{was} to about {_plain(wanted, _DIGITS)}"
        was = f" from {_plain(_MS_PER_S / target, 6)}" if target is not None else ""
        return f"lower {self._knobs.latency}{was} to about {_plain(wanted, _DIGITS)}"

    def _for_more_queries(self) -> float | None:
        """Return the target with which LoadGen makes enough queries: qps in Offline, ms in the stream scenarios."""
        target = self._number("effective_target_qps")
        if self._scenario == "Offline":
            speed = self._number("result_samples_per_second")
            return None if speed is None or target is None or speed <= target else _rounded(speed, up=True)
        if self._scenario == "Server":
            return None
        mean = self._number("result_mean_query_latency_ns", "result_mean_latency_ns")
        if mean is None or (target is not None and mean * target >= _NS_PER_S):
            return None
        return _rounded(mean / _NS_PER_MS, up=False)

    def step(self) -> Step | str:
        """Return the next target, or why there is none."""
        fields = self._fields
        if self._scenario != "Server":
            if fields.get("result_min_duration_met") is not False:
                return "its target is not what it missed"
            wanted = None if self._ended_by_limit() else self._for_more_queries()
            key: Literal["target_qps", "target_latency"] = (
                "target_qps" if self._scenario == "Offline" else "target_latency"
            )
            return "no better target follows from its log" if wanted is None else Step(key, wanted)
        target = self._number("effective_target_qps")
        if target is None:
            return "its log does not tell its target"
        done = self._number("result_completed_samples_per_sec")
        over = [one for one in self._limits() if one.measured > one.limit]
        if self._hopeless(over):
            return "no lower rate helps: even the quickest query was over the limit"
        if fields.get("result_perf_constraints_met") is False and over:
            return Step("target_qps", self._lower_rate(target, done, min(one.limit / one.measured for one in over)))
        if any(_OVERLOADED in error for error in self._errors):
            return Step("target_qps", self._lower_rate(target, done))
        if fields.get("early_stopping_met") is False and not self._ended_by_limit():
            return Step("target_qps", self._lower_rate(target, None))
        return "its target is not what it missed"

    def _ended_by_limit(self) -> bool:
        return any(words in error for words, _ in _STOPPED for error in self._errors)

    def _stopped_by(self) -> str:
        """Return what to do about a limit that ended the run."""
        for words, setting in _STOPPED:
            if any(words in error for error in self._errors):
                count, limit_ms = self._number("effective_max_query_count"), self._number("effective_max_duration_ms")
                by_count = setting == "max_query_count"
                limit = f" {_seconds(limit_ms / _MS_PER_S)}" if limit_ms is not None and not by_count else ""
                limit = f" {count:.0f}" if count is not None and by_count else limit
                return f"{setting}{limit} ended it: raise or remove that"
        if any(_OVERLOADED in error for error in self._errors):
            target = self._number("effective_target_qps")
            done = self._number("result_completed_samples_per_sec")
            return "" if target is None else "it ended with too many queries under way: " + self._lower(target, done)
        return ""

    def too_few(self) -> str:
        """Minimum number of queries, in Offline of samples."""
        told = "fewer queries than its minimum"
        found, least, what = self._number("result_query_count"), self._number("effective_min_query_count"), "queries"
        if self._scenario == "Offline":
            told = "fewer samples than its minimum"
            found, least = self._number("effective_samples_per_query"), self._number("effective_min_sample_count")
            what = _SAMPLES
        if found is None or least is None or found >= least:
            return _with(told, self._stopped_by())
        return _with(f"{told}: {found:.0f} of {least:.0f} {what}", self._stopped_by())

    def too_slow(self) -> str:
        """Latency constraints of Server."""
        told = "the latency constraint was missed"
        over = [one for one in self._limits() if one.measured > one.limit]
        target = self._number("effective_target_qps")
        if not over:
            return told
        at = "" if target is None else f" at {_plain(target, 6)} qps"
        told += ": " + " and ".join(one.text() for one in over) + at
        if hopeless := self._hopeless(over):
            least = (hopeless[0].least or 0.0) / _NS_PER_MS
            return _with(told, f"no lower rate helps: even the quickest query took {_plain(least, 3)} ms")
        if target is None:
            return told
        step = min(one.limit / one.measured for one in over)
        return _with(told, self._lower(target, self._number("result_completed_samples_per_sec"), step))

    def _lower(self, target: float, completed: float | None, step: float = 1.0) -> str:
        wanted = self._lower_rate(target, completed, step)
        behind = completed is not None and self._behind(target, completed)
        kept_up = f", it completed only {_plain(completed, 3)} qps" if behind and completed is not None else ""
        return f"lower {self._knobs.qps} to about {_plain(wanted, _DIGITS)}{kept_up}"

    def _lower_rate(self, target: float, completed: float | None, step: float = 1.0) -> float:
        wanted = target * step
        if completed is not None and self._behind(target, completed):
            wanted = min(wanted, _BACK_OFF * completed)
        return _rounded(max(min(wanted, _BACK_OFF * target), _LARGEST_STEP * target), up=False)

    def _hopeless(self, over: Iterable[_Limit]) -> list[_Limit]:
        """Return the limits that even the quickest query missed. Where it fell behind, that one had waited too."""
        target, completed = self._number("effective_target_qps"), self._number("result_completed_samples_per_sec")
        if target is not None and completed is not None and self._behind(target, completed):
            return []
        return [one for one in over if one.least is not None and one.least > one.limit]

    def _behind(self, target: float, completed: float) -> bool:
        return completed < _FELL_BEHIND * (self._number("result_scheduled_samples_per_sec") or target)

    def _limits(self) -> Iterable[_Limit]:
        percentile = (self._number("effective_target_latency_percentile") or 0.99) * 100
        name = f"p{percentile:g}"
        if self._fields.get("requested_use_token_latencies"):
            yield from self._limit(
                f"{name} of the time to the first token",
                f"result_first_token_{percentile:.2f}_percentile_latency_ns",
                "requested_server_ttft_latency",
                "result_first_token_min_latency_ns",
            )
            yield from self._limit(
                f"{name} of the time per output token",
                f"result_time_per_output_token_{percentile:.2f}_percentile_ns",
                "requested_server_tpot_latency",
                "result_time_to_output_token_min",
            )
            return
        yield from self._limit(
            name,
            f"result_{percentile:.2f}_percentile_latency_ns",
            "effective_target_latency_ns",
            "result_min_latency_ns",
        )

    def _limit(self, name: str, measured: str, limit: str, least: str) -> Iterable[_Limit]:
        found, allowed = self._number(measured), self._number(limit)
        if found is not None and allowed is not None:
            yield _Limit(name, found, allowed, self._number(least))

    def stopped_early(self) -> str:
        """Early stopping, where the latency constraint itself was met."""
        told = "early stopping was not satisfied"
        text = " ".join(str(self._fields.get(f"early_stopping_{name}result") or "") for name in ("", "ttft_", "tpot_"))
        processed = [int(one) for one in re.findall(r"processed (\d+) queries", text, re.IGNORECASE)]
        more = [int(one) for one in re.findall(r"at least (\d+) more queries", text)]
        least = [int(one) for one in re.findall(r"process at least (\d+) queries", text)]
        if self._scenario == "Server" and processed and more:
            needed = processed[0] + max(more)
            target = self._number("effective_target_qps")
            lower = f", or {self._lower(target, None)}" if target is not None else ""
            told += f": {processed[0]} queries are too few for a latency so near to its limit"
            return _with(told, f"raise {self._knobs.queries} to at least {needed}{lower}")
        if processed and least:
            told += f": {processed[0]} of {least[0]} queries"
            return _with(told, self._stopped_by() or f"raise {self._knobs.queries} to at least {least[0]}")
        return told


@dataclass(frozen=True, slots=True)
class _Limit:
    """A latency that was over its limit; nanoseconds."""

    name: str
    measured: float
    limit: float
    least: float | None

    def text(self) -> str:
        """Return "p99 17.2 ms > 15 ms"."""
        limit = _plain(self.limit / _NS_PER_MS, 4)
        measured = _plain(self.measured / _NS_PER_MS, 3)
        if measured == limit:
            measured = _plain(self.measured / _NS_PER_MS, 6)
        return f"{self.name} {measured} ms > {limit} ms"


def _with(told: str, advice: str) -> str:
    return f"{told} ({advice})" if advice else told


def _plain(value: float, digits: int) -> str:
    """Return a number with so many significant digits, and never with an exponent."""
    return f"{value:.0f}" if value >= 10**digits else f"{value:.{digits}g}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= _LONG_SECONDS else f"{seconds:.3g} s"


def _rounded(value: float, *, up: bool) -> float:
    """Return a number with two significant digits, rounded up or down."""
    step = 10.0 ** (math.floor(math.log10(value)) - (_DIGITS - 1))
    steps = math.ceil(value / step - 1e-9) if up else math.floor(value / step + 1e-9)
    return float(f"{steps * step:.{_DIGITS}g}")
