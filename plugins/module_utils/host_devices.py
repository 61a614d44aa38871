"""Network cards of a machine, without any address of theirs. Runs on a host's own Python (3.8 or newer)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_tools import number

if TYPE_CHECKING:
    from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_pci import PciNames
    from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_tools import Machine

_KINDS = {"1": "ethernet", "32": "infiniband"}  # ARPHRD_ETHER, ARPHRD_INFINIBAND of linux/if_arp.h
_INFINIBAND = "/sys/class/infiniband"


def network(machine: Machine, names: PciNames) -> tuple[list[dict[str, Any]], int]:
    """Return the interfaces that have a device of their own, and how many cards these are.

    Loopback, bridges, tunnels, USB gadgets and virtual functions of a card that is counted already are left out; an
    InfiniBand adapter without a network interface is one of the list.
    """
    interfaces: list[dict[str, Any]] = []
    cards: set[str] = set()
    for name in machine.names("/sys/class/net"):
        folder = f"/sys/class/net/{name}"
        device = f"{folder}/device"
        if not machine.exists(device) or machine.exists(f"{device}/physfn"):
            continue
        if (machine.link(device) or "").startswith("gadget"):
            continue
        kind = _KINDS.get(machine.read(f"{folder}/type") or "")
        if machine.exists(f"{folder}/phy80211") or machine.exists(f"{folder}/wireless"):
            kind = "wifi"
        speed = number(machine.read(f"{folder}/speed"), int)
        if speed is None or speed <= 0:
            speed = _port_mbit(machine, f"{device}/infiniband") if kind == "infiniband" else None
        interfaces.append(_interface(machine, names, name, device, kind, speed))
        cards.add(_card(machine, device, name))
    for name in machine.names(_INFINIBAND):
        device = f"{_INFINIBAND}/{name}/device"
        card = _card(machine, device, name)
        if card not in cards and not machine.exists(f"{device}/physfn"):
            speed = _port_mbit(machine, _INFINIBAND, name)
            interfaces.append(_interface(machine, names, name, device, "infiniband", speed))
            cards.add(card)
    return interfaces, len(cards)


def _interface(
    machine: Machine, names: PciNames, name: str, device: str, kind: str | None, speed: float | None
) -> dict[str, Any]:
    return {
        "name": name,
        "driver": machine.link(f"{device}/driver"),
        "model": names.name(device),
        "type": kind,
        "speed_mbit": None if speed is None else int(speed),
    }


def _card(machine: Machine, device: str, name: str) -> str:
    """Return what the ports of one card share: the functions 0, 1, … of one PCI address."""
    return re.sub(r"\.[0-9a-f]$", "", machine.link(device) or name)


def _port_mbit(machine: Machine, folder: str, adapter: str | None = None) -> float | None:
    """Return the rate of an InfiniBand adapter's first port, such as "400 Gb/sec (4X NDR)"."""
    for name in [adapter] if adapter else machine.names(folder):
        for port in machine.names(f"{folder}/{name}/ports"):
            rate = re.match(r"([\d.]+) Gb/sec", machine.read(f"{folder}/{name}/ports/{port}/rate") or "")
            if rate is not None:
                return float(rate.group(1)) * 1000
    return None
