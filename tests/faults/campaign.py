"""A short campaign with real LoadGen, and what a test asks of its files on hosts and controller."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from mlperf_ops.files import JsonObject, read_json
from tests.lab import Host
from tests.support.controllers import Controller
from tests.support.playbooks import Played, Running

HOME = "/home/ops/mlperf"
# What a test needs of the flow; the hosts are provisioned, and their tuning is another test's.
TAGS = ("--tags", "validate,run,collect,submission")
_COUNT_COPIES = "while :; do pgrep -fc '[m]lperf_ops.harness.sut'; sleep 0.2; done > /root/copies"


def cells(*scenarios: str) -> list[Any]:
    """Return mlperf_benchmarks with these scenarios; their accuracy cells are there for the tree to be complete."""
    entry: dict[str, Any] = {"benchmark": "efficientnet-lite0", "scenarios": list(scenarios)}
    return [{**entry, "backend": {"allow_spinning": False, "intra_op_threads": 1}}]


def wait_until(what: Callable[[], object], why: str, *, seconds: float = 90) -> None:
    """Poll with a deadline."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)


@dataclass(slots=True)
class Campaign:
    """One controller's run on some hosts. What it tells of cells is about those of mode performance."""

    VARIABLES: ClassVar[dict[str, Any]] = {
        "mlperf_benchmarks": cells("SingleStream"),
        "mlperf_test_query_count": 400,  # a cell of about six seconds on a machine with nothing else to do
        "mlperf_tuning_profile": None,
    }

    controller: Controller
    hosts: tuple[Host, ...]
    running: list[Running] = field(default_factory=list)

    def start(self, *arguments: str) -> Running:
        """Start the play."""
        self.running.append(self.controller.start("run-inference.yml", *(arguments or TAGS)))
        return self.running[-1]

    def play(self, *arguments: str) -> Played:
        """Run the play to its end."""
        return self.start(*arguments).end()

    def attempts(self, host: Host) -> list[Path]:
        """Return the attempts on a host, oldest first, also while it is off."""
        runs = host.root / HOME.lstrip("/") / "runs" / self.controller.inventory.name
        return sorted(runs.glob("*/*/*/performance/*/attempt_*"), key=lambda path: (path.parent, path.name))

    def verdicts(self, host: Host) -> list[str | None]:
        """Return the verdict of each attempt on a host; None without a result."""
        return [self.result(path).get("verdict") for path in self.attempts(host)]

    def result(self, attempt: Path) -> dict[str, Any]:
        """Return an attempt's result.json; empty without one."""
        path = attempt / "result.json"
        found: dict[str, Any] = read_json(path) if path.is_file() else {}
        return found

    def kind(self, attempt: Path) -> str:
        """Return the kind of an attempt's failure."""
        return str((self.result(attempt).get("failure") or {}).get("kind"))

    def until_measuring(self, host: Host, number: int = 1) -> Path:
        """Wait until LoadGen measures in an attempt of a host, and return it.

        A busy machine takes minutes to come so far, so that the end of the play is what tells that nothing will come.
        """

        def measuring() -> bool:
            found = self.attempts(host)[number - 1 :]
            phase = found[0] / "phase" if found else None
            try:
                return phase is not None and phase.read_text() == "measuring"
            except OSError:
                return False

        play, deadline = self.running[-1].process, time.monotonic() + 600
        while not measuring():
            assert play.poll() is None, f"the play has ended, and no cell measures on {host.name}"
            assert time.monotonic() < deadline, f"no cell measures on {host.name}"
            time.sleep(0.05)
        return self.attempts(host)[number - 1]

    def collected(self, host: Host) -> dict[str, str]:
        """Return the attempt and verdict of each cell that the controller counts for a host."""
        path = self.controller.run / "hosts" / host.name / "cells.json"
        if not path.is_file():
            return {}
        told: Any = read_json(path)
        return {
            f"{one['key']} {one['attempt']}": one["verdict"]
            for one in told["cells"]
            if one["key"].endswith("/performance")
        }

    def valid(self, host: Host) -> int:
        """Count the valid cells of a host on the controller, whose files must be there."""
        folder = self.controller.run / "hosts" / host.name
        told: Any = read_json(folder / "cells.json")
        good = [one for one in told["cells"] if one["verdict"] == "valid" and one["key"].endswith("/performance")]
        for one in good:
            assert (folder / one["path"] / "mlperf_log_summary.txt").is_file()
        return len(good)

    def count_copies(self, host: Host) -> None:
        """Note on a host, five times a second, how many processes measure."""
        host.exec(["systemctl", "reset-failed", "count-copies"], check=False)
        host.exec(["systemd-run", "--quiet", "--unit=count-copies", "sh", "-c", _COUNT_COPIES])

    def copies(self, host: Host) -> set[str]:
        """Stop counting, and return which numbers of copies there were."""
        host.exec(["systemctl", "stop", "count-copies"], check=False)
        return set(host.read("/root/copies").split())

    def pids(self, host: Host, attempt: Path) -> tuple[int, int]:
        """Return the supervisor's and the measuring process's number on the host."""
        assert host in self.hosts
        state: JsonObject = read_json(attempt / "state.json")
        return int(str(state["pid"])), int((attempt / "child").read_text().split()[0])

    def clear(self) -> None:
        """End the plays and what they started, and mend the hosts."""
        for running in self.running:
            if running.process.poll() is None:
                os.killpg(running.process.pid, signal.SIGKILL)
                running.process.wait()
        for host in self.hosts:
            if host.pid1() is None:
                host.reboot()
            host.thaw()
            host.heal()
            host.wait()
            host.exec("pkill -f '[m]lperf_ops.harness'; systemctl stop count-copies", check=False)


def words(play: Played) -> str:
    """Return what a play said without the line breaks that Ansible makes."""
    return re.sub(r"\s+", " ", play.output)
