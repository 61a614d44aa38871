"""The simulated daemon: every reply that the official server and checker need, by the specification of the protocol."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlperf_ops.files import Json
from tests.power_sim.flow import DAEMON, free_port
from tests.power_sim.sntp import responder

_SAMPLE = re.compile(r"Time,\d\d-\d\d-\d{4} \d\d:\d\d:\d\d\.\d{3}(,Watts,[\d.]+,Volts,[\d.]+,Amps,[\d.]+,PF,[\d.]+)+")


@dataclass
class Client:
    """A connection to the daemon, and what it printed."""

    link: socket.socket
    printed: Path
    log: Path
    process: subprocess.Popen[bytes]

    def __post_init__(self) -> None:
        self.stream = self.link.makefile("rwb")

    def say(self, command: str) -> str:
        self.stream.write(f"{command}\n".encode())
        self.stream.flush()
        return self.line()

    def line(self) -> str:
        line = self.stream.readline().decode()
        assert line.endswith("\r\n")
        return line[:-2]

    def measure(self, mark: str, samples: int, interval_ms: int = 50) -> None:
        """Measure until so many readings are stated; RL forgets none of them."""
        assert self.say(f"Go,{interval_ms},0,{mark}").startswith("Starting untimed measurement")
        until = time.monotonic() + 20
        while int(self.say("Watts").split(",")[4]) < samples:
            assert time.monotonic() < until
            time.sleep(0.02)


def connected(port: int, process: subprocess.Popen[bytes]) -> socket.socket:
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise AssertionError("the daemon does not listen")


@contextmanager
def daemon(folder: Path, *arguments: str, **knobs: Json) -> Iterator[Client]:
    port = free_port()
    log, printed = folder / "readings.log", folder / "printed.txt"
    command = [sys.executable, str(DAEMON), "-l", str(log), "-p", str(port), *(arguments or ("49",)), "/dev/null"]
    environment = os.environ | {"MLPERF_POWER_SIM": json.dumps({"start_seconds": 0.0, **knobs})}
    with printed.open("wb") as out, subprocess.Popen(command, stdout=out, env=environment) as process:
        try:
            with connected(port, process) as link:
                link.settimeout(20)
                yield Client(link, printed, log, process)
        finally:
            process.terminate()


def test_it_says_what_it_is_in_every_place_that_is_kept(tmp_path: Path) -> None:
    with daemon(tmp_path) as client:
        assert client.say("Hello") == "Hello, PTDaemon here!"
        fields = client.say("Identify").split(",")
        assert (fields[0], fields[-1]) == ("YokogawaWT310", "SIMULATED;NOT-A-METER;0;F0.0")
        assert any(field.startswith("version=1.11.1-SIMULATED-") for field in fields)
        assert client.say("RR") == "Ranges,0,0.500000,0,300.000000"
        assert client.say("Nonsense,1") == "Unknown command: Nonsense,1"
    printed = client.printed.read_text()
    assert "SIMULATION" in printed.splitlines()[0]
    assert "not SPEC PTDaemon" in printed.splitlines()[0]
    activated = r"^\d\d-\d\d-\d{4} \d\d:\d\d:\d\d\.\d{3}: Uncertainty checking for YokogawaWT310 is activated$"
    assert re.search(activated, printed, re.MULTILINE)


def test_ranging_then_testing_as_the_server_asks(tmp_path: Path) -> None:
    with daemon(tmp_path, watts=100.0, noise=0.0, padding_bytes=1030) as client:
        assert [client.say(f"SR,{what},Auto") for what in "VA"] == ["Range V changed", "Range A changed"]
        assert client.say("RR").startswith("Ranges,1,")
        assert client.say("Stop") == "Error: no measurement to stop"
        client.measure("x_ranging", 3)
        assert client.say("Go,50,0,x_ranging") == "Error: measurement already in progress"
        assert client.say("Stop") == "Stopping untimed measurement"
        assert client.say("RL,*,*") == "Invalid number of parameters"
        head = client.say("RL")
        count = int(head.split(" ")[1])
        assert head == f"Last {count} samples"
        lines = [client.line() for _ in range(count)]
        assert count >= 3
        assert all(_SAMPLE.fullmatch(line) for line in lines)
        assert client.say("Uncertainty") == f"Uncertainty,-1.0,10000000.000000,0.000000,{count},0,0,{count}"
        assert client.say("Watts") == f"Watts,100.000000,100.000000,100.000000,{count},0,{count}"
        assert client.say("SR,V,230.0") == "Range V changed"
        assert client.say("SR,A,lots") == "Error: invalid range lots"
        assert client.say("SR,A,0.5") == "Range A changed"
        assert client.say("RR") == "Ranges,0,0.500000,0,230.000000"
        client.measure("x_testing", 1)
        client.say("Stop")
        known = client.say("Uncertainty").split(",")
        assert known[1:4] == ["0.005000"] * 3
        assert known[4:] == [known[4], "0", known[4], "0"]
    printed = client.printed.read_text()
    for said in ("Go with mark 'x_ranging'", "Completed test", "ERROR: Can't evaluate uncertainty of this sample!"):
        assert f": {said}\n" in printed
    assert "SIMULATED padding" in printed
    logged = client.log.read_text().splitlines()
    assert all(",Mark,x_" in line and _SAMPLE.match(line) for line in logged)


@pytest.mark.parametrize(
    ("arguments", "channels"),
    [(("-c", "1,3", "77"), "1 - 3"), (("-c", "2,2", "77"), "2 - 3"), (("-c", "3", "48"), "1 - 3"), (("48",), "1 - 3")],
)
def test_meters_of_several_channels(tmp_path: Path, arguments: tuple[str, ...], channels: str) -> None:
    first, last = (int(word) for word in channels.split(" - "))
    with daemon(tmp_path, *arguments, watts=90.0) as client:
        client.measure("x_testing", 2)
        client.say("Stop")
        head = client.say("RL,*,*")
        assert head.endswith(f" samples from sum channel and channels {channels}")
        sample = client.line()
        assert sample.count(",Watts,") == 1 + last - first + 1
        watts = [float(part.split(",")[0]) for part in sample.split(",Watts,")[1:]]
        assert watts[0] == pytest.approx(sum(watts[1:]), abs=1e-4)
    assert f",Ch{first},Watts," in client.log.read_text()
    assert f",Ch{last},Watts," in client.log.read_text()


def test_a_direct_current_meter_has_one_channel(tmp_path: Path) -> None:
    with daemon(tmp_path, "-D", "549") as client:
        assert client.say("Identify").startswith("YokogawaWT310_DC,")
        assert client.say("RL,*,*") == "Invalid number of parameters"
        assert client.say("RL") == "Last 0 samples"
        assert client.say("Watts") == "Watts,-1.0,10000000.000000,0.000000,0,0,0"


def test_power_follows_the_load_of_the_processors(tmp_path: Path) -> None:
    with daemon(tmp_path, idle_watts=40.0, full_watts=120.0, noise=0.0) as client:
        client.say("Go,300,0,x_testing")
        busy = time.monotonic() + 1.5
        while time.monotonic() < busy:
            sum(range(10_000))
        client.say("Stop")
        _, mean, least, most, *_ = client.say("Watts").split(",")
    share = 1 / (os.cpu_count() or 1)  # this process alone keeps one of them busy
    assert float(most) > 40 + 0.7 * 80 * share
    assert 40 <= float(least) <= float(mean) <= float(most) <= 120


def test_faults_on_request(tmp_path: Path) -> None:
    with daemon(
        tmp_path, watts=100.0, version="1.9.2", uncertain=[1, 3], errors={"0": "USB."}, unplugged_after=5,
        replies={"SR,V": "Error: range"}, identity="WT310E;7;F1.04",
    ) as client:  # fmt: skip
        assert "version=1.9.2-SIMULATED-" in client.say("Identify")
        assert client.say("Identify").endswith(",SIMULATED;WT310E;7;F1.04")
        assert client.say("SR,V,1") == "Error: range"
        client.measure("x_testing", 8)
        client.say("Stop")
        _, _, _, _, samples, errors, valid = client.say("Watts").split(",")
        assert (int(valid), int(samples) - int(errors)) == (5, 5)
        assert client.say("Uncertainty").split(",")[4:] == ["5", "2", "3", "0"]
    printed = client.printed.read_text()
    assert printed.count("WARNING: Uncertainty 1.50%, which is above 1.00% limit for the last sample!") == 2
    assert "ERROR: USB." in printed
    assert "ERROR: Bad watts reading nan from SIMULATED meter" in printed


def test_the_daemon_may_die_while_it_measures(tmp_path: Path) -> None:
    with daemon(tmp_path, killed_after=2) as client:
        client.say("Go,50,0,x_testing")
        assert client.stream.readline() == b""
        assert client.process.wait(timeout=20) == 1


def test_a_knob_that_it_lacks_is_named(tmp_path: Path) -> None:
    environment = os.environ | {"MLPERF_POWER_SIM": '{"wats": 1}'}
    command = [sys.executable, str(DAEMON), "49", "/dev/null"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "wats" in done.stderr) == (1, True)


def test_it_ends_at_once_where_no_meter_is_to_be(tmp_path: Path) -> None:
    environment = os.environ | {"MLPERF_POWER_SIM": '{"refuses": "no meter at /dev/null"}'}
    command = [sys.executable, str(DAEMON), "49", "/dev/null"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].endswith(": ERROR: no meter at /dev/null")


@pytest.mark.parametrize("ahead_seconds", [0.0, 900.0])
def test_the_time_server_answers_as_sntp_asks(ahead_seconds: float) -> None:
    with (
        responder(port=0, ahead_seconds=ahead_seconds) as port,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link,
    ):
        link.settimeout(20)
        link.sendto(b"\x23" + bytes(39) + b"12345678", ("127.0.0.1", port))
        answer, _ = link.recvfrom(1024)
    seconds = int.from_bytes(answer[40:44], "big") - 2_208_988_800
    assert (len(answer), answer[0], answer[24:32]) == (48, 0x24, b"12345678")
    assert 0 < answer[1] < 16
    assert abs(seconds - ahead_seconds - time.time()) < 5
