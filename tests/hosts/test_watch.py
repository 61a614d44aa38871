"""`mlperf-ops watch` on real hosts whose cable is pulled, and that are frozen, while a cell prints; many at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.run_plan import read_plan
from tests.lab import Host, Lab
from tests.lab.host import enter_argv
from tests.support.controllers import Controller
from tests.support.playbooks import environ

pytestmark = pytest.mark.lab

_HOME = "/home/ops/mlperf"
_PATIENCE_SECONDS = 120.0
# A cell as a supervisor leaves it, whose process is this shell: a line every fifth of a second, with its number.
_CELL = r"""
attempt={home}/runs/lab/{key}/0123456789ab/attempt_1
mkdir -p "$attempt" && cd "$attempt" || exit 1
set -- $(sed 's/.*) //' /proc/$$/stat)
printf '{{"pid": %s, "start_ticks": %s, "boot_id": "%s", "request_sha256": "%s"}}\n' \
  $$ "${{20}}" "$(cat /proc/sys/kernel/random/boot_id)" {sha256} > state.json
printf '%s (pid %s)\n' {key} $$ > {home}/runs/.lock
echo measuring > phase
number=0
while [ ! -e {home}/end ]; do
  echo "line $number"
  number=$((number + 1))
  sleep 0.2
done > console.log
"""


class Watch:
    """A watch that runs in the lab's network, and the events that it printed."""

    def __init__(self, lab: Lab, controller: Controller) -> None:
        self.folder = controller.folder
        # What runs tests in the background may ignore SIGINT, and children inherit that.
        argv = ["env", "--default-signal=INT", sys.executable, "-m", "mlperf_ops", "watch"]
        argv += ["-i", controller.inventory.name, "--json", "--output"]
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as errors:
            self.process = subprocess.Popen(
                [*enter_argv(lab.id), *argv], cwd=self.folder, env=environ(), stdin=subprocess.DEVNULL,
                stdout=out, stderr=errors, start_new_session=True,
            )  # fmt: skip

    def events(self, kind: str, host: str) -> list[dict[str, Any]]:
        lines = (self.folder / "out").read_text().splitlines()
        told = [json.loads(line) for line in lines if line.endswith("}")]
        return [one for one in told if (one["kind"], one["host"]) == (kind, host)]

    def until(self, what: Callable[[], object]) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not what():
            assert self.process.poll() is None, (self.folder / "err").read_text()
            assert time.monotonic() < deadline, (self.folder / "out").read_text()[-2000:]
            time.sleep(0.1)

    def lines(self, host: Host) -> int:
        return len(self.events("output", host.name))

    def end(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)
        assert self.process.wait(timeout=30) == 0, (self.folder / "err").read_text()


@pytest.fixture(scope="module")
def hosts(lab: Lab) -> Iterator[tuple[Host, Host]]:
    one, other = lab.add([(None, None), (None, None)])
    yield one, other
    for host in (one, other):
        lab.remove(host)


@pytest.fixture
def watched(lab: Lab, hosts: tuple[Host, Host], tmp_path: Path) -> Iterator[Watch]:
    controller = Controller(lab, tmp_path, hosts, "lab")
    argv = [sys.executable, "-m", "mlperf_ops", "plan", "-i", "lab"]
    done = subprocess.run(argv, cwd=tmp_path, env=environ(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    plan = read_plan(controller.run)
    for host in hosts:
        planned = next(one for one in plan.cells if one.host == host.name)
        script = _CELL.format(home=_HOME, key=planned.cell.key, sha256=planned.request_sha256)
        host.exec(f"rm -rf {_HOME}; mkdir -p {_HOME}; chown ops: {_HOME}")
        host.write("/home/ops/cell.sh", script)
        host.exec("setsid sh cell.sh > /dev/null 2>&1 < /dev/null &", user="ops")
    made = Watch(lab, controller)
    yield made
    for host in hosts:
        host.heal()
        host.exec(f"touch {_HOME}/end")
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def test_a_cable_that_is_pulled_and_a_host_that_hangs_lose_no_line(hosts: tuple[Host, Host], watched: Watch) -> None:
    one, other = hosts
    watched.until(lambda: watched.lines(one) > 5 and watched.lines(other) > 5)
    one.cut()
    watched.until(lambda: watched.events("lost", one.name))
    heard, meanwhile = watched.lines(one), watched.lines(other)
    watched.until(lambda: watched.lines(other) > meanwhile + 10)
    assert watched.lines(one) == heard
    one.heal()
    watched.until(lambda: watched.events("back", one.name) and watched.lines(one) > heard + 20)
    other.freeze()
    watched.until(lambda: watched.events("lost", other.name))
    other.thaw()
    heard = watched.lines(other)
    watched.until(lambda: watched.events("back", other.name) and watched.lines(other) > heard + 10)
    watched.end()
    for host in hosts:
        said = [event["text"] for event in watched.events("output", host.name)]
        first = int(said[0].split()[1])
        assert said == [f"line {number}" for number in range(first, first + len(said))]
        assert len(watched.events("started", host.name)) == 1
        assert len(watched.events("lost", host.name)) == 1
        assert not watched.events("ended", host.name)


def test_it_leaves_nothing_on_the_hosts(hosts: tuple[Host, Host], watched: Watch) -> None:
    watching = "pgrep -fc '[H]ELLO = b' || true"
    watched.until(lambda: all(watched.lines(host) for host in hosts))
    assert {host.exec(watching).stdout.strip() for host in hosts} == {"1"}
    watched.end()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while {host.exec(watching).stdout.strip() for host in hosts} != {"0"}:
        assert time.monotonic() < deadline
        time.sleep(0.5)
