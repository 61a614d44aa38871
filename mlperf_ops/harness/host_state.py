"""Watch a host while a cell runs on it: before, every few seconds during, and after. Standard library only.

The samples are taken by a thread of the supervisor, never in the process that measures. The thread runs under the
scheduling policy "batch", which waits for its turn instead of interrupting what computes, and, where the cell is bound
to some CPUs and others are left, on the others. (Under "idle" it would hold the interpreter's lock for seconds on a
busy host, and the end of the cell would wait for it.) What a sample costs is written down with the samples.
"""

from __future__ import annotations

import contextlib
import os
import resource
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlperf_ops.files import Json, JsonObject, write_json
from mlperf_ops.harness.host_drift import Limits, Seen, drift, tuned_otherwise
from mlperf_ops.harness.host_readings import HostReader, Process, Snapshot, busy_seconds
from mlperf_ops.typed import dump

HOST_STATE = "host_state.json"
_ROWS_KEPT = 720  # two hours at 10 s; of longer cells every second row goes, again and again
_KNOBS_PER_SAMPLE = 128
_PROCESSES_NAMED = 5
_PROCESS_SECONDS = 0.1  # CPU time below which a process is not worth a name
_MIB = 1 << 20
_FIRMWARE_NOW = 0xF

COLUMNS = (
    "seconds",  # since the measuring process was started
    "khz_min",  # over the cpufreq policies
    "khz_mean",
    "khz_max",
    "celsius_max",  # over the sensors
    "throttling_events",  # since boot
    "load",  # of one minute
    "cpu_pressure",  # percent of the last 10 s in which something waited for a CPU
    "busy_percent",  # of all CPUs' time since the last row
    "foreign_percent",  # of it, what the cell's own processes did not take
    "memory_available_mib",
    "swapped_out_pages",  # since boot
)


@dataclass(slots=True)
class _Moment:
    """What two samples are compared by."""

    clock: float
    busy: float
    own: float


@dataclass(slots=True)
class HostWatch:
    """The state of a host around one cell.

    Attributes:
        reader: Reads the host.
        limits: mlperf_host_state.
        cell_cpus: CPUs that the cell is bound to; empty when it may use all.
        tuning: The settings that the host has to be tuned to; None where that is nobody's concern.
    """

    reader: HostReader
    limits: Limits = field(default_factory=Limits)
    cell_cpus: frozenset[int] = frozenset()
    tuning: Mapping[str, Json] | None = None
    seen: Seen = field(default_factory=Seen)
    rows: list[list[Json]] = field(default_factory=list)
    _every: int = 1
    _taken: int = 0
    _cost_seconds: float = 0.0
    _cost_max_seconds: float = 0.0
    _problem: str | None = None
    _end: threading.Event = field(default_factory=threading.Event)
    _before: Snapshot | None = None
    _processes: dict[tuple[int, str], Process] = field(default_factory=dict)
    _started: float = 0.0
    _own_before: float = 0.0

    def begin(self) -> None:
        """Take the snapshot before the cell."""
        self._processes = self.reader.processes()
        self._before = self.reader.snapshot()
        self._started = time.monotonic()
        self._own_before = _own_seconds()

    @contextlib.contextmanager
    def during(self, pid: int) -> Iterator[None]:
        """Take samples while a process runs."""
        thread = threading.Thread(target=self._sample_until_the_end, args=(pid,), name="host-state", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join()

    def finish(self, attempt: Path) -> tuple[str, ...]:
        """Take the snapshot after the cell, write host_state.json and return what drifted, one sentence each."""
        before = self._before
        assert before is not None  # noqa: S101  # begin comes first
        after = self.reader.snapshot()
        seconds = time.monotonic() - self._started
        busy = busy_seconds(after.cpu_seconds) - busy_seconds(before.cpu_seconds)
        # Exact, unlike the samples: the kernel adds up every descendant that was waited for.
        foreign = max(0.0, busy - (_own_seconds() - self._own_before))
        self.seen.foreign_cpu_percent = round(100 * foreign / (seconds * (os.cpu_count() or 1)), 2)
        otherwise = () if self.tuning is None else tuned_otherwise(self.tuning, self.reader.tuned_settings)
        tainted = otherwise + drift(
            self.limits,
            self.reader.knobs,
            before,
            after,
            self.seen,
            tuned_boot_id=self.reader.tuned_boot_id,
            page_bytes=os.sysconf("SC_PAGE_SIZE"),
        )
        write_json(
            attempt / HOST_STATE,
            {
                "schema": 1,
                "limits": dump(self.limits),
                "before": dump(before),
                "after": dump(after),
                "seen": dump(self.seen),
                "samples": {
                    "taken": self._taken,
                    "columns": list(COLUMNS),
                    "rows": self.rows,
                    "problem": self._problem,
                },
                "cost": self._cost(seconds),
                "foreign_processes": self._foreign_processes(),
                "tainted": list(tainted),
            },
        )
        return tainted

    def _cost(self, seconds: float) -> JsonObject:
        taken = max(1, self._taken)
        return {
            "microseconds_per_sample": round(1e6 * self._cost_seconds / taken, 1),
            "microseconds_of_the_longest": round(1e6 * self._cost_max_seconds, 1),
            "percent_of_one_cpu": round(100 * self._cost_seconds / seconds, 5),
        }

    def _foreign_processes(self) -> list[Json]:
        """Name the processes that took most CPU time beside the cell, of those that still run."""
        took = []
        for key, process in self.reader.processes().items():
            earlier = self._processes.get(key)
            seconds = process.cpu_seconds - (earlier.cpu_seconds if earlier else 0.0)
            if key[0] != os.getpid() and seconds >= _PROCESS_SECONDS:
                took.append((seconds, process))
        took.sort(key=lambda one: -one[0])
        return [
            {"name": process.name, "user": process.user, "cpu_seconds": round(seconds, 2)}
            for seconds, process in took[:_PROCESSES_NAMED]
        ]

    def _sample_until_the_end(self, pid: int) -> None:
        step_aside(self.cell_cpus)
        last = self._moment(pid)
        while not self._end.wait(self.limits.sample_seconds):
            cpu = time.thread_time()
            try:
                last = self._sample(pid, last)
            except (OSError, ValueError, ArithmeticError) as error:  # a row less, never a cell less
                self._problem = f"{type(error).__name__}: {error}"
            cost = time.thread_time() - cpu
            self._taken += 1
            self._cost_seconds += cost
            self._cost_max_seconds = max(self._cost_max_seconds, cost)

    def _moment(self, pid: int) -> _Moment:
        return _Moment(time.monotonic(), busy_seconds(self.reader.cpu_seconds()), self.reader.tree_cpu_seconds(pid))

    def _sample(self, pid: int, last: _Moment) -> _Moment:
        reader, seen = self.reader, self.seen
        now = self._moment(pid)
        possible = (now.clock - last.clock) * (os.cpu_count() or 1)
        busy = now.busy - last.busy
        foreign = max(0.0, busy - max(0.0, now.own - last.own))
        khz = reader.frequencies_khz()
        temperatures = reader.temperatures_celsius()
        hottest = max(temperatures, key=lambda name: temperatures[name], default=None)
        celsius = temperatures[hottest] if hottest is not None else None
        if hottest and celsius is not None and celsius > (seen.temperature_max_celsius or float("-inf")):
            seen.temperature_max_celsius, seen.hottest = celsius, hottest
        throttling = reader.throttling()
        seen.firmware |= throttling.firmware & _FIRMWARE_NOW
        seen.cooling = max(seen.cooling, throttling.cooling)
        self._compare_knobs()
        available = reader.memory_available_bytes()
        if self._taken % self._every == 0:
            self._keep(
                [
                    round(now.clock - self._started, 2),
                    min(khz, default=None),
                    round(sum(khz) / len(khz)) if khz else None,
                    max(khz, default=None),
                    celsius,
                    throttling.core_events + throttling.package_events,
                    next(iter(reader.load()), None),
                    reader.pressure().get("cpu", {}).get("some"),
                    round(100 * busy / possible, 2),
                    round(100 * foreign / possible, 2),
                    available // _MIB if available is not None else None,
                    reader.swapped_pages()[1],
                ]
            )
        return now

    def _compare_knobs(self) -> None:
        """Compare the next few knobs: all of a large host at once would keep a CPU for milliseconds."""
        before = self._before.knobs if self._before is not None else {}
        knobs = self.reader.knobs
        start = self._taken * _KNOBS_PER_SAMPLE % len(knobs) if len(knobs) > _KNOBS_PER_SAMPLE else 0
        for name, value in self.reader.knob_values(knobs[start : start + _KNOBS_PER_SAMPLE]).items():
            if value != before.get(name):
                self.seen.changed.setdefault(name, value)

    def _keep(self, row: list[Json]) -> None:
        self.rows.append(row)
        if len(self.rows) > _ROWS_KEPT:
            self.rows = self.rows[::2]
            self._every *= 2


def _own_seconds() -> float:
    """CPU time of this process and of all descendants that were waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def step_aside(cell_cpus: frozenset[int]) -> None:
    """Keep the calling thread out of the cell's way; where the kernel refuses, it stays a plain thread."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    if others := os.sched_getaffinity(0) - cell_cpus:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, others)
