#!/usr/bin/python3
"""SIMULATION of dmidecode for lab hosts: the tables of /lab/shims/dmidecode.json, in the text of version 3.4.

Knows `-t memory` (or 16, 17), `-t system`, `-t baseboard`, `-t processor`, `-t bios`, `-s KEYWORD`, no option for all.
"""

from __future__ import annotations

import sys
from typing import Any

sys.path.insert(0, "/usr/local/lib/lab-shims")
from tests.lab.hardware.shims import simulation

TOOL = "dmidecode"
FIRST: dict[str, Any] = {
    "system": {"Manufacturer": "Simulated", "Product Name": "Lab Host", "Version": "1", "Serial Number": "SIM0001"},
    "baseboard": {"Manufacturer": "Simulated", "Product Name": "Lab Board", "Version": "A1"},
    "bios": {"Vendor": "Simulated", "Version": "1.0", "Release Date": "01/02/2026"},
    "processors": 1,
    "slots": 8,
    "modules": 4,
    "module": {
        "Size": "16 GB",
        "Form Factor": "DIMM",
        "Type": "DDR5",
        "Type Detail": "Synchronous Registered (Buffered)",
        "Speed": "4800 MT/s",
        "Manufacturer": "Simulated",
        "Serial Number": "00000000",
        "Part Number": "SIM-16G-4800",
        "Rank": "1",
        "Configured Memory Speed": "4800 MT/s",
    },
}
TYPES = {"bios": (0,), "system": (1,), "baseboard": (2,), "processor": (4,), "memory": (16, 17)}
KEYWORDS = {
    "bios-vendor": ("bios", "Vendor"),
    "bios-version": ("bios", "Version"),
    "bios-release-date": ("bios", "Release Date"),
    "system-manufacturer": ("system", "Manufacturer"),
    "system-product-name": ("system", "Product Name"),
    "system-serial-number": ("system", "Serial Number"),
    "baseboard-manufacturer": ("baseboard", "Manufacturer"),
    "baseboard-product-name": ("baseboard", "Product Name"),
}


def tables(state: dict[str, Any]) -> list[tuple[int, str, dict[str, str]]]:
    """All tables: type, title, rows."""
    found: list[tuple[int, str, dict[str, str]]] = [
        (0, "BIOS Information", state["bios"]),
        (1, "System Information", state["system"]),
        (2, "Base Board Information", state["baseboard"]),
    ]
    found += [
        (
            4,
            "Processor Information",
            {"Socket Designation": f"CPU{number}", "Type": "Central Processor", "Status": "Populated, Enabled"},
        )
        for number in range(state["processors"])
    ]
    array = {
        "Location": "System Board Or Motherboard",
        "Use": "System Memory",
        "Error Correction Type": "Multi-bit ECC",
        "Maximum Capacity": "1 TB",
        "Number Of Devices": str(state["slots"]),
    }
    found.append((16, "Physical Memory Array", array))
    for slot in range(state["slots"]):
        where = {"Locator": f"DIMM_{chr(ord('A') + slot % 26)}{slot // 26 + 1}", "Bank Locator": f"P0 CHANNEL {slot}"}
        module = state["module"] if slot < state["modules"] else {"Size": "No Module Installed"}
        widths = {"Total Width": "72 bits", "Data Width": "64 bits"} if slot < state["modules"] else {}
        found.append((17, "Memory Device", {**widths, **where, **module}))
    return found


def main() -> int:
    """Print what the command line asks for."""
    argv = [word for word in simulation.log(TOOL) if word not in ("-q", "--quiet")]
    if not simulation.is_root():
        simulation.say(
            "/sys/firmware/dmi/tables/smbios_entry_point: Permission denied\nCan't read memory from /dev/mem"
        )
        return 1
    with simulation.state(TOOL, FIRST) as state:
        wanted: set[int] = set()
        while argv:
            option, _, value = argv.pop(0).partition("=")
            value = value or (argv.pop(0) if argv else "")
            if option in ("-s", "--string") and value in KEYWORDS:
                table, row = KEYWORDS[value]
                simulation.say(state[table][row])
                return 0
            words = value.split(",")
            numbers = TYPES.get(value) or tuple(int(word) for word in words if all(word.isdecimal() for word in words))
            if option not in ("-t", "--type") or not numbers:
                simulation.complain(f"Invalid argument: {option} {value}".strip())
                return 2
            wanted.update(numbers)
        simulation.say("# dmidecode 3.4\nGetting SMBIOS data from sysfs.\nSMBIOS 3.4.0 present.\n")
        for handle, (kind, title, rows) in enumerate(tables(state)):
            if not wanted or kind in wanted:
                simulation.say(f"Handle 0x{handle:04X}, DMI type {kind}, {len(rows) * 4 + 4} bytes\n{title}")
                simulation.say("".join(f"\t{name}: {text}\n" for name, text in rows.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
