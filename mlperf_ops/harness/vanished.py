"""An attempt whose supervisor is gone without a result: end what it left, find the cause, write the failed result.

The cause is read from what the host itself still knows: its boot id, the kernel's log and counters, the supervisor's
last words, the free space. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import cast

from mlperf_ops.errors import MlperfOpsError
from mlperf_ops.files import Json, JsonObject, read_json
from mlperf_ops.harness import verdicts
from mlperf_ops.harness.attempt_files import CHILD, CONSOLE, EFFECTIVE, SPEC, STATE, SUPERVISOR_LOG
from mlperf_ops.harness.failures import KILLED, REBOOTED, CellError, tells_of_full_disk
from mlperf_ops.harness.unit_end import UnitEnd
from mlperf_ops.model import Failure, Result, Spec
from mlperf_ops.typed import load

NEARLY_FULL_BYTES = 2 << 20
"""Less than this free on the disk of the logs: what was not written was not written for lack of space."""
_KERNEL_LOGS = (["journalctl", "--dmesg", "--boot", "--output=cat", "--no-pager"], ["dmesg"])
_KERNEL_LOG_SECONDS = 5
_IS_RUNNING = ["systemctl", "is-system-running"]
_OOM_LINE = re.compile(r"(?:Memory cgroup out of memory|Out of memory): Killed process (\d+) .*")
_SESSION, _START_TICKS = 3, 19  # places after the command name in /proc/<pid>/stat
_LONGEST_WORDS = 160
_TOLD_BY_JOURNAL = frozenset({"killed", "crash", "out_of_memory", "interrupted", "host_rebooted"})


def cause(state: JsonObject, attempt: Path, boot_id: str, ended: UnitEnd | None = None) -> CellError:
    """Say why an attempt has no result.

    Args:
        state: Its state.json.
        attempt: Its folder.
        boot_id: Of the boot that the host is in now.
        ended: How its systemd unit ended; None where it had none, or nobody knows.
    """
    if state.get("boot_id") != boot_id:
        return CellError("host_rebooted", f"{REBOOTED} (up since {_up_since()})", "")
    pids = {int(cast("int", state["pid"])), *_child(attempt)[:1]}
    if words := kernel_words(pids):
        return out_of_memory(words, _limit_of(ended))
    if ended is not None and ended.for_memory:
        return out_of_memory("", _limit_of(ended))
    with contextlib.suppress(OSError):
        said = (attempt / SUPERVISOR_LOG).read_text(errors="replace").strip()
        if tells_of_full_disk(said) or shutil.disk_usage(attempt).free < NEARLY_FULL_BYTES:
            return CellError("disk_full", "the disk below mlperf_home is full", "free space there")
        if said and (last := said.splitlines()[-1][:_LONGEST_WORDS]):
            return CellError("crash", f"the process that supervises the cell crashed: {last}", "please report it")
    since = oom_kills() - int(cast("int", state.get("oom_kills", oom_kills())))
    more = f": {ended.sentence}" if ended is not None else ""
    more += f"; the kernel's out-of-memory killer has ended {since} processes since" if since > 0 else ""
    return CellError("killed", f"{KILLED}{more}", "see the kernel log for who did it")


def out_of_memory(words: str, limit_bytes: int = 0) -> CellError:
    """Return the failure of a cell that the kernel ended, in the kernel's own words where it has any.

    Args:
        words: The kernel's.
        limit_bytes: Of the cell's own group, where that was overrun.
    """
    told = "the kernel's out-of-memory killer ended it"
    hint = "lower max_batch, streams or the sample count"
    if limit_bytes:
        told += f" for overrunning the unit's memory limit (MemoryMax, {limit_bytes >> 20} MiB)"
        hint += ", or raise memory_max_mib"
    return CellError("out_of_memory", told + (f": {words}" if words else ""), hint)


def _limit_of(ended: UnitEnd | None) -> int:
    """Return the limit that a unit overran, in bytes; 0 where it was not that."""
    return ended.memory_max_bytes or 0 if ended is not None and ended.oom_kills else 0


def with_journal(told: CellError, launcher: JsonObject) -> str:
    """Return a failure's hint, and where systemd tells more of it."""
    unit = launcher.get("unit")
    if not unit or told.kind not in _TOLD_BY_JOURNAL:
        return told.hint
    return f"{told.hint}; journalctl -u {unit}" if told.hint else f"journalctl -u {unit}"


def result_of(attempt: Path, state: JsonObject, told: CellError) -> Result:
    """Return the result of an attempt that its supervisor could not write.

    Raises:
        ResultError: Its spec.json is damaged.
    """
    spec = load(Spec, read_json(attempt / SPEC), str(attempt / SPEC))
    launcher = state.get("launcher")
    launched = launcher if isinstance(launcher, dict) else {}
    began = (attempt / STATE).stat().st_mtime
    last = max((path.stat().st_mtime for path in attempt.iterdir()), default=began)
    return Result(
        cell=spec.cell,
        spec_sha256=spec.sha256,
        request_sha256=str(state.get("request_sha256", "")),
        verdict="failed",
        reasons=(told.message,),
        simulated=spec.simulated,
        started_at=str(state.get("started_at", "")),
        elapsed_seconds=round(max(0.0, last - began), 3),
        loadgen=None,
        accuracy=None,
        failure=Failure(told.kind, told.message, with_journal(told, launched), verdicts.last_lines(attempt / CONSOLE)),
        effective={**_effective(attempt), **({"launcher": launched} if launched else {})},
        tainted=(),
    )


def _effective(attempt: Path) -> dict[str, Json]:
    try:
        return read_json(attempt / EFFECTIVE)
    except MlperfOpsError:  # not begun, or cut off in the middle
        return {}


def end_orphans(attempt: Path, *, same_boot: bool) -> None:
    """End what still runs of the attempt's own session: a second copy must never measure beside it."""
    child = _child(attempt)
    if not same_boot or not child:
        return
    session, begun = child
    leader = _stat(session)
    if leader is not None and leader[_START_TICKS] != begun:
        return  # another process has that number now, so the session is gone
    for pid in list(_pids()):
        stat = _stat(pid)
        if stat is not None and stat[_SESSION] == session:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def kernel_words(pids: set[int]) -> str:
    """Return the kernel's line on the out-of-memory end of one of these processes; "" where it has none or is silent.

    Inside a container the kernel counts processes otherwise; then no line matches, and none is made up.
    """
    for argv in _KERNEL_LOGS:
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, errors="replace", timeout=_KERNEL_LOG_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        found = [hit for hit in _OOM_LINE.finditer(done.stdout) if int(hit[1]) in pids]
        if found:
            return found[-1][0].strip()[:_LONGEST_WORDS]
    return ""


def oom_kills() -> int:
    """Processes that the kernel's out-of-memory killer has ended since boot."""
    for line in Path("/proc/vmstat").read_text().splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0


def shutting_down() -> bool:
    """Whether the host is on its way down: then a signal to end is the shutdown's, and nobody's wish."""
    try:
        done = subprocess.run(_IS_RUNNING, capture_output=True, text=True, timeout=2, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == "stopping"


def _up_since() -> str:
    """Return when this boot began, by PID 1: right also where hosts share a kernel."""
    ticks = _stat(1)
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime ") and ticks is not None:
            began = int(line.split()[1]) + ticks[_START_TICKS] / os.sysconf("SC_CLK_TCK")
            return datetime.fromtimestamp(began, timezone.utc).isoformat(timespec="seconds")
    return "a time that it does not tell"


def _child(attempt: Path) -> tuple[int, ...]:
    """Return pid and start time of the measuring process; empty where it never began."""
    try:
        pid, ticks = (attempt / CHILD).read_text().split()
        return int(pid), int(ticks)
    except (OSError, ValueError):
        return ()


def _pids() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _stat(pid: int) -> list[int] | None:
    """Return the fields after the command name, the state letter as 0."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return [0, *(int(word) for word in text.rpartition(")")[2].split()[1:])]
