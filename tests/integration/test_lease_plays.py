"""Two controllers with plans of their own and one meter, as real plays of real cells on this machine; one is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlperf_ops.files import Json, JsonObject
from tests.support.playbooks import CHECKOUT, Running, command, environ, local_inventory, play, start

pytestmark = [pytest.mark.integration, pytest.mark.network]

_PLAY = str(CHECKOUT / "run-inference.yml")
_SHARED: Json = {"meter1": ["performance"]}


class Desk:
    """A controller: a folder of its own, an inventory, and a home of its cells."""

    def __init__(self, folder: Path, name: str, queries: int) -> None:
        self.folder, self.name = folder / name, name
        scenarios: JsonObject = {"scenarios": ["SingleStream"], "modes": ["performance"]}
        benchmarks: Json = [{"benchmark": "efficientnet-lite0", **scenarios}]
        self.inventory = local_inventory(
            self.folder / name, self.folder / "home",
            benchmarks=benchmarks, shared=_SHARED, test_query_count=queries,
        )  # fmt: skip
        self.env = environ(MLPERF_OPS_LEASES=str(folder / "leases"))

    def provision(self) -> None:
        done = play(_PLAY, self.inventory, self.folder, "--tags", "validate,provision")
        assert done.exit_code == 0, done.output

    def start(self) -> Running:
        argv = command(_PLAY, self.inventory, "--tags", "validate,run,collect")
        return start(argv, self.folder, self.env, self.folder / "play.log")

    def ops(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mlperf_ops", *words, "-i", self.name],
            cwd=self.folder, env=self.env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def times(self) -> tuple[float, float]:
        """Return when the only attempt began and ended, by the machine's clock."""
        (result,) = self.folder.glob("home/runs/*/*/*/*/*/*/attempt_*/result.json")
        began = (result.parent / "state.json").stat().st_mtime
        assert json.loads(result.read_text())["verdict"] == "valid"
        return began, result.stat().st_mtime


def test_a_killed_controller_keeps_the_meter_for_its_cell_and_the_next_waits_for_its_end(tmp_path: Path) -> None:
    first, second = Desk(tmp_path, "first", 1_500), Desk(tmp_path, "second", 100)
    first.provision()
    second.provision()
    killed = first.start()
    killed.until("starting, expected")
    waiting = second.start()
    killed.until("SingleStream performance   measuring")
    os.killpg(killed.process.pid, signal.SIGKILL)
    killed.process.wait()

    waiting.until("waits for meter1 behind localhost (localhost/efficientnet-lite0/SingleStream/performance")
    cells = json.loads(second.ops("status", "--json").stdout)["cells"]
    assert [cell["state"] for cell in cells] == ["blocked"]
    assert cells[0]["reason"].startswith("waits for meter1 behind localhost")

    shown = json.loads(second.ops("lease", "list", "--json").stdout)["leases"]
    assert [(one["thing"], one["holder"]["stage"], len(one["queue"])) for one in shown] == [("meter1", "running", 1)]
    assert shown[0]["holder"]["cell_runs"] is True
    refused = second.ops("lease", "break", "meter1")
    assert refused.returncode == 2
    assert "meter1 is held by localhost (localhost/efficientnet-lite0/SingleStream/performance" in refused.stderr
    wrong = second.ops("lease", "break", "meter2", "--yes")
    assert wrong.returncode == 2
    assert "did you mean 'meter1'?" in wrong.stderr

    done = waiting.end()
    assert done.exit_code == 0, done.output
    assert re.search(r"SingleStream performance +valid", done.output), done.output
    assert first.times()[1] <= second.times()[0]  # never two at once
    assert json.loads(second.ops("lease", "list", "--json").stdout)["leases"][0]["holder"] is None
