"""A power measurement as the official client and server leave it, made up around the log of a run."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
from pathlib import Path
from typing import cast

from mlperf_ops.files import Json, JsonObject
from mlperf_ops.model import Scenario
from tests.support.submission_trees import SYSTEM, TreeUnderTest, edit_log, round_v61

SESSION = "2026-01-02_03-04-05"
BEGIN = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)
RANGING_S, TESTING_S, PAUSE_S = 300, 610, 30
TESTING_BEGIN = BEGIN + dt.timedelta(seconds=RANGING_S + PAUSE_S)
_UUIDS = {"client": "da54a2d7-4280-47f2-ad35-0891de35554a", "server": "bfa3300f-f002-45ae-9651-fd8e09a40284"}
_GO = "Starting untimed measurement, maximum 500000 samples at 1000ms with 0 rampup samples"
_IDENTITY = "YokogawaWT310E,1000,1,1,1,1,0,1,1,version=1.11.1-462c978e-20240907,OS=Linux,mode=power,1,1,1,0,0"
_OF_CLIENT = ("power/client.log",)


def stamp(time: dt.datetime) -> str:
    return f"{time:%m-%d-%Y %H:%M:%S}.{time.microsecond // 1000:03d}"


def _readings(begin: dt.datetime, seconds: int, watts: float) -> str:
    return "".join(
        f"Time,{stamp(begin + dt.timedelta(seconds=second + 0.5))},Watts,{watts + second % 2:.6f},Volts,230.000000,"
        f"Amps,1.000000,PF,0.950000,Mark,{SESSION}\n"
        for second in range(-5, seconds + 5)
    )


def _phases(offset_s: float) -> JsonObject:
    def steps(begin: dt.datetime, seconds: int) -> list[Json]:
        start = begin.timestamp() + offset_s
        return [[start - 13.0, 1.0], [start - 2.0, 2.0], [start + seconds + 2.0, 3.0], [start + seconds + 13.0, 4.0]]

    return {"ranging": cast("Json", steps(BEGIN, RANGING_S)), "testing": cast("Json", steps(TESTING_BEGIN, TESTING_S))}


def _meter_log() -> str:
    lines = [
        (BEGIN - dt.timedelta(seconds=40), "Uncertainty checking for YokogawaWT310E is activated"),
        (BEGIN - dt.timedelta(seconds=3), f"Go with mark '{SESSION}_ranging'"),
        (BEGIN + dt.timedelta(seconds=9), "ERROR: Can't evaluate uncertainty of this sample!"),
        (BEGIN + dt.timedelta(seconds=RANGING_S + 3), "Completed test"),
        (TESTING_BEGIN - dt.timedelta(seconds=3), f"Go with mark '{SESSION}_testing'"),
        (TESTING_BEGIN + dt.timedelta(seconds=TESTING_S + 3), "Completed test"),
    ]
    return "Analyzer 1\n" + "".join(f"{stamp(time)}: {text}\n" for time, text in lines)


def measure(tree: TreeUnderTest, scenario: Scenario = "Offline") -> Path:
    """Put a good measurement beside a result; return its performance folder."""
    performance = tree.performance(scenario).parents[1]
    power, ranging, run = performance / "power", performance / "ranging", performance / "run_1"
    shutil.copytree(run, ranging)
    for folder, begin, seconds, watts in ((ranging, BEGIN, RANGING_S, 99.5), (run, TESTING_BEGIN, TESTING_S, 99.0)):
        end = begin + dt.timedelta(seconds=seconds)
        edit_log(folder / "mlperf_log_detail.txt", {"power_begin": stamp(begin), "power_end": stamp(end)})
        (folder / "spl.txt").write_text(_readings(begin, seconds, watts))
    power.mkdir()
    (power / "client.log").write_text("client\n")
    (power / "server.log").write_text("server\n")
    (power / "ptd_logs.txt").write_text(_meter_log())
    sources = dict(round_v61().power.sources[0])
    conversation = [
        {"cmd": "mlcommons/power client v3", "reply": "mlcommons/power server v3"},
        {"cmd": "time", "reply": "1"},
        {"cmd": f"new,,{_UUIDS['client']}", "reply": f"OK {SESSION},{_UUIDS['server']}"},
    ]
    common: JsonObject = {
        "version": 1,
        "timezone": 0,
        "modules": {},
        "sources": cast("Json", sources),
        "messages": cast("Json", conversation),
        "uuid": cast("Json", dict(_UUIDS)),
        "session_name": SESSION,
    }
    spoken = [("Hello", "Hello, PTDaemon here!"), ("Identify", _IDENTITY), ("RR", "Ranges,0,0.5,0,300.0")]
    spoken += [("SR,V,Auto", "Range V changed"), ("SR,A,Auto", "Range A changed"), ("SR,A,Auto", "Range A changed")]
    spoken += [(f"Go,1000,0,{SESSION}_ranging", _GO), ("Stop", "Stopping untimed measurement")]
    spoken += [("SR,V,245.0", "Range V changed"), ("SR,A,0.33", "Range A changed")]
    spoken += [(f"Go,1000,0,{SESSION}_testing", _GO), ("Stop", "Stopping untimed measurement")]
    spoken += [("SR,V,300.0", "Range V changed"), ("SR,A,0.5", "Range A changed")]
    (power / "client.json").write_text(
        json.dumps(common | {"phases": _phases(0.0), "results": {}, "ptd_config": [None]})
    )
    analyzer: JsonObject = {"command": ["ptd-linux-x86", "-c", "1"], "device_type": 49, "channel": None}
    (power / "server.json").write_text(
        json.dumps(
            common
            | {
                "phases": _phases(0.3),
                "results": {},
                "ptd_messages": [{"cmd": command, "reply": reply} for command, reply in spoken],
                "ptd_config": [analyzer],
            }
        )
    )
    for name in ("analyzer_table.md", "power_settings.md"):
        (tree.result(scenario) / name).write_text("How power was measured.\n")
    (tree.submitter / "systems" / f"{SYSTEM}_power.yaml").write_text(
        "node:\n  Min PSUs Needed: 1\n  PSUs:\n    - {Name: PSU1, PowerCapacityWatts: 750}\n"
    )
    seal(performance)
    return performance


def seal(performance: Path) -> None:
    """Record the digests of the files as they are now, the client its own and the server the rest."""
    digests = {
        path.relative_to(performance).as_posix(): hashlib.sha1(path.read_bytes()).hexdigest()  # noqa: S324
        for path in sorted(performance.rglob("*"))
        if path.is_file() and path.name not in ("client.json", "server.json")
    }
    ours = {name: digest for name, digest in digests.items() if name in _OF_CLIENT or "/mlperf_log_" in name}
    theirs = {name: digest for name, digest in digests.items() if name not in ours}
    for name, results in (("client.json", ours), ("server.json", theirs)):
        edit_session(performance, name, {"results": cast("Json", results)})


def edit_session(performance: Path, name: str, values: JsonObject) -> None:
    """Set values of client.json or server.json; None removes a key."""
    path = performance / "power" / name
    content = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
