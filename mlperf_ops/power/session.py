"""A director's server for one measurement, asked for by the controller over the way to the director's leases."""

from __future__ import annotations

import functools
import json
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.campaign.ask import run_script
from mlperf_ops.doctor.model import Access, Progress
from mlperf_ops.doctor.ssh_settings import HostProblemError
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.harness import clock
from mlperf_ops.power import director_side
from mlperf_ops.power.inventory import PowerLab, Server

_END = "MLPERF_OPS_POWER_SERVER"
_FUTURE = "from __future__ import annotations\n"
_CONNECT_SECONDS = 15.0
_START_SECONDS, _STOP_SECONDS = 2 * director_side.READY_SECONDS, director_side.STOP_SECONDS + 15


@dataclass(frozen=True, slots=True)
class Session:
    """The server of one measurement.

    Attributes:
        director: inventory_hostname, for sentences.
        access: The way to it.
        server: Which of its servers.
        lab: All analyzers.
        clock_limit_ms: Largest offset of the director's clock.
    """

    director: str
    access: Access
    server: Server
    lab: PowerLab
    clock_limit_ms: float

    def start(self) -> str:
        """Start the server; return why it could not be, "" when it is ready."""
        used = {use.analyzer for use in self.server.uses}
        others: list[Json] = [
            one.instance for one in self.lab.servers(self.director) if used & {use.analyzer for use in one.uses}
        ]
        analyzers = [self.lab.analyzer(use.analyzer) for use in self.server.uses]
        ports: list[Json] = [analyzers[0].listen_port, *(one.network_port for one in analyzers)]
        told: JsonObject = {
            "instance": self.server.instance,
            "ports": ports,
            "others": others,
            "clock_limit_ms": self.clock_limit_ms,
        }
        return self._ask("start", told, _START_SECONDS)

    def stop(self) -> str:
        """Stop the server; return why it could not be, "" when none runs."""
        return self._ask("stop", {"instance": self.server.instance}, _STOP_SECONDS)

    def _ask(self, verb: str, told: Mapping[str, Json], seconds: float) -> str:
        now = time.monotonic()
        progress = Progress(now + seconds, now + _CONNECT_SECONDS)
        try:
            said = run_script(self.access, script(self.access, verb, told), progress)
        except HostProblemError as problem:
            remedy = f" ({problem.remedy})" if problem.remedy else ""
            return f"director {self.director}: {problem.message}{remedy}"
        problem_text = read_answer(said.decode(errors="replace"))
        return f"director {self.director}: {problem_text}" if problem_text else ""


def session_of(lab: PowerLab, host: str, access: Access, clock_limit_ms: float) -> Session:
    """Return the server that measures a host.

    Args:
        lab: The plan's.
        host: A SUT that has an analyzer.
        access: The way to its director.
        clock_limit_ms: Of the director's clock.
    """
    sut = lab.sut(host)
    assert sut is not None  # noqa: S101  # the caller asks only then
    server = next(one for one in lab.servers(sut.director) if one.instance == sut.instance)
    return Session(sut.director, access, server, lab, clock_limit_ms)


def script(access: Access, verb: str, told: Mapping[str, Json]) -> str:
    """Return the shell script that asks a director, as root."""
    python = access.python if access.python.startswith("/") else "python3"
    words = shlex.join([python, "-", verb, json.dumps(told)])
    return f'root=; [ "$(id -u)" = 0 ] || root="sudo -n"\nexec $root {words} 2>&1 <<\'{_END}\'\n{_source()}\n{_END}\n'


def read_answer(said: str) -> str:
    """Return the problem that a director tells; what is no answer is one."""
    lines = [line for line in said.strip().splitlines() if line.strip()]
    try:
        return str(json.loads(lines[-1])["problem"])
    except (IndexError, ValueError, KeyError, TypeError):
        last = lines[-1] if lines else "it said nothing"
        if last.startswith("sudo:"):
            return f"its server needs root, and sudo without a password is refused: {last}"
        return f"its server cannot be started: {last}"


@functools.cache
def _source() -> str:
    own = Path(director_side.__file__).read_text(encoding="utf-8")
    before = Path(clock.__file__).read_text(encoding="utf-8").replace(_FUTURE, "")
    head, _, body = own.partition(_FUTURE)
    return f"{head}{_FUTURE}\n{before}\n{body}"
