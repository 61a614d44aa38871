"""What a power measurement consists of, and what a check of it says. Times are seconds since 1970, in UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from mlperf_ops.files import Json, JsonObject

PowerSubject: TypeAlias = Literal[
    "files",
    "session",
    "sources",
    "meter",
    "identity",
    "clock",
    "level",
    "messages",
    "digests",
    "meter-errors",
    "debug",
    "uncertainty",
    "readings",
    "duration",
    "simulated",
]
"""What a finding is about."""

PowerSymptom: TypeAlias = Literal["errors", "invalid", "silent"]
"""How trouble with the meter shows: it reported errors, it calls readings invalid, readings are missing."""

Objector: TypeAlias = Literal["official", "rules", "advice"]
"""Who objects: the official power checker; the rules only; or only good sense."""


@dataclass(frozen=True, slots=True)
class PowerFinding:
    """Something that is wrong with a measurement.

    Attributes:
        subject: What it is about.
        objector: Who objects.
        file: File that shows it, relative to performance/.
        message: One sentence.
        value: What was found.
        limit: What was expected.
        symptom: Where it may have a cause in common with other findings, how that shows here.
    """

    subject: PowerSubject
    objector: Objector
    file: str
    message: str
    value: str | None = None
    limit: str | None = None
    symptom: PowerSymptom | None = None


class Reading(NamedTuple):
    """A line of spl.txt: time, average watts of the second, power factor (None where the line has no number for it)."""

    time_s: float
    watts: float
    power_factor: float | None


@dataclass(frozen=True, slots=True)
class Run:
    """One of the two runs of a measurement.

    Attributes:
        folder: "ranging" or "run_1".
        begin_s: LoadGen's power_begin; None when the log does not give it.
        end_s: LoadGen's power_end.
        readings: All readings of spl.txt.
        problem: Why something of it cannot be read.
        factor_problem: A reading of the run without a power factor, which the measuring software's check alone reads.
    """

    folder: str
    begin_s: float | None
    end_s: float | None
    readings: tuple[Reading, ...]
    problem: str | None = None
    factor_problem: str | None = None

    def spans(self, time_s: float) -> bool:
        """Whether a time is strictly between begin and end; False when these are unknown."""
        return self.begin_s is not None and self.end_s is not None and self.begin_s < time_s < self.end_s

    @property
    def duration_s(self) -> float:
        """Seconds between begin and end; 0 when unknown."""
        return 0.0 if self.begin_s is None or self.end_s is None else self.end_s - self.begin_s

    @property
    def measured(self) -> list[Reading]:
        """The readings strictly between begin and end."""
        if self.begin_s is None or self.end_s is None:
            return []
        begin_s, end_s = self.begin_s, self.end_s
        return [reading for reading in self.readings if begin_s < reading.time_s < end_s]

    @property
    def watts(self) -> list[float]:
        """The positive readings between begin and end, in watts."""
        return [reading.watts for reading in self.measured if reading.watts > 0]

    @property
    def average_watts(self) -> float | None:
        """Mean of the positive readings between begin and end."""
        watts = self.watts
        return sum(watts) / len(watts) if watts else None


@dataclass(frozen=True, slots=True)
class ExpectedMeter:
    """The meter that an inventory names; None: whatever it is.

    Attributes:
        model: Such as "WT310E".
        firmware: Such as "1.04".
        serial: Serial number.
    """

    model: str | None = None
    firmware: str | None = None
    serial: str | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """The files of a measurement.

    Attributes:
        client: client.json; None when it cannot be read.
        server: server.json.
        ranging: The run that finds the meter's ranges.
        testing: The run that counts.
        meter_text: ptd_logs.txt.
        digests: sha1 of each file, relative to performance/.
        problems: What could not be read.
        marked: Files with the mark of a stand-in for the meter, each with the first line that has it.
    """

    client: JsonObject | None
    server: JsonObject | None
    ranging: Run
    testing: Run
    meter_text: str
    digests: dict[str, str]
    problems: tuple[PowerFinding, ...] = field(default=())
    marked: tuple[tuple[str, str], ...] = field(default=())

    @property
    def shorter_percent(self) -> float:
        """By how many percent the run that counts is shorter than ranging; 0 when ranging took no time."""
        ranging_s = self.ranging.duration_s
        return (1 - self.testing.duration_s / ranging_s) * 100 if ranging_s > 0 else 0.0

    def has(self, name: str) -> bool:
        """Whether a file, named relative to performance/, could be read."""
        return name in self.digests


def texts(value: Json) -> dict[str, str]:
    """Return the entries of an object whose values are texts; none when it is no object."""
    return {key: text for key, text in value.items() if isinstance(text, str)} if isinstance(value, dict) else {}


def objects(value: Json) -> list[JsonObject]:
    """Return the objects of a list; none when it is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
