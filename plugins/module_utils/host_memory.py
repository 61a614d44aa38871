"""Memory modules of a machine, from the records of dmidecode. Runs on a host's own Python (3.8 or newer)."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_tools import told

_MEBIBYTES = {"kB": 1 / 1024, "MB": 1, "GB": 1024, "TB": 1024 * 1024}
_SPEEDS = ("Configured Memory Speed", "Configured Clock Speed", "Speed")  # the older name, and what the module could do


def memory_modules(records: list[tuple[str, dict[str, str]]]) -> dict[str, Any]:
    """Return what the firmware says of the memory; a key is None where it says nothing.

    Returns:
        `memory_modules`: equal modules counted, with size in GiB, type and configured speed; `memory_slots`;
        `memory_ecc`; `memory_parts`: manufacturer and part number, counted. Serial numbers are left out.
    """
    devices = [fields for title, fields in records if title == "Memory Device"]
    modules: dict[tuple[float, str | None, str | None], int] = {}
    parts: dict[tuple[str | None, str], int] = {}
    for fields in devices:
        size = re.match(r"(\d+)\s*(kB|MB|GB|TB)$", fields.get("Size", "").replace("iB", "B"))
        if size is None or int(size.group(1)) == 0:
            continue  # "No Module Installed"
        gibibytes = int(size.group(1)) * _MEBIBYTES[size.group(2)] / 1024
        speed = next(filter(None, (told(fields.get(key)) for key in _SPEEDS)), None)
        key = (int(gibibytes) if gibibytes == int(gibibytes) else gibibytes, told(fields.get("Type")), speed)
        modules[key] = modules.get(key, 0) + 1
        part = told(fields.get("Part Number"))
        if part is not None:
            made = (told(fields.get("Manufacturer")), part)
            parts[made] = parts.get(made, 0) + 1
    arrays = [fields for title, fields in records if title == "Physical Memory Array"]
    corrections = {fields.get("Error Correction Type", "") for fields in arrays} - {"", "Unknown", "Other"}
    return {
        "memory_modules": [
            {"count": count, "size_gib": size, "type": kind, "speed": speed}
            for (size, kind, speed), count in sorted(modules.items(), key=str)
        ]
        or None,
        "memory_slots": len(devices) or None,
        "memory_ecc": ", ".join(sorted(corrections)) or None,
        "memory_parts": [
            {"count": count, "manufacturer": maker, "part_number": part}
            for (maker, part), count in sorted(parts.items(), key=str)
        ]
        or None,
    }
