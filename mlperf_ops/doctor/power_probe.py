"""Collect on a power director, or on a measured SUT, what the doctor judges. Changes nothing, starts nothing.

Sent behind `probe` and `mlperf_ops.harness.clock`, whose `first_python` and `clock_problem` it calls, to the host's own
Python (3.8 or newer): standard library only.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
from typing import Any

_POWER_SECONDS = 3
_SUNRPC_PORT = 111  # where meters in a network answer; a refusal is an answer, too
_PYTHON_VERSION = "import sys; print('%d.%d.%d' % sys.version_info[:3])"
_SERVERS = "mlperf-power@*.service"
_CHUNK_BYTES = 1 << 20


def power(wanted: dict[str, Any]) -> dict[str, Any]:
    """Look at everything that a measurement needs here.

    Args:
        wanted: python, minors (oldest and newest that fit), ntp_server, clock_limit_ms, ports, devices (name, place and
            whether that is an address), ptdaemon (a path here, or "").
    """
    server = wanted["ntp_server"]
    return {
        "python": power_python(wanted["python"], wanted["minors"]),
        "knows_ntp": knows_ntp(),
        "clock": clock_problem(server, wanted["clock_limit_ms"]) if server else "",  # type: ignore[name-defined]  # noqa: F821  # see above
        "measures": servers_run() if wanted["ports"] else False,
        "ports": sorted(set(wanted["ports"]) & listening()),
        "devices": {one["name"]: device(one["place"], is_address=one["is_address"]) for one in wanted["devices"]},
        "ptdaemon": digest(wanted["ptdaemon"]) if wanted["ptdaemon"] else "",
    }


def power_python(given: str, minors: list[int]) -> dict[str, Any]:
    """Find a Python that power-dev starts with, as the roles do; say which ones it does not start with."""
    names = ["python3." + str(minor) for minor in range(minors[1], minors[0] - 1, -1)]
    return first_python(  # type: ignore[name-defined,no-any-return]  # noqa: F821  # of `probe`
        [given] if given else ["/usr/bin/python3", *names, "python3"],
        _PYTHON_VERSION,
        lambda version: [3, minors[0]] <= version <= [3, minors[1]],
        "which does not start",
    )


def knows_ntp() -> bool:
    """Tell whether the service has a port here, by whose name power-dev asks."""
    try:
        socket.getservbyname("ntp", "udp")
    except OSError:
        return False
    return True


def servers_run() -> bool:
    """Tell whether a server of ours measures now: then its ports are taken, as they should be."""
    if shutil.which("systemctl") is None:
        return False
    done = subprocess.run(
        ["systemctl", "list-units", "--plain", "--no-legend", "--state=active,activating,deactivating", _SERVERS],  # noqa: S607  # the host's own PATH is meant
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=_POWER_SECONDS,
        check=False,
    )
    return bool(done.stdout.strip())


def listening() -> set[int]:
    """Return the TCP ports that somebody here listens on; asks nobody, as a meter's daemon has one client."""
    found = set()
    for name in ("tcp", "tcp6"):
        try:
            with open("/proc/net/" + name, encoding="ascii") as stream:
                lines = [line.split() for line in stream][1:]
        except OSError:
            continue
        found |= {int(words[1].rpartition(":")[2], 16) for words in lines if words[3] == "0A"}
    return found


def device(place: str, *, is_address: bool) -> str:
    """Tell whether a meter is there: by its device file, or by whether its address answers at all."""
    if not is_address:
        return "there" if os.path.exists(place) else "missing"
    try:
        socket.create_connection((place, _SUNRPC_PORT), timeout=_POWER_SECONDS).close()
    except ConnectionRefusedError:
        return "there"
    except OSError:
        return "silent"
    return "there"


def digest(path: str) -> str:
    """Return the sha256 of a file; "missing" or "unreadable" instead."""
    if not os.path.isfile(path):
        return "missing"
    found = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                found.update(chunk)
    except OSError:
        return "unreadable"
    return found.hexdigest()
