"""Network of a lab: one namespace as switch, one for each host, and nothing in the machine's own but an uplink."""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mlperf_ops.errors import BusyError, ConfigError, ToolError
from tests.lab.machine import NETNS, PREFIX, run

SUBNET = "10.77.0.0/16"
GATEWAY = "10.77.0.1"  # of the switch namespace, where the controller and the proxy are
UPLINK = "10.77.0.2"  # of the machine's own namespace
BRIDGE = "br0"
SSH_PORT = 22

_PER_NETWORK, _FIRST = 200, 10
_MAX_HOSTS = 200 * 250
_CLONE_NEWNET = 0x40000000
_PROBE_SECONDS = 0.03
_DIAL_SECONDS = 2


def address(index: int) -> str:
    """Return the address of the i-th host of a lab, counted from 1: 10.77.1.11 for the first."""
    if not 0 < index < _MAX_HOSTS:
        raise ConfigError(f"a lab has at most {_MAX_HOSTS - 1} hosts")
    return f"10.77.{1 + index // _PER_NETWORK}.{_FIRST + index % _PER_NETWORK}"


def switch(lab_id: str) -> str:
    """Return the name of the namespace that holds the bridge, the proxy and what runs "on the controller"."""
    return f"{PREFIX}-{lab_id}-sw"


def namespace(lab_id: str, host: str) -> str:
    """Return the name of a host's namespace."""
    return f"{PREFIX}-{lab_id}-{host}"


def uplink(lab_id: str) -> str:
    """Return the name of the interface in the machine's own namespace."""
    return f"{PREFIX}-{lab_id}"


def port(index: int) -> str:
    """Return the switch's end of the cable of the i-th host."""
    return f"p{index}"


def _batch(lines: Iterable[str], inside: str | None = None) -> None:
    run(["ip", *(["-n", inside] if inside else []), "-batch", "-"], stdin="\n".join(lines) + "\n")


def make_switch(lab_id: str) -> None:
    """Make the switch namespace and its bridge."""
    name = switch(lab_id)
    run(["ip", "netns", "add", name])
    _batch(
        [
            "link set lo up",
            f"link add {BRIDGE} type bridge",
            f"addr add {GATEWAY}/16 dev {BRIDGE}",
            f"link set {BRIDGE} up",
        ],
        name,
    )


def connect(lab_id: str, hosts: Sequence[tuple[str, int]]) -> None:
    """Make namespace, cable and address of hosts, given by name and index."""
    _batch(f"netns add {namespace(lab_id, name)}" for name, _ in hosts)
    cables: list[str] = []
    for name, index in hosts:
        cables.append(f"link add {port(index)} type veth peer name eth0 netns {namespace(lab_id, name)}")
        cables.append(f"link set {port(index)} master {BRIDGE} up")
    _batch(cables, switch(lab_id))
    for name, index in hosts:
        _batch(
            ["link set lo up", f"addr add {address(index)}/16 dev eth0", "link set eth0 up"],
            namespace(lab_id, name),
        )


def disconnect(lab_id: str, name: str, index: int) -> None:
    """Remove one host's cable and namespace; what is gone already is fine."""
    run(["ip", "-n", switch(lab_id), "link", "del", port(index)], check=False)
    run(["ip", "netns", "del", namespace(lab_id, name)], check=False)


def make_uplink(lab_id: str) -> None:
    """Give the machine's own namespace one cable to the lab's bridge.

    Raises:
        BusyError: The machine reaches addresses of the lab's network already, by another lab or its own network.
    """
    known = run(["ip", "-4", "route", "show", "root", SUBNET]).stdout + run(["ip", "-4", "addr", "show"]).stdout
    if "10.77." in known:
        raise BusyError(
            f"this machine has a route into {SUBNET} already, so the lab's addresses would be ambiguous",
            hint="take the other lab down, or start this one without --uplink",
        )
    run(["ip", "link", "add", uplink(lab_id), "type", "veth", "peer", "name", "up0", "netns", switch(lab_id)])
    _batch([f"link set up0 master {BRIDGE} up"], switch(lab_id))
    _batch([f"addr add {UPLINK}/16 dev {uplink(lab_id)}", f"link set {uplink(lab_id)} up"])


def set_cable(lab_id: str, index: int, *, up: bool) -> None:
    """Plug a host's cable in, or pull it."""
    run(["ip", "-n", switch(lab_id), "link", "set", port(index), "up" if up else "down"])


def cut_ports(lab_id: str) -> set[str]:
    """Return the ports of the switch that are down."""
    done = run(["ip", "-n", switch(lab_id), "-j", "link", "show"], check=False)
    links = json.loads(done.stdout or "[]")
    return {link["ifname"] for link in links if "UP" not in link["flags"]}


def namespaces(lab_id: str) -> list[str]:
    """Return the names of all namespaces of a lab that exist, the switch last."""
    start = f"{PREFIX}-{lab_id}-"
    names = sorted(path.name for path in NETNS.glob(f"{start}*"))
    return sorted(names, key=lambda name: name == switch(lab_id))


def remove(lab_id: str) -> None:
    """Remove all that belongs to the network of a lab; may be called at any time, any number of times."""
    if Path("/sys/class/net", uplink(lab_id)).exists():
        run(["ip", "link", "del", uplink(lab_id)], check=False)
    names = namespaces(lab_id)
    if switch(lab_id) in names:
        run(["ip", "-n", switch(lab_id), "link", "del", BRIDGE], check=False)
    if names:
        run(["ip", "-force", "-batch", "-"], stdin="".join(f"netns del {name}\n" for name in names), check=False)


_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def inside(name: str) -> Iterator[None]:
    """Let the calling thread make its sockets in a namespace; sockets stay there afterwards.

    Raises:
        ToolError: There is no such namespace. Nothing is sent from the machine's own namespace in its place.
    """
    if not (NETNS / name).exists():
        raise ToolError(f"the lab has no network: {NETNS / name} is missing", hint="is the lab up?")
    with open("/proc/thread-self/ns/net", "rb") as own, open(NETNS / name, "rb") as target:
        _enter(target)
        try:
            yield
        finally:
            _enter(own)


def _enter(namespace_file: IO[bytes]) -> None:
    if _libc.setns(namespace_file.fileno(), _CLONE_NEWNET) != 0:
        raise ToolError(f"cannot enter a network namespace: {os.strerror(ctypes.get_errno())}")


def answering(lab_id: str, addresses: Mapping[str, str], seconds: float) -> set[str]:
    """Return the names of the hosts that send the banner of their sshd within a time.

    An open port alone is no proof, because a socket unit may hold it for an sshd to come.

    Args:
        lab_id: The lab.
        addresses: Address by host name.
        seconds: For all of them together.
    """
    until = time.monotonic() + seconds
    ready: set[str] = set()
    try_at = dict.fromkeys(addresses, 0.0)
    with selectors.DefaultSelector() as selector:
        while len(ready) < len(addresses) and (now := time.monotonic()) < until:
            due = {name: addresses[name] for name, at in try_at.items() if at <= now}
            if due:
                _dial(selector, switch(lab_id), due, now)
            try_at = {name: at for name, at in try_at.items() if name not in due}
            for key, _ in selector.select(timeout=_PROBE_SECONDS):
                if _banner(key):
                    ready.add(key.data[0])
                else:
                    try_at[key.data[0]] = now + _PROBE_SECONDS
                _hang_up(selector, key)
            for key in list(selector.get_map().values()):
                if now - key.data[1] > _DIAL_SECONDS:
                    try_at[key.data[0]] = now
                    _hang_up(selector, key)
        for key in list(selector.get_map().values()):
            _hang_up(selector, key)
    return ready


def _dial(selector: selectors.BaseSelector, netns: str, addresses: Mapping[str, str], now: float) -> None:
    with inside(netns):
        for name, target in addresses.items():
            probe = socket.socket()
            probe.settimeout(0)
            probe.connect_ex((target, SSH_PORT))
            selector.register(probe, selectors.EVENT_READ, (name, now))


def _banner(key: selectors.SelectorKey) -> bool:
    assert isinstance(key.fileobj, socket.socket)
    try:
        return key.fileobj.recv(4) == b"SSH-"
    except OSError:
        return False


def _hang_up(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    assert isinstance(key.fileobj, socket.socket)
    selector.unregister(key.fileobj)
    key.fileobj.close()
