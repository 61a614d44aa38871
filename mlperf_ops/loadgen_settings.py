"""What LoadGen makes of its embedded mlperf.conf and a user.conf, and what its detail log has to show then. Pure.

The model of LoadGen that this module holds was read off its behaviour, and `tests/integration/test_loadgen_settings.py`
compares it with the pinned wheel in every scenario, mode and run style:

* user.conf beats the embedded file, and the audit.config of a compliance test beats both, key by key. Within a file the
  order is `model.Scenario.key`, `*.Scenario.key`, `model.*.key`, `*.*.key`.
* Offline is one query of `max(min_query_count, 1.1 x min_duration x target_qps)` samples; its
  `effective_min_query_count` is 1 and what was asked stands in `requested_min_query_count`.
* Floating point numbers are logged with six significant digits.
* Accuracy runs log the same settings as performance runs, but for the mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from mlperf_ops.files import Json
from mlperf_ops.model import COMPLIANCE_TESTS, Mode

if TYPE_CHECKING:
    from mlperf_ops.catalogue.round import LoadgenSettings as ConfSections
    from mlperf_ops.catalogue.round import Round

Number: TypeAlias = int | float
RunAs: TypeAlias = Literal["SingleStream", "MultiStream", "Server", "Offline"]
TestMode: TypeAlias = Literal["AccuracyOnly", "PerformanceOnly"]

TEST_MODES: Mapping[Mode, TestMode] = MappingProxyType(
    {
        "accuracy": "AccuracyOnly",
        "performance": "PerformanceOnly",
        **{test: "PerformanceOnly" for test in COMPLIANCE_TESTS},  # noqa: C420  # fromkeys would make it dict of str
    }
)

# LoadGen's own values where no configuration file sets a key (times in ms).
_BUILT_IN: Mapping[str, Number] = MappingProxyType(
    {
        "min_duration": 10_000,
        "max_duration": 0,
        "min_query_count": 100,
        "max_query_count": 0,
        "samples_per_query": 8,
        "target_latency_percentile": 99,
        "performance_sample_count_override": 0,
        "accuracy_sample_count_override": 0,
        "sample_concatenate_permutation": 0,
        "performance_issue_unique": 0,
        "performance_issue_same": 0,
        "performance_issue_same_index": 0,
        "accuracy_log_rng_seed": 0,
        "accuracy_log_sampling_target": 0,
        "use_token_latencies": 0,
        "ttft_latency": 100,
        "tpot_latency": 100,
        "coalesce_queries": 0,
        "max_async_queries": 0,
        "print_timestamps": 0,
    }
)
_OFFLINE_RESERVE = 1.1
_OFFLINE_PERCENTILE = 0.99  # logged, never used
_NS_PER_MS = 1e6
_NS_PER_SECOND = 1e9


@dataclass(frozen=True, slots=True)
class LoadgenSettings:
    """The settings of one LoadGen run by user.conf key; times in ms, rates in queries (Offline: samples) a second."""

    scenario: RunAs
    values: Mapping[str, Number]

    def integer(self, key: str) -> int:
        """Return a count or a whole number of milliseconds."""
        return int(self.values[key])

    def flag(self, key: str) -> bool:
        """Return a switch."""
        return int(self.values[key]) == 1

    @property
    def queries_per_second(self) -> float:
        """The rate that LoadGen plans with: target_qps, or one query per expected latency."""
        if self.scenario in {"Server", "Offline"}:
            return float(self.values["target_qps"])
        return _NS_PER_SECOND / (float(self.values["target_latency"]) * _NS_PER_MS)

    @property
    def samples_per_query(self) -> int:
        """Samples in a query; Offline issues one query of all samples."""
        if self.scenario == "MultiStream":
            return self.integer("samples_per_query")
        if self.scenario != "Offline":
            return 1
        if self.flag("performance_issue_unique"):
            return self.integer("performance_sample_count_override")
        in_time = int(_OFFLINE_RESERVE * (self.integer("min_duration") / 1000) * self.queries_per_second)
        return max(self.integer("min_query_count"), in_time)

    @property
    def min_query_count(self) -> int | None:
        """Fewest queries; None where LoadGen rounds it up by the size of the loaded set."""
        if self.scenario == "Offline":
            return 1
        if self.scenario == "SingleStream" and self.flag("sample_concatenate_permutation"):
            return None
        return self.integer("min_query_count")


def embedded(round_: Round, sections: ConfSections, scenario: RunAs, key: str) -> Number | None:
    """Look a key up as LoadGen does in its embedded mlperf.conf; None when it is not there."""
    defaults = round_.loadgen_conf_defaults
    for section in (sections.get(scenario), defaults.get(scenario), sections.get("*"), defaults.get("*")):
        if section is not None and key in section:
            return section[key]
    return None


def settings(
    round_: Round,
    sections: ConfSections,
    scenario: RunAs,
    user: Mapping[str, Number],
    audit: Mapping[str, Number] = MappingProxyType({}),
) -> LoadgenSettings:
    """Combine LoadGen's own values, its embedded mlperf.conf, a user.conf and an audit.config.

    Args:
        round_: The round whose LoadGen runs.
        sections: The model's part of the embedded file; empty for a model that the file does not know.
        scenario: What LoadGen runs (Interactive is Server).
        user: The user.conf's keys, without model and scenario.
        audit: The audit.config's keys, likewise.
    """
    made: dict[str, Number] = {}
    for key in {*_BUILT_IN, "target_qps", "target_latency", *user, *audit}:
        value = audit.get(key, user.get(key))
        if value is None:
            value = embedded(round_, sections, scenario, key)
        if value is None:
            value = _BUILT_IN.get(key)
        if value is not None:
            made[key] = value
    return LoadgenSettings(scenario=scenario, values=MappingProxyType(dict(sorted(made.items()))))


def logged(value: float) -> Number:
    """Return a floating point number as LoadGen's log shows it: six significant digits."""
    shown = float(f"{value:.6g}")
    return int(shown) if shown.is_integer() else shown


def expected_log(made: LoadgenSettings, mode: Mode, round_: Round, total_sample_count: int | None) -> dict[str, Json]:
    """Return detail-log keys and the values that must come out.

    Args:
        made: The settings.
        mode: Accuracy or performance.
        round_: The round, for its seeds.
        total_sample_count: Samples that the QSL will report, where the plan knows it.
    """
    expect: dict[str, Json] = {
        "effective_scenario": made.scenario,
        "effective_test_mode": TEST_MODES[mode],
        "effective_samples_per_query": made.samples_per_query,
        "effective_target_qps": logged(made.queries_per_second),
        "effective_target_latency_ns": 0,
        "effective_min_duration_ms": made.integer("min_duration"),
        "effective_max_duration_ms": made.integer("max_duration"),
        "effective_max_query_count": made.integer("max_query_count"),
        "effective_qsl_rng_seed": round_.seeds.qsl_rng_seed,
        "effective_sample_index_rng_seed": round_.seeds.sample_index_rng_seed,
        "effective_schedule_rng_seed": round_.seeds.schedule_rng_seed,
        # A stray audit.config in the working directory would change these three.
        "effective_accuracy_log_rng_seed": made.integer("accuracy_log_rng_seed"),
        "effective_accuracy_log_probability": 0,
        "effective_accuracy_log_sampling_target": made.integer("accuracy_log_sampling_target"),
        "effective_performance_issue_unique": made.flag("performance_issue_unique"),
        "effective_performance_issue_same": made.flag("performance_issue_same"),
        "effective_performance_issue_same_index": made.integer("performance_issue_same_index"),
        "effective_sample_concatenate_permutation": made.flag("sample_concatenate_permutation"),
        "requested_min_query_count": made.integer("min_query_count"),
        "requested_max_query_count": made.integer("max_query_count"),
        "requested_performance_sample_count_override": made.integer("performance_sample_count_override"),
    }
    if made.min_query_count is not None:
        expect["effective_min_query_count"] = made.min_query_count
    if made.integer("performance_sample_count_override"):
        expect["effective_performance_sample_count"] = made.integer("performance_sample_count_override")
    if "accuracy_sample_count_override" in round_.user_conf.keys:  # LoadGen before 6 cannot limit accuracy runs
        asked = made.integer("accuracy_sample_count_override")
        expect["requested_accuracy_sample_count_override"] = asked
        samples = asked or total_sample_count
        if samples is not None:
            expect["effective_accuracy_sample_count"] = samples
    return expect | _scenario_log(made) | _token_log(made)


def _scenario_log(made: LoadgenSettings) -> dict[str, Json]:
    if made.scenario == "Offline":
        return {
            "effective_target_latency_percentile": _OFFLINE_PERCENTILE,
            "requested_offline_expected_qps": logged(float(made.values["target_qps"])),
        }
    percentile = logged(float(made.values["target_latency_percentile"]) * 0.01)
    expect: dict[str, Json] = {"effective_target_latency_percentile": percentile}
    if made.scenario == "Server":
        bound_ns = made.integer("target_latency") * int(_NS_PER_MS)
        return expect | {
            "effective_target_latency_ns": bound_ns,
            "effective_max_async_queries": made.integer("max_async_queries"),
            "requested_server_target_qps": logged(float(made.values["target_qps"])),
            "requested_server_target_latency_ns": bound_ns,
            "requested_server_target_latency_percentile": percentile,
            "requested_server_coalesce_queries": made.flag("coalesce_queries"),
        }
    name = {"SingleStream": "single_stream", "MultiStream": "multi_stream"}[made.scenario]
    expect[f"requested_{name}_expected_latency_ns"] = logged(float(made.values["target_latency"]) * _NS_PER_MS)
    expect[f"requested_{name}_target_latency_percentile"] = percentile
    if made.scenario == "MultiStream":
        expect["requested_multi_stream_samples_per_query"] = made.integer("samples_per_query")
    return expect


def _token_log(made: LoadgenSettings) -> dict[str, Json]:
    if not made.flag("use_token_latencies"):
        return {}
    expect: dict[str, Json] = {"requested_use_token_latencies": True}
    if made.scenario == "Server":
        expect["requested_server_ttft_latency"] = made.integer("ttft_latency") * int(_NS_PER_MS)
        expect["requested_server_tpot_latency"] = made.integer("tpot_latency") * int(_NS_PER_MS)
    return expect
