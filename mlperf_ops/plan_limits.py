"""What a plan itself rules out, so that the verdict can say "expected". Pure; rule ids are the checker's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlperf_ops.catalogue import Round
from mlperf_ops.model import RunStyle
from mlperf_ops.plan_model import Limit, PlannedCell
from mlperf_ops.plan_request import Made
from mlperf_ops.userconf import UserConf, learn_command

# What a run of seconds over a few samples cannot meet by design; what is left is about files and their form.
_NOT_JUDGED_IN_SMOKE = (
    *("performance-sample-count", "min-queries", "equal-issue", "min-duration", "early-stopping", "latency-limit"),
    *("token-latency", "loadgen-validity", "latency-constraint", "result-value", "dataset-size", "accuracy-target"),
    *("compliance-failed", "compliance-performance", "compliance-accuracy", "compliance-speed", "power-duration"),
    *("power-level", "power-uncertainty"),
)

# Only words: what the samples of a task are called.
_SAMPLES = {"image_classification": "images"}


def limits(made: Iterable[Made], round_: Round, inventory: str) -> tuple[Limit, ...]:
    """Return the limits of all planned cells, one of each rule and benchmark.

    Args:
        made: The cells.
        round_: Their round.
        inventory: As a command names it.
    """
    found: dict[tuple[str, str], Limit] = {}
    for one in made:
        for limit in _of_cell(one, round_, inventory):
            found.setdefault((limit.rule, limit.benchmark or ""), limit)
    return tuple(found[key] for key in sorted(found))


def smoke_limits(cells: Iterable[PlannedCell]) -> tuple[Limit, ...]:
    """Return the limits of a smoke run, whatever the cells are."""
    why = "a smoke run measures for seconds over a few samples"
    benchmarks = dict.fromkeys(one.cell.benchmark for one in cells)
    return tuple(Limit(rule, benchmark, why) for benchmark in benchmarks for rule in _NOT_JUDGED_IN_SMOKE)


def _of_cell(made: Made, round_: Round, inventory: str) -> Iterator[Limit]:
    spec, conf = made.spec, made.conf
    benchmark, official, style = spec.cell.benchmark, spec.official_benchmark, spec.run_style
    rules = round_.rules(official)
    if spec.cell.mode == "accuracy":
        whole = round_.accuracy_sample_count(official, spec.cell.scenario)
        if made.sample_count is not None and made.sample_count < whole:
            noun = _SAMPLES.get(spec.task, "samples")
            yield Limit("dataset-size", benchmark, f"{made.sample_count:,} of {whole:,} {noun}")
        return
    if spec.cell.mode != "performance":
        # A compliance test runs as the performance run that it is compared with, or as the round wants it.
        if style != "valid":
            for rule in ("compliance-performance", "compliance-speed"):
                yield Limit(rule, benchmark, f"run style {style} is too short for speeds that can be compared")
        return
    least_seconds = round_.min_duration_ms(official) / 1000
    own_seconds = conf.settings.integer("min_duration") / 1000
    if own_seconds < least_seconds:
        why = f"run style {style} asks for {own_seconds:g} s; the round wants {least_seconds:g} s"
        yield Limit("min-duration", benchmark, why)
    least = rules.offline_min_samples_per_query
    if conf.scenario == "Offline" and least is not None and conf.settings.samples_per_query < least:
        count = conf.settings.samples_per_query
        yield Limit("min-queries", benchmark, f"run style {style} asks for {count:,} of {least:,} Offline samples")
    if rules.equal_issue and not conf.settings.flag("sample_concatenate_permutation"):
        yield Limit("equal-issue", benchmark, f"run style {style} does not issue every sample equally often")
    if style != "valid":
        yield from _of_short_run(made, round_, inventory)


def _of_short_run(made: Made, round_: Round, inventory: str) -> Iterator[Limit]:
    """Yield what a performance run of another style than valid is too short for."""
    spec, conf = made.spec, made.conf
    benchmark, style = spec.cell.benchmark, spec.run_style
    short = f"run style {style} is too short"
    if conf.scenario in round_.limits.early_stopping_scenarios:
        yield Limit("early-stopping", benchmark, f"{short} for a statement about the tail latency")
    yield Limit("loadgen-validity", benchmark, f"{short} for LoadGen to call every run valid")
    if conf.scenario in {"SingleStream", "MultiStream"}:
        yield Limit("result-value", benchmark, f"{short} for LoadGen to estimate a percentile in every scenario")
    if conf.scenario == "Server" and not conf.own_target:
        yield Limit("latency-constraint", benchmark, _server_rate(conf, style, inventory))
        if spec.cell.scenario in round_.rules(spec.official_benchmark).token_latency_limits_ns:
            yield Limit("token-latency", benchmark, _server_rate(conf, style, inventory))


def _server_rate(conf: UserConf, style: RunStyle, inventory: str) -> str:
    """Say why a Server run may miss its latency limit that nobody claims to meet: the rate is not the user's own."""
    rate = f"{conf.settings.queries_per_second:g} Server queries per second"
    if conf.known_per_second is None:
        learn = f"'{learn_command(inventory)}' learns it"
        return f"{rate} are a guess: no target of this system is known yet ({learn})"
    return f"{rate} are learnt from Offline, and run style {style} is too short to say that they keep the latency limit"
