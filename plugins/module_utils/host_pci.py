"""PCI devices of a machine and the names that the system's own pci.ids gives them, as lspci prints them.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_tools import Machine

_NAME_FILES = (
    "/usr/share/misc/pci.ids",
    "/usr/share/hwdata/pci.ids",
    "/usr/share/pci.ids",
    "/var/lib/pciutils/pci.ids",
)
_END_OF_VENDOR = re.compile(r"\n(?![\t#])")


class PciNames:
    """Reads pci.ids when the first name is asked for; no file is no name."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._text: str | None = None
        self.origin = ""

    def name(self, folder: str) -> str | None:
        """Return vendor and device name of the device in a folder of /sys, None when nobody names it."""
        vendor, device = (self._machine.read(f"{folder}/{key}") for key in ("vendor", "device"))
        if vendor is None or device is None or not re.match(r"0x[0-9a-f]{4}$", vendor):
            return None
        text = self._load()
        start = text.find(f"\n{vendor[2:]}  ") + 1  # 1.5 MB: a plain search takes a tenth of a pattern's time
        if not start:
            return None
        end = _END_OF_VENDOR.search(text, start)
        maker, *lines = text[start : end.start() if end else len(text)].split("\n")
        found = next((line for line in lines if line.startswith(f"\t{device[2:]}  ")), None)
        return None if found is None else f"{maker[6:].strip()} {found[7:].strip()}"

    def _load(self) -> str:
        if self._text is None:
            self._text = ""
            for path in _NAME_FILES:
                text = self._machine.read(path)
                if text is not None:
                    self._text, self.origin = f"\n{text}\n", path
                    break
        return self._text
