"""Whether what is still to run is ready by a deadline, and what decides about it. Pure: the time of day is given."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal, TypeAlias

from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.outlook import Outlook
from mlperf_ops.plan_model import Estimate, Plan, PlannedCell, Seconds
from mlperf_ops.plan_shared import in_order, job_of
from mlperf_ops.schedule import Schedule, critical_path, finish, simulate

Fit: TypeAlias = Literal["fits", "may not fit", "does not fit"]
"""fits: even when all takes as long as expected at most; does not fit: not even when all takes the least expected."""

FITS: tuple[Fit, ...] = ("fits", "may not fit", "does not fit")
_EXAMPLE = "write it like 2027-01-29T13:00, or with an offset: 2027-01-29T13:00+01:00"
_DATE_LENGTH = len("2027-01-29")


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment.

    Attributes:
        at: With its offset.
        local: No offset was given: it is in this machine's zone.
    """

    at: datetime
    local: bool

    @property
    def zone(self) -> str:
        """The zone in words."""
        return f"{self.at.tzname()}, this machine's zone" if self.local else str(self.at.tzname())


def parse_deadline(text: str, now: datetime) -> Deadline:
    """Read a deadline in ISO 8601.

    Args:
        text: As the user wrote it.
        now: With an offset; a deadline before it is refused.

    Raises:
        ConfigError: It is no date and time, or it is past.
    """
    given = text.strip()
    try:
        if len(given) == _DATE_LENGTH and datetime.fromisoformat(given):
            raise ConfigError(f"--deadline {text}: a date alone; at what time of day?", hint=_EXAMPLE)
        read = datetime.fromisoformat(f"{given[:-1]}+00:00" if given[-1:] in {"z", "Z"} else given)
        deadline = Deadline(read.astimezone() if read.tzinfo is None else read, read.tzinfo is None)
        past = now - deadline.at
    except (ValueError, OverflowError, OSError):
        raise ConfigError(f"--deadline {text}: this is no date and time in ISO 8601", hint=_EXAMPLE) from None
    if past >= timedelta(0):
        there = now.astimezone(deadline.at.tzinfo)
        when = f"{deadline.at:%Y-%m-%d %H:%M} ({deadline.zone})"
        raise ConfigError(f"--deadline {text}: {when} is past, it is {there:%Y-%m-%d %H:%M}", hint="give a later one")
    return deadline


@dataclass(frozen=True, slots=True)
class Window:
    """From when to when something may happen, in seconds from now; `high` is infinite where nobody knows."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CellForecast:
    """A cell that is still to run.

    Attributes:
        expected: One run of it; None when nobody knows.
        start: When it starts.
        end: When it ends, with the reserve for cells that run again.
        holds: Shared things that it uses alone.
    """

    key: str
    host: str
    expected: Seconds | None
    start: Window
    end: Window
    holds: tuple[str, ...]
    fit: Fit


@dataclass(frozen=True, slots=True)
class Step:
    """A cell on the critical path, in seconds from now; `waits_for` names the shared thing that held it up."""

    key: str
    host: str
    start: float
    end: float
    waits_for: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """Whether a deadline is met.

    Attributes:
        seconds_left: From now to the deadline.
        end: When the last cell ends; both 0 when nothing is left to run.
        slack: Seconds from the end to the deadline, negative when it is missed; `low` belongs to the latest end.
        cells: In the order of hosts, those of a host in the order in which they run.
        critical_path: The cells that decide when the host that is last has finished, were all to take their longest.
        at_least: The path is one of shortest durations: of some cells nobody knows the longest.
        repeat_share: Reserve for cells that run again, part of every longest duration.
    """

    deadline: Deadline
    now: datetime
    seconds_left: float
    fit: Fit
    end: Window
    slack: Window
    cells: tuple[CellForecast, ...]
    critical_path: tuple[Step, ...]
    at_least: bool
    repeat_share: float

    @property
    def met(self) -> bool:
        """Every cell fits."""
        return self.fit == "fits"

    def count(self, fit: Fit) -> int:
        """Return how many cells fit so."""
        return sum(1 for one in self.cells if one.fit == fit)

    @property
    def sources(self) -> dict[Estimate, int]:
        """How many durations come from where, unknown ones left out."""
        found: dict[Estimate, int] = {}
        for one in self.cells:
            if one.expected is not None and one.expected.source is not None:
                found[one.expected.source] = found.get(one.expected.source, 0) + 1
        return found


def forecast(
    plan: Plan, seen: Iterable[Outlook], deadline: Deadline, now: datetime, repeat_share: float = 0.0
) -> Forecast:
    """Let everything that is missing or stale run from now on, in the plan's order, and compare with a deadline.

    Args:
        plan: Says the order of each host's cells and what they hold.
        seen: What of the plan is there already, and how long the rest takes.
        deadline: When all has to be there.
        now: When the run starts.
        repeat_share: Part of every longest duration that is added for cells which run again.
    """
    cells, expected = _to_come(plan, seen)
    soonest, latest = _schedules(cells, expected, repeat_share)
    left = (deadline.at - now).total_seconds()
    early, late = _times(soonest), _times(latest)
    rows: list[CellForecast] = []
    for cell, duration in zip(cells, expected, strict=True):
        name = (cell.host, cell.cell.key)
        # With other durations hosts queue in another order, and a cell may even start earlier than with shorter ones.
        start, end = (Window(*sorted(pair)) for pair in zip(early[name], late[name], strict=True))
        rows.append(CellForecast(cell.cell.key, cell.host, duration, start, end, cell.holds, _fit(end, left)))
    end = Window(*sorted((finish(soonest), finish(latest))))
    at_least = math.isinf(end.high)
    return Forecast(
        deadline=deadline,
        now=now,
        seconds_left=left,
        fit=_fit(end, left),
        end=end,
        slack=Window(left - end.high, left - end.low),
        cells=tuple(rows),
        critical_path=tuple(
            Step(slot.job.key, slot.job.host, slot.start, slot.end, slot.waits_for)
            for slot in critical_path(soonest if at_least else latest)
        ),
        at_least=at_least,
        repeat_share=repeat_share,
    )


def campaign_end(plan: Plan, seen: Iterable[Outlook]) -> Window:
    """Return how long the rest of a campaign takes, with the turns at shared things and each cell run once."""
    cells, expected = _to_come(plan, seen)
    soonest, latest = _schedules(cells, expected, 0.0)
    return Window(*sorted((finish(soonest), finish(latest))))


def _to_come(plan: Plan, seen: Iterable[Outlook]) -> tuple[list[PlannedCell], list[Seconds | None]]:
    """Return what is missing or stale, in the order in which it runs, and how long each takes."""
    durations = {(one.host, one.key): one.expected for one in seen if one.status in {"missing", "stale"}}
    cells = [one for one in in_order(plan) if (one.host, one.cell.key) in durations]
    return cells, [durations[one.host, one.cell.key] for one in cells]


def _schedules(
    cells: Sequence[PlannedCell], expected: Sequence[Seconds | None], share: float
) -> tuple[Schedule, Schedule]:
    """Run cells with their shortest and with their longest durations, these with a reserve."""
    lows = [0.0 if one is None else one.low for one in expected]
    highs = [None if one is None else one.high * (1 + share) for one in expected]
    return (
        simulate([job_of(cell, seconds) for cell, seconds in zip(cells, lows, strict=True)]),
        simulate([job_of(cell, seconds) for cell, seconds in zip(cells, highs, strict=True)]),
    )


def _times(schedule: Schedule) -> dict[tuple[str, str], tuple[float, float]]:
    return {(slot.job.host, slot.job.key): (slot.start, slot.end) for slot in schedule}


def _fit(end: Window, left: float) -> Fit:
    if end.high <= left:
        return "fits"
    return "does not fit" if end.low > left else "may not fit"


# --- as JSON ---------------------------------------------------------------------------------------------------------


def as_json(made: Forecast) -> JsonObject:
    """Return a forecast for tools: moments in RFC 3339, null where nobody knows."""

    def at(seconds: float) -> str | None:
        return None if math.isinf(seconds) else moment(made, seconds).isoformat(timespec="seconds")

    def window(one: Window) -> JsonObject:
        return {"low": at(one.low), "high": at(one.high)}

    def finite(seconds: float) -> float | None:
        return None if math.isinf(seconds) else round(seconds, 1)

    cells: list[Json] = [
        {
            "key": one.key,
            "host": one.host,
            "fit": one.fit,
            "start": window(one.start),
            "end": window(one.end),
            "holds": list(one.holds),
        }
        for one in made.cells
    ]
    sources: JsonObject = {str(name): count for name, count in made.sources.items()}
    path: list[Json] = [
        {
            "key": step.key,
            "host": step.host,
            "start": at(step.start),
            "end": at(step.end),
            "waits_for": step.waits_for or None,
        }
        for step in made.critical_path
    ]
    return {
        "deadline": made.deadline.at.isoformat(),
        "zone": made.deadline.zone,
        "now": made.now.isoformat(timespec="seconds"),
        "fit": made.fit,
        "end": window(made.end),
        "slack_seconds": {"low": finite(made.slack.low), "high": finite(made.slack.high)},
        "cells": cells,
        "critical_path": path,
        "critical_path_at_least": made.at_least,
        "repeat_share": made.repeat_share,
        "sources": sources,
    }


def moment(made: Forecast, seconds: float) -> datetime:
    """Return the moment so many seconds from now, in the zone of the deadline.

    Beyond the last year that there is, it is that year's end.
    """
    try:
        return (made.now + timedelta(seconds=seconds)).astimezone(made.deadline.at.tzinfo)
    except OverflowError:
        return datetime.max.replace(tzinfo=timezone.utc)


def in_running_order(cells: Sequence[CellForecast]) -> list[CellForecast]:
    """Return cells by when they start, at the latest."""
    return sorted(cells, key=lambda one: (one.start.high, one.start.low))
