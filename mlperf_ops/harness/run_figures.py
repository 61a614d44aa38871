"""The figures of a performance run, out of LoadGen's detail log. Pure, standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mlperf_ops.files import Json

LoadgenScenario: TypeAlias = Literal["SingleStream", "MultiStream", "Server", "Offline"]
MIN_DURATION, MIN_QUERIES = "result_min_duration_met", "result_min_queries_met"
LATENCY, EARLY_STOPPING = "result_perf_constraints_met", "early_stopping_met"
NS_PER_MS, NS_PER_S, MS_PER_S = 1e6, 1e9, 1e3

_FELL_BEHIND = 0.98  # completed / scheduled rate
# What LoadGen's error line says when it stopped issuing queries, and the setting that made it stop.
_STOPPED = (("Max query count reached", "max_query_count"), ("Max test duration reached", "max_duration"))
_OVERLOADED = "Too many outstanding queries"

# Keys of the detail log that are read here and in `constraints`, and are no result by themselves.
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
class Limit:
    """A latency of Server and its limit; nanoseconds."""

    name: str
    measured: float
    limit: float
    least: float | None  # of the quickest query


class Figures:
    """What is known of a run; a figure that its log does not have is None."""

    def __init__(self, scenario: LoadgenScenario, fields: Mapping[str, Json], errors: Sequence[str]) -> None:
        """Keep the log.

        Args:
            scenario: LoadGen's.
            fields: Keys of the detail log.
            errors: LoadGen's error lines, which say what ended a run early.
        """
        self.scenario, self._fields, self._errors = scenario, fields, errors
        self.target_qps = self.number("effective_target_qps")
        self.completed_qps = self.number("result_completed_samples_per_sec")
        self.mean_ns = self.number("result_mean_query_latency_ns", "result_mean_latency_ns")

    def number(self, *names: str) -> float | None:
        """Return the first of some keys that is a number above 0."""
        for name in names:
            value = self._fields.get(name)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
                return float(value)
        return None

    def text(self, name: str) -> str:
        """Return a key as it was logged, "" where there is none."""
        return str(self._fields.get(name) or "")

    def missed(self, condition: str) -> bool:
        """Tell whether LoadGen says that one of its conditions was not met."""
        return self._fields.get(condition) is False

    def seconds(self) -> float | None:
        """Return what LoadGen compares with the minimum duration, out of the figures that it logs."""
        if self.scenario == "Offline":
            latest = self.number("result_max_latency_ns")
            return None if latest is None else latest / NS_PER_S
        count = self.number("result_query_count")
        if count is None:
            return None
        rate = self.number(
            "result_scheduled_samples_per_sec" if self.scenario == "Server" else "result_qps_with_loadgen_overhead"
        )
        if rate is not None:
            return (count - 1) / rate
        return None if self.mean_ns is None else count * self.mean_ns / NS_PER_S

    @property
    def ended_by(self) -> str:
        """The setting that ended the run; "" for none."""
        return next((setting for words, setting in _STOPPED if self._has_error(words)), "")

    @property
    def is_overloaded(self) -> bool:
        """Whether too many queries under way ended the run."""
        return self._has_error(_OVERLOADED)

    def _has_error(self, words: str) -> bool:
        return any(words in error for error in self._errors)

    @property
    def fell_behind(self) -> bool:
        """Whether a run of Server completed clearly fewer queries than were scheduled."""
        if self.target_qps is None or self.completed_qps is None:
            return False
        scheduled = self.number("result_scheduled_samples_per_sec") or self.target_qps
        return self.completed_qps < _FELL_BEHIND * scheduled

    def over(self) -> list[Limit]:
        """Return the latencies of Server that were over their limits."""
        return [one for one in self._limits() if one.measured > one.limit]

    def hopeless(self, over: Iterable[Limit]) -> list[Limit]:
        """Return the limits that even the quickest query missed. Where the run fell behind, that one had waited too."""
        return [] if self.fell_behind else [one for one in over if one.least is not None and one.least > one.limit]

    def _limits(self) -> Iterator[Limit]:
        percentile = (self.number("effective_target_latency_percentile") or 0.99) * 100
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

    def _limit(self, name: str, measured: str, limit: str, least: str) -> Iterator[Limit]:
        found, allowed = self.number(measured), self.number(limit)
        if found is not None and allowed is not None:
            yield Limit(name, found, allowed, self.number(least))
