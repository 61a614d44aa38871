"""Look whether an attempt still runs: what a waiting play asks every few seconds, at next to no cost for the host.

The answer is "ended", "gone", or "running" and the phase.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

# Costs the measuring host two short processes, unlike a module call with its Python interpreter. The process must be
# the very one: after a reboot another one soon has its number. Where there is time, the host waits for the end itself:
# a sleeping shell costs less than another look over the connection.
_WAIT = "for step in {steps}; do test -f result.json && break; sleep {step_seconds}; done; "
_LOOK = (
    "cd {attempt} || exit 1; {wait}if test -f result.json; then echo ended; exit; fi; "
    """set -- $(sed -n 's/.*"\\(boot_id\\|pid\\|start_ticks\\)": *"\\{{0,1\\}}\\([^",]*\\).*/\\2/p' state.json """
    "2>/dev/null); "
    "boot=$1 pid=$2 began=$3 now= stat=; read -r now < /proc/sys/kernel/random/boot_id; "
    'test -n "$pid" && test -r "/proc/$pid/stat" && read -r stat < "/proc/$pid/stat"; set -- ${{stat##*) }}; '
    'if test -n "$stat" && test "$boot" = "$now" && test "$began" = "${{20}}" && test "$1" != Z; '
    'then echo "running $(cat phase 2>/dev/null)"; elif test -f result.json; then echo ended; else echo gone; fi'
)


def script(attempt: Path, wait_seconds: int = 0, step_seconds: int = 1) -> str:
    """Return the shell command that looks at an attempt on its host.

    Args:
        attempt: Its folder there.
        wait_seconds: How long the host waits for the attempt's end before it answers.
        step_seconds: How often it looks meanwhile, and how late it may see the end.
    """
    steps = " ".join("x" * (wait_seconds // step_seconds))
    wait = _WAIT.format(steps=steps, step_seconds=step_seconds) if steps else ""
    return _LOOK.format(attempt=shlex.quote(str(attempt)), wait=wait)


def here(attempt: Path) -> list[str]:
    """Answer as the script does, for an attempt on this machine, by reading files only."""
    if (attempt / "result.json").is_file():
        return ["ended"]
    try:
        state = json.loads((attempt / "state.json").read_text())
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        fields = Path(f"/proc/{state['pid']}/stat").read_text().rpartition(")")[2].split()
        alive = (boot, int(fields[19])) == (state["boot_id"], state["start_ticks"]) and fields[0] != "Z"
    except (OSError, ValueError, KeyError):
        alive = False
    if not alive:
        return ["ended" if (attempt / "result.json").is_file() else "gone"]
    try:
        return ["running", *(attempt / "phase").read_text().split()]
    except OSError:
        return ["running"]
