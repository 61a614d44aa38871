"""Run one cell to its result.json, whatever happens to the process that measures.

The supervisor starts the implementation's argv as a child in a new attempt folder, waits, reads what it left, and
writes manifest.json and then result.json, last and whole: an attempt without result.json never happened.
Standard library only, so that its own memory is small beside the child's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType

from mlperf_ops.errors import BusyError, ToolError
from mlperf_ops.files import Json, JsonObject, read_json, sha256_file, write_json
from mlperf_ops.harness import cgroup, confined, failures, power_cell, unit_end, vanished, verdicts
from mlperf_ops.harness.attempt_files import (
    AUDIT_CONFIG,
    CHILD,
    CONSOLE,
    EFFECTIVE,
    MANIFEST,
    PHASE,
    RESERVE,
    RESULT,
    SPEC,
    STATE,
    SUPERVISOR_LOG,
    UNIT_END,
    USER_CONF,
)
from mlperf_ops.harness.cpus import parse_cpu_list
from mlperf_ops.harness.energy.model import SourceSettings
from mlperf_ops.harness.energy.sampler import EnergySampler
from mlperf_ops.harness.failures import CellError
from mlperf_ops.harness.host_drift import Limits
from mlperf_ops.harness.host_readings import HostReader
from mlperf_ops.harness.host_state import HostWatch
from mlperf_ops.model import AccuracyOutcome, Failure, LoadgenOutcome, Result, Spec, Verdict
from mlperf_ops.typed import dump

_NOTES = frozenset({failures.FAILURE_FILE, PHASE, EFFECTIVE, STATE, SUPERVISOR_LOG, CHILD, UNIT_END})
_BEFORE_THE_CELL = "drop_caches"  # of the host profile: done once, no state of the host
_MINIMUM_FREE_BYTES = 64 * 1024 * 1024
_RESERVED_BYTES = 1 << 20
_ENDED = frozenset("ZX")  # states of a process
# What a full disk looks like to those who did not meet the error themselves: LoadGen writes on without a word.
_OF_FULL_DISK = frozenset({"no_log", "incomplete_log", "crash"})


@contextlib.contextmanager
def host_lock(path: Path, purpose: str) -> Iterator[None]:
    """Hold a host for one cell; cells on one host run one after another.

    Raises:
        BusyError: Another cell runs; names it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            stream.seek(0)
            raise BusyError(
                f"this host already runs {stream.read().strip() or 'another cell'}", hint="wait for it, or stop it"
            ) from error
        stream.seek(0)
        stream.truncate()
        stream.write(f"{purpose} (pid {os.getpid()})\n")
        stream.flush()
        yield


def new_attempt(folder: Path) -> Path:
    """Make the next attempt_N below a spec's folder.

    Raises:
        ToolError: The folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            attempt = folder / f"attempt_{number}"
            with contextlib.suppress(FileExistsError):
                attempt.mkdir()
                return attempt
            number += 1
    except OSError as error:
        raise ToolError(f"cannot write below {folder}: {error.strerror}", hint="set mlperf_home elsewhere") from error


def run_cell(
    spec: Spec,
    attempt: Path,
    *,
    request_sha256: str,
    python: str = sys.executable,
    home: Path | None = None,
    limits: Limits | None = None,
    launched: JsonObject | None = None,
    energy_sources: Sequence[SourceSettings] = (),
) -> Result:
    """Run a cell in an attempt folder and write its result.

    Args:
        spec: What to run.
        attempt: Its folder.
        request_sha256: Identity of the plan's request.
        python: Stands for {python} in the spec's argv.
        home: mlperf_home, whose state folder tells what tuning has set.
        limits: What taints the result; by default what `Limits` says.
        launched: How the agent started this process; None where somebody else did.
        energy_sources: What is read of a performance cell's energy, unofficially; by default nothing.
    """
    launched = confined.read_back(launched or {})
    started_at = datetime.now(timezone.utc)
    clock = time.monotonic()
    write_json(attempt / STATE, {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid()), "boot_id": boot_id(),
                                 "started_at": started_at.isoformat(timespec="seconds"),
                                 "oom_kills": vanished.oom_kills(), "launcher": launched,
                                 "request_sha256": request_sha256})  # fmt: skip
    write_json(attempt / SPEC, dump(spec))
    (attempt / USER_CONF).write_text(spec.loadgen.user_conf)
    if spec.loadgen.audit_conf:
        (attempt / AUDIT_CONFIG).write_text(spec.loadgen.audit_conf)
    loadgen: LoadgenOutcome | None = None
    accuracy: AccuracyOutcome | None = None
    failure: Failure | None = None
    tainted: tuple[str, ...] = ()
    verdict: Verdict
    power: JsonObject = {}
    energy = EnergySampler(attempt)
    try:
        cpus = parse_cpu_list(spec.cpu_affinity) if spec.cpu_affinity else frozenset[int]()
        tuning = {name: value for name, value in spec.host_profile.items() if name != _BEFORE_THE_CELL}
        watch = HostWatch(HostReader(home), limits or Limits(), cpus, tuning)
        if spec.cell.mode == "performance":
            energy = EnergySampler(attempt, energy_sources, cpus)
        watch.begin()
        try:
            _run_child(spec, attempt, _command(spec, attempt, home, python, power), watch, energy)
        finally:
            tainted = watch.finish(attempt)
        detail, loadgen = verdicts.read_loadgen(spec, attempt)
        verdicts.check_settings(spec, detail)
        if spec.loadgen.mode == "AccuracyOnly":
            accuracy = verdicts.score(spec, attempt)
        elif verdicts.logs_answers(spec):
            verdicts.keep_labels(spec, attempt)
        verdict, reasons = verdicts.judge(spec, loadgen, accuracy)
    except Exception as error:  # noqa: BLE001  # a supervisor's crash must be a failed cell, never a silent one
        told = _or_full_disk(failures.describe(error), attempt)
        hint = vanished.with_journal(told, launched)
        failure = Failure(told.kind, told.message, hint, verdicts.last_lines(attempt / CONSOLE))
        verdict, reasons = "failed", (told.message,)
    energy.finish(None if loadgen is None else loadgen.fields)
    result = Result(
        cell=spec.cell,
        spec_sha256=spec.sha256,
        request_sha256=request_sha256,
        verdict=verdict,
        reasons=reasons,
        simulated=spec.simulated,
        started_at=started_at.isoformat(timespec="seconds"),
        elapsed_seconds=round(time.monotonic() - clock, 3),
        loadgen=loadgen,
        accuracy=accuracy,
        failure=failure,
        effective={**_effective(attempt), **power, **({"launcher": launched} if launched else {})},
        tainted=tainted,
    )
    _finish(attempt, result)
    return result


@dataclass(frozen=True, slots=True)
class _Command:
    argv: tuple[str, ...]
    environment: dict[str, str]


def _command(spec: Spec, attempt: Path, home: Path | None, python: str, told: JsonObject) -> _Command:
    """Return what is to be run, the client where power is measured; what a result says of that goes into `told`."""
    if spec.power is not None:
        measured = power_cell.prepare(spec, attempt, home, python)
        told["power"] = measured.told
        return _Command(measured.argv, measured.environment)
    argv = (word.replace("{python}", python).replace("{attempt}", str(attempt)) for word in spec.argv)
    return _Command(tuple(argv), {**os.environ, **spec.env})


def _run_child(spec: Spec, attempt: Path, command: _Command, watch: HostWatch, energy: EnergySampler) -> None:
    free_bytes = shutil.disk_usage(attempt).free
    if free_bytes < _MINIMUM_FREE_BYTES:
        raise CellError(
            "disk_full", f"only {free_bytes >> 20} MiB are free for the run's logs", "free space below mlperf_home"
        )
    _reserve(attempt)
    oom_before, group_before = vanished.oom_kills(), cgroup.own()
    with (attempt / CONSOLE).open("wb") as console:
        try:
            child = subprocess.Popen(
                command.argv,
                cwd=attempt,
                env=command.environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise CellError(
                "no_program", f"cannot start {command.argv[0]}: {error.strerror}", "is the command prefix installed?"
            ) from error
        (attempt / CHILD).write_text(f"{child.pid} {start_ticks(child.pid)}")
        with _passing_signals(child), watch.during(child.pid), energy.during():
            returncode = child.wait()
    if spec.power is not None:
        returncode = power_cell.end(attempt, returncode)
    if returncode != 0:
        over = _limit_overrun(group_before)
        told = verdicts.explain_exit(returncode, attempt, oom_kills=over or vanished.oom_kills() - oom_before)
        if told.kind == "out_of_memory" and returncode == -signal.SIGKILL:
            told = vanished.out_of_memory(vanished.kernel_words({child.pid}), over)
        raise told


def _limit_overrun(before: cgroup.MemoryGroup | None) -> int:
    """Return the memory limit of this process's own group, in bytes, where the kernel has ended something for it."""
    now = cgroup.own()
    if before is None or now is None or now.limit_bytes is None or now.oom_kills <= before.oom_kills:
        return 0
    return now.limit_bytes


def _reserve(attempt: Path) -> None:
    """Take the space for the result now: when the disk is full at the end, it is there."""
    with (attempt / RESERVE).open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, _RESERVED_BYTES)


def _or_full_disk(told: CellError, attempt: Path) -> CellError:
    """Return the failure, or that the disk is full where that explains it; then give the reserved space free."""
    full = told.kind in _OF_FULL_DISK and shutil.disk_usage(attempt).free < vanished.NEARLY_FULL_BYTES
    (attempt / RESERVE).unlink(missing_ok=True)
    if full:
        return CellError("disk_full", f"the disk below mlperf_home is full: {told.message}", "free space there")
    return told


@contextlib.contextmanager
def _passing_signals(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the child's whole group when the supervisor is told to end; the cell is then failed, not lost."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the handler's signature
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        if vanished.shutting_down():
            raise CellError("host_rebooted", "the host was shut down or rebooted during the cell", "")
        raise CellError("interrupted", f"the run was stopped by {signal.Signals(number).name}", "start the plan again")

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _effective(attempt: Path) -> dict[str, Json]:
    path = attempt / EFFECTIVE
    return read_json(path) if path.is_file() else {}


def settle(attempt: Path) -> None:
    """Give an attempt whose supervisor is gone the failed result that it lacks, and end what it left running.

    Raises:
        MlperfOpsError: Its files are damaged, or nothing can be written.
    """
    state = read_json(attempt / STATE)
    same_boot = state.get("boot_id") == boot_id()
    unit = unit_end.unit_of(state)
    ended = unit_end.await_end(attempt, unit) if unit and same_boot else None
    vanished.end_orphans(attempt, same_boot=same_boot)
    told = vanished.cause(state, attempt, boot_id(), ended)
    _finish(attempt, vanished.result_of(attempt, state, told))


def _finish(attempt: Path, result: Result) -> None:
    (attempt / RESERVE).unlink(missing_ok=True)
    files = {
        path.name: sha256_file(path)
        for path in sorted(attempt.iterdir())
        if path.is_file() and path.name not in _NOTES | {RESULT, MANIFEST} and not path.name.startswith(".")
    }
    for folder in power_cell.FOLDERS:
        files |= {f"{folder}/{path.name}": sha256_file(path) for path in sorted((attempt / folder).glob("[!.]*"))}
    write_json(attempt / MANIFEST, {"schema": 1, "files": dict(files)})
    write_json(attempt / RESULT, dump(result))
    for name in _NOTES - {STATE}:
        (attempt / name).unlink(missing_ok=True)


def boot_id() -> str:
    """Identity of the running kernel's boot: process ids mean nothing across boots."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; with the pid it names a process once and for all."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def running_since(pid: int) -> int | None:
    """Return `start_ticks` of a process that runs.

    None where it has ended, also while nobody has collected its exit status, as in a container without an init.
    """
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] not in _ENDED else None


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
