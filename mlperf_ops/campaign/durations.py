"""How long what is still to come will take. Pure; seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol, cast

from mlperf_ops.files import Json
from mlperf_ops.plan_model import PlannedCell, Seconds

_SPREAD = 0.1  # runs of one cell differ by about this much
_MINUTE, _HOUR = 60, 3600
_THREE_DIGITS = 99.5


class Timed(Protocol):
    """An attempt that has ended."""

    @property
    def verdict(self) -> str:
        """valid, invalid or failed."""

    @property
    def attempt(self) -> str:
        """Its name."""

    @property
    def run_style(self) -> str:
        """Of its spec."""

    @property
    def elapsed_seconds(self) -> float:
        """What it took, loading and all."""


def refined(planned: PlannedCell, earlier: Iterable[Timed]) -> Seconds | None:
    """Prefer what an earlier run of the same style took to what the rules say."""
    style = (planned.request or {}).get("run_style")
    ended = [one for one in earlier if one.run_style == style and one.verdict != "failed"]
    if not ended:
        return planned.expected
    took = ended[-1].elapsed_seconds
    return Seconds(
        round(took * (1 - _SPREAD), 1),
        round(took * (1 + _SPREAD), 1),
        f"{ended[-1].attempt} took {took:.0f} s",
        "history",
    )


def counted(planned: PlannedCell, counts: Mapping[tuple[str, str, str], int]) -> PlannedCell:
    """Return a cell whose duration rests on the real number of samples, where one is known.

    Args:
        planned: The cell.
        counts: Samples of users' data sets, by host, component and path; with "" for the path where one has none.
    """
    expected, request = planned.expected, planned.request
    guess = expected.guess if expected is not None else None
    if expected is None or guess is None or request is None:
        return planned
    dataset = cast("Mapping[str, Json]", request["dataset"])
    count = counts.get((planned.host, guess.dataset, str(dataset["path"])))
    if count is None:
        return planned
    share = count / guess.count
    low = expected.low + (guess.shortest - expected.low) * share
    high = guess.beside + (expected.high - guess.beside) * share
    why = f"{count:,} samples, as an earlier run has counted"
    return replace(planned, expected=Seconds(round(low, 1), round(high, 1), why, expected.source))


def left_of(expected: Seconds | None, elapsed_seconds: float) -> Seconds | None:
    """Return what is left of a run; one that takes longer than expected is about to end, as far as anybody knows."""
    if expected is None:
        return None
    low, high = (max(0.0, round(value - elapsed_seconds, 1)) for value in (expected.low, expected.high))
    return Seconds(
        low, high, "longer than expected" if elapsed_seconds > expected.high else expected.why, expected.source
    )


def total(parts: Iterable[Seconds | None]) -> Seconds | None:
    """Return the sum of durations that follow one another, those that are known; None without any."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    low, high = sum(part.low for part in known), sum(part.high for part in known)
    return Seconds(round(low, 1), round(high, 1), "sum of its cells")


def shown_seconds(seconds: Seconds | None) -> str:
    """Return a duration for people: "20-22 s", "10-11 min", "4 s-2 min", "" when it is not known."""
    if seconds is None:
        return ""
    unit, size = "s", 1
    if seconds.high >= 2 * _HOUR:
        unit, size = "h", _HOUR
    elif seconds.high >= 2 * _MINUTE:
        unit, size = "min", _MINUTE
    if seconds.low < size and unit != "s":
        return f"{shown_one(seconds.low)}-{shown_one(seconds.high)}"
    low, high = (
        f"{value:.2g}" if value < _THREE_DIGITS else f"{value:.0f}"
        for value in (seconds.low / size, seconds.high / size)
    )
    return f"{low} {unit}" if low == high else f"{low}-{high} {unit}"


def shown_one(seconds: float) -> str:
    """Return one duration for people: "41 s", "10 min"."""
    return shown_seconds(Seconds(seconds, seconds, ""))
