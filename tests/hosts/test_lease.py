"""Leases on a bare host, as one of group services is, with clients that are processes of their own; one is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlperf_ops.files import Json
from tests.lab import Host, Lab
from tests.lab.host import enter_argv

pytestmark = pytest.mark.lab

_ROOT = Path(__file__).resolve().parents[2]


class Client:
    """A controller in the lab's network; what it says is in a file."""

    def __init__(self, lab: Lab, owner: Host, log: Path, seconds: float) -> None:
        access: dict[str, Json] = {
            "connection": "ssh", "address": owner.address, "user": "ops", "key_file": str(lab.key),
            "arguments": ["-F", "none", "-o", f"UserKnownHostsFile={lab.known_hosts}", "-o", "IdentityAgent=none"],
        }  # fmt: skip
        self.log = log
        argv = [
            *enter_argv(lab.id), sys.executable, "-m", "tests.support.lease_controller",
            json.dumps(access), log.stem, str(seconds),
        ]  # fmt: skip
        with log.open("wb") as stream:
            self.process = subprocess.Popen(argv, cwd=_ROOT, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL)

    def until(self, said: str, *, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while said not in self.log.read_text().splitlines():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)


@pytest.fixture
def client(lab: Lab, host: Host, tmp_path: Path) -> Iterator[Callable[[str, float], Client]]:
    """Start clients by name and how long they hold the thing; none outlives the test."""
    made: list[Client] = []

    def start(name: str, seconds: float) -> Client:
        made.append(Client(lab, host, tmp_path / name, seconds))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.wait()


def test_the_queue_on_a_bare_host_survives_a_killed_holder_and_a_cut_cable(
    host: Host, client: Callable[[str, float], Client]
) -> None:
    first = client("first", 600)
    first.until("holds")
    second = client("second", 3)
    second.until("behind first")
    third = client("third", 0)
    third.until("behind first")
    host.cut()
    second.until("away", seconds=60)
    host.heal()
    first.process.kill()  # before its cell began: its silence ends the lease
    second.until("holds", seconds=150)
    third.until("behind second")
    assert "holds" not in third.log.read_text()
    second.until("gave back")
    third.until("gave back")
    log = host.exec("cat /var/tmp/mlperf-ops-leases/meter1.log").stdout
    events = [(one["event"], one["host"]) for one in map(json.loads, log.splitlines())]
    granted = [who for event, who in events if event == "granted"]
    assert granted == ["first", "second", "third"]
    assert ("expired", "first") in events
