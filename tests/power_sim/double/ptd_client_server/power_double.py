"""What both sides of the double of the power client and server share: lines, records, digests. SIMULATED."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

HELLO, WELCOME = "mlcommons/power client v3", "mlcommons/power server v3"
MARK = "SIMULATED"
FILES = (
    "power/ptd_logs.txt", "ranging/spl.txt", "power/server.json", "power/server.log", "run_1/spl.txt",
    "run_1/ptd_out.txt",
)  # fmt: skip
CLOCK_LIMIT_S = 0.4
_CHUNK_BYTES = 1 << 20


def clock() -> float:
    """Return this side's time in seconds since 1970; MLPERF_POWER_DOUBLE_CLOCK sets it wrong by so many seconds."""
    return time.time() + float(os.environ.get("MLPERF_POWER_DOUBLE_CLOCK", "0"))


def pause() -> None:
    """Wait as the official server does around each measurement, but shorter."""
    time.sleep(float(os.environ.get("MLPERF_POWER_DOUBLE_PAUSE", "0.5")))


class Lines:
    """Lines that end in CRLF, and files in chunks, over a connection."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connection."""
        self._stream = connection.makefile("rwb")

    def send(self, text: str) -> None:
        """Send a line."""
        self._stream.write(f"{text}\r\n".encode())
        self._stream.flush()

    def receive(self) -> str | None:
        """Return a line; None when the other side is gone."""
        try:
            line = self._stream.readline()
        except OSError:
            return None
        return line.decode(errors="replace").rstrip("\r\n") if line.endswith(b"\n") else None

    def send_file(self, path: Path) -> None:
        """Send a file in chunks, each after its length, and a length of 0."""
        data = path.read_bytes()
        for start in range(0, len(data), _CHUNK_BYTES):
            chunk = data[start : start + _CHUNK_BYTES]
            self.send(str(len(chunk)))
            self._stream.write(chunk)
        self.send("0")

    def receive_file(self, path: Path) -> None:
        """Write a file that comes in chunks.

        Raises:
            ConnectionError: The other side is gone before the end.
        """
        with path.open("wb") as file:
            while (length := self.receive()) != "0":
                if length is None or not length.isdigit():
                    raise ConnectionError(f"the server left while it sent {path.name}")
                file.write(self._stream.read(int(length)))


class Log:
    """Lines on stderr that also become client.log or server.log."""

    def __init__(self, side: str) -> None:
        """Name the side."""
        self._side, self._lines = side, [f"{side}: a double of the power software, {MARK}"]

    def __call__(self, text: str) -> None:
        """Log a line."""
        self._lines.append(f"{self._side} {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(clock()))} [INFO] {text}")
        sys.stderr.write(f"{self._lines[-1]}\n")
        sys.stderr.flush()

    def save(self, path: Path) -> None:
        """Write what was said so far."""
        path.write_text("\n".join(self._lines) + "\n")


class Record:
    """client.json or server.json while it grows."""

    def __init__(self) -> None:
        """Start without a session."""
        self.messages: list[dict[str, Any]] = []
        self.uuid: dict[str, str] = {}
        self.session_name = ""
        self.phases: dict[str, list[tuple[float, float]]] = {"ranging": [], "testing": []}

    def message(self, command: str, at: float, reply: str) -> None:
        """Note a command and its reply."""
        self.messages.append({"cmd": command, "cmd_time": at, "reply": reply, "reply_time": clock()})

    def phase(self, mode: str) -> None:
        """Note that the next step of a mode is reached."""
        self.phases[mode].append((clock(), time.monotonic()))

    def save(self, path: Path, folder: Path, **more: object) -> None:
        """Write the record with the digests of the files of a folder."""
        content = {
            "version": f"1.0-{MARK}-double",
            "timezone": 0,
            "modules": {},
            "sources": digests(Path(__file__).parent, ".py"),
            "messages": self.messages,
            "uuid": self.uuid,
            "session_name": self.session_name,
            "results": digests(folder),
            "phases": self.phases,
            **more,
        }
        path.write_text(json.dumps(content, indent=4))


def digests(folder: Path, ending: str = "") -> dict[str, str]:
    """Return sha1 of the files below a folder by their names relative to it."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha1(path.read_bytes()).hexdigest()  # noqa: S324
        for path in sorted(folder.rglob(f"*{ending}"))
        if path.is_file() and "__pycache__" not in path.parts
    }
