"""A double of the official power server, with its configuration file and protocol; see README.md. SIMULATED."""

from __future__ import annotations

import argparse
import configparser
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, NoReturn

from power_double import FILES, HELLO, WELCOME, Lines, Log, Record, clock, pause  # type: ignore[import-not-found]  # beside this file

_START_SECONDS, _STOP_SECONDS = 30.0, 10.0
_CHANNELS_BY_COUNT = 48
log = Log("ptd-server")


def fail(text: str) -> NoReturn:
    """End with one sentence."""
    log(text)
    sys.exit(1)


class Analyzer:
    """The daemon of the one meter: its process, and what was said to it."""

    def __init__(self, conf: configparser.ConfigParser, folder: Path) -> None:
        """Read the section of the meter."""
        section = conf["analyzer1"]
        self.port = section.getint("networkPort", 8888)
        channel = section.get("channel")
        self.readings, self.printed = folder / "ptd_logfile_1.log", folder / "ptd_logs_analyzer_1.txt"
        board, direct, interface = (section.get(key, "") for key in ("gpibBoard", "dcFlag", "interfaceFlag"))
        self.command = [
            conf["ptd"]["ptd"], "-l", str(self.readings), "-p", str(self.port), *(["-b", board] if board else []),
            *(["-c", channel] if channel else []), *(one for one in (direct, interface) if one),
            section["deviceType"], section["devicePort"],
        ]  # fmt: skip
        self.summary = {
            "command": self.command,
            "device_type": section.getint("deviceType"),
            "interface_flag": interface,
            "dc_flag": direct or None,
            "device_port": section["devicePort"],
            "channel": [int(one) for one in channel.split(",")] if channel else None,
        }
        self.messages: list[dict[str, str]] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: Lines | None = None
        self._initial = ("Auto", "Auto")

    def start(self) -> None:
        """Start the daemon and ask what it is; nothing when it runs."""
        if self._process is not None:
            return
        log(f"running PTDaemon: {self.command}")
        with self.printed.open("wb") as printed:
            environment = os.environ | {"TZ": "UTC"}
            self._process = subprocess.Popen(self.command, stdout=printed, stderr=subprocess.STDOUT, env=environment)
        until = time.monotonic() + _START_SECONDS
        while self._lines is None:
            if self._process.poll() is not None:
                fail("ERROR: PTDaemon unexpectedly terminated")
            if time.monotonic() > until:
                fail("ERROR: Could not connect to PTDaemon")
            try:
                self._lines = Lines(socket.create_connection(("127.0.0.1", self.port)))
            except ConnectionRefusedError:
                time.sleep(0.1)
        if self.say("Hello") != "Hello, PTDaemon here!":
            fail("this is not PTDaemon")
        self.say("Identify")
        fields = self.say("RR").split(",")
        amps, volts = (fields[at + 1] if fields[at] == "0" and float(fields[at + 1]) > 0 else "Auto" for at in (1, 3))
        self._initial = (volts, amps)

    def say(self, command: str) -> str:
        """Give the daemon a command and return the first line of its reply."""
        if self._lines is None:
            return ""
        try:
            self._lines.send(command)
            reply: str | None = self._lines.receive()
        except OSError:
            reply = None
        if reply is None:
            fail("PTDaemon unexpectedly terminated")
        self.messages.append({"cmd": command, "reply": reply})
        return reply

    def readings_of(self, mark: str) -> str:
        """Return the unread readings in the form of spl.txt."""
        head = self.say("RL,*,*")
        if "Invalid number of parameters" in head:
            head = self.say("RL")
        lines = [(self._lines.receive() if self._lines else None) or "" for _ in range(int(head.split(" ")[1]))]
        self.say("Uncertainty")
        self.say("Watts")
        return "".join(f"{_with_mark(line, mark)}\n" for line in lines) + "\n"

    def highest(self, mark: str) -> tuple[float, float]:
        """Return the highest volts and amps that were logged while ranging."""
        volts, amps = [], []
        for line in self.readings.read_text().splitlines():
            fields = line.split(",")
            if f"Mark,{mark}" in line:
                volts += [float(fields[at + 1]) for at, name in enumerate(fields) if name == "Volts"]
                amps += [float(fields[at + 1]) for at, name in enumerate(fields) if name == "Amps"]
        return max(volts, default=-1.0), max(amps, default=-1.0)

    def end(self) -> None:
        """Set the ranges back and stop the daemon."""
        if self._process is None:
            return
        try:
            if self._process.poll() is None:
                self.say(f"SR,V,{self._initial[0]}")
                self.say(f"SR,A,{self._initial[1]}")
        finally:  # also when SIGINT comes just now
            process, self._process, self._lines = self._process, None, None
            process.terminate()
            try:
                process.wait(timeout=_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _with_mark(line: str, mark: str) -> str:
    """Return a reading of RL as spl.txt states it: with the mark, and the numbers of the channels."""
    total, *channels = line.split(",Watts,")[1:]
    more = "".join(f",Ch{number},Watts,{one}" for number, one in enumerate(channels, start=1))
    return f"{line.split(',Watts,', maxsplit=1)[0]},Watts,{total},Mark,{mark}{more}"


class Session:
    """One measurement, below a folder of its own."""

    def __init__(self, analyzer: Analyzer, label: str, folder: Path) -> None:
        """Name it after the time."""
        stamp = time.strftime("%Y-%m-%d_%H-%M-%S", time.gmtime(clock()))
        self.name = f"{stamp}_{label}" if label else stamp
        self.folder, self._analyzer, self._limits = folder / self.name, analyzer, ("", "")
        (self.folder / "power").mkdir(parents=True)

    def start(self, mode: str) -> None:
        """Set the ranges and start a measurement."""
        meter = self._analyzer
        meter.start()
        for command in ("SR,V,Auto", "SR,A,Auto", "SR,A,Auto") if mode == "ranging" else self._limits:
            meter.say(command)
        pause()
        meter.say(f"Go,1000,0,{self.name}_{mode}")

    def stop(self, mode: str) -> None:
        """Stop it and keep what was read."""
        meter, mark = self._analyzer, f"{self.name}_{mode}"
        pause()
        folder = self.folder / ("ranging" if mode == "ranging" else "run_1")
        folder.mkdir()
        if mode == "testing":
            said = (meter.say("Watts"), meter.say("Uncertainty"))
            (folder / "ptd_out.txt").write_text("Analyzer 1:\nPower: {} \nUncertainty: {}\n".format(*said))
        meter.say("Stop")
        (folder / "spl.txt").write_text(meter.readings_of(mark))
        if mode == "ranging":
            volts, amps = meter.highest(mark)
            self._limits = (f"SR,V,{volts}", f"SR,A,{amps * 1.1}")
        else:
            printed = self._analyzer.printed.read_text(errors="replace")
            (self.folder / "power/ptd_logs.txt").write_text(f"Analyzer 1\n{printed}")


def serve(connection: socket.socket, conf: configparser.ConfigParser, folder: Path) -> bool:
    """Serve one client; return whether it asked that the server stops afterwards."""
    lines, record, analyzer, session, stops = Lines(connection), Record(), Analyzer(conf, folder), None, False
    try:
        while (command := lines.receive()) is not None:
            at, words = clock(), command.split(",")
            reply: str | None = "Error"
            if command == HELLO:
                reply = WELCOME
            elif command == "time":
                reply = str(clock())
            elif command == "stop":
                reply, stops = "OK", True
            elif words[0] == "new":
                session = Session(analyzer, words[1], folder)
                record.session_name, record.uuid = session.name, {"client": words[2], "server": str(uuid.uuid4())}
                reply = f"OK {session.name},{record.uuid['server']}"
            elif session is not None and words[0] == "session":
                reply = _step(session, record, words[2:], analyzer)
            elif session is not None and words[0] == "download" and words[2] in FILES:
                lines.send_file(session.folder / words[2])
                reply = None
            elif session is not None and words[0] == "cleanup":
                shutil.rmtree(session.folder)
                reply = "OK"
            if reply is not None:
                record.message(command, at, reply)
                lines.send(reply)
    finally:
        analyzer.end()
    return stops


def _step(session: Session, record: Record, words: list[str], analyzer: Analyzer) -> str:
    """Start or stop a measurement, or end the session."""
    if words == ["done"]:
        analyzer.end()
        log.save(session.folder / "power/server.log")
        path = session.folder / "power/server.json"
        more: dict[str, Any] = {"ptd_messages": analyzer.messages, "ptd_config": [analyzer.summary]}
        record.save(path, session.folder, **more)
        return "OK"
    verb, mode = words
    record.phase(mode)
    getattr(session, verb)(mode)
    record.phase(mode)
    return "OK"


def main() -> None:
    """Serve until the first client that asks for the end, or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-c", "--configurationFile", required=True, type=Path)
    conf = configparser.ConfigParser()
    if not conf.read(parser.parse_args().configurationFile):
        fail("the configuration file does not exist")
    address, port = conf["server"].get("listen", "0.0.0.0 4950").split(" ")
    # SIGTERM orphans the official server's daemon; the double does not imitate that.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as folder:
        trial = Analyzer(conf, Path(folder))
        trial.start()
        trial.end()
        with socket.create_server((address, int(port))) as listener:  # only now: who listens has a meter that answers
            log(f"Ready to accept connections at {address}:{port}")
            stops = False
            while not stops:
                connection, _ = listener.accept()
                with connection:
                    stops = serve(connection, conf, Path(folder))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
