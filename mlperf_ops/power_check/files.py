"""Read the files of a power measurement; nothing in them raises."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import json
import re
from pathlib import Path

from mlperf_ops.errors import ResultError
from mlperf_ops.files import JsonObject
from mlperf_ops.loadgen_log import read_detail
from mlperf_ops.power_check.model import Measurement, PowerFinding, Reading, Run

RANGING, TESTING = "ranging", "run_1"
FILES = (
    *(f"power/{name}" for name in ("client.json", "client.log", "ptd_logs.txt", "server.json", "server.log")),
    *(f"{run}/{name}" for run in (RANGING, TESTING) for name in ("mlperf_log_detail.txt", "mlperf_log_summary.txt")),
    *(f"{run}/spl.txt" for run in (RANGING, TESTING)),
)
_REQUIRED = ("version", "timezone", "modules", "sources", "messages", "uuid", "session_name", "results", "phases")
_REQUIRED_OF_SERVER = ("ptd_messages", "ptd_config")
_FIXED = re.compile(r"[0-9]{2}-[0-9]{2}-[0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}")
_USUAL = re.compile(
    r"^Time,([0-9]{2}-[0-9]{2}-[0-9]{4} [0-9]{2}:[0-9]{2}:)([0-5][0-9]\.[0-9]{3}),"
    r"[^,\n]*,([^,\n]*)(?:,[^,\n]*){5},([^,\n]*)",
    re.MULTILINE,
)
_FORMAT = "%m-%d-%Y %H:%M:%S.%f"
_TIME, _WATTS, _POWER_FACTOR = 1, 3, 9  # fields of a line of spl.txt
_KEYS = frozenset({"power_begin", "power_end"})
_CHUNK_BYTES = 1 << 20


def read_measurement(performance: Path) -> Measurement:
    """Read performance/{power,ranging,run_1} of a result."""
    problems: list[PowerFinding] = []
    client = _session(performance, "power/client.json", problems)
    server = _session(performance, "power/server.json", problems)
    return Measurement(
        client=client,
        server=server,
        ranging=_run(performance, RANGING),
        testing=_run(performance, TESTING),
        meter_lines=tuple(_text(performance / "power/ptd_logs.txt").split("\n")),
        digests={name: digest for name in FILES if (digest := _sha1(performance / name)) is not None},
        problems=tuple(problems),
    )


def seconds(text: object) -> float | None:
    """Return a time as the logs write it, "MM-DD-YYYY hh:mm:ss.fff" in UTC, in seconds; None when it is none."""
    if not isinstance(text, str):
        return None
    if _FIXED.fullmatch(text):  # as LoadGen and the meter write it; strptime takes twenty times as long
        minute = _minute(text[:17])
        return None if minute is None or text[17] > "5" else minute + float(text[17:])
    try:
        return dt.datetime.strptime(text, _FORMAT).replace(tzinfo=dt.timezone.utc).timestamp()
    except (ValueError, OverflowError):
        return None


@functools.lru_cache(maxsize=256)
def _minute(text: str) -> float | None:
    """Return the beginning of a minute, "MM-DD-YYYY hh:mm:", in seconds."""
    try:
        day = dt.datetime(int(text[6:10]), int(text[:2]), int(text[3:5]), tzinfo=dt.timezone.utc).timestamp()
    except (ValueError, OverflowError):
        return None
    return day + int(text[11:13]) * 3600 + int(text[14:16]) * 60 if text[11:13] < "24" and text[14] < "6" else None


def _session(performance: Path, name: str, problems: list[PowerFinding]) -> JsonObject | None:
    try:
        value = json.loads((performance / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None  # the list of files says so
    except (OSError, ValueError, RecursionError) as error:
        problems.append(PowerFinding("session", "official", name, f"{name} cannot be read: {type(error).__name__}"))
        return None
    if not isinstance(value, dict):
        problems.append(PowerFinding("session", "official", name, f"{name} holds no object"))
        return None
    required = (*_REQUIRED, *(_REQUIRED_OF_SERVER if "server" in name else ()))
    lacking = [key for key in required if key not in value]
    if lacking:
        shown = ", ".join(lacking)
        problems.append(PowerFinding("session", "official", name, f"{name} lacks {shown}", limit=shown))
    return value


def _run(performance: Path, folder: str) -> Run:
    problem: str | None = None
    begin = end = None
    try:
        values = read_detail(performance / folder / "mlperf_log_detail.txt", _KEYS).values
        begin, end = seconds(values.get("power_begin")), seconds(values.get("power_end"))
        if begin is None or end is None:
            problem = f"{folder}/mlperf_log_detail.txt has no power_begin and power_end"
    except ResultError:
        problem = f"{folder}/mlperf_log_detail.txt cannot be read"
    text = _text(performance / folder / "spl.txt")
    readings = _usual_readings(text)
    if readings is None:
        readings = []
        for number, line in enumerate(text.split("\n"), start=1):
            if line.startswith("Time"):
                reading = _reading(line)
                if reading is None:
                    problem = problem or f"{folder}/spl.txt:{number} is no reading of a meter"
                else:
                    readings.append(reading)
    return Run(folder, begin, end, tuple(readings), problem)


def _usual_readings(text: str) -> list[Reading] | None:
    """Return the readings of a file whose lines all have the usual form, found at once; None when one has not."""
    found = _USUAL.findall(text)
    if len(found) != text.count("\nTime") + text.startswith("Time"):
        return None
    try:
        # A minute that is none is None, which cannot be added.
        return [Reading(_minute(at) + float(s), float(watts), float(pf)) for at, s, watts, pf in found]  # type: ignore[operator]
    except (TypeError, ValueError):
        return None


def _reading(line: str) -> Reading | None:
    fields = line.split(",")
    time_s = seconds(fields[_TIME]) if len(fields) > _WATTS else None
    if time_s is None:
        return None
    try:
        factor = float(fields[_POWER_FACTOR]) if len(fields) > _POWER_FACTOR else None
        return Reading(time_s, float(fields[_WATTS]), factor)
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _sha1(path: Path) -> str | None:
    digest = hashlib.sha1(usedforsecurity=False)  # the measuring software records sha1
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError:
        return None
    return digest.hexdigest()
