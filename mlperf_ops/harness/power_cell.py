"""The supervisor's part of a measured cell: power-dev's client instead of the workload, and what it leaves.

The client runs `mlperf_ops.harness.power_phase` twice and fills power/, ranging/ and run_1/ of the attempt. Standard
library only.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.errors import ResultError
from mlperf_ops.files import Json, JsonObject, read_json
from mlperf_ops.harness import failures
from mlperf_ops.harness.attempt_files import CONSOLE, PHASE, SPEC, USER_CONF
from mlperf_ops.harness.clock import clock_problem
from mlperf_ops.harness.failures import CellError
from mlperf_ops.model import Spec
from mlperf_ops.typed import load

FOLDERS = ("power", "ranging", "run_1")
RANGING, TESTING = "ranging", "testing"
WORK = "loadgen"  # the phases' own folders; the client looks for logs below it
RANGING_CONF = "ranging_user.conf"
_CONNECTING = "connecting"
_PTD_OUT = "ptd_out.txt"  # the client fetches it into run_1/, where the submission checker accepts no such file
_STATE = "power.json"
_PROVISION = "run the provisioning again: playbooks/power.yml"
_OF_SIGNALS = 128  # a shell adds the signal's number to it
_INTERPRETER = "PYTHON"  # variables that would make the client's Python another one
_WORKLOAD_ENDED = re.compile(r"returned non-zero exit status (\d+)|died with <Signals\.(SIG\w+)")
_LOG_LINE = re.compile(r".*?\[(?:ERROR|CRITICAL|FATAL)\]\s*(.*)|.*?(?:ERROR|CRITICAL|FATAL)[\s:]+(.*)")
_LOG_HEAD = re.compile(r"^.*?\[[A-Z]+\] ")
# What the client says -> kind of failure and what to do. The first that it says is the cause.
_WORDS = (
    ("Could not connect to the server", "power_server", "is the director up, and its port open for this host?"),
    ("The server is disconnected", "power_server", "the director or its server ended; journalctl -u 'mlperf-power@*'"),
    ("Could not synchronize", "power_clock", "let role time_sync keep the clocks of SUT and director"),
    ("unexpecting response", "power_server", "the director's server says why: journalctl -u 'mlperf-power@*'"),
    ("Could not start new session", "power_server", "the director's server says why: journalctl -u 'mlperf-power@*'"),
    ("directory containing loadgen logs", "no_log", "LoadGen did not run within the phase"),
)


@dataclass(frozen=True, slots=True)
class _Server:
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Client:
    """state/power.json, as far as a cell needs it."""

    python: str
    software: str  # folder that holds ptd_client_server
    commit: str
    ntp_server: str
    clock_limit_ms: float
    address: str  # of the director's server
    port: int
    instance: str  # that this host was prepared for


def client_of(home: Path | None) -> Client:
    """Read how this host is measured.

    Raises:
        CellError: Nobody has prepared it, or the file is of another version.
    """
    path = None if home is None else home / "state" / _STATE
    if path is None or not path.is_file():
        raise CellError("power_not_prepared", "this host has no client to measure power with", _PROVISION)
    try:
        told = read_json(path)
        python, software, measured = (_part(told, name) for name in ("python", "software", "measured"))
        where = load(_Server, told["server"], f"{path}: server")
        return Client(
            python=str(python["path"]),
            software=str(software["path"]),
            commit=str(software["commit"]),
            ntp_server=str(told["ntp_server"]),
            clock_limit_ms=float(str(told["clock_limit_ms"])),
            address=where.address,
            port=where.port,
            instance=str(measured["instance"]),
        )
    except (KeyError, ValueError, ResultError) as error:
        raise CellError("power_not_prepared", f"{path} is of another version: {error}", _PROVISION) from error


def _part(told: JsonObject, name: str) -> dict[str, Json]:
    part = told[name]
    if not isinstance(part, dict):
        raise ResultError(f"'{name}' is no object")
    return part


@dataclass(frozen=True, slots=True)
class Measured:
    """A cell that is about to be measured: the command in the place of the workload's, and its environment."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    told: JsonObject  # for result.json


def prepare(spec: Spec, attempt: Path, home: Path | None, python: str) -> Measured:
    """Write ranging's user.conf and return the client's command.

    Args:
        spec: Of a measured cell.
        attempt: Its folder.
        home: mlperf_home.
        python: Of the harness.

    Raises:
        CellError: The host is not prepared for this measurement, or its clock is wrong.
    """
    assert spec.power is not None  # noqa: S101  # the caller asks only then
    client = client_of(home)
    if client.instance != spec.power.instance:
        raise CellError(
            "power_not_prepared",
            f"this host was prepared to be measured by {client.instance}, the plan says {spec.power.instance}",
            _PROVISION,
        )
    check_clock(client)
    (attempt / RANGING_CONF).write_text(spec.power.ranging_conf)
    (attempt / WORK).mkdir()
    (attempt / PHASE).write_text(_CONNECTING)
    whole = {**os.environ, **spec.env, "TZ": "UTC"}
    kept = {name: value for name, value in whole.items() if not name.startswith(_INTERPRETER)}
    told: JsonObject = {"instance": client.instance, "commit": client.commit}  # no addresses: results are published
    return Measured(_argv(client, attempt, home, python, whole), kept, told)


def _argv(client: Client, attempt: Path, home: Path | None, python: str, whole: Mapping[str, str]) -> tuple[str, ...]:
    again = [f"{name}={value}" for name, value in sorted(whole.items()) if name.startswith(_INTERPRETER)]
    phase = [python, "-m", "mlperf_ops.harness.power_phase", "--attempt", str(attempt), "--home", str(home)]
    program = Path(client.software, "ptd_client_server", "client.py")
    return (
        client.python, "-B", "-u", str(program), "-a", client.address, "-p", str(client.port), "-n", client.ntp_server,
        "-L", str(attempt / WORK), "-o", str(attempt), "-T", "-S", "-w", f"exec env {shlex.join([*again, *phase])}",
    )  # fmt: skip


def check_clock(client: Client) -> None:
    """Compare the clock with the time server that the client asks.

    Raises:
        CellError: It is further off than we allow, or nobody answers.
    """
    if problem := clock_problem(client.ntp_server, client.clock_limit_ms):
        raise CellError(
            "power_clock",
            f"{problem}; a power measurement needs SUT, director and time server together",
            "let role time_sync keep the clock (time_sync_manage, time_sync_servers)",
        )


def end(attempt: Path, returncode: int) -> int:
    """Put testing's files where those of any cell are; return how the workload ended, 0 where all went well.

    Raises:
        CellError: The measurement ended, and not by the workload; says why.
    """
    work = attempt / WORK
    _take(work / TESTING, attempt)
    ptd_out = attempt / "run_1" / _PTD_OUT
    if ptd_out.is_file():
        ptd_out.rename(attempt / _PTD_OUT)
    if returncode == 0 and all((attempt / name).is_dir() for name in FOLDERS):
        shutil.rmtree(work)
        return 0
    for folder in (attempt, work / RANGING):
        if told := failures.read(folder, ()):
            raise CellError(told.kind, told.message, told.hint)
    said = (attempt / CONSOLE).read_text(errors="replace")
    if ended := _WORKLOAD_ENDED.search(said):
        status = int(ended[1]) if ended[1] else -signal.Signals[ended[2]]
        return _OF_SIGNALS - status if status > _OF_SIGNALS else status
    if returncode < 0:
        return returncode
    raise _explained(said, returncode)


def _take(testing: Path, attempt: Path) -> None:
    for path in sorted(testing.iterdir()) if testing.is_dir() else ():
        if path.is_file() and path.name not in {SPEC, USER_CONF, PHASE}:
            path.replace(attempt / path.name)


def _explained(said: str, returncode: int) -> CellError:
    lines = [found[1] or found[2] for line in said.splitlines() if (found := _LOG_LINE.match(line))]
    for line in said.splitlines():
        for words, kind, hint in _WORDS:
            if words in line:
                return CellError(kind, f"power-dev's client ended: {_bare(line)}", hint)
    last = lines[-1] if lines else f"exit code {returncode}"
    return CellError("power_client", f"power-dev's client ended without a measurement: {last}", "see console.log")


def _bare(line: str) -> str:
    """Return a line of the client's log without name, time and level."""
    return _LOG_HEAD.sub("", line).strip()
