"""The meter: its daemon's version, its model, the commands it was given and what it replied."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from mlperf_ops.catalogue.power_rules import PowerRules
from mlperf_ops.files import JsonObject
from mlperf_ops.power_check.model import ExpectedMeter, PowerFinding, objects

_SERVER = "power/server.json"
_VERSION = re.compile(r"(?<=version=)(.+?)-")
_REPLIES = {
    "SR,A": "Range A changed",
    "SR,V": "Range V changed",
    "Go,1000,": "Starting untimed measurement, maximum 500000 samples at 1000ms with 0 rampup samples",
}
_STOPPED, _NOTHING_TO_STOP = "Stopping untimed measurement", "Error: no measurement to stop"
_RANGES = 2  # index of the message that asks for the ranges
_AMPERES, _VOLTS = 1, 3  # fields of its reply
_BACK_TO_INITIAL, _OR_LATER = 3, 4  # which of the commands restores the range
_CHANNELS = 2


def commands(server: JsonObject, rules: PowerRules) -> Iterator[PowerFinding]:
    """Check the daemon's version, the meter's model and the replies to the commands."""
    spoken = [(str(one.get("cmd")), str(one.get("reply"))) for one in objects(server.get("ptd_messages"))]
    identity = next((reply for command, reply in spoken if command == "Identify"), "")
    version, model = _VERSION.search(identity), identity.split(",")[0]
    if version is None or version[1] not in rules.ptd_versions:
        accepted = " or ".join(rules.ptd_versions)
        yield _wrong(
            f"PTDaemon has version {version[1]}, accepted is {accepted}" if version else "PTDaemon told no version",
            value=version[1] if version else identity or "no reply to Identify",
            limit=", ".join(rules.ptd_versions),
        )
    if identity and model not in rules.meters:
        yield _wrong(f"the meter {model} is not accepted", value=model, limit=", ".join(rules.meters))
    stops = 0
    for command, reply in spoken:
        due = next((text for start, text in _REPLIES.items() if command.startswith(start)), None)
        if command.startswith("Stop"):
            due = _STOPPED if stops < _CHANNELS else _NOTHING_TO_STOP
            stops += command == "Stop"
        if due is not None and reply != due:
            yield _wrong(f"the meter replied to {command} with another text", value=reply, limit=due)
            break
    yield from _ranges(spoken)


def as_expected(server: JsonObject, meter: ExpectedMeter) -> Iterator[PowerFinding]:
    """Compare what the meter says it is with what the inventory says; one finding names every difference."""
    replies = [str(one.get("reply")) for one in objects(server.get("ptd_messages")) if one.get("cmd") == "Identify"]
    stated = replies[0].rpartition(",")[2].split(";") if replies else []
    # Maker, model, serial number, firmware.
    found = dict(zip(("model", "serial", "firmware"), stated[1:], strict=False))
    wanted = {"model": meter.model, "serial": meter.serial, "firmware": meter.firmware}
    odd = [key for key, name in wanted.items() if name is not None and _plain(found.get(key)) != _plain(name)]
    if odd:
        yield PowerFinding(
            "meter",
            "rules",
            _SERVER,
            f"the meter that measured is not the one of the inventory: {', '.join(odd)} differ"
            + ("s" if len(odd) == 1 else ""),
            value=", ".join(f"{key} {found.get(key, 'not stated')}" for key in odd),
            limit=", ".join(f"{key} {wanted[key]}" for key in odd),
        )


def _plain(text: str | None) -> str | None:
    """Return a name as it is compared: firmware is stated as F1.04 or 1.04."""
    return None if text is None else re.sub(r"^[fv](?=\d)", "", text.strip().casefold())


def _ranges(spoken: list[tuple[str, str]]) -> Iterator[PowerFinding]:
    """Check that the ranges were set back to what they had been."""
    reply = spoken[_RANGES][1].split(",") if len(spoken) > _RANGES else []
    for name, start, field, positions in (
        ("ampere", "SR,A", _AMPERES, (_BACK_TO_INITIAL, _OR_LATER)),
        ("volt", "SR,V", _VOLTS, (_BACK_TO_INITIAL,)),
    ):
        initial = _initial(reply, field)
        given = [command for command, _ in spoken if command.startswith(start)]
        if initial is None:
            yield _wrong("the meter did not say which ranges it had", value=",".join(reply) or None)
            return
        if len(given) < max(positions) or not any(given[at - 1] == f"{start},{initial}" for at in positions):
            yield _wrong(
                f"the {name} range was not set back after the measurement",
                value=", ".join(given) or None,
                limit=f"{start},{initial}",
            )


def _initial(reply: list[str], field: int) -> str | None:
    """Return the range to set back to; None when the reply does not tell."""
    if len(reply) <= field:
        return None
    if reply[field] != "0":
        return "Auto"
    try:
        return reply[field + 1] if float(reply[field + 1]) > 0 else "Auto"
    except (IndexError, ValueError):
        return None


def configuration(server: JsonObject, rules: PowerRules) -> Iterator[PowerFinding]:
    """Check the numbers of the meters and the channels of a meter that has several."""
    analyzers = objects(server.get("ptd_config"))
    if not analyzers and server.get("ptd_config") != []:
        yield _wrong("the server recorded no configuration of the meter")
    for analyzer in analyzers:
        number = analyzer.get("device_type")
        if number not in rules.meters.values():
            yield _wrong(
                f"the meter number {number} is not accepted",
                value=str(number),
                limit=", ".join(str(one) for one in sorted(set(rules.meters.values()))),
            )
        elif number == rules.two_channel_meter:
            given = analyzer.get("command")
            words = [str(word) for word in given] if isinstance(given, list) else []
            said = next((after for word, after in itertools.pairwise(words) if word == "-c"), "")
            channel = analyzer.get("channel")
            pair = isinstance(channel, list) and len(channel) == _CHANNELS
            if len(said.split(",")) != _CHANNELS or not pair:
                yield _wrong("the meter needs two channel numbers", value=said or None, limit="two numbers")


def _wrong(message: str, *, value: str | None = None, limit: str | None = None) -> PowerFinding:
    return PowerFinding("meter", "official", _SERVER, message, value, limit)
