"""analyzer_table.md and power_settings.md of a measured result. Pure apart from reading the attempt.

The first is the inventory's word about the meter, beside what the meter said of itself; the second is what the host
itself showed when the cell began, not what was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from mlperf_ops.attempts import Attempt
from mlperf_ops.errors import ResultError
from mlperf_ops.files import Json, read_json
from mlperf_ops.harness.host_state import HOST_STATE
from mlperf_ops.power.inventory import Analyzer, PowerLab, Use

ANALYZER_TABLE, POWER_SETTINGS = "analyzer_table.md", "power_settings.md"
NAMES = (ANALYZER_TABLE, POWER_SETTINGS)
_LINKS = {"": "USB or serial line", "-g": "GPIB", "-n": "Ethernet", "-y": "Ethernet or USB (TMCTL)", "-U": "USB"}
_UNKNOWN = "not given"
_SERVER = "power/server.json"


def pages(lab: PowerLab, attempt: Attempt) -> dict[str, str]:
    """Return the pages of a measured attempt, by name.

    Raises:
        ResultError: The plan knows no analyzer of its host, or a file of the attempt cannot be read.
    """
    sut = lab.sut(attempt.planned.host)
    if sut is None:
        raise ResultError(
            f"{attempt.folder} has a power measurement, and the plan has no analyzer for host {attempt.planned.host}",
            hint="name the analyzer that measured it: mlperf_power_analyzer",
        )
    identity = _identity(read_json(attempt.file(_SERVER)))
    used = [(lab.analyzer(use.analyzer), use) for use in sut.uses]
    state = read_json(attempt.file(HOST_STATE))
    return {
        ANALYZER_TABLE: analyzer_table(used, identity),
        POWER_SETTINGS: power_settings(state.get("before"), attempt.spec.host_profile),
    }


def analyzer_table(used: list[tuple[Analyzer, Use]], identity: str) -> str:
    """Return the page on the meters.

    Args:
        used: Each with the way in which it measured.
        identity: What the meter replied to Identify, "" where nobody knows.
    """
    rows = [
        ("Vendor", [one.vendor for one, _ in used]),
        ("Model", [one.model for one, _ in used]),
        ("Serial number", [one.serial_number for one, _ in used]),
        ("Firmware version", [one.firmware for one, _ in used]),
        ("Calibration date", [one.calibration_date for one, _ in used]),
        ("PTDaemon device type", [str(one.device_type) for one, _ in used]),
        ("Connection interface", [_LINKS.get(one.interface_flag, one.interface_flag) for one, _ in used]),
        ("Input wiring", [one.wiring for one, _ in used]),
        ("Current", ["direct" if one.direct_current else "alternating" for one, _ in used]),
        ("Number of channels used", [str(_channel_count(use)) for _, use in used]),
        ("Channels used", [use.channel or "the only one" for _, use in used]),
        ("Notes", [one.notes or "none" for one, _ in used]),
    ]
    names = " | ".join(one.name for one, _ in used)
    lines = ["# Power analyzer", "", f"| | {names} |", "|---|" + "---|" * len(used)]
    lines += [f"| {name} | {' | '.join(_cell(text) for text in texts)} |" for name, texts in rows]
    if identity:
        lines += ["", "The analyzer said of itself, through PTDaemon:", "", f"    {identity}"]
    return "\n".join(lines) + "\n"


def _channel_count(use: Use) -> int:
    """Return how many channels "", "2", or first and count "1,3" stand for."""
    _, comma, count = use.channel.partition(",")
    return int(count) if comma and count.isdecimal() else 1


def _identity(server: Mapping[str, Json]) -> str:
    spoken = server.get("ptd_messages")
    for one in spoken if isinstance(spoken, list) else ():
        if isinstance(one, dict) and one.get("cmd") == "Identify":
            return "".join(letter for letter in str(one.get("reply", "")) if letter.isprintable())
    return ""


def nameplate(system: str, supplies: Mapping[str, Json]) -> str:
    """Return the nameplate YAML of a system.

    Args:
        system: Its id, which labels them.
        supplies: As PlannedHost.power_supplies.
    """
    given = supplies.get("supplies")
    units = [
        {"Name": one["name"], "PowerCapacityWatts": one["watts"]}
        for one in (given if isinstance(given, list) else [])
        if isinstance(one, dict)
    ]
    return yaml.safe_dump({system: {"PSUs": units, "Min PSUs Needed": supplies.get("needed")}}, sort_keys=False)


def power_settings(before: Any, asked: Mapping[str, Json]) -> str:  # noqa: ANN401  # any JSON value
    """Return the page on the host's settings.

    Args:
        before: `before` of host_state.json: the host when the cell began.
        asked: `host_profile` of the spec: what mlperf-ops tuned the host to.
    """
    state = before if isinstance(before, dict) else {}
    lines = [
        "# Power settings",
        "",
        "As the system under test showed them when the measured run began.",
        "",
        "## Asked for",
        "",
    ]
    if asked:
        lines += ["What the system does not have was left out; what was really set stands in the next table.", ""]
        lines += ["| setting | value |", "|---|---|"]
        lines += [f"| {_cell(name)} | {_cell(_text(value))} |" for name, value in sorted(asked.items())]
    else:
        lines.append("Nothing: the system ran with its own defaults.")
    for title, values in (
        ("Set, and read back", state.get("knobs")),
        ("CPU frequency policies", _policies(state.get("policies"))),
        ("Kernel switches", state.get("switches")),
    ):
        lines += ["", f"## {title}", "", *_table(values)]
    lines += [
        "",
        "Settings of the firmware (BIOS, BMC) cannot be read by software; they are listed where somebody adds them.",
    ]
    return "\n".join(lines) + "\n"


def _policies(policies: Json) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name, values in sorted(policies.items()) if isinstance(policies, dict) else ():
        if isinstance(values, dict):
            kept = {key: value for key, value in values.items() if key != "current_khz"}
            found[name] = ", ".join(f"{key} {value}" for key, value in sorted(kept.items()) if value is not None)
    return found


def _table(values: Json) -> Iterator[str]:
    if not isinstance(values, dict) or not values:
        yield "The system shows none."
        return
    yield "| what | value |"
    yield "|---|---|"
    for name, value in sorted(values.items()):
        yield f"| {_cell(name)} | {_cell(_text(value))} |"


def _text(value: Json) -> str:
    if value is None:
        return "cannot be read"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _cell(text: str) -> str:
    """Return text that cannot leave its cell of a table."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text).replace("|", "\\|").strip()
    return shown or _UNKNOWN
