"""Values of a user.conf against the limits of a round. Pure; the limits are the round's data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlperf_ops.catalogue import Round
from mlperf_ops.loadgen_settings import LoadgenSettings
from mlperf_ops.model import Division, Scenario
from mlperf_ops.userconf_file import Finding, Setting
from mlperf_ops.userconf_numbers import COUNTED

_NS_PER_MS = 1e6


def limit_findings(
    official: str,
    scenario: Scenario,
    given: Mapping[str, Setting],
    made: LoadgenSettings,
    round_: Round,
    division: Division,
) -> Iterator[Finding]:
    """Yield what the round's checks would reject in a performance run with these settings.

    Args:
        official: Benchmark of the round.
        scenario: The scenario as the round calls it.
        given: The lines of the file that LoadGen takes, by key.
        made: What LoadGen makes of them and its embedded file.
        round_: The round.
        division: The submission's division.
    """
    judge = _Judge(official, scenario, given, made, round_, division)
    yield from judge.duration()
    yield from judge.counts()
    yield from judge.latency()


class _Judge:
    def __init__(
        self,
        official: str,
        scenario: Scenario,
        given: Mapping[str, Setting],
        made: LoadgenSettings,
        round_: Round,
        division: Division,
    ) -> None:
        self._official, self._scenario, self._given, self._made = official, scenario, given, made
        self._round, self._rules = round_, round_.models[official]
        self._division = round_.divisions[division]

    def _finding(self, key: str, message: str, hint: str = "") -> Finding:
        line = self._given[key].line if key in self._given else 0
        return Finding(line, "limit", "rejects", message, hint)

    def duration(self) -> Iterator[Finding]:
        """Compare the shortest and the longest run."""
        least = self._round.min_duration_ms(self._official)
        shortest, longest = self._made.integer("min_duration"), self._made.integer("max_duration")
        if shortest < least and "min_duration" in self._given:
            message = f"min_duration is {shortest / 1000:g} s; round {self._round.name} wants {least / 1000:g} s"
            yield self._finding("min_duration", message)
        needed = max(shortest, least)
        if 0 < longest < needed and "max_duration" in self._given:
            message = (
                f"LoadGen ends the run after {longest / 1000:g} s, before the {needed / 1000:g} s that it has to last"
            )
            yield self._finding("max_duration", message)

    def counts(self) -> Iterator[Finding]:
        """Compare numbers of samples and queries."""
        rules, made = self._rules, self._made
        loaded = made.integer("performance_sample_count_override")
        if 0 < loaded < rules.performance_sample_count and "performance_sample_count_override" in self._given:
            message = f"{loaded} samples are loaded; {self._official} wants {rules.performance_sample_count} or more"
            yield self._finding("performance_sample_count_override", message)
        answered = made.integer("accuracy_sample_count_override")
        wanted = self._round.accuracy_sample_count(self._official, self._scenario)
        if answered not in (0, wanted) and "accuracy_sample_count_override" in self._given:
            message = f"an accuracy run covers {answered} samples; {self._official} wants exactly {wanted}"
            yield self._finding("accuracy_sample_count_override", message)
        least = rules.offline_min_samples_per_query
        if self._scenario == "Offline" and least is not None and self._division.offline_min_samples:
            yield from self._offline(least)
        if self._scenario == "Offline" and made.samples_per_query >= COUNTED:
            message = f"Offline would issue {float(made.samples_per_query):g} samples, more than LoadGen can count"
            yield self._finding("target_qps", message)
        fewest, most = made.integer("min_query_count"), made.integer("max_query_count")
        if (
            0 < most < fewest
            and self._scenario != "Offline"
            and {"max_query_count", "min_query_count"} & set(self._given)
        ):
            key = "max_query_count" if "max_query_count" in self._given else "min_query_count"
            yield self._finding(key, f"LoadGen ends the run after {most} queries, before the {fewest} that it needs")
        permuted = made.flag("sample_concatenate_permutation")
        if rules.equal_issue and not permuted and self._division.official_models_only:
            message = f"{self._official} has to issue every sample equally often: sample_concatenate_permutation = 1"
            yield self._finding("sample_concatenate_permutation", message)

    def _offline(self, least: int) -> Iterator[Finding]:
        issued = self._made.samples_per_query
        if issued >= least:
            return
        key = "min_query_count" if "min_query_count" in self._given else "target_qps"
        message = f"Offline issues {issued} samples; {self._official} wants {least} or more"
        yield self._finding(key, message, f"set min_query_count = {least}, or leave it out where LoadGen sets it")

    def latency(self) -> Iterator[Finding]:
        """Compare the bounds that LoadGen judges a Server run by."""
        bound_ns = self._rules.target_latency_ns.get(self._scenario)
        if bound_ns is not None and "target_latency" in self._given and self._made.scenario == "Server":
            asked = float(self._made.values["target_latency"])
            if asked > bound_ns / _NS_PER_MS:
                yield self._bound("target_latency", asked, bound_ns)
        tokens = self._rules.token_latency_limits_ns.get(self._scenario)
        for key, limit in () if tokens is None else (("ttft_latency", tokens.ttft), ("tpot_latency", tokens.tpot)):
            if key in self._given and float(self._made.values[key]) > limit / _NS_PER_MS:
                yield self._bound(key, float(self._made.values[key]), limit)
        measured = self._made.flag("use_token_latencies")
        if self._rules.requires_token_latencies and not measured and "use_token_latencies" in self._given:
            message = f"{self._official} has to measure token latencies: use_token_latencies = 1"
            yield self._finding("use_token_latencies", message)

    def _bound(self, key: str, asked_ms: float, limit_ns: int) -> Finding:
        limit = f"{limit_ns / _NS_PER_MS:g} ms"
        return self._finding(key, f"{key} is {asked_ms:g} ms; {self._official} allows {limit} in {self._scenario}")
