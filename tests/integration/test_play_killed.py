"""`mlperf-ops run` has the last word when its play is killed, and no play outlives it. Real plays and LoadGen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlperf_ops.files import Json
from tests.support.playbooks import environ, local_inventory

pytestmark = [pytest.mark.integration, pytest.mark.network]

_CELL = "localhost/efficientnet-lite0/Server/accuracy"
_DEADLINE_SECONDS = 400


class Killed:
    """A run that is under way, with a cell that takes about 20 s."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        benchmarks: Json = [{"benchmark": "efficientnet-lite0", "scenarios": ["Server"], "modes": ["accuracy"]}]
        targets: Json = {"efficientnet-lite0": {"Server": {"target_qps": 0.8}}}
        local_inventory(folder / "lab", folder / "home", benchmarks=benchmarks, targets=targets)

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "mlperf_ops", "run", "-i", "lab"],
            cwd=self.folder, env=environ(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def until(self, what: Callable[[], bool]) -> None:
        ends = time.monotonic() + _DEADLINE_SECONDS
        while not what():
            assert time.monotonic() < ends, "it did not come that far"
            time.sleep(0.2)

    def play(self) -> int:
        return int(json.loads((self.folder / "results/lab/owner.json").read_text())["pid"])

    def runs(self) -> bool:
        phases = self.folder.glob("home/runs/lab/*/*/*/*/*/attempt_*/phase")
        return any(path.read_text().strip() == "measuring" for path in phases)

    def attempts(self) -> int:
        return len(list(self.folder.glob("home/runs/lab/*/*/*/*/*/attempt_*")))


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Killed]:
    made = Killed(tmp_path)
    yield made
    # A cell that goes on would disturb whatever is measured next.
    made.until(lambda: made.attempts() == len(list(tmp_path.glob("home/runs/lab/*/*/*/*/*/attempt_*/result.json"))))


def test_a_killed_play_is_told_with_what_goes_on_and_the_next_run_takes_it(killed: Killed) -> None:
    run = killed.start()
    killed.until(killed.runs)
    os.kill(killed.play(), signal.SIGKILL)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 128 + signal.SIGKILL
    assert "mlperf-ops: the play was killed (SIGKILL)" in said
    assert f"mlperf-ops: {_CELL} goes on on localhost without it, and keeps its result: measuring" in said
    assert "mlperf-ops: 0 cells of 1 are done, 1 left" in said
    assert "starts no cell twice: mlperf-ops run -i lab" in said

    again = killed.start()
    again.communicate(timeout=_DEADLINE_SECONDS)
    assert killed.attempts() == 1
    # An accuracy cell alone makes no submission; what counts is that the very attempt came back.
    (held,) = json.loads((killed.folder / "results/lab/hosts/localhost/cells.json").read_text())["cells"]
    assert (held["key"], held["attempt"], held["verdict"]) == (_CELL, "attempt_1", "valid")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_play_outlives_the_command_that_began_it(killed: Killed, number: signal.Signals) -> None:
    run = killed.start()
    killed.until((killed.folder / "results/lab/owner.json").is_file)
    play = killed.play()
    assert play != run.pid
    run.send_signal(number)
    _, said = run.communicate(timeout=120)
    killed.until(lambda: not _lives(play))
    if number == signal.SIGTERM:
        assert "the play was killed (SIGTERM)" in said
        assert "no cell of it runs on a host that answers" in said
        assert run.returncode == 128 + signal.SIGTERM


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False
