"""What `mlperf-ops plan --deadline` shows: what fits, what does not, and the critical path."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlperf_ops.deadline import FITS, CellForecast, Fit, Forecast, Window, campaign_end, in_running_order, moment
from mlperf_ops.outlook import Outlook
from mlperf_ops.plan_model import Plan, Seconds
from mlperf_ops.plan_shared import queues
from mlperf_ops.wording import duration, plural

_COLOURS: dict[Fit, str] = {"fits": "green", "may not fit": "yellow", "does not fit": "red"}
_DAY_SECONDS = 24 * 3600


def show(console: Console, made: Forecast, shown: Callable[[Seconds | None], str]) -> None:
    """Print a forecast; `shown` writes an expected duration."""
    console.print(f"[{_COLOURS[made.fit]}]{escape(_headline(made))}[/]")
    if not made.cells:
        return
    console.print(escape(f"starting now ({_clock(made, 0.0)}), {_ends(made, made.end)}"))
    console.print(
        escape(", ".join(f"{made.count(fit)} {_verb(fit, made.count(fit))}" for fit in FITS if made.count(fit)))
    )
    _show_late(console, made, shown)
    _show_path(console, made)
    for note in _notes(made):
        console.print(escape(f"note: {note}"))


def turns(plan: Plan, seen: Iterable[Outlook], shown: Callable[[Seconds | None], str]) -> str | None:
    """Say how long a plan takes whose hosts wait for one another; None where none does, or nobody knows how long."""
    things = [thing for thing, _ in queues(plan)]
    if not things:
        return None
    end = campaign_end(plan, seen)
    if math.isinf(end.high) or not end.high:
        return None
    return f"{shown(Seconds(end.low, end.high, ''))} in all, with the turns at {', '.join(things)}"


def guesses(expected: Iterable[Seconds | None]) -> Iterator[str]:
    """Yield for each data set of unknown size what durations assume of it."""
    cells: dict[tuple[str, int], int] = {}
    for one in expected:
        if one is not None and one.guess is not None:
            name = one.guess.dataset, one.guess.count
            cells[name] = cells.get(name, 0) + 1
    for (dataset, count), number in cells.items():
        yield (
            f"nobody knows yet how many samples your {dataset} has: the durations of {plural(number, 'accuracy cell')} "
            f"assume 1 to {count:,}; the first run counts them, and sample_count beside the benchmark limits them"
        )


def _headline(made: Forecast) -> str:
    when = f"deadline {made.deadline.at:%Y-%m-%d %H:%M} ({made.deadline.zone}), in {_long(made.seconds_left)}"
    if not made.cells:
        return f"{when}: met, nothing is left to run"
    if made.fit == "fits":
        return f"{when}: met, with {_long(made.slack.low)} to spare at least"
    if made.fit == "does not fit":
        return f"{when}: missed by {_long(-made.slack.high)} at least"
    if math.isinf(made.end.high):
        return f"{when}: not sure, some durations are not known"
    return f"{when}: not sure, it may be missed by {_long(-made.slack.low)}"


def _verb(fit: Fit, count: int) -> str:
    words = {"fits": "fit", "may not fit": "may not fit", "does not fit": "do not fit"}
    return fit if count == 1 else words[fit]


def _ends(made: Forecast, end: Window) -> str:
    first = _clock(made, end.low)
    if math.isinf(end.high):
        return f"the last cell ends at {first} at the earliest, and nobody can say when at the latest"
    return f"the last cell ends between {first} and {_clock(made, end.high)}"


def _show_late(console: Console, made: Forecast, shown: Callable[[Seconds | None], str]) -> None:
    """List the cells that do not fit, and those that may not, in the order in which they run."""
    late = in_running_order([one for one in made.cells if one.fit != "fits"])
    if not late:
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("fit", "cell", *(("host",) if _needs_host(late) else ()), "expected", "ends between", "and"):
        table.add_column(heading, overflow="fold")
    for one in late:
        host = (escape(one.host),) if _needs_host(late) else ()
        latest = "unknown" if math.isinf(one.end.high) else _clock(made, one.end.high)
        expected = shown(one.expected) or "unknown"
        fit = f"[{_COLOURS[one.fit]}]{one.fit}[/]"
        table.add_row(fit, escape(one.key), *host, expected, _clock(made, one.end.low), latest)
    console.print(table)


def _needs_host(cells: list[CellForecast]) -> bool:
    return not all(one.key.startswith(f"{one.host}/") for one in cells)


def _show_path(console: Console, made: Forecast) -> None:
    """List the critical path, cell by cell, with what each waits for."""
    path = made.critical_path
    if not path:
        return
    last = path[-1].host
    others = list(dict.fromkeys(step.host for step in path if step.host != last))
    held_up = f", held up by {', '.join(others)}" if others else ""
    bound = "at least" if made.at_least else "up to"
    console.print(escape(f"critical path, of {last}, which is last{held_up}: {bound} {_long(path[-1].end)}"))
    for step in path:
        waits = f", once {step.waits_for} is free" if step.waits_for else ""
        on = "" if step.key.startswith(f"{step.host}/") else f" on {step.host}"
        console.print(
            escape(f"  {_clock(made, step.start)}  {duration(step.end - step.start):>12}  {step.key}{on}{waits}")
        )


def _notes(made: Forecast) -> Iterator[str]:
    unknown = [one.key for one in made.cells if one.expected is None]
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        yield (f"nobody knows how long {unknown[0]}{more} will take; a run in style test and `mlperf-ops targets` tell")
    words = {
        "rule": "the rules of the round",
        "target": "targets",
        "history": "earlier runs",
        "prior": "published runs of others, which may be far off for this lab",
    }
    told = [f"{count} from {words[source]}" for source, count in made.sources.items()]
    if told:
        yield f"{plural(sum(made.sources.values()), 'duration')}: {', '.join(told)}"
    if made.repeat_share:
        yield f"the latest times hold a reserve of {made.repeat_share * 100:.0f} % for cells that have to run again"


def _clock(made: Forecast, seconds: float) -> str:
    """Return a moment, with its date where that is not today's."""
    at = moment(made, seconds)
    return f"{at:%Y-%m-%d %H:%M}" if at.date() != moment(made, 0.0).date() else f"{at:%H:%M}"


def _long(seconds: float) -> str:
    """Return a duration that may be days: "2 d 4 h"."""
    if seconds < 2 * _DAY_SECONDS:
        return duration(max(seconds, 0.0))
    days, rest = divmod(timedelta(seconds=seconds).total_seconds(), _DAY_SECONDS)
    return f"{days:.0f} d {rest // 3600:.0f} h"
