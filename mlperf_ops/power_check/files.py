"""Read the files of a power measurement; nothing in them raises."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from itertools import starmap
from pathlib import Path

from mlperf_ops.errors import ResultError
from mlperf_ops.files import JsonObject
from mlperf_ops.loadgen_log import read_detail
from mlperf_ops.power_check.model import Measurement, PowerFinding, Reading, Run
from mlperf_ops.power_log import is_reading, power_factor, power_seconds, reading, usual_readings

RANGING, TESTING = "ranging", "run_1"
FOLDERS = ("power", RANGING, TESTING)
"""What a measurement consists of, side by side."""
FILES = (
    *(f"power/{name}" for name in ("client.json", "client.log", "ptd_logs.txt", "server.json", "server.log")),
    *(f"{run}/{name}" for run in (RANGING, TESTING) for name in ("mlperf_log_detail.txt", "mlperf_log_summary.txt")),
    *(f"{run}/spl.txt" for run in (RANGING, TESTING)),
)
_REQUIRED = ("version", "timezone", "modules", "sources", "messages", "uuid", "session_name", "results", "phases")
_REQUIRED_OF_SERVER = ("ptd_messages", "ptd_config")
_KEYS = frozenset({"power_begin", "power_end"})
_CHUNK_BYTES = 64 << 10
MARK = "SIMULATED"
"""What every stand-in for the meter, its daemon or the measuring software writes into its files."""
_MARK_BYTES = MARK.encode()
_MAY_BE_MARKED = tuple(name for name in FILES if name.startswith("power/"))
_SHOWN = 120
_IN_AN_ATTEMPT = ("", "performance")


def is_measurement(folder: Path) -> bool:
    """Whether a folder holds the files of a power measurement, or some of them."""
    power, *runs = (folder / name for name in FOLDERS)
    return power.is_dir() and any(run.is_dir() for run in runs)


def measurement_of(attempt: Path) -> Path | None:
    """Return the folder of an attempt that holds its power measurement; None when it has none."""
    return next((folder for name in _IN_AN_ATTEMPT if is_measurement(folder := attempt / name)), None)


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
        meter_text=_text(performance / "power/ptd_logs.txt"),
        digests={name: digest for name in FILES if (digest := _sha1(performance / name)) is not None},
        problems=tuple(problems),
        marked=simulated_files(performance),
    )


def simulated_files(performance: Path) -> tuple[tuple[str, str], ...]:
    """Return the files of a measurement that carry the mark of a stand-in, each with the first line that has it."""
    found = []
    for name in _MAY_BE_MARKED:
        raw = _raw(performance / name)
        if _MARK_BYTES in raw:  # nearly never; else nothing has to be decoded
            text = raw.decode(errors="replace")
            at = text.index(MARK)
            line = text[text.rfind("\n", 0, at) + 1 :].partition("\n")[0]
            found.append((name, line.strip()[:_SHOWN]))
    return tuple(found)


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
        begin, end = power_seconds(values.get("power_begin")), power_seconds(values.get("power_end"))
        if begin is None or end is None:
            problem = f"{folder}/mlperf_log_detail.txt has no power_begin and power_end"
    except ResultError:
        problem = f"{folder}/mlperf_log_detail.txt cannot be read"
    return _read(Run(folder, begin, end, (), problem), _text(performance / folder / "spl.txt"))


def _read(run: Run, text: str) -> Run:
    """Add the readings of spl.txt, and the first lines at which an official checker ends.

    They parse the time of every line, but watts and power factor only between begin and end.
    """
    usual = usual_readings(text)
    if usual is not None:
        return dataclasses.replace(run, readings=tuple(starmap(Reading, usual)))
    found: list[Reading] = []
    broken: int | None = None
    without_factor: int | None = None
    for number, line in enumerate(io.StringIO(text), start=1):
        if not is_reading(line):
            continue
        time_s = power_seconds(reading(line)[0])
        one = None if time_s is None else _reading(time_s, line)
        if one is not None:
            found.append(one)
        if broken is None and one is None and (time_s is None or run.spans(time_s)):
            broken = number
        if without_factor is None and one is not None and one.power_factor is None and run.spans(one.time_s):
            without_factor = number
    where = f"{run.folder}/spl.txt"
    return dataclasses.replace(
        run,
        readings=tuple(found),
        problem=run.problem or (None if broken is None else f"{where}:{broken} is no reading of a meter"),
        factor_problem=None if without_factor is None else f"{where}:{without_factor} has no power factor",
    )


def _reading(time_s: float, line: str) -> Reading | None:
    """Return what a line says of a time; None when it has no watts."""
    try:
        watts = float(reading(line)[1])
    except ValueError:
        return None
    try:
        return Reading(time_s, watts, power_factor(line))
    except ValueError:
        return Reading(time_s, watts, None)


def _raw(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


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
