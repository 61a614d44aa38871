"""Accelerators of a machine: by their vendors' tools, else by name from the PCI bus, else as part of the chip.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_tools import NOT_UNDERSTOOD, number, told

if TYPE_CHECKING:
    from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_pci import PciNames
    from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_tools import Machine

NVIDIA_SMI = [
    "nvidia-smi",
    "--query-gpu=name,memory.total,driver_version,clocks.max.sm,pcie.link.gen.max,pcie.link.width.max",
    "--format=csv,noheader,nounits",
]
AMD_SMI = ["amd-smi", "static", "--asic", "--bus", "--driver", "--vram", "--json"]
ROCM_SMI = ["rocm-smi", "--showproductname", "--showmeminfo", "vram", "--showdriverversion", "--json"]

_NVIDIA, _AMD = "0x10de", "0x1002"
_DISPLAY, _OTHER_DISPLAY = "0x0300", "0x0380"
_ACCELERATORS = ("0x0302", "0x1200")  # 3D controller, processing accelerator
_OF_TOOL: dict[str, str] = {"nvidia-smi": _NVIDIA, "amd-smi": _AMD, "rocm-smi": _AMD}
_COLUMNS = 6  # of NVIDIA_SMI
_GENERATION = {2.5: 1, 5: 2, 8: 3, 16: 4, 32: 5, 64: 6}  # PCI Express by GT/s
_MEBIBYTES = {"B": 1 / (1 << 20), "KB": 1 / 1024, "MB": 1, "GB": 1024}


def start(machine: Machine) -> None:
    """Start the tools that are there; of AMD's two the newer one."""
    machine.start({"nvidia-smi": NVIDIA_SMI})
    machine.start({"amd-smi": AMD_SMI} if machine.has_tool("amd-smi") else {"rocm-smi": ROCM_SMI})


def accelerators(machine: Machine, names: PciNames) -> tuple[list[dict[str, Any]], str]:
    """Return the accelerators and where they were read, with the reasons of tools that told nothing."""
    found: list[dict[str, Any]] = []
    origins: list[str] = []
    reasons: list[str] = []
    vendors: set[str] = set()
    tools = ["nvidia-smi", "amd-smi" if machine.has_tool("amd-smi") else "rocm-smi"]
    for tool in tools:
        gpus, reason = _ask(machine, tool)
        if gpus:
            found += [{**gpu, "pci_vendor": _OF_TOOL[tool]} for gpu in gpus]
            origins.append(tool)
            vendors.add(_OF_TOOL[tool])
        elif reason:
            reasons.append(reason)
        if tool == "amd-smi" and not gpus and machine.has_tool("rocm-smi"):
            machine.start({"rocm-smi": ROCM_SMI})
            tools.append("rocm-smi")
    on_bus = [gpu for gpu in _on_bus(machine, names) if gpu["pci_vendor"] not in vendors]
    if on_bus:
        found += on_bus
        origins.append(f"PCI devices{f' named by {names.origin}' if names.origin else ''}")
    for gpu in found:
        gpu["pcie"] = gpu["pcie"] or _pcie(machine, gpu.get("pci_vendor"))
    chip = _of_chip(machine)
    if chip is not None:
        if not found:
            found.append(chip)
            origins.append("device tree")
        for gpu in found:
            gpu["integrated"] = True
            gpu["max_mhz"] = gpu.get("max_mhz") or chip["max_mhz"]
    if not found:
        origins = ["PCI devices of class 0302 and 1200"] if reasons else ["nvidia-smi, rocm-smi"]
    return found, "; ".join([", ".join(origins), *reasons])


def _ask(machine: Machine, tool: str) -> tuple[list[dict[str, Any]], str]:
    parse = {"nvidia-smi": parse_nvidia_smi, "amd-smi": parse_amd_smi, "rocm-smi": parse_rocm_smi}[tool]
    text, reason = machine.output(tool)
    if text is None:
        return [], reason
    try:
        gpus = parse(text)
    except NOT_UNDERSTOOD:
        gpus = []
    return gpus, "" if gpus else f"{tool} printed something that is not understood"


def _on_bus(machine: Machine, names: PciNames) -> list[dict[str, Any]]:
    """Return PCI devices that compute; a display controller counts where its vendor makes accelerators of them."""
    found = []
    for address in machine.names("/sys/bus/pci/devices"):
        folder = f"/sys/bus/pci/devices/{address}"
        kind, vendor = (machine.read(f"{folder}/class") or "")[:6], machine.read(f"{folder}/vendor")
        computes = kind in _ACCELERATORS or (kind == _OTHER_DISPLAY and vendor == _AMD)
        if (computes or (kind == _DISPLAY and vendor == _NVIDIA)) and not machine.exists(f"{folder}/physfn"):
            found.append({"name": names.name(folder), "pci": address, "pci_vendor": vendor, "pcie": None})
    return found


def _pcie(machine: Machine, vendor: str | None) -> str | None:
    """Return the fastest link of a vendor's accelerators and the ports that they are in, None where they differ."""
    links = set()
    for address in machine.names("/sys/bus/pci/devices"):
        folder = f"/sys/bus/pci/devices/{address}"
        kind = (machine.read(f"{folder}/class") or "")[:6]
        if machine.read(f"{folder}/vendor") == vendor and kind in (*_ACCELERATORS, _DISPLAY, _OTHER_DISPLAY):
            ends = [_link(machine, place) for place in (folder, f"{folder}/..")]
            known = [end for end in ends if all(end)]
            links.add((min(end[0] for end in known), min(end[1] for end in known)) if known else (0, 0))
    generation, width = links.pop() if len(links) == 1 else (0, 0)
    return f"PCIe Gen{generation} x{width}" if generation else None


def _link(machine: Machine, folder: str) -> tuple[int, int]:
    """Return the highest generation and width of one end of a link, 0 for what it does not tell."""
    speed, width = machine.read(f"{folder}/max_link_speed"), number(machine.read(f"{folder}/max_link_width"), int)
    return _GENERATION.get(_quantity(speed), 0), int(width or 0)


def _of_chip(machine: Machine) -> dict[str, Any] | None:
    """Return the GPU that is a part of an NVIDIA Tegra chip, which has no bus of its own."""
    chip = re.search(r"nvidia,(tegra(\d+))", machine.read("/proc/device-tree/compatible") or "")
    if chip is None:
        return None
    highest = None
    for name in machine.names("/sys/class/devfreq"):
        if re.search(r"\.(gpu|ga10b|gv11b|gp10b)$", name):
            steps = (machine.read(f"/sys/class/devfreq/{name}/available_frequencies") or "").split()
            highest = max((int(step) for step in steps if step.isdigit()), default=None)
    return {
        "name": f"NVIDIA {chip.group(1).title()} integrated GPU",
        "memory_mib": None,
        "driver": None,
        "max_mhz": None if highest is None else highest / 1_000_000,
        "pcie": None,
    }


def parse_nvidia_smi(text: str) -> list[dict[str, Any]]:
    """Return the GPUs that NVIDIA_SMI prints."""
    gpus = []
    for line in text.splitlines():
        cells = [told(cell) for cell in line.split(",")]
        if len(cells) != _COLUMNS:
            continue
        gpus.append(
            {
                "name": cells[0],
                "memory_mib": number(cells[1], int),
                "driver": cells[2],
                "max_mhz": number(cells[3], int),
                "pcie": None if None in cells[4:] else f"PCIe Gen{cells[4]} x{cells[5]}",
            }
        )
    return gpus


def parse_rocm_smi(text: str) -> list[dict[str, Any]]:
    """Return the GPUs that ROCM_SMI prints; key names differ in case between ROCm releases."""
    cards = _json_in(text)
    driver = next(iter(cards.pop("system", {}).values()), None)
    gpus = []
    for card in sorted(cards, key=_natural):
        fields = {key.lower(): value for key, value in cards[card].items()}
        name = told(fields.get("card series")) or told(fields.get("card model"))
        memory = number(fields.get("vram total memory (b)"), int)
        gpus.append(
            {
                "name": None if name is None or re.fullmatch(r"(0x)?[0-9a-f]+", name) else name,  # an index or an id
                "memory_mib": None if memory is None else int(memory) // (1 << 20),
                "driver": driver,
                "max_mhz": None,
                "pcie": None,
            }
        )
    return gpus


def parse_amd_smi(text: str) -> list[dict[str, Any]]:
    """Return the GPUs that AMD_SMI prints: a list, or an object with the list in `gpu_data` (ROCm 7)."""
    listed = _json_in(text)
    if isinstance(listed, dict):
        listed = listed.get("gpu_data", [listed])
    gpus = []
    for gpu in listed:
        asic, bus, driver, vram = (_part(gpu, key) for key in ("asic", "bus", "driver", "vram"))
        size, speed, width = vram.get("size"), bus.get("max_pcie_speed"), bus.get("max_pcie_width")
        memory = _quantity(size) * _MEBIBYTES.get(_unit(size, "MB"), 1)
        generation = _GENERATION.get(_quantity(speed))
        gpus.append(
            {
                "name": told(str(asic.get("market_name", ""))),
                "memory_mib": int(memory) or None,
                "memory_type": told(str(vram.get("type", ""))),
                "driver": told(str(driver.get("version") or driver.get("driver_version") or "")),
                "max_mhz": None,
                "pcie": f"PCIe Gen{generation} x{width}" if generation and str(width).isdigit() else None,
            }
        )
    return gpus


def _json_in(text: str) -> Any:  # noqa: ANN401  # any JSON
    """Return the JSON of an output, before which a tool may have printed warnings."""
    start_ = re.search(r"^[\[{]", text, re.MULTILINE)
    return json.loads(text[start_.start() :] if start_ else text)


def _part(gpu: dict[str, Any], key: str) -> dict[str, Any]:
    part = gpu.get(key)
    return part if isinstance(part, dict) else {}


def _quantity(value: Any) -> float:  # noqa: ANN401  # {"value": 32, "unit": "GT/s"}, or "32 GT/s" of older releases
    text = str(value.get("value") if isinstance(value, dict) else value)
    found = re.match(r"[\d.]+", text)
    return float(found.group()) if found else 0.0


def _unit(value: Any, default: str) -> str:  # noqa: ANN401  # as above
    if isinstance(value, dict):
        return str(value.get("unit", default))
    found = re.search(r"[A-Za-z]+$", str(value))
    return found.group() if found else default


def _natural(name: str) -> tuple[str, int]:
    """Sort card10 behind card9."""
    digits = re.search(r"\d+$", name)
    return (name[: digits.start()], int(digits.group())) if digits else (name, -1)
