"""How the fields about disks, networks and accelerators follow from facts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from mlperf_ops.files import JsonObject
from mlperf_ops.system_facts import NOT_APPLICABLE, Derivation, SystemFacts, Usage, counted

_SHARED_MEMORY = "shared with the host"
_BETWEEN_ACCELERATORS = {"accelerator_interconnect", "accelerator_interconnect_topology"}


def storage_capacity(facts: SystemFacts, _: Usage) -> Derivation:
    """Return the disks' sizes, equal ones counted, in units of 1000 as their makers print them."""
    disks = facts.objects("storage_devices")
    if not disks:
        return Derivation(None, facts.why_not("storage_devices"))
    return Derivation(counted([_size(int(str(disk["size_bytes"]))) for disk in disks]), facts.origin("storage_devices"))


def _size(count: int) -> str:
    return f"{count / 1e12:.2f} TB" if count >= 10**12 else f"{count / 1e9:.0f} GB"


def storage_type(facts: SystemFacts, _: Usage) -> Derivation:
    """Return the kinds of disks."""
    disks = facts.objects("storage_devices")
    if not disks:
        return Derivation(None, facts.why_not("storage_devices"))
    kinds = [_kind(disk, virtual=facts.get("hypervisor") not in {None, "none"}) for disk in disks]
    return Derivation(", ".join(dict.fromkeys(kinds)), facts.origin("storage_devices"))


def _kind(disk: JsonObject, *, virtual: bool) -> str:
    transport, name = disk.get("transport"), str(disk.get("name"))
    if transport == "nvme":
        return "NVMe SSD"
    if isinstance(transport, str) and transport in {"sata", "sas", "usb", "ata"}:
        return f"{transport.upper()} {'HDD' if disk.get('rotating') else 'SSD'}"
    if transport == "mmc" or name.startswith("mmcblk"):
        return "SD card or eMMC"
    if virtual or name.startswith(("vd", "xvd")):
        return "virtual disk (its medium is not visible in the virtual machine)"
    return "HDD" if disk.get("rotating") else "SSD"


def networking(facts: SystemFacts, _: Usage) -> Derivation:
    """Return the interfaces with model or driver and link speed, equal ones counted."""
    if not isinstance(facts.get("network_interfaces"), list):
        return Derivation(None, facts.why_not("network_interfaces"))
    origin = facts.origin("network_interfaces")
    texts = [_interface(one) for one in facts.objects("network_interfaces")]
    return Derivation(counted(texts) or "none (no network interface other than virtual ones)", origin)


def _interface(interface: JsonObject) -> str:
    name = str(interface.get("model") or interface.get("driver") or "driver not reported")
    kind = {"infiniband": "InfiniBand", "wifi": "Wi-Fi"}.get(str(interface.get("type")), "")
    speed = interface.get("speed_mbit")
    told = f"{speed / 1000:g} Gbit/s" if isinstance(speed, int) else "(link speed not reported)"
    return " ".join(part for part in (name, "" if kind.casefold() in name.casefold() else kind, told) if part)


def accelerator(key: str, facts: SystemFacts, usage: Usage) -> Derivation:
    """Return a field about accelerators: those that the runs used, or what stands for none."""
    found = facts.objects("accelerators")
    known = isinstance(facts.get("accelerators"), list)
    if not usage.accelerated and (usage.devices or (known and not found)):
        origin = f"{usage.source}: device cpu" if usage.devices else facts.origin("accelerators")
        return Derivation(0 if key == "accelerators_per_node" else NOT_APPLICABLE, origin)
    origin = facts.origin("accelerators")
    if key == "accelerators_per_node":
        return Derivation(len(found) if known else None, origin or "not read")
    if found and all(gpu.get("integrated") for gpu in found):
        integrated = {"accelerator_memory_capacity": _SHARED_MEMORY, "accelerator_host_interconnect": NOT_APPLICABLE}
        if key in integrated:
            return Derivation(integrated[key], f"part of the processor's chip ({origin})")
    values = _told(key, found)
    if values and len(values) == len(found):
        return Derivation(", ".join(dict.fromkeys(values)), origin)
    if len(found) == 1 and key in _BETWEEN_ACCELERATORS:
        return Derivation(NOT_APPLICABLE, f"one accelerator ({origin})")
    return Derivation(None, "no tool of the machine tells it", untold=True)


def _told(key: str, found: Sequence[JsonObject]) -> Sequence[str]:
    names, memory = [gpu.get("name") for gpu in found], [gpu.get("memory_mib") for gpu in found]
    told: Mapping[str, Sequence[str]] = {
        "accelerator_model_name": [str(name) for name in names if name],
        "accelerator_memory_capacity": [f"{cast('int', size) / 1024:.0f} GiB" for size in memory if size],
        "accelerator_memory_configuration": [str(gpu["memory_type"]) for gpu in found if gpu.get("memory_type")],
        "accelerator_frequency": [f"{cast('float', gpu['max_mhz']):g} MHz (maximum)" for gpu in found
                                  if gpu.get("max_mhz")],
        "accelerator_host_interconnect": [str(gpu["pcie"]) for gpu in found if gpu.get("pcie")],
    }  # fmt: skip
    return told.get(key, [])


def accelerator_names(facts: SystemFacts) -> str:
    """Return the machine's accelerators, equal ones counted."""
    return counted([str(gpu.get("name") or "accelerator without a name") for gpu in facts.objects("accelerators")])
