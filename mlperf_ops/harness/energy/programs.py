"""Sources that a program reads: nvidia-smi, ipmitool, snmpget, or the user's own. Standard library only.

No secret stands in an argv: ipmitool reads the password from a file, snmpget its community from snmp.conf.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone

from mlperf_ops.harness.energy.model import Reading, SourceError, SourceSettings

_DCMI = re.compile(r"Instantaneous power reading:\s+(\d+) Watts")
_DCMI_OFF = re.compile(r"Power reading state is:\s+deactivated")
_NVIDIA_TIME = "%Y/%m/%d %H:%M:%S.%f"
_NVIDIA_FIELDS = 3
_SHOWN = 160
_CHUNK_BYTES = 1 << 16
_WAIT_SECONDS = 0.005


class Program:
    """Starts a program for each reading and makes readings of what it prints."""

    paces_itself = False
    parts: frozenset[str] = frozenset()

    def __init__(
        self,
        argv: Sequence[str],
        values: Callable[[str], list[tuple[str, float]]],
        settings: SourceSettings,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Note what to start and how to read it.

        Args:
            argv: The program.
            values: From its output to (domain, value).
            settings: Of the source.
            env: Over that of this process.
        """
        self._argv = list(argv)
        self._values = values
        self._settings = settings
        self._env = {**os.environ, "LC_ALL": "C", **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._cpu_seconds = 0.0

    def read(self) -> list[Reading]:
        """Run the program once."""
        code, said, complained = self._run()
        if code != 0:
            raise SourceError(f"{self._argv[0]} ended with exit code {code}: {_one_line(complained or said)}")
        values = self._values(said)
        now, scale = time.time(), self._settings.scale
        if self._settings.measures == "joules":
            return [Reading(now, domain, joules=value * scale) for domain, value in values]
        return [Reading(now, domain, watts=value * scale) for domain, value in values]

    def stop(self) -> None:
        """End the program."""
        if self._process is not None:
            _kill(self._process)

    def close(self) -> None:
        """Each reading has ended its program."""

    def child_cpu_seconds(self) -> float:
        """Return what its processes have used."""
        return self._cpu_seconds

    def _run(self) -> tuple[int, str, str]:
        process = self._process = start(self._argv, self._env, stderr=subprocess.PIPE)
        deadline = time.monotonic() + self._settings.timeout_seconds
        said: dict[object, bytes] = {process.stdout: b"", process.stderr: b""}
        late = False
        with selectors.DefaultSelector() as selector:
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    selector.register(stream, selectors.EVENT_READ)
            while selector.get_map() and not late:
                left = deadline - time.monotonic()
                ready = selector.select(left) if left > 0 else []
                late = not ready
                for key, _ in ready:
                    if block := os.read(key.fd, _CHUNK_BYTES):
                        said[key.fileobj] += block
                    else:
                        selector.unregister(key.fileobj)
        code, used = reap(process, deadline)
        self._cpu_seconds += used
        if late:
            raise SourceError(f"{self._argv[0]} did not answer within {self._settings.timeout_seconds:g} s")
        output, complaint = (said[stream].decode(errors="replace") for stream in (process.stdout, process.stderr))
        return code, output, complaint


class NvidiaSmi:
    """One nvidia-smi that prints a line for each GPU at each interval: starting it anew would cost far more.

    It is asked for its own time, in UTC, so that it does not matter when its lines arrive. When the supervisor dies,
    its next line ends it.
    """

    paces_itself = True
    parts: frozenset[str] = frozenset()

    def __init__(self, settings: SourceSettings) -> None:
        """Note the interval."""
        interval_ms = max(1, round(settings.sample_seconds * 1000))
        self._argv = [
            "nvidia-smi", "--query-gpu=timestamp,index,power.draw", "--format=csv,noheader,nounits",
            f"--loop-ms={interval_ms}",
        ]  # fmt: skip
        self._timeout_seconds = settings.timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._cpu_seconds = 0.0
        self._stopped = False

    def read(self) -> list[Reading]:
        """Wait for the next line."""
        if self._process is None:
            self._process = start(self._argv, {**os.environ, "TZ": "UTC", "LC_ALL": "C"}, stderr=subprocess.STDOUT)
        stream = self._process.stdout
        line = stream.readline().decode(errors="replace").strip() if stream is not None else ""
        if not line:
            code = self._end()
            if self._stopped:
                return []
            raise SourceError(f"nvidia-smi ended with exit code {code}")
        words = [word.strip() for word in line.split(",")]
        if len(words) != _NVIDIA_FIELDS:
            raise SourceError(f"nvidia-smi says: {_one_line(line)}")
        try:
            at = datetime.strptime(words[0], _NVIDIA_TIME).replace(tzinfo=timezone.utc).timestamp()
            return [Reading(at, f"gpu{words[1]}", watts=float(words[2]))]
        except ValueError:
            raise SourceError(f"GPU {words[1]} states no power: {_one_line(words[2])}") from None

    def stop(self) -> None:
        """End nvidia-smi."""
        self._stopped = True
        if (process := self._process) is not None:
            _kill(process)

    def close(self) -> None:
        """End nvidia-smi where it still runs."""
        self.stop()
        self._end()

    def child_cpu_seconds(self) -> float:
        """Return what its processes have used; of one that still runs, nothing."""
        return self._cpu_seconds

    def _end(self) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        code, used = reap(process, time.monotonic() + self._timeout_seconds)
        self._cpu_seconds += used
        return code


def dcmi(settings: SourceSettings) -> Program:
    """Read the BMC by `ipmitool dcmi power reading`: the host's own, or one over the network."""
    argv = ["ipmitool"]
    if settings.address is not None:
        host, colon, port = settings.address.partition(":")
        one = bool(colon) and port.isdigit()  # an IPv6 address has more colons
        argv += ["-I", "lanplus", "-H", host, "-p", port] if one else ["-I", "lanplus", "-H", settings.address]
        argv += ["-U", settings.user] if settings.user else []
        argv += ["-f", os.path.expanduser(settings.password_file)] if settings.password_file else []
    return Program([*argv, "dcmi", "power", "reading"], _dcmi_values, settings)


def snmp(settings: SourceSettings) -> Program:
    """Read objects of a PDU by net-snmp's snmpget; community or account stand in snmp.conf."""
    # Two tries that both fit into the time for a reading: the tool itself then says that nobody answered.
    patience = ["-r", "1", "-t", f"{settings.timeout_seconds / 3:.2f}"]
    argv = ["snmpget", "-m", "", "-Oqv", *patience, str(settings.address), *settings.oids]
    env = {"SNMPCONFPATH": os.path.expanduser(settings.conf_dir)} if settings.conf_dir else {}

    def values(said: str) -> list[tuple[str, float]]:
        lines = said.strip().splitlines()
        if len(lines) != len(settings.oids):
            raise SourceError(f"snmpget gave {len(lines)} values of {len(settings.oids)}: {_one_line(said)}")
        return [(oid, _number(line, "snmpget")) for oid, line in zip(settings.oids, lines, strict=True)]

    return Program(argv, values, settings, env)


def command(settings: SourceSettings) -> Program:
    """Read what the user's own program prints: a number a line."""

    def values(said: str) -> list[tuple[str, float]]:
        lines = said.strip().splitlines()
        if not lines:
            raise SourceError(f"{settings.argv[0]} printed nothing")
        return [(f"value{index}", _number(line, settings.argv[0])) for index, line in enumerate(lines)]

    return Program(settings.argv, values, settings)


def start(argv: Sequence[str], env: Mapping[str, str], *, stderr: int) -> subprocess.Popen[bytes]:
    """Start a program.

    Raises:
        SourceError: There is none, or it must not be run.
    """
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=dict(env),
            cwd="/",
            start_new_session=True,  # so that it can be ended with all that it has started
        )
    except OSError as error:
        raise SourceError(f"cannot start {argv[0]}: {error.strerror or error}", final=True) from None


def reap(process: subprocess.Popen[bytes], deadline: float) -> tuple[int, float]:
    """Wait for a process, and end it when it is late; return its exit code and CPU seconds.

    Args:
        process: What was started.
        deadline: Of the monotonic clock.
    """
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    while True:
        late = time.monotonic() >= deadline
        if late:
            _kill(process)
        pid, status, usage = os.wait4(process.pid, 0 if late else os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage.ru_utime + usage.ru_stime
        time.sleep(_WAIT_SECONDS)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)


def _dcmi_values(said: str) -> list[tuple[str, float]]:
    found = _DCMI.search(said)
    if found is None:
        raise SourceError(f"ipmitool shows no power reading: {_one_line(said)}")
    if _DCMI_OFF.search(said):
        raise SourceError("the BMC's power reading is deactivated", final=True)
    return [("system", float(found[1]))]


def _number(text: str, program: str) -> float:
    try:
        return float(text.strip().strip('"'))
    except ValueError:
        raise SourceError(f"{program} printed no number: {_one_line(text)}") from None


def _one_line(text: str) -> str:
    """Make one short printable line of what a program said."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return (line[:_SHOWN] + "…" if len(line) > _SHOWN else line) or "it said nothing"
