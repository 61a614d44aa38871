#!/usr/bin/env python3
"""A stand-in for the meter's daemon, to test what is around it: SIMULATED, measures nothing, is not SPEC PTDaemon.

It has the daemon's command line and protocol (TCP on 127.0.0.1, lines) as far as the official server uses them. Power
follows the real load of this machine's CPUs. One file without dependencies, so that a director can be given it as its
daemon. Knobs and faults are a JSON object: in the environment variable MLPERF_POWER_SIM, or in the file
`<this file>.json`; the keys are the fields of `Knobs`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TextIO

MARK = "SIMULATED"
ACCEPTED_VERSION = "1.11.1"
DEVICES = {
    0: "Dummy",
    8: "YokogawaWT210",
    35: "YokogawaWT500",
    48: "YokogawaWT500_multichannel",
    49: "YokogawaWT310",
    52: "YokogawaWT330",
    77: "YokogawaWT330_multichannel",
    508: "YokogawaWT210_DC",
    549: "YokogawaWT310_DC",
    586: "YokogawaWT330_DC",
}
_COUNT_ONLY, _FIRST_AND_COUNT = 48, 77  # what their -c states
_LIMIT = 0.01
_OF_TESTING = "_testing"


@dataclass
class Knobs:
    """How the stand-in behaves.

    Attributes:
        start_seconds: From the start to the listener; real meters need 12 to 17 s.
        refuses: Printed instead of a start, as where no meter is connected.
        idle_watts: Without load.
        full_watts: With all CPUs busy.
        watts: Instead of both, whatever the load; 0: follow the load.
        volts: Of each channel.
        power_factor: Of each channel.
        noise: Largest deviation of a reading, as a part of it.
        uncertainty: Of each reading, as a part of it.
        uncertain: Readings of testing that are uncertain to 1.5 %: first and one past the last.
        version: Before the mark.
        identity: Model, serial number and firmware behind the mark in the reply to Identify.
        padding_bytes: Printed after the readings, so that the end of a short log is not cut off.
        replies: Start of a command -> what is replied instead.
        errors: Number of the reading of testing -> an error that is printed there.
        invalid: So many readings of testing are stated as errors.
        gap: Readings of testing that do not exist: first and one past the last.
        unplugged_after: So many readings of testing, then none, and an error for each; -1: never.
        killed_after: So many readings of testing, then the daemon dies; -1: never.
        clock_seconds: Added to every stamp.
    """

    start_seconds: float = 0.5
    refuses: str = ""
    idle_watts: float = 40.0
    full_watts: float = 120.0
    watts: float = 0.0
    volts: float = 230.0
    power_factor: float = 0.97
    noise: float = 0.002
    uncertainty: float = 0.005
    uncertain: tuple[int, int] = (0, 0)
    version: str = ACCEPTED_VERSION
    identity: str = "NOT-A-METER;0;F0.0"
    padding_bytes: int = 16384
    replies: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    invalid: int = 0
    gap: tuple[int, int] = (0, 0)
    unplugged_after: int = -1
    killed_after: int = -1
    clock_seconds: float = 0.0


def show(text: str) -> None:
    """Print at once: the server keeps what its daemon prints."""
    print(text, flush=True)  # noqa: T201  # see above


def read_knobs() -> Knobs:
    """Return what environment and file ask for.

    Raises:
        SystemExit: A key is unknown.
    """
    beside = f"{os.path.abspath(__file__)}.json"
    text = os.environ.get("MLPERF_POWER_SIM", "")
    if not text and os.path.isfile(beside):
        with open(beside, encoding="utf-8") as stream:
            text = stream.read()
    try:
        return Knobs(**json.loads(text or "{}"))
    except (TypeError, ValueError) as error:
        sys.exit(f"knobs of the simulated daemon: {error}")


class CpuLoad:
    """Busy part of all CPUs since the last question, by /proc/stat."""

    def __init__(self) -> None:
        """Take the first count."""
        self._last = self._counts()

    @staticmethod
    def _counts() -> tuple[int, int]:
        with open("/proc/stat", encoding="ascii") as stream:
            ticks = [int(word) for word in stream.readline().split()[1:9]]
        return sum(ticks), ticks[3] + ticks[4]  # all; idle and waiting for disks

    def fraction(self) -> float:
        """Return 0.0 to 1.0."""
        now, last = self._counts(), self._last
        self._last = now
        total, idle = now[0] - last[0], now[1] - last[1]
        return min(max((total - idle) / total, 0.0), 1.0) if total > 0 else 0.0


@dataclass
class Sample:
    """A reading: its time, and watts, volts, amps, power factor of each channel."""

    stamp: str
    channels: list[tuple[float, float, float, float]]
    uncertainty: float  # -1: unknown

    @property
    def total(self) -> tuple[float, float, float, float]:
        """Return the sum channel."""
        watts, volts, amps, factors = zip(*self.channels)  # noqa: B905  # `strict` is of Python 3.10
        return sum(watts), sum(volts) / len(volts), sum(amps), sum(factors) / len(factors)

    def line(self) -> str:
        """Return it as RL states it."""
        parts = [self.total, *(self.channels if len(self.channels) > 1 else [])]
        return f"Time,{self.stamp}," + ",".join(_values(one) for one in parts)

    def log_line(self, mark: str, first: int) -> str:
        """Return it as the log of readings states it."""
        channels = self.channels if len(self.channels) > 1 else []
        more = "".join(f",Ch{first + number},{_values(one)}" for number, one in enumerate(channels))
        return f"Time,{self.stamp},{_values(self.total)},Mark,{mark}{more}"


def _values(one: tuple[float, float, float, float]) -> str:
    return "Watts,{:.6f},Volts,{:.6f},Amps,{:.6f},PF,{:.6f}".format(*one)


class Meter:
    """The simulated meter: ranges, readings, and what it prints."""

    def __init__(self, knobs: Knobs, device: int, channels: tuple[int, int], log: TextIO | None) -> None:
        """Set the ranges that a meter has when it is switched on; channels are the first and their number."""
        self.knobs, self.name, (self.first, self.count), self._log = knobs, DEVICES[device], channels, log
        self.amps: tuple[bool, float] = (False, 0.5)
        self.volts: tuple[bool, float] = (False, 300.0)
        self.samples: list[Sample] = []
        self.unread: list[Sample] = []
        self.mark = ""
        self.lost = 0
        self.completed = True
        self._load = CpuLoad()
        self._stop: threading.Event | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def now(self) -> str:
        """Return the time as every stamp states it."""
        time_s = time.time() + self.knobs.clock_seconds
        return datetime.fromtimestamp(time_s, timezone.utc).strftime("%m-%d-%Y %H:%M:%S.%f")[:-3]

    def say(self, text: str) -> None:
        """Print a line with a stamp."""
        show(f"{self.now()}: {text}")

    @property
    def measures(self) -> bool:
        """Whether a measurement is under way."""
        return self._stop is not None

    def go(self, interval_ms: int, mark: str) -> None:
        """Start a measurement."""
        self.samples, self.unread, self.mark, self.lost, self.completed = [], [], mark, 0, False
        self._stop = threading.Event()
        self._load.fraction()
        self._thread = threading.Thread(target=self._measure, args=(self._stop, interval_ms / 1000), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the measurement."""
        stop, self._stop = self._stop, None
        if stop is not None and self._thread is not None:
            stop.set()
            self._thread.join()

    def _measure(self, stop: threading.Event, interval_s: float) -> None:
        due, number = time.monotonic() + 0.05, 0
        while not stop.wait(max(due - time.monotonic(), 0.0)):
            self._sample(number)
            due, number = due + interval_s, number + 1

    def _sample(self, number: int) -> None:
        knobs, tests = self.knobs, self.mark.endswith(_OF_TESTING)
        load = self._load.fraction()
        if tests and number == knobs.killed_after:
            os._exit(1)
        if tests and 0 <= knobs.unplugged_after <= number:
            self.lost += 1
            self.say(f"ERROR: Bad watts reading nan from {MARK} meter")
            return
        if tests and knobs.gap[0] <= number < knobs.gap[1]:
            return
        watts = knobs.watts or knobs.idle_watts + (knobs.full_watts - knobs.idle_watts) * load
        watts *= 1 + random.uniform(-knobs.noise, knobs.noise)  # noqa: S311  # no secret
        each = watts / self.count
        one = (each, knobs.volts, each / knobs.volts / knobs.power_factor, knobs.power_factor)
        uncertain = 0.015 if tests and knobs.uncertain[0] <= number < knobs.uncertain[1] else knobs.uncertainty
        sample = Sample(self.now(), [one] * self.count, -1.0 if self.amps[0] or self.volts[0] else uncertain)
        with self._lock:
            self.samples.append(sample)
            self.unread.append(sample)
        if self._log is not None:
            print(sample.log_line(self.mark, self.first), file=self._log, flush=True)
        if sample.uncertainty < 0:
            self.say("ERROR: Can't evaluate uncertainty of this sample!")
            self.say("WARNING: Uncertainty unknown for the last sample!")
        elif sample.uncertainty > _LIMIT:
            self.say(f"WARNING: Uncertainty {uncertain:.2%}, which is above 1.00% limit for the last sample!")
        if tests and str(number) in knobs.errors:
            self.say(f"ERROR: {knobs.errors[str(number)]}")

    def watts_text(self) -> str:
        """Return the reply to Watts: mean, least, most, readings, errors, valid ones."""
        with self._lock:
            watts = [sample.total[0] for sample in self.samples]
        lost = self.lost + (min(self.knobs.invalid, len(watts)) if self.mark.endswith(_OF_TESTING) else 0)
        if not watts:
            return f"Watts,-1.0,10000000.000000,0.000000,{lost},{lost},0"
        count = len(watts) + self.lost
        mean = sum(watts) / len(watts)
        return f"Watts,{mean:.6f},{min(watts):.6f},{max(watts):.6f},{count},{lost},{count - lost}"

    def uncertainty_text(self) -> str:
        """Return the reply to Uncertainty: mean, least, most, readings, above 1 %, below, unknown."""
        with self._lock:
            all_of_them = [sample.uncertainty for sample in self.samples]
        known = [one for one in all_of_them if one >= 0]
        count, unknown = len(all_of_them), len(all_of_them) - len(known)
        if not known:
            return f"Uncertainty,-1.0,10000000.000000,0.000000,{count},0,0,{unknown}"
        above = sum(one > _LIMIT for one in known)
        mean = sum(known) / len(known)
        values = f"{mean:.6f},{min(known):.6f},{max(known):.6f}"
        return f"Uncertainty,{values},{count},{above},{len(known) - above},{unknown}"

    def read(self) -> list[str]:
        """Return the unread readings as lines, and forget them."""
        with self._lock:
            samples, self.unread = self.unread, []
        return [sample.line() for sample in samples]


class Daemon:
    """Replies to the commands."""

    def __init__(self, meter: Meter) -> None:
        """Name the meter."""
        self.meter = meter

    def reply(self, line: str) -> list[str]:
        """Return the lines that answer a command."""
        for start, text in self.meter.knobs.replies.items():
            if line.startswith(start):
                return [text]
        command, *values = line.split(",")
        known: dict[str, Callable[[list[str]], list[str]]] = {
            "Hello": lambda _: ["Hello, PTDaemon here!"],
            "Identify": lambda _: [self._identity()],
            "RR": lambda _: [self._ranges()],
            "SR": self._set_range,
            "Go": self._go,
            "Stop": self._stop,
            "RL": self._read,
            "Watts": lambda _: [self.meter.watts_text()],
            "Uncertainty": lambda _: [self.meter.uncertainty_text()],
        }
        return known[command](values) if command in known else [f"Unknown command: {line}"]

    def _identity(self) -> str:
        system = f"{platform.system()} {platform.release()} {platform.version()} {platform.machine()}"
        meter, knobs = self.meter, self.meter.knobs
        return (
            f"{meter.name},1000,1,1,1,1,0,0,1,version={knobs.version}-{MARK}-20260101,OS={system.replace(',', ' ')},"
            f"mode=power,1,1,{meter.count},0,0,no_cal_date,{MARK};{knobs.identity}"
        )

    def _ranges(self) -> str:
        (amps_auto, amps), (volts_auto, volts) = self.meter.amps, self.meter.volts
        return f"Ranges,{int(amps_auto)},{amps:.6f},{int(volts_auto)},{volts:.6f}"

    def _set_range(self, values: list[str]) -> list[str]:
        what, text = (*values, "", "")[:2]
        if what not in {"A", "V"}:
            return [f"Error: invalid range {text}"]
        auto = text == "Auto"
        try:
            value = 0.0 if auto else float(text)
        except ValueError:
            return [f"Error: invalid range {text}"]
        name = "amps" if what == "A" else "volts"
        setattr(self.meter, name, (auto, getattr(self.meter, name)[1] if auto else value))
        time.sleep(0.1)
        if auto:
            self.meter.say(f"Range of {name} is automatic")
        return [f"Range {what} changed"]

    def _go(self, values: list[str]) -> list[str]:
        if self.meter.measures:
            return ["Error: measurement already in progress"]
        interval, ramp, mark = (*values, "", "", "")[:3]
        self.meter.say("Go received")
        self.meter.say(f"Go with mark '{mark}'")
        self.meter.go(int(interval), mark)
        return [
            f"Starting untimed measurement, maximum 500000 samples at {interval}ms with {ramp} rampup samples",
        ]

    def _stop(self, _: list[str]) -> list[str]:
        if not self.meter.measures:
            return ["Error: no measurement to stop"]
        self.meter.say("Stop received")
        self.meter.stop()
        return ["Stopping untimed measurement"]

    def _read(self, values: list[str]) -> list[str]:
        meter = self.meter
        if values and meter.count == 1:
            return ["Invalid number of parameters"]
        lines = meter.read()
        if not meter.completed and not meter.measures:
            meter.completed = True
            meter.say("Completed test")
            meter.say(f"Result: {meter.watts_text()}")
        of = (
            f" from sum channel and channels {meter.first} - {meter.first + meter.count - 1}" if meter.count > 1 else ""
        )
        return [f"Last {len(lines)} samples{of}", *lines]


def channels_of(device: int, given: str | None) -> tuple[int, int]:
    """Return the first channel and their number."""
    numbers = [int(word) for word in given.split(",")] if given else []
    if device == _COUNT_ONLY:
        return 1, numbers[0] if numbers else 3
    if device == _FIRST_AND_COUNT:
        return (numbers[0], numbers[1]) if len(numbers) > 1 else (1, 3)
    return (numbers[0] if numbers else 1), 1


def serve(daemon: Daemon, port: int) -> None:
    """Answer one client after the other."""
    meter = daemon.meter

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            meter.say(f"Client connected from {self.client_address[0]}")
            for raw in self.rfile:
                line = raw.decode(errors="replace").strip()
                lines = daemon.reply(line)
                try:
                    self.wfile.write("".join(f"{one}\r\n" for one in lines).encode())
                except OSError:
                    return
                meter.say(f"Response to client sent: {lines[0]}")
                if line.startswith("RL") and len(lines) > 1:
                    show("\n".join(lines[1:]))
                    show((f"{MARK} padding " * 6 + "\n") * (meter.knobs.padding_bytes // 103))

    class Listener(socketserver.TCPServer):
        allow_reuse_address = True

    with Listener(("127.0.0.1", port), Handler) as listener:
        meter.say(f"Listening on port {port}, waiting for a client")
        listener.serve_forever()


def main() -> None:
    """Be the daemon until SIGTERM."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-l", dest="log")
    parser.add_argument("-p", dest="port", type=int, default=8888)
    parser.add_argument("-b", dest="board")
    parser.add_argument("-c", dest="channels")
    for flag in ("-D", "-y", "-n", "-g", "-U", "-m", "-t"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("device", type=int, choices=sorted(DEVICES))
    parser.add_argument("device_port")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    knobs = read_knobs()
    show(f"SIMULATION, {MARK}: this is not SPEC PTDaemon, and no reading was measured. Analyzer {given.device}")
    if given.log:
        show(f"Readings are logged to {given.log}")
    log = open(given.log, "a", encoding="ascii") if given.log else None  # noqa: SIM115  # until the end
    meter = Meter(knobs, given.device, channels_of(given.device, given.channels), log)
    meter.say(f"Connecting to device type {given.device} ({MARK})")
    if knobs.refuses:
        meter.say(f"ERROR: {knobs.refuses}")
        sys.exit(1)
    time.sleep(knobs.start_seconds)
    meter.say(f"Uncertainty checking for {meter.name} is activated")
    meter.say(f"Connected to {meter.name} ({MARK})")
    serve(Daemon(meter), given.port)


if __name__ == "__main__":
    main()
