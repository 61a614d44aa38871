"""What a plan takes a cell to last where no machine of the lab has told anything: published runs. Pure; seconds.

The numbers and their source stand in the catalogue (durations/*.yaml).
"""

from __future__ import annotations

from mlperf_ops.catalogue import Catalogue, Round
from mlperf_ops.catalogue.durations import Durations
from mlperf_ops.model import Mode, RunStyle, Scenario
from mlperf_ops.plan_model import Seconds

_SPREAD = 0.1  # beyond what was published: a few runs show neither the shortest nor the longest there is


def prior_seconds(
    catalogue: Catalogue, round_: Round, official: str, scenario: Scenario, mode: Mode, run_style: RunStyle
) -> Seconds | None:
    """Return how long LoadGen measured in published runs of the same benchmark, scenario and mode.

    Args:
        catalogue: Holds the published durations.
        round_: For what its run style fast shortens.
        official: The round's benchmark.
        scenario: As the round calls it.
        mode: A test counts as a performance run where nothing is known of the test itself.
        run_style: Published runs have full length: in style fast a performance run takes a part of it at least, and
            nothing is said of a performance run of style test.

    Returns:
        From the shortest to the 90th percentile with a reserve, or None when nobody published any.
    """
    for durations in reversed(tuple(catalogue.durations.values())):  # a user's own file comes after the built-in one
        row = durations.row(official, scenario, mode)
        if row is not None and (mode == "accuracy" or run_style != "test"):
            return _range(row, durations, f"{official} {scenario}", _shortened(mode, run_style, round_))
    return None


def around(catalogue: Catalogue) -> tuple[float, float]:
    """Return the least and the most that a cell takes beside LoadGen's measurement and the warm-up."""
    found = next((one.around_seconds for one in reversed(tuple(catalogue.durations.values()))), None)
    return (0.0, 0.0) if found is None else (found.shortest, found.longest)


def repeat_share(catalogue: Catalogue) -> float:
    """Return the share of a campaign's time that is kept for cells which have to be repeated."""
    return next((one.repeat_share for one in reversed(tuple(catalogue.durations.values()))), 0.0)


def _shortened(mode: Mode, run_style: RunStyle, round_: Round) -> int:
    return round_.run_styles.fast.factor if run_style == "fast" and mode != "accuracy" else 1


def _range(row: tuple[int, int, int, int, int], durations: Durations, what: str, factor: int) -> Seconds:
    runs, shortest, _, usual, longest = row
    high = float(usual or longest)  # most logs of some accuracy runs end at once, and the few others tell more
    if runs == 1:
        said = f"1 published run of {what} took {longest:,} s"
    elif usual in {0, longest}:
        said = f"{runs} published runs of {what} took {shortest:,} to {longest:,} s"
    else:
        said = f"{runs} published runs of {what} took {shortest:,} s and more, 9 of 10 up to {usual:,} s"
        said += f", the longest {longest:,} s"
    low = shortest * (1 - _SPREAD) / factor
    return Seconds(round(low, 1), round(high * (1 + _SPREAD), 1), f"{said} ({durations.name})", "prior")
