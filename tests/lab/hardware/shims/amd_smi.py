#!/usr/bin/python3
"""SIMULATION of amd-smi for lab hosts: `static --json`, `metric --json`, `set`, `reset`, `version`, of ROCm 6.4.

It shows and sets the same two simulated GPUs as rocm-smi. Exit codes are the real tool's: 0, or 255 with a sentence.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

sys.path.insert(0, "/usr/local/lib/lab-shims")
from tests.lab.hardware.shims import amd_gpus, simulation

TOOL = "amd-smi"
FAILED = 255
PARTS = ("asic", "bus", "driver", "vram", "limit", "partition")


def value(number: float, unit: str) -> dict[str, object]:
    """A quantity as amd-smi prints it."""
    return {"value": number, "unit": unit}


def static(one: dict[str, Any]) -> dict[str, Any]:
    """All parts of `static`."""
    return {
        "asic": {
            "market_name": one["name"],
            "vendor_id": "0x1002",
            "vendor_name": "Advanced Micro Devices Inc. [AMD/ATI]",
            "device_id": "0x74a1",
            "target_graphics_version": "gfx942",
            "num_compute_units": 304,
        },
        "bus": {
            "bdf": one["bus"].lower(),
            "max_pcie_width": 16,
            "max_pcie_speed": value(32, "GT/s"),
            "pcie_interface_version": "Gen 5",
            "slot_type": "OAM",
        },
        "limit": {
            "max_power": value(one["power_max"], "W"),
            "min_power": value(one["power_min"], "W"),
            "socket_power": value(one["power"], "W"),
        },
        "driver": {"name": "amdgpu", "version": amd_gpus.DRIVER},
        "vram": {"type": "HBM3", "vendor": "simulated", "size": value(one["vram"] >> 20, "MB"), "bit_width": 8192},
        "partition": {"accelerator_partition": one["compute_partition"], "memory_partition": one["memory_partition"]},
    }


def metric(one: dict[str, Any]) -> dict[str, Any]:
    """Power, temperature, clock and load."""
    clock = one["deterministic"] or one["sclk_max"]
    return {
        "usage": {"gfx_activity": value(0, "%")},
        "power": {"socket_power": value(one["draw"], "W"), "throttle_status": "UNTHROTTLED"},
        "clock": {"gfx_0": {"clk": value(one["sclk_min"], "MHz"), "max_clk": value(clock, "MHz")}},
        "temperature": {"hotspot": value(one["celsius"], "C")},
        "perf_level": f"AMDSMI_DEV_PERF_LEVEL_{one['level'].upper()}",
    }


def change(asked: argparse.Namespace, one: dict[str, Any]) -> str | None:
    """`set` and `reset`; the sentence of a refusal, or None."""
    if asked.verb == "reset":
        if asked.perf_determinism:
            one["level"], one["deterministic"] = "auto", None
        if asked.power_cap:
            one["power"] = one["power_default"]
        return None
    if asked.power_cap is not None:
        low, high = one["power_min"], one["power_max"]
        if not low <= asked.power_cap <= high:
            return f"ValueError: Power cap must be greater than {low} and less than or equal to {high}"
        one["power"] = asked.power_cap
    if asked.perf_determinism is not None:
        if not one["sclk_min"] <= asked.perf_determinism <= one["sclk_max"]:
            return f"ValueError: Unable to set performance determinism and clock frequency to {asked.perf_determinism}"
        one["level"], one["deterministic"] = "determinism", asked.perf_determinism
    if asked.memory_partition is not None:
        one["memory_partition"] = asked.memory_partition
    return None


def parser() -> argparse.ArgumentParser:
    """The verbs and options that are simulated."""
    top = argparse.ArgumentParser(prog="amd-smi")
    verbs = top.add_subparsers(dest="verb", required=True)
    for verb in ("version", "list", "static", "metric", "set", "reset"):
        options = verbs.add_parser(verb)
        options.add_argument("-g", "--gpu", nargs="+")
        options.add_argument("--json", action="store_true")
        for part in PARTS if verb == "static" else ():
            options.add_argument(f"--{part}", action="store_true")
        for part in ("power", "usage", "clock", "temperature", "perf-level") if verb == "metric" else ():
            options.add_argument(f"--{part}", action="store_true")
        if verb == "set":
            options.add_argument("-o", "--power-cap", type=int)
            options.add_argument("-d", "--perf-determinism", type=int)
            options.add_argument("-M", "--memory-partition", type=str.upper, choices=amd_gpus.PARTITIONS)
        if verb == "reset":
            options.add_argument("-d", "--perf-determinism", action="store_true")
            options.add_argument("-o", "--power-cap", action="store_true")
    return top


def main() -> int:
    """Do what the command line asks."""
    asked = parser().parse_args(simulation.log(TOOL))
    with simulation.state(amd_gpus.STATE, amd_gpus.FIRST) as state:
        by_id = {name: one for one in state["gpus"] for name in (str(one["index"]), one["bus"].lower(), one["uuid"])}
        names = [name for name in asked.gpu or [] if name != "all"]
        for name in names:
            if name.lower() not in by_id:
                simulation.complain(f"Value '{name}' is not of valid type or format. Error code: -4")
                return FAILED
        gpus = [by_id[name.lower()] for name in names] or state["gpus"]
        if asked.verb in ("set", "reset"):
            return change_all(asked, gpus)
        if asked.verb == "version":
            simulation.say("AMDSMI Tool: 25.3.0+simulated | AMDSMI Library version: 25.3.0 | ROCm version: 6.4.0")
            return 0
        show(asked, gpus)
    return 0


def change_all(asked: argparse.Namespace, gpus: list[dict[str, Any]]) -> int:
    """Set or reset on each GPU; the first refusal ends it."""
    if not simulation.is_root():
        simulation.complain("PermissionError: Command requires elevation")
        return FAILED
    for one in gpus:
        refusal = change(asked, one)
        if refusal:
            simulation.complain(refusal)
            return FAILED
        simulation.say(f"GPU: {one['index']}\n    {'Successfully ' + asked.verb}")
    return 0


def show(asked: argparse.Namespace, gpus: list[dict[str, Any]]) -> None:
    """Print JSON, or the same as indented text."""
    listed = []
    for one in gpus:
        if asked.verb == "list":
            parts: dict[str, Any] = {"bdf": one["bus"].lower(), "uuid": one["uuid"]}
        else:
            parts = static(one) if asked.verb == "static" else metric(one)
            chosen = {key: part for key, part in parts.items() if getattr(asked, key, False)}
            parts = chosen or parts
        listed.append({"gpu": one["index"], **parts})
    if asked.json:
        simulation.say(json.dumps(listed, indent=4))
        return
    for one in listed:
        simulation.say(f"GPU: {one.pop('gpu')}")
        for key, part in one.items():
            simulation.say(f"    {key.upper()}: {json.dumps(part)}")


if __name__ == "__main__":
    sys.exit(main())
