#!/usr/bin/python3
"""SIMULATION of ipmitool for lab hosts: `dcmi power reading` and `mc info` of /lab/shims/ipmitool.json; logs `raw`."""

from __future__ import annotations

import sys
import time
from typing import Any

sys.path.insert(0, "/usr/local/lib/lab-shims")
from tests.lab.hardware.shims import simulation

TOOL = "ipmitool"
FIRST: dict[str, Any] = {"present": True, "watts": 412, "minimum": 396, "maximum": 871, "average": 455}


def reading(state: dict[str, Any]) -> None:
    """The text of `dcmi power reading` (ipmitool 1.8.19)."""
    now = time.strftime("%a %b %e %H:%M:%S %Y UTC", time.gmtime())
    simulation.say(
        f"\n    Instantaneous power reading:              {state['watts']:>8} Watts"
        f"\n    Minimum during sampling period:           {state['minimum']:>8} Watts"
        f"\n    Maximum during sampling period:           {state['maximum']:>8} Watts"
        f"\n    Average power reading over sample period: {state['average']:>8} Watts"
        f"\n    IPMI timestamp:                           {now}"
        "\n    Sampling period:                          00000001 Seconds."
        "\n    Power reading state is:                   activated\n\n"
    )


def main() -> int:
    """Do what the command line asks."""
    argv = simulation.log(TOOL)
    with simulation.state(TOOL, FIRST) as state:
        if not state["present"] or not simulation.is_root():
            devices = "/dev/ipmi0 or /dev/ipmi/0 or /dev/ipmidev/0"
            simulation.complain(f"Could not open device at {devices}: No such file or directory")
            return 1
        if argv == ["dcmi", "power", "reading"]:
            reading(state)
        elif argv == ["mc", "info"]:
            simulation.say(
                "Device ID                 : 32\nFirmware Revision         : 1.00\nIPMI Version              : 2.0"
            )
            simulation.say("Manufacturer Name         : simulated")
        elif argv[:1] == ["raw"]:
            simulation.say()
        else:
            simulation.complain(f"Invalid command: {' '.join(argv)}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
