"""How long a cell will take, from the rules and the known speed. Pure; seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from mlperf_ops.loadgen_settings import LoadgenSettings
from mlperf_ops.model import Mode, RunStyle
from mlperf_ops.plan_model import SampleGuess, Seconds
from mlperf_ops.userconf import UserConf

# A known speed is that of one earlier run or a guess of the user's; runs differ by about this much.
_SPREAD = 0.1
_GENERATED_AHEAD = 2.0  # LoadGen prepares twice the queries of the minimum duration and stops when they run out
_STYLE_TEST_SECONDS = (1.0, 30.0)
_AROUND_POWER = (45.0, 90.0)  # power-dev pauses four times for 10 s; its server looks for the meter before and after
_FEW_SAMPLES = 1000  # a user's whole data set is not a matter of seconds, in no style


@dataclass(frozen=True, slots=True)
class Assumed:
    """What an estimate takes from elsewhere.

    Attributes:
        prior: LoadGen's measurement in runs of others, for a cell whose speed is not known.
        warmup_seconds: As the inventory asks for it.
        around: Least and most seconds of a cell beside measurement and warm-up: loading, scoring.
        dataset: The user's data set whose number of samples nobody knows, so that `sample_count` is a guess; "" for
            none.
    """

    prior: Seconds | None = None
    warmup_seconds: float = 0.0
    around: tuple[float, float] = (0.0, 0.0)
    dataset: str = ""


def expected_seconds(
    conf: UserConf, mode: Mode, run_style: RunStyle, sample_count: int | None, assumed: Assumed = Assumed()
) -> Seconds | None:
    """Return the expected duration of a cell, from its start to its result.

    Args:
        conf: The cell's settings and known speed.
        mode: Accuracy or performance.
        run_style: The cell's style.
        sample_count: Samples of an accuracy run.
        assumed: What the settings do not tell.

    Returns:
        A range, or None when it depends on a speed that nobody knows yet.
    """
    found = _measured(conf, mode, sample_count) or _guessed(conf, mode, run_style, sample_count)
    if found is None and assumed.prior is not None:
        # What LoadGen is told to last at least, it lasts, whatever others took.
        least = conf.settings.integer("min_duration") / 1000 if mode != "accuracy" and run_style == "valid" else 0.0
        low = max(assumed.prior.low, least)
        found = replace(assumed.prior, low=low, high=max(assumed.prior.high, low))
    if found is None:
        return None
    shortest, longest = (assumed.warmup_seconds + seconds for seconds in assumed.around)
    made = replace(found, low=round(found.low + shortest, 1), high=round(found.high + longest, 1))
    if mode != "accuracy" or not assumed.dataset or sample_count is None:
        return made
    guess = SampleGuess(assumed.dataset, sample_count, shortest=made.low, beside=round(longest, 1))
    return replace(made, low=round(shortest, 1), guess=guess, why=f"{made.why}, if {guess.dataset} has so many samples")


def with_ranging(testing: Seconds | None, ranging: Seconds | None) -> Seconds | None:
    """Return how long a measured cell takes: both of its runs, and the pauses and transfers around them."""
    if testing is None or ranging is None:
        return None
    low, high = (seconds + more for seconds, more in zip((ranging.low, ranging.high), _AROUND_POWER, strict=True))
    why = f"{testing.why}, after ranging"
    return replace(testing, low=round(testing.low + low, 1), high=round(testing.high + high, 1), why=why)


def _measured(conf: UserConf, mode: Mode, sample_count: int | None) -> Seconds | None:
    """Return how long LoadGen measures, where settings and speed say so."""
    known = conf.known_per_second
    if mode == "accuracy":
        found = _accuracy(conf.settings, known, sample_count)
    elif conf.scenario == "Offline":
        found = _offline(conf.settings, known)
    elif conf.scenario == "Server":
        found = _server(conf.settings, known)
    else:
        found = _stream(conf.settings, known)
    return found and replace(found, source="rule" if known is None else "target")


def _guessed(conf: UserConf, mode: Mode, run_style: RunStyle, sample_count: int | None) -> Seconds | None:
    """Return what style test makes of a cell whose speed is not known: seconds."""
    few = mode != "accuracy" or (sample_count is not None and sample_count <= _FEW_SAMPLES)
    if run_style != "test" or not few:
        return None
    # A query of MultiStream holds several samples; of an accuracy run only the number of samples counts.
    size = conf.settings.samples_per_query if conf.scenario == "MultiStream" and mode != "accuracy" else 1
    low, high = (seconds * size for seconds in _STYLE_TEST_SECONDS)
    return Seconds(low, high, "style test; the speed is not known yet", "rule")


def _range(low: float, high: float, why: str) -> Seconds:
    return Seconds(round(low, 1), round(max(low, high), 1), why)


def _accuracy(settings: LoadgenSettings, known: float | None, sample_count: int | None) -> Seconds | None:
    if sample_count is None:
        return None
    rate = known
    if settings.scenario == "Server":
        rate = settings.queries_per_second  # accuracy runs keep to the schedule, too
    if rate is None:
        return None
    size = settings.samples_per_query if settings.scenario == "MultiStream" else 1
    seconds = math.ceil(sample_count / size) / rate
    return _range(seconds * (1 - _SPREAD), seconds * (1 + _SPREAD), f"{sample_count:,} samples")


def _offline(settings: LoadgenSettings, known: float | None) -> Seconds | None:
    if known is None:
        return None
    count = settings.samples_per_query
    seconds = count / known
    why = f"{count:,} samples at {known:.4g} per second"
    return _range(seconds * (1 - _SPREAD), seconds * (1 + _SPREAD), why)


def _server(settings: LoadgenSettings, known: float | None) -> Seconds | None:
    if known is None and settings.integer("min_duration"):
        return None  # asked for one query per second only, which says nothing of a real run
    rate = settings.queries_per_second
    count = float(max(settings.integer("min_query_count"), settings.integer("min_duration") / 1000 * rate))
    if most := settings.integer("max_query_count"):
        count = min(count, most)
    seconds = _capped(count / rate, settings)
    return _range(seconds, seconds * (1 + _SPREAD), f"{count:,.0f} queries at {rate:.4g} per second")


def _stream(settings: LoadgenSettings, known: float | None) -> Seconds | None:
    least = settings.integer("min_duration") / 1000
    if known is None:
        if not least:
            return None
        most = settings.integer("max_duration") / 1000
        return _range(least, most or least * (1 + _SPREAD), f"at least {least:,.0f} s")
    generated = max(settings.integer("min_query_count"), _GENERATED_AHEAD * least * settings.queries_per_second)
    seconds = min(max(least, settings.integer("min_query_count") / known), generated / known)
    if most_queries := settings.integer("max_query_count"):
        seconds = min(seconds, most_queries / known)
    seconds = _capped(seconds, settings)
    why = f"at least {least:,.0f} s" if seconds <= least else f"{settings.integer('min_query_count'):,} queries"
    return _range(seconds, seconds * (1 + _SPREAD), f"{why} at {1000 / known:.4g} ms each")


def _capped(seconds: float, settings: LoadgenSettings) -> float:
    most = settings.integer("max_duration") / 1000
    return min(seconds, most) if most else seconds
