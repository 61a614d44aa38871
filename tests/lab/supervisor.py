"""Start and stop the process that keeps one host running, in systemd-nspawn."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from mlperf_ops.errors import ToolError
from tests.lab import cgroups, network, processes
from tests.lab.base import FOLDER
from tests.lab.machine import NETNS, PREFIX, start_detached

# On top of nspawn's own. Never all: with CAP_SYS_TIME `date -s` in a host sets the clock of the machine.
_CAPABILITIES = "CAP_NET_ADMIN,CAP_IPC_LOCK,CAP_SYS_NICE"
_END_SECONDS = 5.0


def nspawn_argv(lab_id: str, name: str, folder: Path) -> list[str]:
    """Return the command that boots a host once."""
    argv = [
        "systemd-nspawn",
        "--quiet",
        f"--directory={folder / 'root'}",
        f"--machine={PREFIX}-{lab_id}-{name}",
        f"--hostname={name}",
        "--register=no",
        "--kill-signal=SIGRTMIN+3",
        # Made beforehand, so that it outlives a reboot and a kill.
        f"--network-namespace-path={NETNS / network.namespace(lab_id, name)}",
        f"--capability={_CAPABILITIES}",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=pipe",
    ]
    # Without systemd as the machine's PID 1 the supervisor places the host; with it, nspawn asks for a scope.
    if not cgroups.systemd_owns_them():
        argv.append("--keep-unit")
    return [*argv, f"/{FOLDER}/pid1"]


def start(lab_id: str, name: str, folder: Path, above: list[Path]) -> None:
    """Start a host in the background; it goes on when the caller ends.

    Args:
        lab_id: The lab.
        name: The host.
        folder: The host's, with its root mounted.
        above: Where the groups of the lab go.
    """
    groups = cgroups.make(above, lab_id, name)
    (folder / "cgroups").write_text("".join(f"{group}\n" for group in groups))
    for name_of_last_time in ("exit_code", "off"):
        (folder / name_of_last_time).unlink(missing_ok=True)
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",  # /proc/sys/net is the host's own
    }
    argv = ["/bin/sh", str(processes.SUPERVISOR), str(folder), *nspawn_argv(lab_id, name, folder)]
    start_detached(argv, folder / "console.log", env)


def signal_systemd(pid1: int, number: int) -> None:
    """Send SIGRTMIN+number, which systemd documents as a request."""
    os.kill(pid1, signal.SIGRTMIN + number)


def power_off(folder: Path, hosts: list[Path]) -> None:
    """End hosts at once, as a cut of the power does.

    Args:
        folder: The host's own folder, or a folder above several.
        hosts: The folders of these hosts.

    Raises:
        ToolError: A process does not end.
    """
    for host in hosts:
        (host / "off").touch()  # or their supervisors could take it for a reboot
    payloads = [child for container in processes.containers(folder) for child in processes.children(container)]
    for pid in payloads:
        _thaw(pid)  # a frozen process does not even die
    processes.kill(payloads)
    # nspawn ends by itself then, and its supervisor after it.
    if processes.wait_until(lambda: not processes.supervisors(folder), _END_SECONDS):
        return
    processes.kill([*processes.supervisors(folder), *processes.containers(folder)])
    if not processes.wait_until(lambda: not processes.containers(folder), _END_SECONDS):
        raise ToolError(f"systemd-nspawn of {folder} does not end")


def _thaw(pid: int) -> None:
    try:
        cgroups.thaw(pid)
    except (OSError, KeyError):
        return  # it ended meanwhile, or has no freezer
