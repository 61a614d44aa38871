"""How a cell's systemd unit ended: `python -m mlperf_ops.harness.unit_end ATTEMPT` is the unit's ExecStopPost.

It runs in the unit when all its other processes are gone, also when they were killed, and notes what systemd knows of
the end. So the unit need not stay behind as a failed one to be asked. Where the attempt has its result there is
nothing to note. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.errors import MlperfOpsError
from mlperf_ops.files import JsonObject, read_json, write_json
from mlperf_ops.harness import cgroup
from mlperf_ops.harness.attempt_files import RESULT, UNIT_END
from mlperf_ops.typed import load

_SHOW = ("systemctl", "show", "--property=LoadState,ActiveState,Result,ExecMainCode,ExecMainStatus")
_WAIT_SECONDS, _ASK_SECONDS, _POLL_SECONDS = 15.0, 0.5, 0.05
_CODES = {"1": "exited", "2": "killed", "3": "dumped"}  # CLD_EXITED and its neighbours, as systemctl shows them
_RESULTS = {
    "oom-kill": "the out-of-memory killer ended it",
    "timeout": "it did not stop in time and was killed",
    "watchdog": "its watchdog ended it",
    "start-limit-hit": "it was started too often",
}


@dataclass(frozen=True, slots=True)
class UnitEnd:
    """What systemd and the kernel say of the end of a unit.

    Attributes:
        result: systemd's word: "success", "signal", "exit-code", "oom-kill", "timeout", …
        code: "exited", "killed" or "dumped"; "" for unknown.
        status: Exit code, or the signal's name without SIG.
        oom_kills: Processes that were ended for memory in the unit.
        memory_max_bytes: Its limit; None for none.
    """

    result: str
    code: str = ""
    status: str = ""
    oom_kills: int = 0
    memory_max_bytes: int | None = None

    @property
    def for_memory(self) -> bool:
        """Whether memory ran out in the unit."""
        return self.result == "oom-kill" or self.oom_kills > 0

    @property
    def sentence(self) -> str:
        """Say it in words."""
        if self.result in _RESULTS:
            return _RESULTS[self.result]
        if self.code in {"killed", "dumped"}:
            name = f"SIG{self.status}" if self.status.isalpha() else f"signal {self.status}"
            return f"its main process was ended by {name}{' with a core dump' if self.code == 'dumped' else ''}"
        if self.code == "exited":
            return f"its main process ended with exit code {self.status}"
        return f"systemd says: {self.result or 'nothing'}"


def unit_of(state: JsonObject) -> str:
    """Return the systemd unit of an attempt by its state.json, "" for none."""
    launcher = state.get("launcher")
    return str(launcher.get("unit", "")) if isinstance(launcher, dict) else ""


def parse_show(text: str) -> tuple[bool, UnitEnd | None]:
    """Read `systemctl show`: whether the unit is over, and how it ended where it is still known."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    over = values.get("ActiveState") in {"inactive", "failed"}
    if not over or values.get("LoadState") != "loaded" or not values.get("Result"):
        return over, None
    code = _CODES.get(values.get("ExecMainCode", ""), "")
    return over, UnitEnd(values["Result"], code, values.get("ExecMainStatus", ""))


def await_end(attempt: Path, unit: str) -> UnitEnd | None:
    """Wait until a unit whose supervisor is gone has ended, and return how; None where nobody knows.

    systemd ends what is left in the unit first, which takes some milliseconds.
    """
    deadline, ask_at = time.monotonic() + _WAIT_SECONDS, 0.0
    while True:
        if (attempt / UNIT_END).is_file():
            with contextlib.suppress(MlperfOpsError):  # damaged, as on a full disk
                return load(UnitEnd, read_json(attempt / UNIT_END), UNIT_END)
            return None
        now = time.monotonic()
        if now >= ask_at:
            ask_at = now + _ASK_SECONDS
            over, found = _ask(unit)
            if over and not (attempt / UNIT_END).is_file():
                return found
        if now >= deadline:
            return None
        time.sleep(_POLL_SECONDS)


def _ask(unit: str) -> tuple[bool, UnitEnd | None]:
    try:
        done = subprocess.run([*_SHOW, unit], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False, None
    return parse_show(done.stdout)


def main() -> int:
    """Note the end of the unit that this process belongs to."""
    attempt = Path(sys.argv[1])
    word = os.environ.get("SERVICE_RESULT", "")
    code, status = os.environ.get("EXIT_CODE", ""), os.environ.get("EXIT_STATUS", "")
    if (attempt / RESULT).is_file():
        return 0
    group = cgroup.own() or cgroup.MemoryGroup(None, 0)
    note: JsonObject = {
        "result": word, "code": code, "status": status,
        "oom_kills": group.oom_kills, "memory_max_bytes": group.limit_bytes,
    }  # fmt: skip
    print(f"no result in {attempt}: {note}", flush=True)  # noqa: T201  # the unit's journal
    write_json(attempt / UNIT_END, note)
    return 0


if __name__ == "__main__":
    sys.exit(main())
