"""Stand-ins of energy sources at their own boundary: a powercap tree, programs, and a Redfish service over TLS."""

from __future__ import annotations

import base64
import json
import ssl
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

RANGE_UJ = 262_143_328_850  # of a real package
ACCOUNT = ("monitor", "s3cret-of-the-bmc")

DCMI = """
    Instantaneous power reading:                   {watts} Watts
    Minimum during sampling period:                 12 Watts
    Maximum during sampling period:                871 Watts
    Average power reading over sample period:      455 Watts
    IPMI timestamp:                           Thu Jan  1 00:00:00 2026
    Sampling period:                          00000001 Seconds.
    Power reading state is:                   {state}

"""


def make_powercap(root: Path, *, packages: int = 1, dram: bool = True) -> Path:
    """Make a tree as intel_rapl makes it: packages with dram and core below them, and psys."""
    for number in range(packages):
        zone(root, f"intel-rapl:{number}", f"package-{number}")
        zone(root, f"intel-rapl:{number}:0", "core")
        if dram:
            zone(root, f"intel-rapl:{number}:1", "dram")
    zone(root, f"intel-rapl:{packages}", "psys")
    zone(root, "intel-rapl-mmio:0", "package-0")
    (root / "intel-rapl").mkdir()
    return root


def zone(root: Path, folder: str, name: str, energy_uj: int = 0) -> None:
    """Make one zone."""
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")


def program(folder: Path, name: str, script: str) -> Path:
    """Put a program of a few lines of shell into a folder; it notes its arguments in <name>.argv."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "$@" >> "{folder}/{name}.argv"\n{script}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


class Bmc(ThreadingHTTPServer):
    """A Redfish service whose answers a test may change."""

    daemon_threads = True

    def __init__(self) -> None:
        """Listen on a free port of this machine."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.account: tuple[str, str] | None = ACCOUNT
        self.url = f"https://localhost:{self.server_address[1]}"

    def chassis(self, name: str, *, inside: str | None = None, **more: float) -> None:
        """Add a chassis; `power` and `environment` are the watts of its two resources."""
        path = f"/redfish/v1/Chassis/{name}"
        held: dict[str, Any] = {"Id": name}
        if inside is not None:
            held["Links"] = {"ContainedBy": {"@odata.id": f"/redfish/v1/Chassis/{inside}"}}
        if "power" in more:
            held["Power"] = {"@odata.id": f"{path}/Power"}
            self.answers[f"{path}/Power"] = {"PowerControl": [{"PowerConsumedWatts": more["power"]}]}
        if "environment" in more:
            held["EnvironmentMetrics"] = {"@odata.id": f"{path}/EnvironmentMetrics"}
            self.answers[f"{path}/EnvironmentMetrics"] = {"PowerWatts": {"Reading": more["environment"]}}
        self.answers[path] = held
        members = self.answers.setdefault("/redfish/v1/Chassis", {"Members": []})["Members"]
        members.append({"@odata.id": path})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Bmc

    def do_GET(self) -> None:  # the base class's name
        self.server.asked.append(self.path)
        status, body = 200, self.server.answers.get(self.path)
        if self.server.account is not None:
            token = base64.b64encode(":".join(self.server.account).encode()).decode()
            if self.headers.get("Authorization") != f"Basic {token}":
                status, body = 401, {}
        if body is None:
            status, body = 404, {}
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


@contextmanager
def running_bmc(folder: Path) -> Iterator[Bmc]:
    """Run a Redfish service with a certificate of its own, `bmc.pem` in the folder."""
    certificate, key = folder / "bmc.pem", folder / "bmc.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-out", str(certificate), "-keyout", str(key)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    bmc = Bmc()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    bmc.socket = context.wrap_socket(bmc.socket, server_side=True)
    thread = threading.Thread(target=bmc.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield bmc
    finally:
        bmc.shutdown()
        thread.join()
        bmc.server_close()
