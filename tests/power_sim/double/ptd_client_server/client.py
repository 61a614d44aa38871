"""A double of the official power client, with its command line and protocol; see README.md. SIMULATED."""

from __future__ import annotations

import argparse
import re
import shutil
import socket
import subprocess
import sys
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import NoReturn

from power_double import CLOCK_LIMIT_S, FILES, HELLO, WELCOME, Lines, Log, Record, clock  # type: ignore[import-not-found]  # beside this file

_LOGS = ("mlperf_log_detail.txt", "mlperf_log_summary.txt")
_STAMP = re.compile(r"\d+-\d+-\d+ \d+:\d+:\d+\.\d+")
_FOLDERS = {"ranging": "ranging", "testing": "run_1"}
log = Log("client")


def fail(text: str) -> NoReturn:
    """End with one sentence."""
    log(text)
    sys.exit(1)


class Conversation:
    """Commands to the server, each recorded with its reply."""

    def __init__(self, lines: Lines, record: Record) -> None:
        """Take over a connection."""
        self.lines, self._record = lines, record

    def __call__(self, command: str, *, ok: bool = False) -> str:
        """Send a command and return the reply; with `ok` nothing but "OK" is accepted."""
        at = clock()
        log(f"Sending command to the server: {command!r}")
        self.lines.send(command)
        reply: str | None = self.lines.receive()
        if reply is None:
            fail("The server is disconnected")
        self._record.message(command, at, reply)
        if ok and reply != "OK":
            fail(f"the server replied {reply!r} to {command!r}")
        return reply

    def check_clock(self) -> None:
        """End when the clocks of both sides differ too much; the double cannot set one."""
        before = clock()
        theirs = float(self("time"))
        apart_s = max(abs(before - theirs), abs(clock() - theirs))
        if apart_s > CLOCK_LIMIT_S:
            fail(f"Could not synchronize: client and server are {apart_s * 1000:.0f} ms apart")


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-a", "--addr", required=True)
    parser.add_argument("-w", "--run-workload", required=True)
    parser.add_argument("-L", "--loadgen-logs", required=True, type=Path)
    parser.add_argument("-o", "--output", required=True, type=Path)
    parser.add_argument("-n", "--ntp", required=True)
    parser.add_argument("-p", "--port", type=int, default=4950)
    parser.add_argument("-l", "--label", default="")
    parser.add_argument("-T", "--no-timestamp-path", action="store_true")
    parser.add_argument("-f", "--force", action="store_true")
    parser.add_argument("-S", "--stop-server", action="store_true")
    return parser.parse_args()


def _logs_of(folder: Path, start: float, end: float) -> Path:
    """Return the folder of the LoadGen run that lies within the workload's time."""
    for detail in sorted(folder.rglob(_LOGS[0])):
        times = {}
        for line in detail.read_text(errors="replace").splitlines():
            for key in ("power_begin", "power_end"):
                if key in line and (stamp := _STAMP.search(line)):
                    read = datetime.strptime(stamp[0], "%m-%d-%Y %H:%M:%S.%f").replace(tzinfo=timezone.utc)
                    times[key] = read.timestamp()
        if len(times) == len(_LOGS) and start < times["power_begin"] and times["power_end"] < end:
            return detail.parent
    fail(f"no LoadGen log in {folder} is of the workload that has just run")


def main() -> None:
    """Measure once."""
    given = _given()
    if given.force:
        shutil.rmtree(given.loadgen_logs, ignore_errors=True)
    given.output.mkdir(exist_ok=True)
    try:
        connection = socket.create_connection((given.addr, given.port))
    except OSError as error:
        fail(f"Could not connect to the server {given.addr}:{given.port} {error}")
    record = Record()
    command = Conversation(Lines(connection), record)
    if command(HELLO) != WELCOME:
        fail("the server speaks another version")
    if given.stop_server:
        command("stop", ok=True)
    command.check_clock()
    record.uuid["client"] = str(uuid.uuid4())
    reply = command(f"new,{given.label},{record.uuid['client']}")
    if not reply.startswith("OK "):
        fail("Could not start new session")
    session, record.uuid["server"] = reply[len("OK ") :].split(",")
    record.session_name = session
    out = given.output if given.no_timestamp_path else given.output / session
    (out / "power").mkdir(parents=True)
    for mode, name in _FOLDERS.items():
        command.check_clock()
        record.phase(mode)
        command(f"session,{session},start,{mode}", ok=True)
        record.phase(mode)
        command.check_clock()
        start = time.time()
        subprocess.run(given.run_workload, shell=True, check=True)  # noqa: S602  # as the official client does
        end = time.time()
        command.check_clock()
        record.phase(mode)
        command(f"session,{session},stop,{mode}", ok=True)
        record.phase(mode)
        logs = _logs_of(given.loadgen_logs, start, end)
        (out / name).mkdir()
        for file in _LOGS:
            shutil.copy(logs / file, out / name)
    log("Done runs")
    log.save(out / "power/client.log")
    record.save(out / "power/client.json", out, ptd_config=[None])
    # The official client records this command after its file is written, too.
    command(f"session,{session},done", ok=True)
    for file in FILES:
        command.lines.send(f"download,{session},{file}")
        command.lines.receive_file(out / file)
    command(f"cleanup,{session}", ok=True)


if __name__ == "__main__":
    main()
