"""Facts of the machine, read from the kernel and its tools: nothing is guessed and nothing is written.

Every fact says where it comes from, and every fact that could not be read says why, so that a system description can be
built from them without an invented value. Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils import host_gpus
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_devices import network
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_memory import memory_modules
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_pci import PciNames
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_tools import (
    NOT_UNDERSTOOD,
    Machine,
    number,
    parse_dmidecode,
    parse_lsblk,
    parse_lscpu,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_COMMANDS = {
    "lscpu": ["lscpu", "-J"],
    "lsblk": ["lsblk", "-J", "-b", "-d", "-o", "NAME,TYPE,SIZE,ROTA,TRAN,MODEL"],
    "dmidecode": ["dmidecode", "-t", "memory"],
}
_FIRMWARE_COMMAND = {"dmidecode -t 0,1,2": ["dmidecode", "-t", "0,1,2"]}  # where the kernel has no /sys/class/dmi
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
_TOPOLOGY = ("cpu_sockets", "cpu_cores_per_socket")
_FLAGS_OF_INTEREST = re.compile(r"sse4_2|avx.*|fma|f16c|amx_.*|asimd(hp|dp)?|sve2?|i8mm|bf16")  # they decide kernels
_FIRMWARE = {  # fact -> file of /sys/class/dmi/id, and where dmidecode tells the same
    "system_vendor": ("sys_vendor", "System Information", "Manufacturer"),
    "product_name": ("product_name", "System Information", "Product Name"),
    "board_vendor": ("board_vendor", "Base Board Information", "Manufacturer"),
    "board_name": ("board_name", "Base Board Information", "Product Name"),
    "bios_vendor": ("bios_vendor", "BIOS Information", "Vendor"),
    "bios_version": ("bios_version", "BIOS Information", "Version"),
    "bios_date": ("bios_date", "BIOS Information", "Release Date"),
}


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
        if container is None and machine.exists(marker):
            container = kind
    facts.put("container", container or "none", "/run/systemd/container, /.dockerenv, /run/.containerenv")
    inside = " (of the container)" if container else ""
    release = dict(re.findall(r'^([A-Z_]+)="?(.*?)"?$', machine.read("/etc/os-release") or "", re.MULTILINE))
    for name, key in (("os_name", "PRETTY_NAME"), ("os_id", "ID"), ("os_version", "VERSION_ID")):
        facts.put(name, told(release.get(key)), f"/etc/os-release: {key}{inside}")
    for name, path in (
        ("hostname", "/proc/sys/kernel/hostname"),
        ("kernel", "/proc/sys/kernel/osrelease"),
        ("boot_id", "/proc/sys/kernel/random/boot_id"),
    ):
        facts.put(name, machine.read(path), path)
    process = machine.process
    facts.put("architecture", process["architecture"], "uname -m")
    facts.put("glibc", process["glibc"], f"confstr CS_GNU_LIBC_VERSION{inside}", "no glibc")
    facts.put("python_version", process["python_version"], "the Python that collected the facts")


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


def _one_chip(machine: Machine) -> dict[str, int]:
    """Return sockets and cores of an Arm board that is described by a device tree: it has one chip.

    Kernel and lscpu may call its clusters of cores sockets: a Jetson AGX Orin would have three processors.
    """
    architecture = machine.process["architecture"] or ""
    by_tree = machine.exists("/proc/device-tree/compatible") and not machine.exists("/sys/firmware/acpi/tables")
    topology = _topology(machine) if architecture.startswith(("aarch64", "arm")) and by_tree else {}
    if not topology:
        return {}
    return {"cpu_sockets": 1, "cpu_cores_per_socket": topology["cpu_sockets"] * topology["cpu_cores_per_socket"]}


def _processor(facts: Facts, machine: Machine) -> None:
    text, reason = machine.output("lscpu")
    fields: dict[str, str] = {}
    if text is not None:
        try:
            fields = parse_lscpu(text)
        except NOT_UNDERSTOOD:
            reason = "lscpu -J printed something else than its JSON"
    for name, field in _LSCPU_TEXT.items():
        facts.put(name, told(fields.get(field)), f"lscpu: {field}", reason or f"lscpu shows no '{field}'")
    topology: dict[str, int] | None = None
    chip = _one_chip(machine)
    for name, (field, convert) in _LSCPU_NUMBERS.items():
        value = number(told(fields.get(field)), convert)
        origin = f"lscpu: {field}"
        if value is None and name in _TOPOLOGY:  # lscpu on Arm may print "Socket(s): -"
            topology = _topology(machine) if topology is None else topology
            value, origin = topology.get(name), "/sys/devices/system/cpu/*/topology"
        if chip and name in chip:
            value, origin = chip[name], "device tree: a system on one chip, whose core clusters are no sockets"
        facts.put(name, value, origin, reason or f"lscpu shows no '{field}'")
    flags = set(fields.get("Flags", "").split())
    facts.put(
        "cpu_flags",
        sorted(filter(_FLAGS_OF_INTEREST.fullmatch, flags)) if flags else None,
        "lscpu: Flags (those of interest)",
        reason,
    )
    hypervisor = told(fields.get("Hypervisor vendor"))
    origin = "lscpu: Hypervisor vendor"
    if hypervisor is None and machine.read("/sys/hypervisor/type"):
        hypervisor, origin = machine.read("/sys/hypervisor/type"), "/sys/hypervisor/type"
    if hypervisor is None and fields and "hypervisor" not in flags:
        hypervisor = "none"
    facts.put("hypervisor", hypervisor, origin, reason)


def _memory(facts: Facts, machine: Machine) -> None:
    for name, key in (("memory_total_bytes", "MemTotal"), ("swap_total_bytes", "SwapTotal")):
        found = re.search(rf"^{key}:\s+(\d+) kB$", machine.read("/proc/meminfo") or "", re.MULTILINE)
        facts.put(name, int(found.group(1)) * 1024 if found else None, f"/proc/meminfo: {key}")
    text, reason = machine.output("dmidecode")
    memory = memory_modules(parse_dmidecode(text or ""))
    if memory["memory_modules"]:
        reason = "the firmware does not tell it to dmidecode"
    elif text is not None:
        reason = "the firmware describes no memory module to dmidecode"
    for name, value in memory.items():
        facts.put(name, value, "dmidecode -t memory", reason)


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


def _devices(facts: Facts, machine: Machine) -> None:
    names = PciNames(machine)
    interfaces, cards = network(machine, names)
    named = f", {names.origin}" if names.origin else ""
    facts.put("network_interfaces", interfaces, f"/sys/class/net{named}")
    facts.put("network_card_count", cards, "/sys/class/net: devices that are not virtual")
    found, origin = host_gpus.accelerators(machine, names)
    facts.put("accelerators", found, origin)


def _firmware(facts: Facts, machine: Machine) -> None:
    has_dmi = bool(machine.names("/sys/class/dmi/id"))
    model = machine.read("/proc/device-tree/model")
    records: dict[str, dict[str, str]] = {}
    reason = "the kernel shows no DMI data"
    if not has_dmi and model is None and machine.has_tool("dmidecode"):
        machine.start(_FIRMWARE_COMMAND)
        text, why_not = machine.output(*_FIRMWARE_COMMAND)
        records = dict(reversed(parse_dmidecode(text or "")))  # the first board is the main board
        reason = f"{reason}; {why_not}" if why_not else reason
    for name, (file, title, field) in _FIRMWARE.items():
        value, origin = told(machine.read(f"/sys/class/dmi/id/{file}")), f"/sys/class/dmi/id/{file}"
        if has_dmi:
            reason = f"{origin} is empty or a placeholder of the firmware"
        elif records:
            value, origin = told(records.get(title, {}).get(field)), f"dmidecode: {title}, {field}"
        elif name == "product_name":
            value, origin = told(model), "/proc/device-tree/model"
        facts.put(name, value, origin, reason)


def _state(facts: Facts, machine: Machine) -> None:
    base = "/sys/devices/system/cpu/cpufreq"
    policies = [f"{base}/{name}" for name in machine.names(base) if name.startswith("policy")]
    shown = "/sys/devices/system/cpu/cpufreq/policy*"
    if not policies:
        policies = [f"/sys/devices/system/cpu/{cpu}/cpufreq" for cpu in _cpus(machine)]
        shown = "/sys/devices/system/cpu/*/cpufreq"
    for name, key in (
        ("cpu_governor", "scaling_governor"),
        ("cpu_scaling_driver", "scaling_driver"),
        ("cpu_energy_preference", "energy_performance_preference"),
    ):
        seen = {machine.read(f"{folder}/{key}") for folder in policies} - {None}
        facts.put(
            name,
            ", ".join(sorted(filter(None, seen))) or None,
            f"{shown}/{key}",
            "the kernel offers no cpufreq" if "energy" not in key else "the driver offers no energy preference",
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
    """Return {"values": {name: {"value", "origin"}}, "unknown": {name: reason}} of a machine, this one by default.

    Nothing is kept from an earlier time: firmware tables are quick to read, and a GPU may fall off the bus, or its
    driver be exchanged, without a reboot that would tell.
    """
    here = machine or Machine()
    facts = Facts()
    try:
        host_gpus.start(here)  # the slowest first
        here.start(_COMMANDS)
        for part in (_software, _firmware, _state, _processor, _memory, _storage, _devices):
            part(facts, here)
    finally:
        here.stop()
    return {"values": facts.values, "unknown": facts.unknown}
