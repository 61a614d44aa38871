"""Look whether an attempt still runs: what a waiting play asks every few seconds, at next to no cost for the host.

The answer is "ended", "gone", or "running" and the phase.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

# Costs the measuring host two short processes, unlike a module call with its Python interpreter. The process must be
# the very one: after a reboot another one soon has its number.
_LOOK = (
    "cd {attempt} || exit 1; if test -f result.json; then echo ended; exit; fi; "
    """set -- $(sed -n 's/.*"\\(boot_id\\|pid\\|start_ticks\\)": *"\\{{0,1\\}}\\([^",]*\\).*/\\2/p' state.json """
    "2>/dev/null); "
    "boot=$1 pid=$2 began=$3 now= stat=; read -r now < /proc/sys/kernel/random/boot_id; "
    'test -n "$pid" && test -r "/proc/$pid/stat" && read -r stat < "/proc/$pid/stat"; set -- ${{stat##*) }}; '
    'if test -n "$stat" && test "$boot" = "$now" && test "$began" = "${{20}}"; '
    'then echo "running $(cat phase 2>/dev/null)"; elif test -f result.json; then echo ended; else echo gone; fi'
)


def script(attempt: Path) -> str:
    """Return the shell command that looks at an attempt on its host."""
    return _LOOK.format(attempt=shlex.quote(str(attempt)))


def here(attempt: Path) -> list[str]:
    """Answer as the script does, for an attempt on this machine, by reading files only."""
    if (attempt / "result.json").is_file():
        return ["ended"]
    try:
        state = json.loads((attempt / "state.json").read_text())
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        ticks = Path(f"/proc/{state['pid']}/stat").read_text().rpartition(")")[2].split()[19]
        alive = (boot, int(ticks)) == (state["boot_id"], state["start_ticks"])
    except (OSError, ValueError, KeyError):
        alive = False
    if not alive:
        return ["ended" if (attempt / "result.json").is_file() else "gone"]
    try:
        return ["running", *(attempt / "phase").read_text().split()]
    except OSError:
        return ["running"]
