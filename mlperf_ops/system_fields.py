"""How each field of a system description follows from facts. Pure; one small function a field, no invented value.

A derivation without a value carries the reason instead of an origin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from mlperf_ops import system_devices
from mlperf_ops.system_facts import NOT_APPLICABLE, Derivation, SystemFacts, Usage

FROM_RUNS = frozenset({"framework", "other_software_stack"})
"""Fields that the results fill, and not people."""

_STATUS_WITHOUT_CLAIM = "rdi"  # research, development or internal: promises no availability to anybody
_GIB = 1 << 30

_Derive: TypeAlias = Callable[[SystemFacts, Usage], Derivation]


def derive(key: str, facts: SystemFacts, usage: Usage, statuses: Sequence[str]) -> Derivation:
    """Return what the facts say of a field."""
    if key == "status" and _STATUS_WITHOUT_CLAIM in statuses:
        return Derivation(_STATUS_WITHOUT_CLAIM, "default: claims no availability; give status to claim it")
    if key.startswith("accelerator"):
        return system_devices.accelerator(key, facts, usage)
    found = _FIELDS.get(key)
    if found is None:
        return Derivation(None, "no fact of the machine tells it", untold=True)
    return found(facts, usage)


def _same(name: str) -> _Derive:
    def read(facts: SystemFacts, _: Usage) -> Derivation:
        if (value := facts.get(name)) is None:
            return Derivation(None, facts.why_not(name))
        return Derivation(value, facts.origin(name))

    return read


def _told(text: str, why: str) -> _Derive:
    return lambda _facts, _usage: Derivation(text, why)


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
    modules = facts.objects("memory_modules")
    if modules:
        installed = sum(float(str(module["size_gib"])) * int(str(module["count"])) for module in modules)
        return Derivation(f"{installed:g} GiB", facts.origin("memory_modules"))
    usable = facts.get("memory_total_bytes")
    if isinstance(usable, int):
        return Derivation(f"{usable / _GIB:.1f} GiB (usable)", facts.origin("memory_total_bytes"))
    return Derivation(None, facts.why_not("memory_total_bytes"))


def _memory_configuration(facts: SystemFacts, _: Usage) -> Derivation:
    modules = facts.objects("memory_modules")
    if not modules:
        return Derivation(None, facts.why_not("memory_modules"))
    texts = [
        " ".join(str(part) for part in (f"{module['size_gib']} GiB", module.get("type"), module.get("speed")) if part)
        for module in modules
    ]
    counted = "; ".join(f"{module['count']}x {text}" for module, text in zip(modules, texts, strict=True))
    return Derivation(counted, facts.origin("memory_modules"))


def _framework(_: SystemFacts, usage: Usage) -> Derivation:
    if not usage.frameworks:
        return Derivation(None, "no packed run names its framework")
    return Derivation(_versions(usage.frameworks, between=" v"), f"{usage.source}: backend and packages")


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


def _software(facts: SystemFacts, usage: Usage) -> Derivation:
    if not usage.software:
        return Derivation(None, "no packed run names its packages")
    text, origin = _versions(usage.software, between=" "), f"{usage.source}: packages"
    drivers = {str(gpu["driver"]): None for gpu in facts.objects("accelerators") if gpu.get("driver")}
    if usage.accelerated and drivers:
        text, origin = f"{text}, GPU driver {' and '.join(drivers)}", f"{origin}; {facts.origin('accelerators')}"
    return Derivation(text, origin)


def _hardware_notes(facts: SystemFacts, usage: Usage) -> Derivation:
    notes, names = [], []
    hypervisor = facts.get("hypervisor")
    if isinstance(hypervisor, str) and hypervisor != "none":
        notes.append(f"virtual machine ({hypervisor}): the hardware is as the guest sees it")
        names.append("hypervisor")
    unused = system_devices.accelerator_names(facts)
    if unused and not usage.accelerated:
        names.append("accelerators")
        notes.append(f"accelerators present and not used: {unused}")
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


_FIELDS: Mapping[str, _Derive] = {
    "system_name": _system_name,
    "number_of_nodes": lambda _facts, _usage: Derivation(1, "plan: each result is of one host"),
    "host_processor_model_name": _same("cpu_model"),
    "host_processors_per_node": _same("cpu_sockets"),
    "host_processor_core_count": _same("cpu_cores_per_socket"),
    "host_processor_frequency": _frequency,
    "host_processor_caches": _caches,
    "host_processor_interconnect": _processor_interconnect,
    "host_memory_capacity": _memory_capacity,
    "host_memory_configuration": _memory_configuration,
    "host_storage_capacity": system_devices.storage_capacity,
    "host_storage_type": system_devices.storage_type,
    "host_networking": system_devices.networking,
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
