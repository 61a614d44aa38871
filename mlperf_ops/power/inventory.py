"""The power analyzers of a lab, the SUTs that they measure, and the servers that this takes. Pure.

`PowerLab` is the value of `power` in plan.json. An analyzer is one physical instrument, whatever number of channels it
has: its name is the thing of its lease, which its director keeps.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from mlperf_ops.files import Json, JsonObject
from mlperf_ops.typed import UNSET, dump, load

CALIBRATED_DAYS = 365
"""Reviewers ask for a calibration within so many days."""


@dataclass(frozen=True, slots=True)
class Analyzer:
    """One physical instrument. Texts that nobody has given are empty."""

    name: str
    director: str  # inventory_hostname
    device_type: int  # PTDaemon's number
    meter: str  # the catalogue's name of that number; "" where it has none
    accepted: bool  # by the round's checker
    interface_flag: str  # "", -g, -n, -y or -U
    device_port: str
    network_port: int  # PTDaemon's TCP port, on the director's loopback
    listen_port: int  # TCP port of the server that SUTs talk to
    channel: str  # "", "1" or "1,3", as PTDaemon is given it
    gpib_board: int | None
    direct_current: bool  # -D
    vendor: str
    model: str
    serial_number: str
    firmware: str
    calibration_date: str  # ISO 8601
    wiring: str
    notes: str


@dataclass(frozen=True, slots=True)
class Use:
    """An analyzer as it measures a SUT."""

    analyzer: str
    channel: str  # "" where PTDaemon is told none


@dataclass(frozen=True, slots=True)
class MeasuredSut:
    """A SUT and what measures it; several analyzers where it has several power cords."""

    host: str  # inventory_hostname
    director: str
    instance: str  # of the director's server
    uses: tuple[Use, ...]
    submittable: bool  # whether the round's checker can accept what is measured so


@dataclass(frozen=True, slots=True)
class Server:
    """One way to run a director's server: its analyzers and their channels. Only one of an analyzer runs at a time."""

    instance: str  # name of the systemd instance and of the configuration file
    director: str
    uses: tuple[Use, ...]
    suts: tuple[str, ...] = field(default=(), metadata=UNSET)


@dataclass(frozen=True, slots=True)
class PowerLab:
    """All of it."""

    analyzers: tuple[Analyzer, ...]
    suts: tuple[MeasuredSut, ...]

    def analyzer(self, name: str) -> Analyzer:
        """Return an analyzer by its name."""
        return next(one for one in self.analyzers if one.name == name)

    def sut(self, host: str) -> MeasuredSut | None:
        """Return how a host is measured; None: not at all."""
        return next((one for one in self.suts if one.host == host), None)

    def directors(self) -> tuple[str, ...]:
        """Return the directors that have an analyzer."""
        return tuple(sorted({one.director for one in self.analyzers}))

    def servers(self, director: str) -> tuple[Server, ...]:
        """Return the servers of a director: one for each way in which its analyzers are used.

        An analyzer that measures no SUT yet has one too, so that it can be tried.
        """
        by_uses: dict[tuple[Use, ...], list[str]] = {}
        for sut in self.suts:
            if sut.director == director:
                by_uses.setdefault(sut.uses, []).append(sut.host)
        used = {use.analyzer for uses in by_uses for use in uses}
        for one in self.analyzers:
            if one.director == director and one.name not in used:
                by_uses[Use(one.name, one.channel),] = []
        made = (
            Server(instance_of(uses, self.analyzers), director, uses, tuple(suts)) for uses, suts in by_uses.items()
        )
        return tuple(sorted(made, key=lambda one: one.instance))


def instance_of(uses: Iterable[Use], analyzers: Iterable[Analyzer]) -> str:
    """Name a server: wt310, wt333:2 with a channel that is not the analyzer's own, or several joined by "::".

    No name of an analyzer has a colon, so two servers never share a name.
    """
    own = {one.name: one.channel for one in analyzers}
    return "::".join(
        use.analyzer if use.channel == own[use.analyzer] else f"{use.analyzer}:{use.channel.replace(',', '-')}"
        for use in uses
    )


def to_plan(lab: PowerLab) -> JsonObject | None:
    """Return what plan.json holds; None: the lab has no analyzer."""
    return dump(lab) if lab.analyzers else None


def from_plan(value: dict[str, Json] | None, where: str = "plan.json: power") -> PowerLab:
    """Return what plan.json says.

    Raises:
        ResultError: It was written by another version.
    """
    return PowerLab((), ()) if value is None else load(PowerLab, value, where)


def is_address(text: str) -> bool:
    """Tell whether a device port is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
