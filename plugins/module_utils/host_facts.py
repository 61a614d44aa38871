"""Facts of the machine, read from the kernel and its tools: nothing is guessed and nothing is written.

Every fact says where it comes from, and every fact that could not be read says why, so that a system description can be
built from them without an invented value. Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import os
import platform
import re
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_tools import (
    NOT_UNDERSTOOD,
    Machine,
    number,
    parse_dmidecode_memory,
    parse_lsblk,
    parse_lscpu,
    parse_nvidia_smi,
    parse_rocm_smi,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_COMMANDS = {
    "lscpu": ["lscpu", "-J"],
    "lsblk": ["lsblk", "-J", "-b", "-d", "-o", "NAME,TYPE,SIZE,ROTA,TRAN,MODEL"],
    "dmidecode": ["dmidecode", "-t", "memory"],
    "nvidia-smi": [
        "nvidia-smi",
        "--query-gpu=name,memory.total,driver_version,clocks.max.sm,pcie.link.gen.max,pcie.link.width.max",
        "--format=csv,noheader,nounits",
    ],
    "rocm-smi": ["rocm-smi", "--showproductname", "--showmeminfo", "vram", "--showdriverversion", "--json"],
}
_LSCPU_TEXT = {
    "cpu_vendor": "Vendor ID",
    "cpu_model": "Model name",
    "cpu_l1d_cache": "L1d cache",
    "cpu_l1i_cache": "L1i cache",
    "cpu_l2_cache": "L2 cache",
    "cpu_l3_cache": "L3 cache",
}
_LSCPU_NUMBERS: dict[str, tuple[str, Callable[[str], float]]] = {
    "cpu_logical_count": ("CPU(s)", int),
    "cpu_sockets": ("Socket(s)", int),
    "cpu_cores_per_socket": ("Core(s) per socket", int),
    "cpu_threads_per_core": ("Thread(s) per core", int),
    "cpu_max_mhz": ("CPU max MHz", float),
    "cpu_min_mhz": ("CPU min MHz", float),
    "numa_nodes": ("NUMA node(s)", int),
}
_FLAGS_OF_INTEREST = re.compile(r"sse4_2|avx.*|fma|f16c|amx_.*|asimd(hp|dp)?|sve2?|i8mm|bf16")  # they decide kernels
_PCI_NVIDIA = "0x10de"
_PCI_VGA, _PCI_ACCELERATORS = "0x0300", ("0x0302", "0x1200")  # VGA; 3D controller, processing accelerator


class Facts:
    """Values with their origin, and names with the reason why there is no value."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, Any]] = {}
        self.unknown: dict[str, str] = {}

    def put(self, name: str, value: Any, origin: str, otherwise: str = "") -> None:  # noqa: ANN401  # any JSON value
        """Keep a value, or the reason for none when the value is None."""
        if value is None:
            self.unknown[name] = otherwise or f"{origin} tells nothing"
        else:
            self.values[name] = {"value": value, "origin": origin}


def _software(facts: Facts, machine: Machine) -> None:
    container = machine.read("/run/systemd/container")
    for marker, kind in (("/.dockerenv", "docker"), ("/run/.containerenv", "podman")):
        if container is None and os.path.exists(machine.path(marker)):
            container = kind
    facts.put("container", container or "none", "/run/systemd/container, /.dockerenv, /run/.containerenv")
    inside = " (of the container)" if container else ""
    release = dict(
        re.findall(r'^([A-Z_]+)="?(.*?)"?$', machine.read("/etc/os-release") or "", re.MULTILINE),
    )
    for name, key in (("os_name", "PRETTY_NAME"), ("os_id", "ID"), ("os_version", "VERSION_ID")):
        facts.put(name, told(release.get(key)), f"/etc/os-release: {key}{inside}")
    for name, path in (
        ("hostname", "/proc/sys/kernel/hostname"),
        ("kernel", "/proc/sys/kernel/osrelease"),
        ("boot_id", "/proc/sys/kernel/random/boot_id"),
    ):
        facts.put(name, machine.read(path), path)
    facts.put("architecture", platform.machine() or None, "uname -m")
    glibc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else None
    facts.put("glibc", glibc.split()[-1] if glibc else None, f"confstr CS_GNU_LIBC_VERSION{inside}", "no glibc")
    facts.put("python_version", platform.python_version(), "the Python that collected the facts")


def _cpus(machine: Machine) -> list[str]:
    return [name for name in machine.names("/sys/devices/system/cpu") if re.match(r"cpu\d+$", name)]


def _topology(machine: Machine) -> dict[str, int]:
    """Count sockets and cores as the kernel numbers them; nothing where it does not."""
    cores = set()
    for cpu in _cpus(machine):
        folder = f"/sys/devices/system/cpu/{cpu}/topology"
        socket = number(machine.read(f"{folder}/physical_package_id"), int)
        core = number(machine.read(f"{folder}/core_id"), int)
        if socket is None or core is None or min(socket, core) < 0:
            return {}
        cores.add((socket, core))
    sockets = len({socket for socket, _ in cores})
    if not sockets or len(cores) % sockets:
        return {}
    return {"cpu_sockets": sockets, "cpu_cores_per_socket": len(cores) // sockets}


def _processor(facts: Facts, machine: Machine) -> None:
    text, reason = machine.output("lscpu")
    fields: dict[str, str] = {}
    if text is not None:
        try:
            fields = parse_lscpu(text)
        except NOT_UNDERSTOOD:
            reason = "lscpu -J printed something else than its JSON"
    topology = _topology(machine)
    for name, field in _LSCPU_TEXT.items():
        facts.put(name, told(fields.get(field)), f"lscpu: {field}", reason or f"lscpu shows no '{field}'")
    for name, (field, convert) in _LSCPU_NUMBERS.items():
        value = number(told(fields.get(field)), convert)
        origin = f"lscpu: {field}"
        if value is None and name in topology:  # lscpu on Arm may print "Socket(s): -"
            value, origin = topology[name], "/sys/devices/system/cpu/*/topology"
        facts.put(name, value, origin, reason or f"lscpu shows no '{field}'")
    flags = set(fields.get("Flags", "").split())
    facts.put(
        "cpu_flags",
        sorted(filter(_FLAGS_OF_INTEREST.fullmatch, flags)) if flags else None,
        "lscpu: Flags (those of interest)",
        reason,
    )
    hypervisor = told(fields.get("Hypervisor vendor"))
    if hypervisor is None and fields and "hypervisor" not in flags:
        hypervisor = "none"
    facts.put("hypervisor", hypervisor, "lscpu: Hypervisor vendor", reason)


def _memory(facts: Facts, machine: Machine) -> None:
    for name, key in (("memory_total_bytes", "MemTotal"), ("swap_total_bytes", "SwapTotal")):
        found = re.search(rf"^{key}:\s+(\d+) kB$", machine.read("/proc/meminfo") or "", re.MULTILINE)
        facts.put(name, int(found.group(1)) * 1024 if found else None, f"/proc/meminfo: {key}")
    text, reason = machine.output("dmidecode")
    modules = parse_dmidecode_memory(text) if text is not None else []
    if text is not None and not modules:
        reason = "the firmware describes no memory module to dmidecode"
    facts.put("memory_modules", modules or None, "dmidecode -t memory", reason)


def _storage(facts: Facts, machine: Machine) -> None:
    text, reason = machine.output("lsblk")
    disks: list[dict[str, Any]] = []
    if text is not None:
        try:
            disks = parse_lsblk(text)
            reason = "lsblk shows no disk"
        except NOT_UNDERSTOOD:
            reason = "lsblk -J printed something else than its JSON"
    facts.put("storage_devices", disks or None, "lsblk", reason)


def _network(facts: Facts, machine: Machine) -> None:
    interfaces, cards = [], set()
    for name in machine.names("/sys/class/net"):
        folder = f"/sys/class/net/{name}"
        device = f"{folder}/device"
        # No device: loopback, bridge, tunnel … ; physfn: a virtual function of a card that is counted already.
        if not os.path.exists(machine.path(device)) or os.path.exists(machine.path(f"{device}/physfn")):
            continue
        speed = number(machine.read(f"{folder}/speed"), int)
        interfaces.append(
            {
                "name": name,
                "driver": machine.link(f"{device}/driver"),
                "speed_mbit": int(speed) if speed is not None and speed > 0 else None,
            }
        )
        # The functions 0, 1, … of one PCI address are the ports of one card.
        cards.add(re.sub(r"\.[0-9a-f]$", "", machine.link(device) or name))
    facts.put("network_interfaces", interfaces, "/sys/class/net")
    facts.put("network_card_count", len(cards), "/sys/class/net: devices that are not virtual")


def _accelerators(facts: Facts, machine: Machine) -> None:
    reasons: list[str] = []
    found: list[dict[str, Any]] = []
    origin = ""
    for tool, parse in (("nvidia-smi", parse_nvidia_smi), ("rocm-smi", parse_rocm_smi)):
        text, reason = machine.output(tool)
        if text is None:
            reasons.append(reason)
            continue
        try:
            gpus = parse(text)
        except NOT_UNDERSTOOD:
            reasons.append(f"{tool} printed something that is not understood")
            continue
        found, origin = found + gpus, tool if not origin else f"{origin}, {tool}"
    if not found:
        for address in machine.names("/sys/bus/pci/devices"):
            folder = f"/sys/bus/pci/devices/{address}"
            kind, vendor = (machine.read(f"{folder}/class") or "")[:6], machine.read(f"{folder}/vendor")
            if kind in _PCI_ACCELERATORS or (kind == _PCI_VGA and vendor == _PCI_NVIDIA):
                found.append({"name": None, "pci": address, "pci_vendor": vendor})
        origin = f"PCI devices of class 0302 and 1200; {'; '.join(reasons)}" if reasons else "nvidia-smi, rocm-smi"
    facts.put("accelerators", found, origin)


def _firmware(facts: Facts, machine: Machine) -> None:
    for name, key in (
        ("system_vendor", "sys_vendor"),
        ("product_name", "product_name"),
        ("board_name", "board_name"),
        ("bios_vendor", "bios_vendor"),
        ("bios_version", "bios_version"),
        ("bios_date", "bios_date"),
    ):
        path = f"/sys/class/dmi/id/{key}"
        facts.put(name, told(machine.read(path)), path, "the kernel shows no DMI data")


def _state(facts: Facts, machine: Machine) -> None:
    cpus = _cpus(machine)
    for name, key in (("cpu_governor", "scaling_governor"), ("cpu_scaling_driver", "scaling_driver")):
        seen = {machine.read(f"/sys/devices/system/cpu/{cpu}/cpufreq/{key}") for cpu in cpus} - {None}
        facts.put(
            name,
            ", ".join(sorted(filter(None, seen))) or None,
            f"/sys/devices/system/cpu/*/cpufreq/{key}",
            "the kernel offers no cpufreq",
        )
    no_turbo = machine.read("/sys/devices/system/cpu/intel_pstate/no_turbo")
    boost = machine.read("/sys/devices/system/cpu/cpufreq/boost")
    if no_turbo is not None:
        facts.put("cpu_turbo", "off" if no_turbo == "1" else "on", "/sys/devices/system/cpu/intel_pstate/no_turbo")
    else:
        facts.put(
            "cpu_turbo",
            None if boost is None else "on" if boost == "1" else "off",
            "/sys/devices/system/cpu/cpufreq/boost",
            "the kernel shows neither intel_pstate nor cpufreq boost",
        )
    facts.put("smt", machine.read("/sys/devices/system/cpu/smt/control"), "/sys/devices/system/cpu/smt/control")
    for name, key in (("transparent_hugepage", "enabled"), ("transparent_hugepage_defrag", "defrag")):
        path = f"/sys/kernel/mm/transparent_hugepage/{key}"
        chosen = re.search(r"\[(.+?)\]", machine.read(path) or "")
        facts.put(name, chosen.group(1) if chosen else None, path)
    facts.put("numa_balancing", machine.read("/proc/sys/kernel/numa_balancing"), "/proc/sys/kernel/numa_balancing")


def collect(machine: Machine | None = None) -> dict[str, dict[str, Any]]:
    """Return {"values": {name: {"value", "origin"}}, "unknown": {name: reason}} of a machine, this one by default."""
    here = machine or Machine()
    facts = Facts()
    try:
        here.start(_COMMANDS)
        for part in (_software, _firmware, _state, _network, _processor, _memory, _storage, _accelerators):
            part(facts, here)
    finally:
        here.stop()
    return {"values": facts.values, "unknown": facts.unknown}
