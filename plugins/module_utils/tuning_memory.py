"""What the memory and kernel settings of the inventory mean in knobs: THP, hugepages, swap, sysctls.

The rules are those of Linux: Documentation/admin-guide/mm/{transhuge,hugetlbpage}.rst and admin-guide/sysctl.
Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_knob import (
    ChoiceKnob,
    FileKnob,
    Knob,
    MissingError,
    Planned,
    RefusedError,
    Skip,
    Step,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_knob import Machine

_THP = "/sys/kernel/mm/transparent_hugepage"
_HUGEPAGES = "/sys/kernel/mm/hugepages"
_NODES = "/sys/devices/system/node"
_SWAPS = "/proc/swaps"
_DROP_CACHES = "/proc/sys/vm/drop_caches"
_SWAP_OFF, _SWAP_ON = "[]", "on"
# One value in two units: setting one of them makes the other 0.
_TWINS = {"dirty": "bytes", "dirty_background": "bytes", "overcommit": "kbytes"}


def sysctl_path(name: str) -> str:
    """Return the file of a sysctl: dots are slashes, unless the name has slashes itself."""
    return "/proc/sys/" + (name if "/" in name else name.replace(".", "/"))


def _file(setting: str, machine: Machine, name: str, wanted: str) -> Planned:
    knob = FileKnob(machine, name)
    try:
        knob.read()
    except MissingError as error:
        return Skip(setting, name, str(error))
    return Step(setting, knob, wanted)


def _switch(setting: str, sysctl: str) -> Callable[[Machine, Mapping[str, Any]], Iterator[Planned]]:
    def expand(machine: Machine, settings: Mapping[str, Any]) -> Iterator[Planned]:
        yield _file(setting, machine, sysctl_path(sysctl), "1" if settings[setting] else "0")

    return expand


def _thp(setting: str, name: str) -> Callable[[Machine, Mapping[str, Any]], Iterator[Planned]]:
    def expand(machine: Machine, settings: Mapping[str, Any]) -> Iterator[Planned]:
        knob = ChoiceKnob(machine, f"{_THP}/{name}")
        try:
            knob.read()
        except MissingError as error:
            yield Skip(setting, knob.name, str(error))
        else:
            yield Step(setting, knob, str(settings[setting]))

    return expand


def hugepages(machine: Machine, settings: Mapping[str, Any]) -> Iterator[Planned]:
    """Pages of a size, in all or on one NUMA node. A total is spread by the kernel, so each node's share is kept."""
    for item in settings["hugepages"]:
        name = f"hugepages-{item['size_kib']}kB/nr_hugepages"
        node = item.get("node")
        if not machine.has(f"{_HUGEPAGES}/{name}"):
            sizes = [re.sub(r"\D", "", one) for one in machine.names(_HUGEPAGES)]
            reason = f"there are no huge pages of {item['size_kib']} KiB; this host has {', '.join(sizes) or 'none'}"
            yield Skip("hugepages", "", reason)
            continue
        if node is not None:
            yield _file("hugepages", machine, f"{_NODES}/node{node}/hugepages/{name}", str(item["pages"]))
            continue
        yield _file("hugepages", machine, f"{_HUGEPAGES}/{name}", str(item["pages"]))
        for folder in machine.names(_NODES):
            share = f"{_NODES}/{folder}/hugepages/{name}"
            if folder.startswith("node") and machine.has(share):
                yield Step("hugepages", FileKnob(machine, share), None)


def sysctls(machine: Machine, settings: Mapping[str, Any]) -> Iterator[Planned]:
    """Any other sysctl. Those with a twin, as vm.dirty_ratio with vm.dirty_bytes, are kept together."""
    for name, value in settings["sysctls"].items():
        path = sysctl_path(name)
        yield _file("sysctls", machine, path, str(value))
        twin = _twin(path)
        if twin and machine.has(twin):
            yield Step("sysctls", FileKnob(machine, twin), None)


def _twin(path: str) -> str:
    folder, name = os.path.split(path)
    group, _, unit = name.rpartition("_")
    if folder == "/proc/sys/vm" and group in _TWINS and unit in ("ratio", _TWINS[group]):
        return f"{folder}/{group}_{_TWINS[group] if unit == 'ratio' else 'ratio'}"
    return ""


class SwapKnob(Knob):
    """All swap areas that are in use, as a JSON list of [path, priority]."""

    kind = "swap"

    @property
    def explain(self) -> str:
        """It has no file of its own."""
        return "swap"

    def read(self) -> str:
        """Return the areas of /proc/swaps."""
        rows = [line.split() for line in self.machine.read(_SWAPS).splitlines()[1:]]
        areas = [[row[0].replace("\\040", " "), int(row[-1])] for row in rows if row]
        return json.dumps(sorted(areas))

    def write(self, value: str) -> None:
        """Turn areas on or off until they are the wanted ones; "on" takes those of /etc/fstab."""
        if value == _SWAP_ON:
            self.machine.run("swapon", "--all")
            return
        wanted, there = self._areas(value), self._areas(self.read())
        for area in there:
            if area not in wanted:
                self.machine.run("swapoff", area)
        for area, priority in wanted.items():
            if area not in there:
                self.machine.run("swapon", *(["-p", str(priority)] if priority >= 0 else []), area)

    def same(self, wanted: str, found: str) -> bool:
        """Compare areas; negative priorities are given out by the kernel in the order of activation."""
        if wanted == _SWAP_ON:
            return found != _SWAP_OFF
        ours, theirs = self._areas(wanted), self._areas(found)
        return {name: max(number, -1) for name, number in ours.items()} == {
            name: max(number, -1) for name, number in theirs.items()
        }

    @staticmethod
    def _areas(value: str) -> dict[str, int]:
        return {str(name): int(priority) for name, priority in json.loads(value)}


def swap(machine: Machine, settings: Mapping[str, Any]) -> Iterator[Planned]:
    """Swap areas: all off, or those of /etc/fstab on."""
    knob = SwapKnob(machine, "all")
    try:
        knob.read()
    except MissingError as error:
        yield Skip("swap", "", str(error))
    else:
        yield Step("swap", knob, _SWAP_ON if settings["swap"] else _SWAP_OFF)


def drop_caches(machine: Machine, level: int) -> str:
    """Drop clean caches, once, after writing back the dirty ones; return why it was not possible, or "".

    Args:
        machine: Where.
        level: 1 page cache, 2 dentries and inodes, 3 both.
    """
    os.sync()
    try:
        machine.write(_DROP_CACHES, str(level))
    except RefusedError as error:
        return str(error)
    return ""


SETTINGS: dict[str, Callable[[Machine, Mapping[str, Any]], Iterator[Planned]]] = {
    "numa_balancing": _switch("numa_balancing", "kernel.numa_balancing"),
    "nmi_watchdog": _switch("nmi_watchdog", "kernel.nmi_watchdog"),
    "thp_enabled": _thp("thp_enabled", "enabled"),
    "thp_defrag": _thp("thp_defrag", "defrag"),
    "sysctls": sysctls,
    "hugepages": hugepages,
    "swap": swap,
}
