"""How a cell is started on this host: in a transient systemd unit, or in a process session of its own.

The agent runs as the account that cells run as. It decides by what it finds, and prepares what a unit needs; the unit
itself is started by the module `loadgen_unit`, as root. Standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import resource
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.errors import ToolError
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.harness.attempt_files import ENVIRONMENT
from mlperf_ops.model import Confinement, Spec
from mlperf_ops.typed import dump

BY_UNIT, BY_SESSION = "systemd", "session"
_BOOTED = "/run/systemd/system"  # sd_booted(3): systemd is PID 1
_LONGEST_NAME = 200
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")
# Of the ssh session, and wrong as soon as it has ended.
_OF_THE_SESSION = re.compile(
    r"^(SSH_.*|SUDO_.*|XDG_SESSION_.*|OLDPWD|PWD|SHLVL|_|TERM|LS_COLORS|INVOCATION_ID|JOURNAL_STREAM)$"
)
_LIMITS = (
    "AS", "CORE", "CPU", "DATA", "FSIZE", "MEMLOCK", "MSGQUEUE", "NICE", "NOFILE", "NPROC", "RSS", "RTPRIO", "RTTIME",
    "SIGPENDING", "STACK",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides on this host.

    Attributes:
        systemd: It is PID 1.
        systemd_run: The command is there.
        uid: Of this account.
    """

    systemd: bool
    systemd_run: bool
    uid: int


def facts() -> Facts:
    """Look at this host."""
    return Facts(Path(_BOOTED).is_dir(), shutil.which("systemd-run") is not None, os.geteuid())


def why_no_unit(launcher: str, found: Facts, *, may_become: bool, refused: str = "") -> str:
    """Say why cells run in a session here; "" where they run in a unit.

    Args:
        launcher: mlperf_launcher.
        found: Of this host.
        may_become: Whether the play may become root here.
        refused: Why no unit could be started a moment ago; "" where nobody tried.

    Raises:
        ToolError: The inventory asks for units, and there can be none.
    """
    why = refused
    if launcher == BY_SESSION:
        why = "mlperf_launcher is session"
    elif not found.systemd:
        why = "systemd is not PID 1 on this host"
    elif not found.systemd_run:
        why = "this host has no systemd-run"
    elif found.uid != 0 and not may_become:
        why = "only root may start units, and mlperf_become is false"
    if why and launcher == BY_UNIT:
        raise ToolError(
            f"cells cannot run in systemd units here, as mlperf_launcher asks: {why}",
            hint="mlperf_launcher: auto runs them in a process session of their own",
        )
    return why


def in_session(why: str, wanted: Confinement) -> JsonObject:
    """Return what is recorded of a cell in a session."""
    lost: list[Json] = []
    if wanted.memory_max_mib is not None:
        lost.append(f"memory_max_mib {wanted.memory_max_mib}: not enforced outside of a unit")
    if wanted.cpus or wanted.cpu_nodes:
        lost.append("cpuset: none outside of a unit; the processes bind themselves")
    return {"by": BY_SESSION, "why": why, "not_offered": lost}


def unit_name(run_id: str, spec: Spec, attempt: Path) -> str:
    """Return the unit's name: of run, cell and attempt, and never that of another attempt on this host."""
    cell = spec.cell
    place = hashlib.sha256(str(attempt).encode()).hexdigest()[:8]
    words = f"mlperf-{run_id}-{cell.benchmark}-{cell.scenario}-{cell.mode}"
    return f"{_NOT_IN_NAMES.sub('_', words)[:_LONGEST_NAME]}-{attempt.name.rpartition('_')[2]}-{place}.service"


def prepare_unit(run_id: str, spec: Spec, attempt: Path, argv: list[str], uid: int) -> JsonObject:
    """Leave the environment for the supervisor, and return what `loadgen_unit` needs to start it."""
    kept = {name: value for name, value in os.environ.items() if not _OF_THE_SESSION.match(name)}
    descriptor = os.open(attempt / ENVIRONMENT, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(kept, stream)
    umask = os.umask(0o022)
    os.umask(umask)
    return {
        "uid": uid,
        "name": unit_name(run_id, spec, attempt),
        "description": f"MLPerf cell {spec.cell.key}, {attempt.name}",
        "attempt": str(attempt),
        "argv": [*argv, "--environment", str(attempt / ENVIRONMENT)],
        "at_end": [sys.executable, "-m", "mlperf_ops.harness.unit_end", str(attempt)],
        "pythonpath": os.environ.get("PYTHONPATH", ""),
        "umask": f"{umask:04o}",
        "limits": dict(_limits()),
        "confinement": dump(spec.confinement),
    }


def abandon(attempt: Path) -> None:
    """Remove an attempt that was prepared and whose unit never began; one that began has taken its environment."""
    with contextlib.suppress(FileNotFoundError):
        (attempt / ENVIRONMENT).unlink()
        shutil.rmtree(attempt)


def take_environment(path: Path) -> None:
    """Become what the login was, for a supervisor in a unit.

    Raises:
        ToolError: The attempt was abandoned meanwhile.
    """
    mine = path.with_name(f"{path.name}.taken")
    try:
        path.rename(mine)
    except FileNotFoundError as error:
        raise ToolError("the attempt was given up before its unit began") from error
    kept = json.loads(mine.read_text())
    mine.unlink()
    os.environ.update(kept)


def _limits() -> list[tuple[str, Json]]:
    found: list[tuple[str, Json]] = []
    for name in _LIMITS:
        number = getattr(resource, f"RLIMIT_{name}", None)
        if number is not None:
            words = ("infinity" if one == resource.RLIM_INFINITY else str(one) for one in resource.getrlimit(number))
            found.append((name, ":".join(words)))
    return found
