"""From the inventory's words about power analyzers to the checked `PowerLab`. Pure.

A mistake is one sentence with file, line and key; what is allowed and still worth a word is a remark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING

from mlperf_ops.errors import ConfigError, nearest, unknown_name
from mlperf_ops.lab_vars import PREFIX
from mlperf_ops.power.inventory import CALIBRATED_DAYS, Analyzer, MeasuredSut, PowerLab, Use, instance_of, is_address

if TYPE_CHECKING:
    from mlperf_ops.catalogue.power_rules import PowerRules
    from mlperf_ops.lab import Lab, LabHost
    from mlperf_ops.lab_problems import Place
    from mlperf_ops.lab_vars import PowerAnalyzer

DIRECTORS = "power_directors"
_ALL, _ONE = f"{PREFIX}power_analyzers", f"{PREFIX}power_analyzer"
_MAKER = "Yokogawa"  # that all names of the checker start with
_GPIB, _TCP = "-g", "-n"


def power_of(lab: Lab, rules: PowerRules, directors: Sequence[str] | None = None) -> PowerLab:
    """Check the analyzers of a lab and who is measured by them.

    Args:
        lab: All SUTs.
        rules: Of the lab's round.
        directors: Hosts of group power_directors; None: unknown, and not compared.

    Raises:
        ConfigError: The first mistake.
    """
    first = lab.hosts[0]
    for other in lab.hosts[1:]:
        if other.vars.power_analyzers != first.vars.power_analyzers:
            raise ConfigError(
                f"{other.place.at(_ALL)}: host {other.name} has other analyzers than host {first.name}",
                hint="they are the lab's: set them once, in group_vars/all",
            )
    made: list[Analyzer] = []
    for name, given in first.vars.power_analyzers.items():
        one = _analyzer(name, given, rules, first.place)
        _check_director(one, directors, first.place)
        for earlier in made:
            _check_apart(earlier, one, first.place)
        made.append(one)
    suts = [sut for host in lab.hosts if (sut := _sut(host, made, rules))]
    _check_channels(made, suts, rules, first.place)
    return PowerLab(tuple(made), tuple(suts))


# --- one analyzer ----------------------------------------------------------------------------------------------------


def _analyzer(name: str, given: PowerAnalyzer, rules: PowerRules, place: Place) -> Analyzer:
    def at(key: str) -> str:
        return place.at(_ALL, name, key)

    number, meter = _device_type(given.device_type, rules, at("device_type"))
    if given.channel is not None:
        _check_channel(given.channel, number, rules, at("channel"))
    if given.dc_flag is not None and given.dc_flag != (number in rules.direct_current):
        known = ", ".join(map(str, rules.direct_current))
        told = "measures" if number in rules.direct_current else "does not measure"
        raise ConfigError(
            f"{at('dc_flag')}: expected {str(not given.dc_flag).lower()}, as device type {number} {told} direct "
            "current",
            hint=f"types {known} do; without the key it is as the type says",
        )
    if given.gpib_board is not None and given.interface_flag != _GPIB:
        raise ConfigError(f"{at('gpib_board')}: it belongs to interface_flag {_GPIB}, found '{given.interface_flag}'")
    _check_port(given, at("device_port"))
    if given.network_port == given.listen_port:
        raise ConfigError(
            f"{at('network_port')}: {given.network_port} is the listen_port, too; PTDaemon and the server need one each"
        )
    return Analyzer(
        name=name,
        director=given.director,
        device_type=number,
        meter=meter,
        accepted=number in rules.meters.values(),
        interface_flag=given.interface_flag,
        device_port=given.device_port,
        network_port=given.network_port,
        listen_port=given.listen_port,
        channel=given.channel or "",
        gpib_board=given.gpib_board,
        direct_current=number in rules.direct_current,
        vendor=given.vendor,
        model=given.model or "",
        serial_number=given.serial_number or "",
        firmware=given.firmware or "",
        calibration_date="" if given.calibration_date is None else given.calibration_date.isoformat(),
        wiring=given.wiring or "",
        notes=given.notes,
    )


def _device_type(given: int | str, rules: PowerRules, where: str) -> tuple[int, str]:
    """Return PTDaemon's number and the name of a meter; the maker in front of a name may be left out."""
    numbers = {**rules.meters, **rules.other_meters}
    text = str(given).strip()
    if not text.isdecimal():
        for name, number in numbers.items():
            if text.casefold() in {name.casefold(), name.removeprefix(_MAKER).casefold()}:
                return number, name
        known = [*numbers, *(name.removeprefix(_MAKER) for name in numbers)]
        guess = nearest(text, known)
        raise ConfigError(
            f"{where}: unknown device type '{text}'; expected {_listed(numbers)}",
            hint=f"did you mean '{guess}'?" if guess else None,
        )
    number = int(text)
    known_numbers = {*numbers.values(), *rules.channel_counts}
    if number not in known_numbers:
        closest = min(sorted(known_numbers), key=lambda one: abs(one - number))
        name = next((name for name, one in numbers.items() if one == closest), "")
        raise ConfigError(
            f"{where}: unknown device type {number}; expected {_listed(numbers)}",
            hint=f"the nearest is {closest}{f', {name}' if name else ''}",
        )
    return number, next((name for name, one in numbers.items() if one == number), "")


def _listed(numbers: dict[str, int]) -> str:
    """Name all types, those of several names once."""
    names: dict[int, list[str]] = {}
    for name, number in numbers.items():
        names.setdefault(number, []).append(name)
    return ", ".join(f"{number} ({'/'.join(names[number])})" for number in sorted(names))


def _check_channel(channel: str, number: int, rules: PowerRules, where: str) -> None:
    wanted = rules.channel_counts.get(number)
    found = channel.count(",") + 1 if channel else 0
    if wanted is None and found <= 1:
        return
    if wanted is None:
        raise ConfigError(f"{where}: device type {number} measures one channel: expected one number, found '{channel}'")
    if found != wanted:
        words = "one number" if wanted == 1 else "two numbers such as 1,3"
        told = f"found '{channel}'" if channel else "found none"
        raise ConfigError(f"{where}: device type {number} measures several channels: expected {words}, {told}")


def _check_port(given: PowerAnalyzer, where: str) -> None:
    """Compare the kind of link with what is at its end."""
    by_network = is_address(given.device_port)
    if given.interface_flag == _TCP and not by_network:
        raise ConfigError(f"{where}: expected the analyzer's IP address for interface_flag -n, found "
                          f"'{given.device_port}'")  # fmt: skip
    if given.interface_flag == "" and by_network:
        raise ConfigError(
            f"{where}: {given.device_port} is an IP address, and interface_flag says that the analyzer is at a port "
            "of the director",
            hint="interface_flag: -y for Yokogawa's own protocol, which is the one that works on Linux, or -n",
        )
    if given.interface_flag == _GPIB and not given.device_port.isdecimal():
        raise ConfigError(f"{where}: expected the GPIB address, a number, for interface_flag -g, found "
                          f"'{given.device_port}'")  # fmt: skip


def _check_director(one: Analyzer, directors: Sequence[str] | None, place: Place) -> None:
    if directors is None or one.director in directors:
        return
    where = place.at(_ALL, one.name, "director")
    if not directors:
        raise ConfigError(
            f"{where}: '{one.director}' is not in group {DIRECTORS}, which has no hosts",
            hint="put the machine that the analyzer is connected to into that group",
        )
    raise unknown_name(f"host of group {DIRECTORS}", one.director, directors, where=where)


# --- several ---------------------------------------------------------------------------------------------------------


def _check_apart(one: Analyzer, other: Analyzer, place: Place) -> None:
    """Refuse two entries for one instrument, and two that would meet on their director."""

    def at(key: str) -> str:
        return place.at(_ALL, other.name, key)

    one_entry = "an instrument is one entry: give each host its channel beside its mlperf_power_analyzer"
    if one.serial_number and one.serial_number == other.serial_number:
        raise ConfigError(f"{at('serial_number')}: analyzer {one.name} has it, too", hint=one_entry)
    same_place = one.director == other.director or is_address(one.device_port)
    if same_place and (one.device_port, one.gpib_board) == (other.device_port, other.gpib_board):
        raise ConfigError(
            f"{at('device_port')}: analyzer {one.name} is at {one.device_port}, too", hint=one_entry
        )  # fmt: skip
    if one.director != other.director:
        return
    ports = {one.network_port: "network_port", one.listen_port: "listen_port"}
    for key in ("network_port", "listen_port"):
        port = getattr(other, key)
        if port in ports:
            taken = {one.network_port, one.listen_port, other.network_port, other.listen_port}
            free = next(number for number in range(port + 1, port + 6) if number not in taken)
            raise ConfigError(
                f"{at(key)}: {port} is the {ports[port]} of analyzer {one.name}, and both are on {one.director}",
                hint=f"give one of them another, such as {free}",
            )


def _sut(host: LabHost, analyzers: Sequence[Analyzer], rules: PowerRules) -> MeasuredSut | None:
    """Return how a host is measured."""
    by_name = {one.name: one for one in analyzers}
    for name in by_name:
        if name in host.vars.shared:
            raise ConfigError(
                f"{host.place.at(f'{PREFIX}shared', name)}: '{name}' is a power analyzer, whose lease follows from "
                f"{_ONE}",
                hint="take it out here",
            )
    uses: list[Use] = []
    for index, given in enumerate(host.vars.power_analyzer):
        where = _use_place(host, index)
        if given.name not in by_name:
            if not by_name:
                raise ConfigError(f"{where}: unknown analyzer '{given.name}': {_ALL} is empty")
            raise unknown_name("analyzer", given.name, by_name, where=where)
        one = by_name[given.name]
        if given.name in {use.analyzer for use in uses}:
            raise ConfigError(f"{where}: analyzer '{given.name}' is named twice")
        if uses and one.director != by_name[uses[0].analyzer].director:
            raise ConfigError(
                f"{where}: analyzer {one.name} is on {one.director} and {uses[0].analyzer} on "
                f"{by_name[uses[0].analyzer].director}; one server measures a host, so they need one director"
            )
        channel = one.channel if given.channel is None else given.channel
        _check_channel(channel, one.device_type, rules, where)
        uses.append(Use(one.name, channel))
    if not uses:
        return None
    used = [by_name[use.analyzer] for use in uses]
    return MeasuredSut(
        host=host.name,
        director=used[0].director,
        instance=instance_of(uses, analyzers),
        uses=tuple(uses),
        submittable=len(used) == 1 and used[0].accepted,
    )


def _use_place(host: LabHost, index: int) -> str:
    several = len(host.vars.power_analyzer) > 1
    return host.place.at(_ONE, index) if several else host.place.at(_ONE)


def _check_channels(
    analyzers: Sequence[Analyzer], suts: Sequence[MeasuredSut], rules: PowerRules, place: Place
) -> None:
    """Refuse an analyzer that needs a channel, has none, and measures no SUT that would say one."""
    used = {use.analyzer for sut in suts for use in sut.uses}
    for one in analyzers:
        if not one.channel and one.name not in used:
            _check_channel(one.channel, one.device_type, rules, place.at(_ALL, one.name))


# --- remarks ---------------------------------------------------------------------------------------------------------


def power_remarks(lab: PowerLab, rules: PowerRules, today: date | None) -> Iterator[str]:
    """Say what would keep a measured result from being submitted, and what is not used.

    Args:
        lab: Checked.
        rules: Of the round.
        today: To compare calibrations with; None compares none.
    """
    used = {use.analyzer for sut in lab.suts for use in sut.uses}
    for one in lab.analyzers:
        where = f"{_ALL}.{one.name}"
        if not one.accepted:
            named = f" ({one.meter})" if one.meter else ""
            yield (
                f"{where}: device type {one.device_type}{named} is none that the round's checker accepts, so its "
                "results cannot be submitted"
            )
        if today is not None:
            yield from _calibration(one, where, today)
        if one.name not in used:
            yield f"{where}: it measures no host ({_ONE} of a host names its analyzer)"
    for sut in lab.suts:
        if len(sut.uses) > 1:
            names = " and ".join(use.analyzer for use in sut.uses)
            yield (
                f"host {sut.host} is measured by {names}: the official checker cannot accept a result of several "
                f"analyzers (power_checker.py, {rules.source.partition(',')[0]}), so it cannot be submitted"
            )


def _calibration(one: Analyzer, where: str, today: date) -> Iterator[str]:
    if not one.calibration_date:
        yield f"{where}: calibration_date is not given; reviewers ask for a calibration within the last year"
        return
    days = (today - date.fromisoformat(one.calibration_date)).days
    if days < 0:
        yield f"{where}: calibration_date {one.calibration_date} is in the future, today is {today}"
    elif days > CALIBRATED_DAYS:
        yield (
            f"{where}: calibrated on {one.calibration_date}, {days} days before today; reviewers ask for a "
            "calibration within the last year"
        )
