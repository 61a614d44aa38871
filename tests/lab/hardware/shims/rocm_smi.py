#!/usr/bin/python3
"""SIMULATION of rocm-smi for lab hosts: two GPUs that exist only in /lab/shims/amd-gpus.json.

Texts, JSON keys and exit codes are those of rocm_smi.py of ROCm 6. As there, a refused value ends with exit code 0, an
error on stderr, and nothing set; and a power limit above the default asks back unless --autorespond y is given.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

sys.path.insert(0, "/usr/local/lib/lab-shims")
from tests.lab.hardware.shims import amd_gpus, simulation

TOOL = "rocm-smi"
WIDTH = 90
FLAGS = (
    ["--showproductname"],
    ["--showdriverversion"],
    ["-t", "--showtemp"],
    ["-u", "--showuse"],
    ["-p", "--showperflevel"],
    ["-M", "--showmaxpower"],
    ["-P", "--showpower"],
    ["--showbus"],
    ["--showmemorypartition"],
    ["--showcomputepartition"],
    ["--resetpoweroverdrive"],
    ["--resetperfdeterminism"],
    ["--json"],
)


class Output:
    """Lines of text, or one JSON object at the end."""

    def __init__(self, *, as_json: bool) -> None:
        """Nothing yet."""
        self.json: dict[str, dict[str, str]] | None = {} if as_json else None
        self.spacer(" ROCm System Management Interface ")

    def spacer(self, title: str = "") -> None:
        """A line of = with a title."""
        if self.json is None:
            simulation.say(title.center(WIDTH, "="))

    def fact(self, owner: str, key: str, value: object) -> None:
        """Something read."""
        if self.json is not None:
            self.json.setdefault(owner, {})[key] = str(value)
        else:
            simulation.say(
                f"GPU[{owner.removeprefix('card')}]\t\t: {key}: {value}" if owner != "system" else f"{key}: {value}"
            )

    def said(self, index: int, text: str) -> None:
        """Something done."""
        if self.json is None:
            simulation.say(f"GPU[{index}]\t\t: {text}")

    def error(self, index: int, *lines: str) -> None:
        """Something refused; silent with --json, as in the real tool."""
        if self.json is None:
            for line in lines:
                simulation.complain(f"ERROR: GPU[{index}]\t: {line}")

    def end(self) -> None:
        """Print what is left."""
        if self.json:
            simulation.say(json.dumps(self.json))
        elif self.json is not None:
            simulation.complain("WARNING: No JSON data to report")
        self.spacer(" End of ROCm SMI Log ")


def show(out: Output, asked: argparse.Namespace, gpus: list[dict[str, Any]]) -> None:
    """All --show options."""
    if asked.showdriverversion:
        out.fact("system", "Driver version", amd_gpus.DRIVER)
    for one in gpus:
        card = f"card{one['index']}"
        rows: list[tuple[bool, str, object]] = [
            (asked.showtemp, "Temperature (Sensor junction) (C)", one["celsius"]),
            (asked.showperflevel, "Performance Level", one["level"]),
            (asked.showmaxpower, "Max Graphics Package Power (W)", float(one["power"])),
            (asked.showpower, "Current Socket Graphics Package Power (W)", one["draw"]),
            (asked.showuse, "GPU use (%)", 0),
            (asked.showmeminfo is not None, "VRAM Total Memory (B)", one["vram"]),
            (asked.showmeminfo is not None, "VRAM Total Used Memory (B)", 0),
            (asked.showproductname, "Card Series", one["name"]),
            (asked.showproductname, "Card Model", "0x74a1"),
            (asked.showproductname, "Card Vendor", "Advanced Micro Devices, Inc. [AMD/ATI]"),
            (asked.showproductname, "Card SKU", "M3000100"),
            (asked.showproductname, "GFX Version", "gfx942"),
            (asked.showbus, "PCI Bus", one["bus"]),
            (asked.showmemorypartition, "Memory Partition", one["memory_partition"]),
            (asked.showcomputepartition, "Compute Partition", one["compute_partition"]),
        ]
        for wanted, key, value in rows:
            if wanted:
                out.fact(card, key, value)


def set_power(out: Output, one: dict[str, Any], watts: int, answer: str | None) -> None:
    """--setpoweroverdrive, in W; 0 is the default."""
    index, wanted = one["index"], watts or one["power_default"]
    for beyond, word, limit in (
        (watts > one["power_max"], "greater", one["power_max"]),
        (watts < one["power_min"], "less", one["power_min"]),
    ):
        if beyond:
            out.error(index, "Unable to set Power OverDrive", f"\tValue cannot be {word} than: {limit}W ")
            return
    if wanted > max(one["power"], one["power_default"]) and answer not in ("y", "Y", "yes", "Yes", "YES"):
        simulation.say("\n          ******WARNING******\n\nConfirmation not given. Exiting without setting value")
        sys.exit(1)
    if wanted == one["power"]:
        out.said(index, f"Max power was already at: {float(wanted)}W")
    one["power"] = wanted
    out.said(
        index, f"Successfully set power to: {wanted}W" if watts else f"Successfully reset Power OverDrive to: {wanted}W"
    )


def set_clock(out: Output, one: dict[str, Any], mhz: int) -> None:
    """--setperfdeterminism, in MHz."""
    if not one["sclk_min"] <= mhz <= one["sclk_max"]:
        out.error(one["index"], f"Unable to set performance determinism and clock frequency to {mhz}")
        return
    one["level"], one["deterministic"] = "determinism", mhz
    out.said(one["index"], f"Successfully enabled performance determinism and set GFX clock frequency: {mhz}")


def change(out: Output, asked: argparse.Namespace, one: dict[str, Any]) -> None:
    """All options that set something."""
    if asked.setpoweroverdrive is not None:
        set_power(out, one, asked.setpoweroverdrive, asked.autorespond)
    if asked.resetpoweroverdrive:
        set_power(out, one, 0, "y")
    if asked.setperfdeterminism is not None:
        set_clock(out, one, asked.setperfdeterminism)
    if asked.resetperfdeterminism:
        one["level"], one["deterministic"] = "auto", None
        out.said(one["index"], "Successfully disabled performance determinism")
    if asked.setmemorypartition is not None:
        kind = asked.setmemorypartition.upper()
        if kind not in amd_gpus.PARTITIONS:
            out.error(
                one["index"],
                f"Invalid memory partition type {kind}",
                f"Valid memory partition types are {', '.join(amd_gpus.PARTITIONS)}",
            )
            return
        one["memory_partition"] = kind
        out.said(one["index"], f"Successfully set memory partition to {kind}")


def parser() -> argparse.ArgumentParser:
    """The options that are simulated."""
    options = argparse.ArgumentParser(prog="rocm-smi")
    options.add_argument("-d", "--device", nargs="+", type=int)
    for flags in FLAGS:
        options.add_argument(*flags, action="store_true")
    options.add_argument("--showmeminfo", nargs="+")
    options.add_argument("--setpoweroverdrive", type=int)
    options.add_argument("--setperfdeterminism", type=int)
    options.add_argument("--setmemorypartition")
    options.add_argument("--autorespond")
    options.add_argument("--loglevel")
    return options


def main() -> int:
    """Do what the command line asks."""
    argv = simulation.log(TOOL)
    asked = parser().parse_args(argv)
    if any(word.startswith(("--set", "--reset")) for word in argv) and not simulation.is_root():
        os.execvp("sudo", ["sudo", *sys.argv])  # noqa: S606  # as the real tool does
    with simulation.state(amd_gpus.STATE, amd_gpus.FIRST) as state:
        gpus: list[dict[str, Any]] = state["gpus"]
        for number in asked.device or []:
            if number >= len(gpus):
                simulation.complain(f"WARNING: No such device card{number}")
                return 0
        chosen = [gpus[number] for number in asked.device] if asked.device else gpus
        out = Output(as_json=asked.json)
        show(out, asked, chosen)
        for one in chosen:
            change(out, asked, one)
        out.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
