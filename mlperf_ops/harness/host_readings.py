"""What a host shows of its own state in /proc and /sys. Only reads; standard library only.

A value that the host does not show is absent or None; nothing is guessed. Lists of files are made once, because a
sample is taken while a cell measures: it has to cost next to nothing (docs/reference/host-state.md has the numbers).
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import pwd
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from mlperf_ops.files import Json, JsonObject

_CPU = "sys/devices/system/cpu"
_CPU_SECONDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_IDLE = ("idle", "iowait", "steal")  # time in which no process of this host ran
_POLICY = {
    "driver": "scaling_driver",
    "governor": "scaling_governor",
    "current_khz": "scaling_cur_freq",
    "min_khz": "scaling_min_freq",
    "max_khz": "scaling_max_freq",
    "energy_preference": "energy_performance_preference",
}
_SWITCHES = (
    f"{_CPU}/cpufreq/boost",
    f"{_CPU}/intel_pstate/no_turbo",
    f"{_CPU}/intel_pstate/status",
    f"{_CPU}/amd_pstate/status",
    f"{_CPU}/smt/control",
    f"{_CPU}/cpuidle/current_governor",
    "sys/kernel/mm/transparent_hugepage/enabled",
    "sys/kernel/mm/transparent_hugepage/defrag",
    "proc/sys/kernel/numa_balancing",
    "proc/sys/vm/swappiness",
)
_FIRMWARE_THROTTLING = "sys/devices/platform/soc/soc:firmware/get_throttled"  # Raspberry Pi
_COOLING_OF_CPUS = re.compile(r"(?i)^(processor|(thermal-)?cpufreq)")
_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
_ABSOLUTE_ZERO_MILLI = -273_150  # sensors that are not connected say so, or less
_READ_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Throttling:
    """What says that the processor was slowed down; counters since boot, states as they are now."""

    core_events: int = 0  # sum over the CPUs
    package_events: int = 0  # sum over the packages
    firmware: int = 0  # Raspberry Pi: bits 0-3 now, 16-19 since boot
    cooling: int = 0  # highest state of the kernel's cooling devices that slow CPUs down


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a host at a moment."""

    taken_at: str  # RFC 3339, UTC
    boot_id: str
    uptime_seconds: float
    policies: dict[str, dict[str, Json]]  # cpufreq policy -> driver, governor, kHz, energy preference
    switches: dict[str, str]  # file -> content
    temperatures_celsius: dict[str, float]
    throttling: Throttling
    load: tuple[float, ...]  # of 1, 5 and 15 minutes
    pressure: dict[str, dict[str, float]]  # cpu, memory, io -> line -> avg10 in percent
    memory_available_bytes: int | None
    swap_in_pages: int | None  # since boot
    swap_out_pages: int | None
    cpu_seconds: dict[str, float]  # all CPUs together, since boot
    knobs: dict[str, str | None]  # those that tuning recorded, as they are now; None: cannot be read
    clock: dict[str, Json] | None  # state/time_sync.json


@dataclass(frozen=True, slots=True)
class Knob:
    """A setting that tuning made, and the file that shows it."""

    name: str
    path: str
    value: str


@dataclass(frozen=True, slots=True)
class Process:
    """A process as /proc shows it."""

    name: str
    user: str
    cpu_seconds: float


def setting(text: str) -> str:
    """Return the value that a file shows: the chosen word of "always [madvise] never", else the words themselves."""
    chosen = re.search(r"\[([^\]\s]+)\]", text)
    return chosen[1] if chosen else " ".join(text.split())


def tuned_knobs(home: Path | None) -> tuple[Knob, ...]:
    """Return the knobs that tuning recorded in state/tuning.json and that a file shows; none when nothing is tuned."""
    recorded = _state_file(home, "tuning.json")
    knobs = recorded.get("knobs") if recorded else None
    return tuple(
        Knob(name, str(entry["path"]), setting(str(entry["value"])))
        for name, entry in sorted((knobs if isinstance(knobs, dict) else {}).items(), key=_by_number)
        if isinstance(entry, dict) and entry.get("path") and entry.get("value") is not None
    )


def _by_number(item: tuple[str, Json]) -> list[tuple[bool, int, str]]:
    """Order policy2 before policy10."""
    parts = re.split(r"(\d+)", item[0])
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def _state_file(home: Path | None, name: str) -> JsonObject | None:
    """Return a record of an earlier step; a missing or damaged one says nothing, and its own step tells."""
    if home is None:
        return None
    try:
        found = json.loads((home / "state" / name).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


class HostReader:
    """Reads the host below a root, with the lists of files made once."""

    def __init__(self, home: Path | None = None, root: str = "/") -> None:
        """List what there is to read.

        Args:
            home: mlperf_home, whose state folder names the tuned knobs and holds the clock's offset.
            root: Folder that holds proc and sys.
        """
        self._root = root
        self._home = home
        self.knobs = tuned_knobs(home)
        tuned = _state_file(home, "tuning.json") or {}
        self.tuned_boot_id = str(tuned.get("boot_id") or "") if self.knobs else ""
        settings = tuned.get("settings")
        self.tuned_settings: JsonObject = settings if isinstance(settings, dict) else {}
        self._policies = self._list(f"{_CPU}/cpufreq/policy[0-9]*")
        self._frequencies = [f"{policy}/scaling_cur_freq" for policy in self._policies]
        self._sensors = dict(self._list_sensors())
        self._core_counters = self._list(f"{_CPU}/cpu[0-9]*/thermal_throttle/core_throttle_count")
        self._package_counters = self._one_of_each_package()
        self._cooling = [
            f"{folder}/cur_state"
            for folder in self._list("sys/class/thermal/cooling_device[0-9]*")
            if _COOLING_OF_CPUS.match(self._read(f"{folder}/type"))
        ]

    def _path(self, name: str) -> str:
        return os.path.join(self._root, name)

    def _read(self, name: str) -> str:
        """Return a small file's text, "" when it cannot be read. One system call each to open, read and close."""
        try:
            descriptor = os.open(os.path.join(self._root, name), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return ""
        try:
            return os.read(descriptor, _READ_BYTES).decode(errors="replace").strip()
        except OSError:
            return ""
        finally:
            os.close(descriptor)

    def _number(self, name: str) -> int | None:
        with contextlib.suppress(ValueError):
            return int(self._read(name))
        return None

    def _list(self, pattern: str) -> list[str]:
        found = glob.glob(self._path(pattern))
        return sorted(os.path.relpath(path, self._root) for path in found)

    def _list_sensors(self) -> list[tuple[str, str]]:
        found = []
        for folder in self._list("sys/class/hwmon/hwmon[0-9]*"):
            chip = self._read(f"{folder}/name") or os.path.basename(folder)
            for path in self._list(f"{folder}/temp[0-9]*_input"):
                label = self._read(path.replace("_input", "_label")) or os.path.basename(path)[: -len("_input")]
                found.append((f"{os.path.basename(folder)} {chip} {label}", path))
        found += [
            (f"{os.path.basename(folder)} {self._read(f'{folder}/type')}".strip(), f"{folder}/temp")
            for folder in self._list("sys/class/thermal/thermal_zone[0-9]*")
        ]
        return found

    def _one_of_each_package(self) -> list[str]:
        """Every CPU repeats its package's counter; count it once."""
        found: dict[str, str] = {}
        for path in self._list(f"{_CPU}/cpu[0-9]*/thermal_throttle/package_throttle_count"):
            cpu = os.path.dirname(os.path.dirname(path))
            found.setdefault(self._read(f"{cpu}/topology/physical_package_id") or "0", path)
        return list(found.values())

    def frequencies_khz(self) -> list[int]:
        """Return the frequency of each policy that shows one."""
        return [khz for path in self._frequencies if (khz := self._number(path)) is not None]

    def temperatures_celsius(self) -> dict[str, float]:
        """Return the temperature of each sensor that shows one."""
        read = {name: self._number(path) for name, path in self._sensors.items()}
        return {
            name: milli / 1000 for name, milli in read.items() if milli is not None and milli > _ABSOLUTE_ZERO_MILLI
        }

    def throttling(self) -> Throttling:
        """Return the counters and states of throttling."""
        firmware = self._read(_FIRMWARE_THROTTLING)
        return Throttling(
            core_events=sum(self._number(path) or 0 for path in self._core_counters),
            package_events=sum(self._number(path) or 0 for path in self._package_counters),
            firmware=int(firmware, 16) if re.fullmatch(r"(0x)?[0-9a-fA-F]+", firmware) else 0,
            cooling=max((self._number(path) or 0 for path in self._cooling), default=0),
        )

    def knob_values(self, knobs: Sequence[Knob] | None = None) -> dict[str, str | None]:
        """Return the tuned knobs as they are now, all of them unless some are given."""
        wanted = self.knobs if knobs is None else knobs
        return {knob.name: setting(text) if (text := self._read(knob.path)) else None for knob in wanted}

    def cpu_seconds(self) -> dict[str, float]:
        """Return the time that all CPUs together spent, by kind, since boot."""
        words = self._read("proc/stat").partition("\n")[0].split()[1:]
        return {kind: int(ticks) * _TICK_SECONDS for kind, ticks in zip(_CPU_SECONDS, words, strict=False)}

    def load(self) -> tuple[float, ...]:
        """Return the load of 1, 5 and 15 minutes."""
        return tuple(float(word) for word in self._read("proc/loadavg").split()[:3])

    def pressure(self) -> dict[str, dict[str, float]]:
        """Return the share of time, in percent over 10 s, in which something waited for CPU, memory or I/O."""
        found = {}
        for kind in ("cpu", "memory", "io"):
            averages = re.findall(r"^(some|full) avg10=([\d.]+)", self._read(f"proc/pressure/{kind}"), re.MULTILINE)
            if averages:
                found[kind] = {line: float(value) for line, value in averages}
        return found

    def memory_available_bytes(self) -> int | None:
        """Return what new processes could have without swapping."""
        found = re.search(r"^MemAvailable:\s+(\d+) kB", self._read("proc/meminfo"), re.MULTILINE)
        return int(found[1]) * 1024 if found else None

    def swapped_pages(self) -> tuple[int | None, int | None]:
        """Return the pages that were swapped in and out since boot."""
        try:  # longer than one read of the others
            text = Path(self._path("proc/vmstat")).read_text()
        except OSError:
            return None, None
        found = dict(re.findall(r"^(pswpin|pswpout) (\d+)$", text, re.MULTILINE))
        pages_in, pages_out = found.get("pswpin"), found.get("pswpout")
        return (int(pages_in) if pages_in else None, int(pages_out) if pages_out else None)

    def tree_cpu_seconds(self, pid: int) -> float:
        """Return the CPU time of a process and of the descendants that its main threads started."""
        words = self._read(f"proc/{pid}/stat").rpartition(")")[2].split()
        if not words:
            return 0.0
        children = self._read(f"proc/{pid}/task/{pid}/children").split()
        own = sum(int(word) for word in words[11:15]) * _TICK_SECONDS
        return own + sum(self.tree_cpu_seconds(int(child)) for child in children)

    def snapshot(self) -> Snapshot:
        """Read everything."""
        pages_in, pages_out = self.swapped_pages()
        return Snapshot(
            taken_at=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            boot_id=self._read("proc/sys/kernel/random/boot_id"),
            uptime_seconds=float((self._read("proc/uptime").split() or ["0"])[0]),
            policies={os.path.basename(policy): dict(self._policy(policy)) for policy in self._policies},
            switches={f"/{name}": setting(text) for name in _SWITCHES if (text := self._read(name))},
            temperatures_celsius=self.temperatures_celsius(),
            throttling=self.throttling(),
            load=self.load(),
            pressure=self.pressure(),
            memory_available_bytes=self.memory_available_bytes(),
            swap_in_pages=pages_in,
            swap_out_pages=pages_out,
            cpu_seconds=self.cpu_seconds(),
            knobs=self.knob_values(),
            clock=_state_file(self._home, "time_sync.json"),
        )

    def _policy(self, policy: str) -> list[tuple[str, Json]]:
        found: list[tuple[str, Json]] = []
        for key, name in _POLICY.items():
            text = self._read(f"{policy}/{name}")
            if text:
                found.append((key, int(text) if key.endswith("_khz") and text.isdigit() else text))
        return found

    def processes(self) -> dict[tuple[int, str], Process]:
        """Return all processes, by pid and start time. Walks /proc: only for before and after a cell."""
        found = {}
        for pid in filter(str.isdigit, os.listdir(self._path("proc"))):
            head, _, tail = self._read(f"proc/{pid}/stat").rpartition(")")
            words = tail.split()
            if len(words) > 19:  # noqa: PLR2004  # starttime is the 20th field after the name
                user = _user_of(self._path(f"proc/{pid}"))
                seconds = (int(words[11]) + int(words[12])) * _TICK_SECONDS
                found[int(pid), words[19]] = Process(head.partition("(")[2], user, seconds)
        return found


def _user_of(path: str) -> str:
    try:
        uid = os.stat(path).st_uid
    except OSError:
        return "?"
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def busy_seconds(cpu_seconds: Mapping[str, float]) -> float:
    """Return the time in which CPUs worked for this host's processes and kernel."""
    return sum(seconds for kind, seconds in cpu_seconds.items() if kind not in _IDLE)


def drift_from_tuning(knobs: tuple[Knob, ...], found: Mapping[str, str | None]) -> dict[str, tuple[str, str | None]]:
    """Return name -> (value that tuning set, value found) of the knobs that differ."""
    return {knob.name: (knob.value, found.get(knob.name)) for knob in knobs if found.get(knob.name) != knob.value}
