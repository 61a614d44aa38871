"""A whole measurement with the simulated daemon: server, client and a real LoadGen workload on this machine."""

from __future__ import annotations

import json
import os
import queue
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.files import Json

HERE = Path(__file__).parent
DOUBLE, DAEMON, WORKLOAD = HERE / "double/ptd_client_server", HERE / "ptd_simulated.py", HERE / "workload.py"
_READY = "Ready to accept connections"
_READY_SECONDS, _RUN_SECONDS, _STOP_SECONDS = 60.0, 300.0, 30.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A measurement that has ended.

    Attributes:
        out: Folder with power/, ranging/ and run_1/, as far as they came to be.
        client_code: Exit code of the client.
        said: What client and server said on stderr.
    """

    out: Path
    client_code: int
    said: str


def free_port() -> int:
    """Return a TCP port that nobody uses now."""
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        return int(link.getsockname()[1])


def measure(  # all but the first are by name and have defaults
    folder: Path,
    *,
    software: Path = DOUBLE,
    python: str = sys.executable,
    seconds: tuple[float, ...] = (6.0,),
    device: int = 49,
    channel: str = "",
    knobs: dict[str, Json] | None = None,
    environment: dict[str, str] | None = None,
) -> Ended:
    """Measure once and return what came of it; nothing that was started outlives this.

    Args:
        folder: Where everything is written.
        software: Folder with client.py and server.py: the double, or ptd_client_server of a checkout.
        python: Interpreter of both.
        seconds: Of ranging and testing.
        device: Number of the meter's type.
        channel: As the configuration states it.
        knobs: Of the simulated daemon; fixed watts by default, as the load of a test machine varies.
        environment: More variables of the server.
    """
    out = folder / "out"
    workload = [sys.executable, str(WORKLOAD), str(folder / "logs"), *map(str, seconds)]
    command = [python, str(software / "client.py"), "-a", "127.0.0.1", "-n", "127.0.0.1", "-f", "-T"]
    command += ["-S", "-L", str(folder / "logs"), "-o", str(out), "-w", shlex.join(workload)]
    served = serving(
        folder, software=software, python=python, device=device, channel=channel, knobs=knobs, environment=environment
    )
    with served as server:
        done = subprocess.run(
            [*command, "-p", str(server.port)], cwd=folder, env=os.environ | {"TZ": "UTC"}, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, errors="replace", timeout=_RUN_SECONDS, check=False,
        )  # fmt: skip
    return Ended(out, done.returncode, done.stderr + "".join(server.said))


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that is ready.

    Attributes:
        port: Of this machine.
        process: Its process.
        said: What it has said on stderr; all of it when the block has ended.
    """

    port: int
    process: subprocess.Popen[str]
    said: list[str]


@contextmanager
def serving(  # all but the first are by name and have defaults
    folder: Path,
    *,
    software: Path = DOUBLE,
    python: str = sys.executable,
    device: int = 49,
    channel: str = "",
    knobs: dict[str, Json] | None = None,
    environment: dict[str, str] | None = None,
) -> Iterator[Serving]:
    """Run a server of `measure` until the block ends; its arguments are those of that."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    conf = folder / "server.conf"
    conf.write_text(
        f"[server]\nntpServer: 127.0.0.1\nlisten: 127.0.0.1 {port}\n[ptd]\nptd: {DAEMON}\n"
        f"[analyzer1]\ninterfaceFlag:\ndeviceType: {device}\ndevicePort: /dev/null\nnetworkPort: {free_port()}\n"
        + (f"channel: {channel}\n" if channel else "")
    )
    knobs = {"watts": 100.0, **(knobs or {})}
    variables = os.environ | {"MLPERF_POWER_SIM": json.dumps(knobs), **(environment or {}), "TZ": "UTC"}
    variables["PATH"] = f"{Path(python).parent}:{variables['PATH']}"  # the daemon is started by its own first line
    said: list[str] = []
    with subprocess.Popen(
        [python, str(software / "server.py"), "-c", str(conf)],
        cwd=folder,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as server:
        try:
            lines, reader = _lines_of(server)
            said.append(_until_ready(server, lines))
            yield Serving(port, server, said)
        finally:
            _end(server)
        reader.join()
    while not lines.empty():
        said.append(lines.get())


def _lines_of(server: subprocess.Popen[str]) -> tuple[queue.Queue[str], threading.Thread]:
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in server.stderr or ():
            lines.put(line)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return lines, reader


def _until_ready(server: subprocess.Popen[str], lines: queue.Queue[str]) -> str:
    said, until = "", time.monotonic() + _READY_SECONDS
    while _READY not in said:
        try:
            said += lines.get(timeout=0.1)
        except queue.Empty:
            if server.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"the server did not start: {said}") from None
    return said


def _end(server: subprocess.Popen[str]) -> None:
    """End the server as its operators do: SIGINT, so that it ends its daemon."""
    if server.poll() is None:
        server.send_signal(signal.SIGINT)
    try:
        server.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
