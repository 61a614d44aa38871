"""Planted faults of a power measurement, each with the finding that it must give."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

from mlperf_ops.checker.model import Severity
from mlperf_ops.files import Json, JsonObject
from tests.support.power_trees import (
    BEGIN,
    RANGING_S,
    SESSION,
    TESTING_BEGIN,
    TESTING_S,
    edit_session,
    seal,
    stamp,
)
from tests.support.submission_trees import SYSTEM, Fault, TreeUnderTest, edit_log

_IN_RUN = TESTING_BEGIN + dt.timedelta(seconds=100)


def performance(tree: TreeUnderTest) -> Path:
    return tree.performance("Offline").parents[1]


def _fault(name: str, rule: str, severity: Severity, change: Callable[[Path], object], *, sealed: bool = True) -> Fault:
    """A change of the measurement, and digests that fit it."""

    def plant(tree: TreeUnderTest) -> None:
        change(performance(tree))
        if sealed:
            seal(performance(tree))

    return Fault(name, rule, severity, plant)


def _server(values: JsonObject) -> Callable[[Path], None]:
    return lambda folder: edit_session(folder, "server.json", values)


def _client(values: JsonObject) -> Callable[[Path], None]:
    return lambda folder: edit_session(folder, "client.json", values)


def _said(command: str, reply: str) -> Callable[[Path], None]:
    """Let the meter give another reply to a command."""

    def change(folder: Path) -> None:
        messages = _read(folder, "server.json")["ptd_messages"]
        for message in cast("list[JsonObject]", messages):
            if str(message["cmd"]).startswith(command):
                message["reply"] = reply
        edit_session(folder, "server.json", {"ptd_messages": messages})

    return change


def _all_said(command: str, reply: str) -> Callable[[Path], None]:
    """Add a command and its reply at the end of the conversation with the meter."""

    def change(folder: Path) -> None:
        messages = cast("list[JsonObject]", _read(folder, "server.json")["ptd_messages"])
        edit_session(folder, "server.json", {"ptd_messages": [*messages, {"cmd": command, "reply": reply}]})

    return change


def _director_off(seconds: float) -> Callable[[Path], None]:
    """Shift every stamp of the server, as a director does whose clock is wrong."""

    def change(folder: Path) -> None:
        phases = cast("dict[str, list[list[float]]]", _read(folder, "client.json")["phases"])
        moved = {run: [[step[0] + seconds, *step[1:]] for step in steps] for run, steps in phases.items()}
        edit_session(folder, "server.json", {"phases": cast("Json", moved)})

    return change


def _unplugged(folder: Path) -> None:
    """Let the meter fall silent in the run that counts, with an error a second, until its end."""
    _readings("run_1", lambda lines: lines[:300])(folder)
    lost = (TESTING_BEGIN + dt.timedelta(seconds=second) for second in range(296, TESTING_S))
    _meter_says(*((time, "ERROR: Bad watts reading nan from the meter") for time in lost))(folder)
    _all_said("Watts", f"Watts,99.5,99,100,{TESTING_S},314,296")(folder)


def _marked(folder: Path) -> None:
    """Let a stand-in leave its mark wherever it can."""
    identity = "YokogawaWT310E,version=1.11.1-SIMULATED-20260101,OS=Linux"
    _said("Identify", identity)(folder)
    _meter_says((_IN_RUN, "SIMULATED meter"))(folder)
    for name in ("client.log", "server.log"):
        (folder / "power" / name).write_text("SIMULATED\n")


def _without_command(command: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        messages = cast("list[JsonObject]", _read(folder, "server.json")["ptd_messages"])
        kept: Json = [message for message in messages if message["cmd"] != command]
        edit_session(folder, "server.json", {"ptd_messages": kept})

    return change


def _read(folder: Path, name: str) -> JsonObject:
    return cast("JsonObject", json.loads((folder / "power" / name).read_text()))


def _phase(run: str, step: int, offset_s: float) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        phases = cast("dict[str, list[list[float]]]", _read(folder, "server.json")["phases"])
        client = cast("dict[str, list[list[float]]]", _read(folder, "client.json")["phases"])
        phases[run][step][0] = client[run][step][0] + offset_s
        edit_session(folder, "server.json", {"phases": cast("Json", phases)})

    return change


def _meter_says(*lines: tuple[dt.datetime, str]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with (folder / "power/ptd_logs.txt").open("a") as stream:
            stream.writelines(f"{stamp(time)}: {text}\n" for time, text in lines)

    return change


def _meter_log(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "power/ptd_logs.txt"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


def _readings(run: str, edit: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / run / "spl.txt"
        path.write_text("".join(edit(path.read_text().splitlines(keepends=True))))

    return change


def _watts(old: str, new: str) -> Callable[[list[str]], list[str]]:
    return lambda lines: [line.replace(f"Watts,{old}", f"Watts,{new}") for line in lines]


def _log(run: str, key: str, value: Json) -> Callable[[Path], None]:
    return lambda folder: edit_log(folder / run / "mlperf_log_detail.txt", {key: value})


def _write(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def _uncertain(count: int) -> Callable[[Path], None]:
    text = "WARNING: Uncertainty 1.42%, which is above 1.00% limit for the last sample!"
    return _meter_says(*((_IN_RUN + dt.timedelta(seconds=second), text) for second in range(count)))


def _low_power(watts: float) -> Callable[[Path], None]:
    """Let the run that counts draw so many watts on average; ranging draws 100."""
    return _readings("run_1", lambda lines: [_with_watts(line, watts) for line in lines])


def _with_watts(line: str, watts: float) -> str:
    fields = line.split(",")
    fields[3] = f"{watts:.6f}"
    return ",".join(fields)


def _one_bad_uuid(folder: Path) -> None:
    uuids = cast("JsonObject", _read(folder, "client.json")["uuid"])
    edit_session(folder, "client.json", {"uuid": uuids | {"client": "1"}})


def _write_line(text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with (folder / "power/ptd_logs.txt").open("a") as stream:
            stream.write(text)

    return change


def _broken_line(lines: list[str]) -> list[str]:
    return [line.replace("Watts,99.", "Watts,x") if number == 99 else line for number, line in enumerate(lines)]


def _without_factor(lines: list[str]) -> list[str]:
    return [line.replace(",PF,0.950000", "") for line in lines]


def _bad_factor(*numbers: int) -> Callable[[list[str]], list[str]]:
    """Let lines state no number for the power factor; the first five are of before the run."""
    return lambda lines: [
        line.replace(",PF,0.95", ",PF,x") if number in numbers else line for number, line in enumerate(lines)
    ]


def _bad_time(lines: list[str]) -> list[str]:
    return [*lines, "Time,07-25-2025 12:0\n"]


def _cut(lines: list[str]) -> list[str]:
    """Cut the last line, of after the run, behind its time."""
    return [*lines[:-1], lines[-1].partition("ts,")[0]]


def _cut_at_the_time(lines: list[str]) -> list[str]:
    """Cut a line of after the run right behind its time, which has the line's end in it then."""
    return [*lines[:-2], lines[-2].partition(",Watts")[0] + "\n", lines[-1]]


def _much_shorter(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    """Let ranging take 1300 s, with the readings that it has, and change more."""

    def change(folder: Path) -> None:
        begin = BEGIN - dt.timedelta(seconds=1000)
        for name in ("client.json", "server.json"):
            phases = cast("dict[str, list[list[float]]]", _read(folder, name)["phases"])
            for step in phases["ranging"][:2]:
                step[0] -= 1000
            edit_session(folder, name, {"phases": cast("Json", phases)})
        for one in (_log("ranging", "power_begin", stamp(begin)), *changes):
            one(folder)

    return change


def _an_hour_late(folder: Path) -> None:
    """LoadGen's clock is an hour ahead of the sessions' stamps; the meter follows LoadGen's."""
    for name in ("client.json", "server.json"):
        phases = cast("dict[str, list[list[float]]]", _read(folder, name)["phases"])
        moved = {run: [[step[0] - 3600, *step[1:]] for step in steps] for run, steps in phases.items()}
        edit_session(folder, name, {"phases": cast("Json", moved)})


_HELLO: JsonObject = {"cmd": "mlcommons/power client v3", "reply": "mlcommons/power server v2"}
_TWO_CHANNELS: JsonObject = {"command": ["ptd-linux-x86", "-c", "1"], "device_type": 77, "channel": None}
_DUMMY: JsonObject = {"command": ["ptd-linux-x86"], "device_type": 0, "channel": None}
_NAMEPLATE = f"{SYSTEM}_power.yaml"


def _nameplate(text: str) -> Callable[[TreeUnderTest], object]:
    return lambda tree: (tree.submitter / "systems" / _NAMEPLATE).write_text(text)


POWER_FAULTS: tuple[Fault, ...] = (
    _fault("client.json is no JSON", "power-session", "official", _write("power/client.json", "{"), sealed=False),
    _fault("server.json is a list", "power-session", "official", _write("power/server.json", "[]"), sealed=False),
    _fault("no modules", "power-session", "official", _client({"modules": None})),
    _fault("no time zone", "power-session", "official", _server({"timezone": None})),
    _fault("changed software", "power-sources", "official", _client({"sources": {"client.py": "0" * 40}})),
    _fault("other daemon", "power-meter", "official", _said("Identify", "YokogawaWT310E,version=1.10.0-x,OS=Linux")),
    _fault("other meter", "power-meter", "official", _said("Identify", "Toy,version=1.11.1-x,OS=Linux")),
    _fault("range not set", "power-meter", "official", _said("SR,V,245.0", "Error: range")),
    _fault("measurement not started", "power-meter", "official", _said("Go,1000,0,", "Error: busy")),
    _fault("range not set back", "power-meter", "official", _without_command("SR,V,300.0")),
    _fault("no ranges at the start", "power-meter", "official", _said("RR", "Error")),
    _fault("dummy meter", "power-meter", "official", _server({"ptd_config": [_DUMMY]})),
    _fault("one channel of two", "power-meter", "official", _server({"ptd_config": [_TWO_CHANNELS]})),
    _fault("other session", "power-identity", "official", _client({"session_name": "2026-01-03_03-04-05"})),
    _fault("uuid that is none", "power-identity", "official", _one_bad_uuid),
    _fault("clocks just too far apart", "power-clock", "official", _phase("testing", 1, 0.81)),
    _fault(
        "run before its phase",
        "power-clock",
        "official",
        _log("ranging", "power_begin", stamp(BEGIN - dt.timedelta(seconds=9))),
    ),
    _fault(
        "run after its phase",
        "power-clock",
        "official",
        _log("ranging", "power_end", stamp(BEGIN + dt.timedelta(seconds=RANGING_S + 9))),
    ),
    _fault("less power than ranging", "power-level", "official", _low_power(94.99)),
    _fault("other number of messages", "power-messages", "official", _client({"messages": [_HELLO]})),
    _fault("log changed afterwards", "power-digests", "official", _write("power/server.log", "x\n"), sealed=False),
    _fault("debug mode", "power-debug", "official", _server({"debug": True})),
    _fault(
        "error in the run",
        "power-meter-errors",
        "official",
        _meter_says((_IN_RUN, "ERROR: Bad watts reading nan from x")),
    ),
    _fault(
        "error after one that is tolerated",
        "power-meter-errors",
        "rules",
        _meter_says((_IN_RUN, "ERROR: USB."), (_IN_RUN, "ERROR: Bad watts reading nan from x")),
    ),
    _fault("error without a time", "power-meter-errors", "official", _write_line("ERROR: broken\n")),
    _fault("ranging does not end", "power-meter-errors", "official", _meter_log("Completed test", "Completed")),
    _fault("other mark", "power-meter-errors", "official", _meter_log(f"'{SESSION}_ranging'", "'x_ranging'")),
    _fault("no uncertainty check", "power-uncertainty", "official", _meter_log("is activated", "is off")),
    _fault(
        "late uncertainty check",
        "power-uncertainty",
        "official",
        _meter_log(stamp(BEGIN - dt.timedelta(seconds=40)), stamp(BEGIN + dt.timedelta(seconds=40))),
    ),
    _fault("many uncertain readings", "power-uncertainty", "rules", _uncertain(31)),
    _fault("some uncertain readings", "power-uncertainty", "advice", _uncertain(30)),
    _fault("few readings", "power-readings", "rules", _readings("run_1", lambda lines: lines[40:])),
    _fault(
        "a gap in the readings", "power-readings", "advice", _readings("run_1", lambda lines: lines[:99] + lines[102:])
    ),
    _fault("clock of the director off by 0.9 s", "power-clock", "official", _director_off(0.9)),
    _fault("analyzer unplugged in the run", "power-readings", "official", _unplugged),
    _fault(
        "other version of the daemon", "power-meter", "official", _said("Identify", "YokogawaWT310E,version=1.9.2-x")
    ),
    _fault(
        "reading edited afterwards",
        "power-digests",
        "official",
        _readings("run_1", lambda lines: [*lines[:99], lines[99].replace("Watts,9", "Watts,8"), *lines[100:]]),
        sealed=False,
    ),
    _fault(
        "ranging shorter than half",
        "power-duration",
        "rules",
        _log("ranging", "power_begin", stamp(BEGIN + dt.timedelta(seconds=160))),
    ),
    _fault("many invalid readings", "power-readings", "rules", _all_said("Watts", "Watts,1,1,1,610,40,570")),
    _fault("an invalid reading", "power-readings", "advice", _all_said("Watts", "Watts,1,1,1,610,1,609")),
    _fault("mark in every file of the sessions", "simulated", "rules", _marked),
    _fault("reading that is no number", "power-readings", "official", _readings("run_1", _broken_line)),
    _fault("no power factor in the run", "power-readings", "official", _readings("run_1", _without_factor)),
    _fault("no power factor in ranging", "power-readings", "official", _readings("ranging", _without_factor)),
    _fault("power factor that is no number", "power-readings", "official", _readings("run_1", _bad_factor(99))),
    _fault("time of ranging that is none", "power-readings", "official", _readings("ranging", _bad_time)),
    _fault("time after the run that is none", "power-readings", "official", _readings("run_1", _bad_time)),
    _fault("line cut at its time", "power-readings", "official", _readings("run_1", _cut_at_the_time)),
    _fault(
        "short ranging",
        "power-duration",
        "advice",
        _log("ranging", "power_begin", stamp(BEGIN + dt.timedelta(seconds=6))),
    ),
    _fault("stand-in for the meter", "simulated", "rules", _meter_says((_IN_RUN, "SIMULATED meter"))),
)

POWER_FILES: tuple[Fault, ...] = (
    Fault("no meter log", "missing-file", "official", lambda tree: (performance(tree) / "power/ptd_logs.txt").unlink()),
    Fault("file beside the meter's", "stray-file", "official", lambda tree: _touch(tree, "run_1/ptd_out.txt")),
    Fault("file in ranging", "stray-file", "official", lambda tree: _touch(tree, "ranging/ptd_out.txt")),
    Fault("file beside the sessions", "stray-file", "official", lambda tree: _touch(tree, "power/notes.txt")),
    Fault("no table of the meter", "missing-file", "rules", lambda tree: _remove(tree, "analyzer_table.md")),
    Fault("no power settings", "missing-file", "rules", lambda tree: _remove(tree, "power_settings.md")),
    Fault("nameplate that is no YAML", "nameplate-power", "official", _nameplate("a: [")),
    Fault("empty nameplate", "nameplate-power", "official", _nameplate("")),
    Fault(
        "nameplate without number",
        "nameplate-power",
        "official",
        _nameplate("a: {PSUs: [{Name: x}], Min PSUs Needed: x}\n"),
    ),
    Fault(
        "no nameplate",
        "nameplate-power",
        "advice",
        lambda tree: (tree.submitter / "systems" / _NAMEPLATE).unlink(),
    ),
)
POWER_HARMLESS: tuple[Fault, ...] = (
    _fault("clocks just near enough", "", "advice", _phase("testing", 1, 0.79)),
    _fault("power just high enough", "", "advice", _low_power(95.01)),
    _fault("tolerated error", "", "advice", _meter_says((_IN_RUN, "ERROR: USB."))),
    _fault(
        "uncertain before the run",
        "",
        "advice",
        _meter_says((BEGIN, "WARNING: Uncertainty 1.42%, which is above 1.00% limit for the last sample!")),
    ),
    _fault("clock set for daylight saving", "", "advice", _an_hour_late),
    _fault("last reading cut, after the run", "", "advice", _readings("run_1", _cut)),
    _fault("last reading cut, after ranging", "", "advice", _readings("ranging", _cut)),
    _fault("no power factor before the run", "", "advice", _readings("run_1", _bad_factor(0, 4))),
    _fault("trace log of the run", "", "advice", _write("run_1/mlperf_log_trace.json", "[]")),
)


POWER_OF_A_SHORT_RUN: tuple[Fault, ...] = (
    _fault("less power than a much longer ranging", "power-level", "rules", _much_shorter(_low_power(60.0))),
    _fault(
        "time of a much longer ranging that is none",
        "power-readings",
        "rules",
        _much_shorter(_readings("ranging", _bad_time)),
    ),
    _fault(
        "time of a much shorter run that is none",
        "power-readings",
        "official",
        _much_shorter(_readings("run_1", _bad_time)),
    ),
    _fault(
        "no power factor in a much shorter run",
        "power-readings",
        "rules",
        _much_shorter(_readings("run_1", _without_factor)),
    ),
)
"""Faults of a run that took less than half of ranging's time, which is a finding itself."""


def _touch(tree: TreeUnderTest, name: str) -> None:
    (performance(tree) / name).write_text("x\n")


def _remove(tree: TreeUnderTest, name: str) -> None:
    (tree.result("Offline") / name).unlink()
