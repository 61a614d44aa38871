"""How each field of a system description follows from facts. Pure; one small function a field, no invented value.

A derivation without a value carries the reason instead of an origin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from mlperf_ops.files import Json, JsonObject

NOT_APPLICABLE = "N/A"
_STATUS_WITHOUT_CLAIM = "rdi"  # research, development or internal: promises no availability to anybody
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Fact:
    """A value of the machine and where it was read."""

    value: Json
    origin: str


@dataclass(frozen=True, slots=True)
class SystemFacts:
    """facts.json of a host: what is known, and why the rest is not."""

    values: Mapping[str, Fact]
    unknown: Mapping[str, str]

    def get(self, name: str) -> Json:
        """Return a fact's value, None when it is unknown."""
        fact = self.values.get(name)
        return None if fact is None else fact.value

    def why_not(self, name: str) -> str:
        """Return the reason why a fact is unknown."""
        return self.unknown.get(name, f"the facts hold no {name}")

    def origin(self, *names: str) -> str:
        """Return the origins of the known ones of these facts."""
        return "; ".join(dict.fromkeys(self.values[name].origin for name in names if name in self.values))


@dataclass(frozen=True, slots=True)
class Usage:
    """What the packed runs of a system used.

    Attributes:
        system: The system's id in the inventory.
        frameworks: Name to versions.
        software: Other packages, name to versions.
        devices: Devices that the runs computed on, such as "cpu".
    """

    system: str
    frameworks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    software: Mapping[str, Sequence[str]] = field(default_factory=dict)
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Derivation:
    """A value with its origin, or None with the reason."""

    value: Json
    origin: str


_Derive: TypeAlias = Callable[[SystemFacts, Usage], Derivation]


def derive(key: str, facts: SystemFacts, usage: Usage, statuses: Sequence[str]) -> Derivation:
    """Return what the facts say of a field."""
    if key == "status" and _STATUS_WITHOUT_CLAIM in statuses:
        return Derivation(_STATUS_WITHOUT_CLAIM, "default: claims no availability; give status to claim it")
    if key.startswith("accelerator"):
        return _accelerator(key, facts, usage)
    found = _FIELDS.get(key)
    if found is None:
        return Derivation(None, f"no fact of the machine tells it; give {key} in mlperf_system_description")
    return found(facts, usage)


def _same(name: str) -> _Derive:
    def read(facts: SystemFacts, _: Usage) -> Derivation:
        if (value := facts.get(name)) is None:
            return Derivation(None, facts.why_not(name))
        return Derivation(value, facts.origin(name))

    return read


def _told(text: str, why: str) -> _Derive:
    return lambda _facts, _usage: Derivation(text, why)


def _objects(value: Json) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _counted(items: Sequence[str]) -> str:
    """Return "2x this; 1x that", in the order of first appearance."""
    return "; ".join(f"{items.count(item)}x {item}" for item in dict.fromkeys(items))


def _system_name(facts: SystemFacts, usage: Usage) -> Derivation:
    product, vendor = facts.get("product_name"), facts.get("system_vendor")
    if isinstance(product, str):
        name = f"{vendor} {product}" if isinstance(vendor, str) and not product.startswith(vendor) else product
        return Derivation(name, facts.origin("system_vendor", "product_name"))
    return Derivation(usage.system, "inventory: mlperf_system (the firmware gives no product name)")


def _frequency(facts: SystemFacts, _: Usage) -> Derivation:
    mhz = facts.get("cpu_max_mhz")
    if isinstance(mhz, (int, float)):
        return Derivation(f"{mhz:.0f} MHz (maximum)", facts.origin("cpu_max_mhz"))
    return Derivation(None, facts.why_not("cpu_max_mhz"))


def _caches(facts: SystemFacts, _: Usage) -> Derivation:
    names = {f"cpu_{level.lower()}_cache": level for level in ("L1d", "L1i", "L2", "L3")}
    known = {name: level for name, level in names.items() if facts.get(name) is not None}
    if not known:
        return Derivation(None, facts.why_not("cpu_l2_cache"))
    return Derivation(", ".join(f"{level} {facts.get(name)}" for name, level in known.items()), facts.origin(*known))


def _processor_interconnect(facts: SystemFacts, _: Usage) -> Derivation:
    sockets = facts.get("cpu_sockets")
    if sockets == 1:
        return Derivation(NOT_APPLICABLE, f"one processor ({facts.origin('cpu_sockets')})")
    reason = facts.why_not("cpu_sockets") if sockets is None else "no fact of the machine tells it"
    return Derivation(None, reason)


def _memory_capacity(facts: SystemFacts, _: Usage) -> Derivation:
    modules = _objects(facts.get("memory_modules"))
    if modules:
        installed = sum(int(str(module["size_gib"])) * int(str(module["count"])) for module in modules)
        return Derivation(f"{installed} GiB", facts.origin("memory_modules"))
    usable = facts.get("memory_total_bytes")
    if isinstance(usable, int):
        return Derivation(f"{usable / _GIB:.1f} GiB (usable)", facts.origin("memory_total_bytes"))
    return Derivation(None, facts.why_not("memory_total_bytes"))


def _memory_configuration(facts: SystemFacts, _: Usage) -> Derivation:
    modules = _objects(facts.get("memory_modules"))
    if not modules:
        return Derivation(None, facts.why_not("memory_modules"))
    texts = [
        " ".join(str(part) for part in (f"{module['size_gib']} GiB", module.get("type"), module.get("speed")) if part)
        for module in modules
    ]
    counted = "; ".join(f"{module['count']}x {text}" for module, text in zip(modules, texts, strict=True))
    return Derivation(counted, facts.origin("memory_modules"))


def _storage_capacity(facts: SystemFacts, _: Usage) -> Derivation:
    disks = _objects(facts.get("storage_devices"))
    if not disks:
        return Derivation(None, facts.why_not("storage_devices"))
    return Derivation(
        _counted([_size(int(str(disk["size_bytes"]))) for disk in disks]), facts.origin("storage_devices")
    )


def _size(count: int) -> str:
    return f"{count / 1e12:.2f} TB" if count >= 10**12 else f"{count / 1e9:.0f} GB"


def _storage_type(facts: SystemFacts, _: Usage) -> Derivation:
    disks = _objects(facts.get("storage_devices"))
    if not disks:
        return Derivation(None, facts.why_not("storage_devices"))
    kinds = [_kind(disk, virtual=facts.get("hypervisor") not in {None, "none"}) for disk in disks]
    return Derivation(", ".join(dict.fromkeys(kinds)), facts.origin("storage_devices"))


def _kind(disk: JsonObject, *, virtual: bool) -> str:
    transport = disk.get("transport")
    if transport == "nvme":
        return "NVMe SSD"
    if isinstance(transport, str) and transport in {"sata", "sas", "usb", "ata"}:
        return f"{transport.upper()} {'HDD' if disk.get('rotating') else 'SSD'}"
    name = str(disk.get("name"))
    if virtual or name.startswith(("vd", "xvd")):
        return "virtual disk (its medium is not visible in the virtual machine)"
    return "HDD" if disk.get("rotating") else "SSD"


def _networking(facts: SystemFacts, _: Usage) -> Derivation:
    interfaces = facts.get("network_interfaces")
    if not isinstance(interfaces, list):
        return Derivation(None, facts.why_not("network_interfaces"))
    if not interfaces:
        return Derivation("none (no network interface other than virtual ones)", facts.origin("network_interfaces"))
    texts = []
    for interface in _objects(interfaces):
        speed = interface.get("speed_mbit")
        told = f"{speed / 1000:g} Gbit/s" if isinstance(speed, int) else "(link speed not reported)"
        texts.append(f"{interface.get('driver') or 'driver not reported'} {told}")
    return Derivation(_counted(texts), facts.origin("network_interfaces"))


def _framework(_: SystemFacts, usage: Usage) -> Derivation:
    if not usage.frameworks:
        return Derivation(None, "no packed run names its framework")
    return Derivation(_versions(usage.frameworks, between=" v"), "the packed runs' spec.json: backend and packages")


def _versions(packages: Mapping[str, Sequence[str]], *, between: str) -> str:
    return ", ".join(
        f"{name}{between}{' and '.join(versions)}" if versions else name for name, versions in sorted(packages.items())
    )


def _operating_system(facts: SystemFacts, _: Usage) -> Derivation:
    name, kernel, glibc = facts.get("os_name"), facts.get("kernel"), facts.get("glibc")
    if name is None and kernel is None:
        return Derivation(None, facts.why_not("os_name"))
    details = [f"Linux {kernel}" if kernel else "", f"glibc {glibc}" if glibc else ""]
    container = facts.get("container")
    if isinstance(container, str) and container != "none":
        details.append(f"inside a {container} container")
    return Derivation(
        f"{name or 'Linux'} ({', '.join(filter(None, details))})",
        facts.origin("os_name", "kernel", "glibc", "container"),
    )


def _software(_: SystemFacts, usage: Usage) -> Derivation:
    if not usage.software:
        return Derivation(None, "no packed run names its packages")
    return Derivation(_versions(usage.software, between=" "), "the packed runs' spec.json: packages")


def _hardware_notes(facts: SystemFacts, usage: Usage) -> Derivation:
    notes, names = [], []
    hypervisor = facts.get("hypervisor")
    if isinstance(hypervisor, str) and hypervisor != "none":
        notes.append(f"virtual machine ({hypervisor}): the hardware is as the guest sees it")
        names.append("hypervisor")
    unused = _objects(facts.get("accelerators"))
    if unused and not _uses_accelerator(usage):
        names.append("accelerators")
        notes.append(f"accelerators present and not used: {_counted([str(gpu.get('name')) for gpu in unused])}")
    return Derivation("; ".join(notes), facts.origin(*names) or "none given")


def _software_notes(facts: SystemFacts, _: Usage) -> Derivation:
    labels = {
        "cpu_governor": "CPU governor",
        "cpu_turbo": "turbo",
        "smt": "SMT",
        "transparent_hugepage": "transparent huge pages",
        "numa_balancing": "NUMA balancing",
    }
    known = {name: label for name, label in labels.items() if facts.get(name) is not None}
    text = ", ".join(f"{label} {facts.get(name)}" for name, label in known.items())
    return Derivation(text, facts.origin(*known) or "none given")


def _uses_accelerator(usage: Usage) -> bool:
    return any(device != "cpu" for device in usage.devices)


def _accelerator(key: str, facts: SystemFacts, usage: Usage) -> Derivation:
    accelerators = facts.get("accelerators")
    if not _uses_accelerator(usage) and (usage.devices or accelerators == []):
        origin = "the packed runs' spec.json: device cpu" if usage.devices else facts.origin("accelerators")
        return Derivation(0 if key == "accelerators_per_node" else NOT_APPLICABLE, origin)
    found = _objects(accelerators)
    if key == "accelerators_per_node":
        return Derivation(len(found) if accelerators is not None else None, facts.origin("accelerators") or "not read")
    names, memory = [gpu.get("name") for gpu in found], [gpu.get("memory_mib") for gpu in found]
    told: Mapping[str, Sequence[str]] = {
        "accelerator_model_name": [str(name) for name in names if name],
        "accelerator_memory_capacity": [f"{cast('int', size) / 1024:.0f} GiB" for size in memory if size],
        "accelerator_frequency": [f"{gpu['max_mhz']} MHz (maximum)" for gpu in found if gpu.get("max_mhz")],
        "accelerator_host_interconnect": [str(gpu["pcie"]) for gpu in found if gpu.get("pcie")],
    }
    values = told.get(key, [])
    if values and len(values) == len(found):
        return Derivation(", ".join(dict.fromkeys(values)), facts.origin("accelerators"))
    if len(found) == 1 and key in {"accelerator_interconnect", "accelerator_interconnect_topology"}:
        return Derivation(NOT_APPLICABLE, f"one accelerator ({facts.origin('accelerators')})")
    return Derivation(None, f"no tool of the machine tells it; give {key} in mlperf_system_description")


_FIELDS: Mapping[str, _Derive] = {
    "system_name": _system_name,
    "number_of_nodes": lambda _facts, _usage: Derivation(1, "plan: a system is one host"),
    "host_processor_model_name": _same("cpu_model"),
    "host_processors_per_node": _same("cpu_sockets"),
    "host_processor_core_count": _same("cpu_cores_per_socket"),
    "host_processor_frequency": _frequency,
    "host_processor_caches": _caches,
    "host_processor_interconnect": _processor_interconnect,
    "host_memory_capacity": _memory_capacity,
    "host_memory_configuration": _memory_configuration,
    "host_storage_capacity": _storage_capacity,
    "host_storage_type": _storage_type,
    "host_networking": _networking,
    "host_networking_topology": _told(NOT_APPLICABLE, "plan: one host, and LoadGen runs on it"),
    "host_network_card_count": _same("network_card_count"),
    "framework": _framework,
    "operating_system": _operating_system,
    "other_software_stack": _software,
    "hw_notes": _hardware_notes,
    "sw_notes": _software_notes,
    "system_type_detail": _told("", "none given"),
    "boot_firmware_version": _same("bios_version"),
}
