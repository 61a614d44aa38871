"""A cell's transient systemd unit: what the host's systemd and cgroups offer of it, and the command that starts it.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SLICE = "mlperf.slice"
# Verdicts other than valid, and a host that another cell has taken, are no failures of the unit.
_GOOD_EXIT_CODES = "1 3 6"
_STOP_SECONDS = 60  # the supervisor hashes logs of gigabytes before it writes the result
_MIB = 1 << 20
_OOM_POLICY_SINCE, _CPUSET_SINCE = 243, 244


class Facts(NamedTuple):
    """What this host offers.

    Attributes:
        version: Of systemd.
        unified: Whether cgroups are version 2 alone.
        controllers: Those that units can have.
        node_cpus: NUMA node -> its CPUs as Linux lists them.
    """

    version: int
    unified: bool
    controllers: frozenset[str]
    node_cpus: Mapping[int, str]


def facts(version_text: str, root: Path = Path("/")) -> Facts:
    """Look at this host.

    Args:
        version_text: What C(systemctl --version) prints.
        root: Of the file system.
    """
    found = re.match(r"systemd (\d+)", version_text)
    top = root / "sys/fs/cgroup"
    offered = top / "cgroup.controllers"
    unified = offered.is_file()
    names = offered.read_text(encoding="utf-8").split() if unified else [one.name for one in top.glob("[a-z]*")]
    nodes = {}
    for path in (root / "sys/devices/system/node").glob("node[0-9]*/cpulist"):
        nodes[int(path.parent.name[4:])] = path.read_text(encoding="utf-8").strip()
    return Facts(int(found.group(1)) if found else 0, unified, frozenset(names), nodes)


def confined(wanted: Mapping[str, Any], host: Facts) -> tuple[dict[str, str], list[str]]:
    """Return the properties that keep a unit to its CPUs and memory, and a sentence for each that cannot be had."""
    kept: dict[str, str] = {}
    lost: list[str] = []
    cpus = [str(one) for one in wanted.get("cpus") or ()]
    for node in _numbers(str(wanted.get("cpu_nodes") or "")):
        if node in host.node_cpus:
            cpus.append(host.node_cpus[node])
        else:
            lost.append(f"AllowedCPUs: this host has no NUMA node {node}")
            cpus = []
            break
    why = _no_cpuset(host)
    for name, value in (("AllowedCPUs", ",".join(cpus)), ("AllowedMemoryNodes", str(wanted.get("memory_nodes") or ""))):
        if value and why:
            lost.append(f"{name} {value}: {why}; the processes bind themselves")
        elif value:
            kept[name] = value
    most = wanted.get("memory_max_mib")
    if most and "memory" not in host.controllers:
        lost.append(f"MemoryMax {most} MiB: units of this host have no memory controller, so nothing enforces it")
    elif most:
        kept["MemoryMax"] = str(int(most) * _MIB)
        if host.unified:
            kept["MemorySwapMax"] = "0"  # else it would swap instead, and measure the disk
    return kept, lost


def _no_cpuset(host: Facts) -> str:
    if not host.unified:
        return "systemd sets no cpusets with cgroup version 1"
    if "cpuset" not in host.controllers:
        return "units of this host have no cpuset controller"
    if host.version < _CPUSET_SINCE:
        return f"systemd {host.version} sets no cpusets"
    return ""


def _numbers(text: str) -> list[int]:
    numbers: list[int] = []
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers


def command(unit: Mapping[str, Any], gid: int, host: Facts) -> tuple[list[str], dict[str, Any]]:
    """Return the command that starts a unit, and what is recorded of it.

    Args:
        unit: From the agent: uid, name, description, attempt, argv, at_end, pythonpath, umask, limits, confinement.
        gid: Group of the account.
        host: What it offers.
    """
    kept, lost = confined(unit["confinement"], host)
    launched = {"by": "systemd", "unit": unit["name"], "slice": SLICE, "properties": kept, "not_offered": lost}
    properties = {
        **kept,
        "KillMode": "mixed",  # the supervisor is asked to end, and what it leaves is killed
        "TimeoutStopSec": str(_STOP_SECONDS),
        "SuccessExitStatus": _GOOD_EXIT_CODES,
        "After": "dbus.service",  # so at a shutdown the cell ends while systemd can still be asked whether it is one
        "TasksMax": "infinity",
        "UMask": str(unit["umask"]),
        "WorkingDirectory": str(unit["attempt"]),
        "ExecStopPost": _quoted(unit["at_end"]),
    }
    if host.version >= _OOM_POLICY_SINCE:
        properties["OOMPolicy"] = "continue"  # the supervisor survives its child, and tells
    properties.update({f"Limit{name}": str(value) for name, value in unit["limits"].items()})
    words = ["systemd-run", "--quiet", "--no-ask-password", "--collect", f"--unit={unit['name']}", f"--slice={SLICE}"]
    words += [f"--description={unit['description']}", f"--uid={unit['uid']}", f"--gid={gid}"]
    words += [f"--setenv=PYTHONPATH={unit['pythonpath']}"]
    words += [f"--property={name}={value}" for name, value in properties.items()]
    # systemd puts variables in place of $NAME; a path that has one means itself.
    given = [*unit["argv"], "--launched", json.dumps(launched, sort_keys=True)]
    return [*words, "--", *(str(word).replace("$", "$$") for word in given)], launched


def _quoted(words: Sequence[str]) -> str:
    """Write a command line as a unit file does."""
    escaped = (str(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$") for word in words)
    return " ".join(f'"{word}"' for word in escaped)


def systemd_version() -> str:
    """Ask systemd for its version; "" where nobody answers."""
    return _asked("--version")


def is_over(name: str) -> bool:
    """Tell whether a unit is surely not running."""
    return _asked("show", "--property=ActiveState", name).strip() in {"ActiveState=inactive", "ActiveState=failed"}


def _asked(*words: str) -> str:
    argv = ["systemctl", *words]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
