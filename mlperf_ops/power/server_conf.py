"""server.conf of power-dev's server, and the ports that it takes, as functions of the inventory. Pure.

The keys are those that the code reads, not those of its README and template, which are older: the parts of the meter
stand in [analyzer1] and on, and an unknown key is only warned about.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from mlperf_ops.errors import ConfigError
from mlperf_ops.power.inventory import Analyzer, PowerLab, Server

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104  # the server's own default
NTP_PORT = 123


@dataclass(frozen=True, slots=True)
class Director:
    """What a director's servers have in common."""

    ptd: str  # absolute path of PTDaemon on the director
    ntp_server: str
    listen_address: str = EVERY_ADDRESS  # an IP address


@dataclass(frozen=True, slots=True)
class PortRule:
    """A port of the director, who may reach it, and why: for whoever keeps the firewall."""

    port: int
    protocol: str
    peers: tuple[str, ...]  # hosts of the inventory; ("localhost",) for nobody else
    why: str


def render(server: Server, lab: PowerLab, director: Director) -> str:
    """Return the text of server.conf.

    Raises:
        ConfigError: The server would refuse the listen address.
    """
    analyzers = [(lab.analyzer(use.analyzer), use.channel) for use in server.uses]
    sections = {
        "server": {
            "ntpServer": director.ntp_server,
            "listen": f"{listen_address(director.listen_address)} {analyzers[0][0].listen_port}",
        },
        "ptd": {"ptd": director.ptd, "analyzerCount": str(len(analyzers))},
    }
    for number, (analyzer, channel) in enumerate(analyzers, 1):
        sections[f"analyzer{number}"] = _section(analyzer, channel)
    lines = ["# Written by mlperf-ops; roles/power_director takes it back."]
    for name, values in sections.items():
        # The server reads it by configparser, where a percent sign begins a reference.
        lines += ["", f"[{name}]", *(f"{key}: {value.replace('%', '%%')}".rstrip() for key, value in values.items())]
    return "\n".join(lines) + "\n"


def _section(analyzer: Analyzer, channel: str) -> dict[str, str]:
    made = {
        "deviceType": str(analyzer.device_type),
        "interfaceFlag": analyzer.interface_flag,
        "devicePort": analyzer.device_port,
        "networkPort": str(analyzer.network_port),
    }
    if channel:
        made["channel"] = channel
    if analyzer.gpib_board is not None:
        made["gpibBoard"] = str(analyzer.gpib_board)
    if analyzer.direct_current:
        made["dcFlag"] = "-D"
    return made


def listen_address(text: str) -> str:
    """Return the address as the server takes it.

    Raises:
        ConfigError: It is a host's name, or none at all.
    """
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ConfigError(
            f"power_director_listen_address: expected an IPv4 address such as {EVERY_ADDRESS}, found '{text}'",
            hint="the server takes no names",
        ) from None


def port_rules(director: str, lab: PowerLab) -> tuple[PortRule, ...]:
    """Return the ports that a director needs open, and those that nobody else may reach."""
    suts = tuple(sorted(one.host for one in lab.suts if one.director == director))
    rules = [PortRule(NTP_PORT, "udp", suts, "time, where the director serves it")] if suts else []
    for one in lab.analyzers:
        if one.director != director:
            continue
        own = tuple(sorted(sut.host for sut in lab.suts if one.name in {use.analyzer for use in sut.uses}))
        rules.append(PortRule(one.listen_port, "tcp", own, f"server of {one.name}; it asks for no password"))
        rules.append(PortRule(one.network_port, "tcp", ("localhost",), f"PTDaemon of {one.name}; nobody else"))
    return tuple(rules)
