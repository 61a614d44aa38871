"""Take labs down, whole or half built, and sweep those whose owner died."""

from __future__ import annotations

import time
from pathlib import Path

from mlperf_ops.errors import ToolError
from mlperf_ops.runlock import is_alive
from tests.lab import base, cgroups, egress, machine, making, network, processes, records, supervisor

_UMOUNT_SECONDS = 5.0


def mounts_below(folder: Path) -> list[Path]:
    """Return the mount points in a folder, the innermost first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = Path(line.split(" ")[4].encode().decode("unicode_escape"))
        if point.is_relative_to(folder):
            found.append(point)
    return found[::-1]


def unmount_below(folder: Path) -> None:
    """Unmount all in a folder, lazily what is still busy after some seconds."""
    until = time.monotonic() + _UMOUNT_SECONDS
    while points := mounts_below(folder):
        lazily = time.monotonic() > until
        for point in points:
            machine.run(["umount", *(["--lazy"] if lazily else []), str(point)], check=False)
        if lazily:
            break
        if mounts_below(folder):
            time.sleep(0.05)


def remove_host(lab_id: str, record: records.HostRecord) -> None:
    """Remove one host and all that belongs to it."""
    folder = records.folder_of(lab_id) / "hosts" / record.name
    supervisor.power_off(folder, [folder])
    processes.kill(processes.in_namespaces([network.namespace(lab_id, record.name)]))
    making.stop_view(folder)
    unmount_below(folder)
    network.disconnect(lab_id, record.name, record.index)
    above = [Path(name) for name in records.read_lab(lab_id).cgroups]
    cgroups.remove(above, lab_id, record.name)
    base.remove_tree(folder)


def down(lab_id: str) -> bool:
    """Take a lab down, in whatever state it is, and say whether there was one.

    The order matters: processes, mounts, network, groups, files. lab.json goes last, so that an interrupted `down` can
    be called again.

    Raises:
        ToolError: Something of the lab cannot be removed; it is named and everything else is gone.
    """
    folder = records.folder_of(lab_id)
    if not folder.is_dir():
        return False
    hosts = [path for path in (folder / "hosts").glob("*") if path.is_dir()]
    problems: list[str] = []
    try:
        supervisor.power_off(folder, hosts)
    except ToolError as error:
        problems.append(error.message)
    egress.stop(lab_id)
    processes.kill(processes.in_namespaces(network.namespaces(lab_id)))
    for host in hosts:
        making.stop_view(host)
    unmount_below(folder)
    network.remove(lab_id)
    record = records.find_lab(lab_id)
    above = [Path(name) for name in record.cgroups] if record else cgroups.parents()
    problems.extend(f"the cgroup {group} is still in use" for group in cgroups.remove(above, lab_id))
    problems.extend(f"the namespace {name} cannot be removed" for name in network.namespaces(lab_id))
    problems.extend(f"{point} is still mounted" for point in mounts_below(folder))
    if problems:
        raise ToolError(f"the lab '{lab_id}' is not wholly down: {problems[0]}", hint="call down once more")
    for path in folder.iterdir():
        if path.name != "lab.json":
            base.remove_tree(path)
    base.remove_tree(folder)
    with machine.locked("labs"):
        if not records.known_ids():
            machine.restore_settings()
    return True


def sweep() -> list[str]:
    """Take down the labs whose owner died, and return their ids."""
    swept = []
    with machine.locked("sweep"):
        for lab_id in records.known_ids():
            if _is_orphan(lab_id):
                down(lab_id)
                swept.append(lab_id)
    return swept


def _is_orphan(lab_id: str) -> bool:
    # A lab appears with its record and loses it last, so one without a record is the rest of an interrupted `down`.
    record = records.find_lab(lab_id)
    return record is None or (record.owner is not None and not is_alive(record.owner))
