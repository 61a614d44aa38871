"""user.conf: what a run style, the round, the division and the targets make of LoadGen's settings. Pure.

The rules are those of the MLCommons automation's generator, so that results can be compared; their constants stand in
the round's catalogue file under `run_styles`, the keys that each division allows under `user_conf`. Times are
milliseconds, rates samples per second.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlperf_ops.compliance.audit import audit_settings, audit_text
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json
from mlperf_ops.loadgen_settings import LoadgenSettings, Number, RunAs, embedded, expected_log, settings
from mlperf_ops.model import ComplianceTest, Division, Mode, RunStyle, Scenario
from mlperf_ops.userconf_keys import as_text, checked_keys

if TYPE_CHECKING:
    from mlperf_ops.catalogue import ModelRules, Round
    from mlperf_ops.catalogue.round import LoadgenSettings as ConfSections

METRICS: Mapping[RunAs, str] = MappingProxyType(
    {
        "SingleStream": "target_latency",
        "MultiStream": "target_latency",
        "Server": "target_qps",
        "Offline": "target_qps",
    }
)
_STREAMS = ("SingleStream", "MultiStream")
_RARE_PERCENTILE = 99.9  # needs more queries than fit into max_duration
# Style test asks for seconds, whatever the number of queries: the cap holds for up to so many queries and then grows
# with them, and a Server whose speed nobody knows gets its queries within this time.
_QUERIES_IN_CAP = 100
_SERVER_TEST_SECONDS = 40


@dataclass(frozen=True, slots=True)
class ConfRequest:
    """What a cell asks of LoadGen."""

    official: str  # benchmark of the round whose rules apply
    scenario: Scenario
    mode: Mode
    division: Division
    run_style: RunStyle
    conf_model: str = ""  # name for a model that the embedded mlperf.conf does not know; else the round's is used
    given: Mapping[str, Json] = field(default_factory=dict)  # the user's own keys, used as they are
    measured: float | None = None  # earlier result: samples per second, or milliseconds per query
    query_count: int | None = None  # style test; None: the round's default
    min_duration_ms: int | None = None  # style valid; None: the round's
    compliance: ComplianceTest | None = None  # test that the run is for
    total_sample_count: int | None = None  # samples that the QSL will report, where known
    ranging: bool = False  # style valid: the short first run of a power measurement
    where: str = ""  # file:line: key of `given`, for errors
    inventory: str = "INVENTORY"  # as commands name it that are told to the user


@dataclass(frozen=True, slots=True)
class UserConf:
    """A user.conf and what follows from it."""

    conf_model: str
    scenario: RunAs
    text: str
    settings: LoadgenSettings
    expect: dict[str, Json]  # detail-log keys and their values
    known_per_second: float | None  # real speed as given or measured: queries (Offline: samples) per second
    own_target: bool  # the target is the user's own
    notes: tuple[str, ...]
    audit: str = ""  # text of audit.config, of a compliance test


def make_user_conf(request: ConfRequest, round_: Round) -> UserConf:
    """Generate a cell's user.conf.

    Raises:
        ConfigError: A given key is unknown, not allowed in the scenario or division, or has a wrong value.
    """
    rules = round_.rules(request.official)
    run_as: RunAs = "Server" if request.scenario == "Interactive" else request.scenario
    conf_model, sections = _embedded_part(request, round_, rules)
    given = checked_keys(request.given, request.scenario, request.division, round_.user_conf, request.where)
    writer = _Writer(request, round_, rules, run_as, sections, given)
    lines = {**writer.rules_the_file_lacks(), **writer.style_lines()}
    metric = METRICS[run_as]
    # The metric comes first, then the style, then what the user set beside it.
    ordered = {metric: lines.pop(metric), **lines, **{key: value for key, value in given.items() if key != metric}}
    numbers = {key: float(text) if "." in text else int(text) for key, text in ordered.items()}
    audit = {} if request.compliance is None else audit_settings(round_, request.compliance, request.official)
    made = settings(round_, sections, run_as, numbers, audit)
    return UserConf(
        conf_model=conf_model,
        scenario=run_as,
        text="".join(f"{conf_model}.{run_as}.{key} = {text}\n" for key, text in ordered.items()),
        settings=made,
        expect=expected_log(made, request.mode, round_, request.total_sample_count),
        known_per_second=_known_speed(metric, given, request.measured),
        own_target=metric in given,
        notes=tuple(writer.notes),
        audit=audit_text(audit),
    )


def learn_command(inventory: str) -> str:
    """Return the command that learns targets, to be copied."""
    return f"mlperf-ops targets -i {shlex.quote(inventory)} --write"


def _known_speed(metric: str, given: Mapping[str, str], measured: float | None) -> float | None:
    known = float(given[metric]) if metric in given else measured
    if known is None:
        return None
    return known if metric == "target_qps" else 1000 / known


def _plain(value: float) -> str:
    """Write a constant of the catalogue: a whole number without its point."""
    return str(int(value)) if float(value).is_integer() else as_text(value)


def _embedded_part(request: ConfRequest, round_: Round, rules: ModelRules) -> tuple[str, ConfSections]:
    conf = rules.loadgen_conf
    if request.scenario == "Interactive":
        if conf.interactive_conf_model is None:
            raise ConfigError(str(round_.no_interactive(request.official)))
        return conf.interactive_conf_model, conf.interactive_settings
    if conf.conf_model is None:
        return request.conf_model or request.official, {}
    return conf.conf_model, conf.settings


class _Writer:
    """The lines of one user.conf, as text by key."""

    def __init__(
        self,
        request: ConfRequest,
        round_: Round,
        rules: ModelRules,
        run_as: RunAs,
        sections: ConfSections,
        given: Mapping[str, str],
    ) -> None:
        self._request, self._round, self._rules, self._run_as = request, round_, rules, run_as
        self._sections, self._given = sections, given
        self._styles = round_.run_styles
        self._equal_issue = rules.equal_issue
        self.notes: list[str] = []

    # --- what the embedded file does not say although the round wants it ---

    def rules_the_file_lacks(self) -> dict[str, str]:
        """Return the round's own values for a model that LoadGen's embedded file does not know, or knows in part."""
        lines: dict[str, str] = {}
        count = self._rules.performance_sample_count
        if self._embedded("performance_sample_count_override") is None:
            lines["performance_sample_count_override"] = str(count)
        least = self._rules.offline_min_samples_per_query
        if self._run_as == "Offline" and least is not None and (self._embedded("min_query_count") or 0) < least:
            lines["min_query_count"] = str(least)
        if self._rules.loadgen_conf.conf_model is not None or self._run_as != "Server":
            return lines
        bound_ns = self._rules.target_latency_ns.get(self._request.scenario)
        if bound_ns is not None:
            lines["target_latency"] = _plain(bound_ns / 1e6)
        tokens = self._rules.token_latency_limits_ns.get(self._request.scenario)
        if tokens is not None:
            lines |= {
                "use_token_latencies": "1",
                "ttft_latency": _plain(tokens.ttft / 1e6),
                "tpot_latency": _plain(tokens.tpot / 1e6),
            }
        return lines

    def _embedded(self, key: str) -> Number | None:
        return embedded(self._round, self._sections, self._run_as, key)

    # --- the target ---

    def _target(self) -> str:
        """Return the target before the style changes it."""
        metric = METRICS[self._run_as]
        if metric in self._given:
            return self._given[metric]
        measured, factors = self._request.measured, self._styles.measured_targets
        if measured is not None:
            if metric == "target_qps":
                return as_text(float(measured) * factors.qps_factor)
            if self._max_duration_fits():
                return as_text(float(measured) * factors.latency_factor_with_max_duration)
            return as_text(float(measured) * factors.latency_factor_without_max_duration)
        return self._unknown_target(metric)

    def _unknown_target(self, metric: str) -> str:
        unknown = self._styles.unknown_targets
        if metric == "target_qps":
            if self._request.run_style == "test" and self._run_as == "Server":
                return _plain(max(unknown.target_qps, float(self._query_count // _SERVER_TEST_SECONDS)))
            value = unknown.target_qps
            said = f"{_plain(value)} per second"
        else:
            by_model = unknown.target_latency_ms_by_model.get(self._request.official)
            value = unknown.target_latency_ms
            if self._equal_issue:
                value = by_model if by_model is not None else unknown.target_latency_ms_equal_issue
            said = f"{_plain(value)} ms"
        if self._request.run_style != "test" and self._request.mode == "performance":
            self.notes.append(
                f"no target is known, so LoadGen is asked for {said}: set mlperf_targets, or measure it by "
                f"`mlperf-ops run -i {shlex.quote(self._request.inventory)} --style test` and then "
                f"`{learn_command(self._request.inventory)}`"
            )
        return _plain(value)

    def _max_duration_fits(self) -> bool:
        """Whether a stream run may be capped: a slow one would end before it has as many queries as it needs."""
        percentile = self._embedded("target_latency_percentile") or 0
        own_length = self._request.run_style == "valid" and self._request.min_duration_ms is not None
        if self._run_as not in _STREAMS or self._equal_issue or percentile >= _RARE_PERCENTILE or own_length:
            return False
        given = self._given.get("target_latency")
        latency_ms = float(given) if given is not None else self._request.measured
        needed = self._styles.min_queries_for_max_duration.get(self._run_as, 0)
        return latency_ms is None or 1000 / latency_ms * self._styles.full_run_seconds >= needed

    # --- the styles ---

    def style_lines(self) -> dict[str, str]:
        """Return the metric and the style's own keys."""
        if self._request.run_style == "test":
            return self._test()
        if self._request.run_style == "fast":
            return self._fast()
        return self._valid()

    @property
    def _query_count(self) -> int:
        asked = self._request.query_count
        return self._styles.test.query_count if asked is None else asked

    def _test(self) -> dict[str, str]:
        style = self._styles.test
        metric = METRICS[self._run_as]
        if self._run_as == "Offline":
            target = _plain(style.offline_target_qps_by_model.get(self._request.official, style.offline_target_qps))
        elif self._run_as == "SingleStream":
            target = _plain(style.single_stream_target_latency_ms)
        else:
            target = self._target()
        count = self._query_count
        lines = {
            metric: target,
            "max_query_count": str(count),
            "min_query_count": str(count),
            "min_duration": str(style.min_duration_ms),
            "sample_concatenate_permutation": str(style.sample_concatenate_permutation),
        }
        if self._run_as != "Offline":
            lines["max_duration"] = str(style.max_duration_ms * max(count, _QUERIES_IN_CAP) // _QUERIES_IN_CAP)
        return lines

    def _fast(self) -> dict[str, str]:
        style = self._styles.fast
        metric = METRICS[self._run_as]
        target = self._target()
        lines = {metric: target}
        if self._run_as == "Server":
            lines["max_query_count"] = str(int(self._styles.full_run_seconds / style.factor * float(target)))
            lines["max_duration"] = str(style.server_max_duration_ms)
        elif self._run_as == "Offline":
            lines[metric] = as_text(float(target) / style.factor)
        else:
            lines[metric] = as_text(float(target) * style.factor)
        lines["sample_concatenate_permutation"] = str(style.sample_concatenate_permutation)
        return lines

    def _valid(self) -> dict[str, str]:
        style = self._styles.valid
        target = self._target()
        factor = self._styles.compliance.server_qps_factor.get(self._request.compliance or "")
        if factor is not None and self._run_as == "Server":
            target = as_text(float(target) * factor)
        lines = {METRICS[self._run_as]: target}
        if self._request.min_duration_ms is not None:
            lines["min_duration"] = str(self._request.min_duration_ms)
        elif self._max_duration_fits():
            lines["max_duration"] = str(style.stream_max_duration_ms)
        if self._run_as == "MultiStream":
            lines["min_query_count"] = str(style.multi_stream_min_query_count)
        return lines | (self._ranging(float(target)) if self._request.ranging else {})

    def _ranging(self, target: float) -> dict[str, str]:
        """Return what shortens a run that only finds the analyzer's ranges."""
        style = self._styles.power_ranging
        lines = {"min_duration": str(style.min_duration_ms)}
        if self._run_as in _STREAMS:
            lines["max_duration"] = str(style.stream_max_duration_ms)
        if self._run_as == "Offline":
            lines["max_query_count"] = str(int(target * style.offline_seconds))
            lines["min_query_count"] = str(style.offline_min_query_count)
        return lines
