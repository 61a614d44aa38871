"""Start, stop and read the proxy of a lab; the outage that a test plays with it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlperf_ops.errors import ToolError
from mlperf_ops.files import write_json
from tests.lab import network, processes, sources
from tests.lab.machine import NETNS, home, start_detached
from tests.lab.records import folder_of

PORT = 3128
URL = f"http://{network.GATEWAY}:{PORT}"

_START_SECONDS = 30.0
_END_SECONDS = 5.0


def _folder(lab_id: str) -> Path:
    return folder_of(lab_id) / "proxy"


def environment() -> dict[str, str]:
    """Return the variables that lead a process in the lab's network through the proxy."""
    direct = f"localhost,127.0.0.1,::1,{network.GATEWAY},{network.SUBNET}"
    return {"http_proxy": URL, "https_proxy": URL, "no_proxy": direct}


def start(lab_id: str, allow: list[tuple[str, int]]) -> None:
    """Start the proxy and wait until it listens.

    Raises:
        ToolError: It does not start; holds its last words.
    """
    folder = _folder(lab_id)
    folder.mkdir(exist_ok=True)
    log = folder / "log.jsonl"
    log.touch()
    config = {
        "netns": str(NETNS / network.switch(lab_id)),
        "address": network.GATEWAY,
        "port": PORT,
        "subnet": network.SUBNET,
        "allow": [list(target) for target in allow],
        "upstream": sources.upstream_proxy(),
        "cache": str(home() / "packages"),
        "log": str(log),
        "outage": str(folder / "outage"),
    }
    write_json(folder / "config.json", config)
    argv = [sys.executable, "-I", str(processes.PROXY), str(folder / "config.json")]
    start_detached(argv, folder / "stderr.log")
    errors = folder / "stderr.log"
    # A process that is about to start has no command line for a moment, so only its last words tell that it has ended.
    processes.wait_until(
        lambda: bool(log.read_text()) or bool(errors.read_text() and not processes.proxies(folder)), _START_SECONDS
    )
    if not log.read_text():
        said = errors.read_text().strip().splitlines()
        raise ToolError(f"the proxy of the lab does not start: {said[-1] if said else 'it said nothing'}")


def stop(lab_id: str) -> None:
    """End the proxy; no error when there is none."""
    folder = _folder(lab_id)
    processes.kill(processes.proxies(folder))
    processes.wait_until(lambda: not processes.proxies(folder), _END_SECONDS)


@contextmanager
def outage(lab_id: str, *, hang: bool = False) -> Iterator[None]:
    """Let no host reach any package source for a while.

    Args:
        lab_id: The lab.
        hang: Requests wait until the end of the outage instead of being answered with 503.
    """
    flag = _folder(lab_id) / "outage"
    flag.write_text("hang" if hang else "refuse")
    try:
        yield
    finally:
        flag.unlink(missing_ok=True)


def requests(lab_id: str, client: str) -> list[str]:
    """Return what an address asked the proxy for, in order.

    Each is what became of it (pass, miss, hit, connect, denied, failed, outage) and the target: "hit http://…".
    """
    lines = (_folder(lab_id) / "log.jsonl").read_text().splitlines()
    return [f"{one['event']} {one['target']}" for one in map(json.loads, lines) if one["client"] == client]


def controller_environment(lab_id: str, addresses: list[str]) -> dict[str, str]:
    """Return the environment of a command "on the controller": the caller's, and the lab's proxy.

    Args:
        lab_id: The lab.
        addresses: Of its hosts, because not every program understands a network in no_proxy.
    """
    proxied = environment()
    proxied["no_proxy"] = ",".join([proxied["no_proxy"], *addresses])
    upper = {name.upper(): value for name, value in proxied.items()}
    return {**os.environ, **proxied, **upper}
