"""The analyzers of a plan as a person wants to see them: whom each measures, its calibration, who has it, who waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from mlperf_ops.lease.turn import said_of
from mlperf_ops.power.inventory import CALIBRATED_DAYS, Analyzer, PowerLab
from mlperf_ops.wording import plural


@dataclass(frozen=True, slots=True)
class AnalyzerStatus:
    """One analyzer now.

    Attributes:
        name: Of the inventory.
        director: The host that it is connected to.
        meter: Model and serial number, as far as they are given.
        measures: Its hosts, with the channel where it has several.
        calibration: In words.
        calibrated: Within the last year; None: nobody says.
        holder: Who has it and since when; "" when it is free.
        blocked: A sentence for each cell that waits for it, in the order of the queue.
        problem: Why its lease could not be read; "" when it was.
    """

    name: str
    director: str
    meter: str
    measures: tuple[str, ...]
    calibration: str
    calibrated: bool | None
    holder: str
    blocked: tuple[str, ...]
    problem: str

    @property
    def state(self) -> str:
        """In a word or two."""
        return "unknown" if self.problem else "held" if self.holder else "free"


def status_of(
    lab: PowerLab, seen: Mapping[str, Mapping[str, Any]], problems: Mapping[str, str], today: date
) -> tuple[AnalyzerStatus, ...]:
    """Return the state of all analyzers.

    Args:
        lab: The plan's.
        seen: Analyzer -> its lease as `lease.book.view` shows it.
        problems: Analyzer -> why its lease could not be read.
        today: To compare calibrations with.
    """
    return tuple(_status(one, lab, seen.get(one.name), problems.get(one.name, ""), today) for one in lab.analyzers)


def _status(one: Analyzer, lab: PowerLab, lease: Mapping[str, Any] | None, problem: str, today: date) -> AnalyzerStatus:
    holder: Any = lease["holder"] if lease else None
    queue: Any = lease["queue"] if lease else ()
    since = f"since {holder['held_seconds']:.0f} s" if holder else ""
    held = f"{said_of(holder)} {since}" if holder else ""
    behind = f"held by {holder['host']}, {since}" if holder else "which is about to be given"
    calibration, calibrated = calibration_of(one, today)
    return AnalyzerStatus(
        name=one.name,
        director=one.director,
        meter=" ".join(text for text in (one.model or one.meter, one.serial_number) if text),
        measures=tuple(
            f"{sut.host} (channel {use.channel})" if use.channel else sut.host
            for sut in lab.suts
            for use in sut.uses
            if use.analyzer == one.name
        ),
        calibration=calibration,
        calibrated=calibrated,
        holder=held,
        blocked=tuple(f"{waits['cell']} on {waits['host']}: blocked (on {one.name}, {behind})" for waits in queue),
        problem=problem,
    )


def calibration_of(one: Analyzer, today: date) -> tuple[str, bool | None]:
    """Return an analyzer's calibration in words, and whether it is within the last year."""
    if not one.calibration_date:
        return "not given", None
    days = (today - date.fromisoformat(one.calibration_date)).days
    if days < 0:
        return f"{one.calibration_date}, which is in the future", False
    if days > CALIBRATED_DAYS:
        return f"{one.calibration_date}, overdue by {plural(days - CALIBRATED_DAYS, 'day')}", False
    return f"{one.calibration_date}, good for {plural(CALIBRATED_DAYS - days, 'more day')}", True
