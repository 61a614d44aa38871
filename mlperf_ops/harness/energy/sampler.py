"""Read the unofficial sources while a cell's process runs, and sum them up over LoadGen's window afterwards.

Like the samples of the host's state, readings are taken by threads of the supervisor that step aside for the cell;
each source has its own, so that a slow BMC delays no other. A source that is missing or fails is said in energy.json
with its reason and never fails the cell. Nothing is left running when the cell has ended. Standard library only.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlperf_ops.files import Json, JsonObject, write_json
from mlperf_ops.harness.energy import programs
from mlperf_ops.harness.energy.model import (
    ENERGY,
    NOTE,
    Reading,
    Source,
    SourceError,
    SourceKind,
    SourceSettings,
    csv_file,
)
from mlperf_ops.harness.energy.rapl import Rapl
from mlperf_ops.harness.energy.window import COLUMNS, Energy, energies, readings_of, row
from mlperf_ops.harness.host_state import step_aside
from mlperf_ops.power_log import power_seconds

_GIVES_UP_AFTER = 5  # failures in a row of a source that never had a reading


def _redfish(settings: SourceSettings) -> Source:
    """Import TLS only where it is used: a supervisor is to be small."""
    from mlperf_ops.harness.energy.redfish import Redfish  # noqa: PLC0415

    return Redfish(settings)


_READERS: Mapping[SourceKind, Callable[[SourceSettings], Source]] = {
    "rapl": Rapl,
    "nvml": programs.NvidiaSmi,
    "dcmi": programs.dcmi,
    "redfish": _redfish,
    "snmp": programs.snmp,
    "command": programs.command,
}


@dataclass(slots=True)
class _Followed:
    """A source and what became of it."""

    settings: SourceSettings
    source: Source
    thread: threading.Thread | None = None
    taken: int = 0
    failed: int = 0
    problem: str | None = None
    cpu_seconds: float = 0.0

    @property
    def is_counter(self) -> bool:
        """Whether the last reading has to follow the end of the window."""
        return self.settings.kind == "rapl" or self.settings.measures == "joules"


@dataclass(slots=True)
class EnergySampler:
    """The sources of one cell.

    Attributes:
        folder: The attempt, where the files go.
        settings: Sources; none: nothing is read and nothing written.
        cell_cpus: CPUs that the cell is bound to; empty when it may use all.
    """

    folder: Path
    settings: Sequence[SourceSettings] = ()
    cell_cpus: frozenset[int] = frozenset()
    _followed: list[_Followed] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)
    _closed: threading.Event = field(default_factory=threading.Event)
    _seconds: float = 0.0

    @contextlib.contextmanager
    def during(self) -> Iterator[None]:
        """Take readings while the block runs."""
        began = time.monotonic()
        for settings in self.settings:
            one = _Followed(settings, _READERS[settings.kind](settings))
            one.thread = threading.Thread(target=self._follow, args=(one,), name=f"energy-{settings.name}", daemon=True)
            self._followed.append(one)
            try:
                one.thread.start()
            except RuntimeError as error:  # no more threads
                one.thread, one.problem = None, str(error)
        try:
            yield
        finally:
            self._end.set()
            for one in self._followed:
                if not one.is_counter:
                    one.source.stop()  # what it still waits for lies behind the window
            for one in self._followed:
                if one.thread is not None:
                    one.thread.join(one.settings.timeout_seconds + 1)
                    if one.thread.is_alive():
                        one.source.stop()
                        one.problem = "its last reading did not end in time"
            self._closed.set()  # what comes now would change files whose digests are taken
            self._seconds = time.monotonic() - began

    def finish(self, fields: Mapping[str, Json] | None) -> None:
        """Write energy.json; whatever goes wrong here is said there, or lost, and never the cell's concern.

        Args:
            fields: LoadGen's own figures; None where it left none.
        """
        if not self.settings:
            return
        with contextlib.suppress(Exception):
            write_json(self.folder / ENERGY, self._summary(fields or {}))

    def _follow(self, one: _Followed) -> None:
        step_aside(self.cell_cpus)
        try:
            with csv_file(self.folder, one.settings.name).open("w", newline="", buffering=1) as stream:
                stream.write(",".join(COLUMNS) + "\n")
                self._read_until_the_end(one, stream)
        except OSError as error:
            one.problem = f"its file cannot be written: {error.strerror or error}"
        finally:
            with contextlib.suppress(OSError):
                one.source.close()
            one.cpu_seconds = time.thread_time() + one.source.child_cpu_seconds()

    def _read_until_the_end(self, one: _Followed, stream: io.TextIOWrapper) -> None:
        lines = csv.writer(stream, lineterminator="\n")
        name, seconds = one.settings.name, one.settings.sample_seconds
        due = time.monotonic()
        while True:
            ended = self._end.is_set()
            if ended and not one.is_counter:
                return
            try:
                readings = _finite(one.source.read())
            except Exception as error:  # noqa: BLE001  # whatever a BMC or PDU says, the cell goes on
                if self._end.is_set() and not one.is_counter:
                    return  # cut off by `stop`
                one.failed += 1
                final = isinstance(error, SourceError) and error.final
                if one.taken or one.problem is None:
                    known = isinstance(error, (SourceError, OSError))
                    one.problem = str(error) if known else f"{type(error).__name__}: {error}"
                if final or (not one.taken and one.failed >= _GIVES_UP_AFTER):
                    return
                readings = []
            else:
                one.taken += 1
            if self._closed.is_set():
                return
            for reading in readings:
                lines.writerow(row(name, reading))
            if ended:
                return
            if one.source.paces_itself and readings:
                continue
            due = max(due + seconds, time.monotonic())
            self._end.wait(due - time.monotonic())

    def _summary(self, fields: Mapping[str, Json]) -> JsonObject:
        begin, end = power_seconds(fields.get("power_begin")), power_seconds(fields.get("power_end"))
        queries = fields.get("result_query_count")
        count = queries if isinstance(queries, int) and queries > 0 else None
        window = (begin, end) if begin is not None and end is not None and end > begin else None
        cpu_seconds = sum(one.cpu_seconds for one in self._followed)
        return {
            "schema": 1,
            "unofficial": True,
            "note": NOTE,
            "window": {
                "power_begin": fields.get("power_begin"),
                "power_end": fields.get("power_end"),
                "duration_seconds": round(window[1] - window[0], 3) if window else None,
            },
            "queries": count,
            "sources": [self._of_source(one, window, count) for one in self._followed],
            "cost": {
                "cpu_seconds": round(cpu_seconds, 4),
                "percent_of_one_cpu": round(100 * cpu_seconds / self._seconds, 4) if self._seconds else None,
            },
        }

    def _of_source(self, one: _Followed, window: tuple[float, float] | None, queries: int | None) -> JsonObject:
        path = csv_file(self.folder, one.settings.name)
        found: tuple[Energy, ...] = ()
        if window is not None and path.is_file():
            with path.open(newline="") as stream:
                found = energies(readings_of(stream), *window)
        counted = [energy for energy in found if energy.domain not in one.source.parts]
        problem = _problem(one, window, counted)
        joules = sum(energy.joules for energy in counted if energy.joules is not None)
        watts = sum(energy.average_watts for energy in counted if energy.average_watts is not None)
        told = bool(counted) and all(energy.joules is not None for energy in counted)
        return {
            "name": one.settings.name,
            "kind": one.settings.kind,
            "file": path.name,
            "sample_seconds": one.settings.sample_seconds,
            "average_watts": watts if told else None,
            "joules": joules if told else None,
            "joules_per_query": joules / queries if told and queries else None,
            "problem": problem,
            "failed_readings": one.failed,
            "cpu_seconds": round(one.cpu_seconds, 4),
            "domains": [_of_domain(energy, counted=energy in counted) for energy in found],
        }


def _finite(readings: list[Reading]) -> list[Reading]:
    for one in readings:
        if not all(math.isfinite(value) for value in (one.watts, one.joules) if value is not None):
            raise SourceError(f"{one.domain} is no finite number")
    return readings


def _of_domain(energy: Energy, *, counted: bool) -> JsonObject:
    return {
        "domain": energy.domain,
        "counted": counted,
        "rule": energy.rule,
        "readings_in_window": energy.readings,
        "longest_gap_seconds": energy.longest_gap_seconds,
        "average_watts": energy.average_watts,
        "joules": energy.joules,
        "problem": energy.problem,
    }


def _problem(one: _Followed, window: tuple[float, float] | None, counted: Sequence[Energy]) -> str | None:
    """Return the one sentence that says most."""
    if one.problem is not None and not one.taken:
        return one.problem
    if window is None:
        return "LoadGen's log states no power_begin and power_end"
    if not counted:
        return one.problem or "it gave no reading"
    first = next((f"{energy.domain}: {energy.problem}" for energy in counted if energy.problem), None)
    return first or one.problem
