"""The watch around a cell: a snapshot before, samples in a thread of its own, a snapshot after, one file."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mlperf_ops.files import write_json
from mlperf_ops.harness import host_state
from mlperf_ops.harness.host_drift import Limits
from mlperf_ops.harness.host_readings import HostReader
from mlperf_ops.harness.host_state import COLUMNS, HostWatch
from tests.support.proc_and_sys import governor, make_server

_BURN = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"


def burn(seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _BURN.format(seconds=seconds)])


def watched(watch: HostWatch, folder: Path, seconds: float) -> dict[str, Any]:
    """Watch a process that takes so much CPU time; return host_state.json."""
    watch.begin()
    cell = burn(seconds)
    with watch.during(cell.pid):
        cell.wait()
    assert watch.finish(folder) == tuple(json.loads((folder / "host_state.json").read_text())["tainted"])
    found: dict[str, Any] = json.loads((folder / "host_state.json").read_text())
    return found


def test_samples_are_rows_under_their_columns_with_what_they_cost(tmp_path: Path) -> None:
    found = watched(HostWatch(HostReader(), Limits(sample_seconds=0.05)), tmp_path, 0.5)
    samples = found["samples"]
    assert samples["taken"] >= 2
    assert samples["columns"] == list(COLUMNS)
    assert {len(row) for row in samples["rows"]} == {len(COLUMNS)}
    assert samples["problem"] is None
    seconds = [row[0] for row in samples["rows"]]
    assert seconds == sorted(seconds)
    assert 0 < found["cost"]["microseconds_per_sample"] <= found["cost"]["microseconds_of_the_longest"]
    assert found["before"]["boot_id"] == found["after"]["boot_id"]


def test_what_another_process_takes_is_told_from_what_the_cell_takes(tmp_path: Path) -> None:
    other = burn(60)
    try:
        found = watched(HostWatch(HostReader(), Limits(foreign_cpu_percent_max=1)), tmp_path, 1.0)
    finally:
        other.kill()
        other.wait()
    assert found["seen"]["foreign_cpu_percent"] > 1
    assert "of its CPU time taken by other processes" in found["tainted"][0]
    took = found["foreign_processes"]
    assert took[0]["cpu_seconds"] == max(one["cpu_seconds"] for one in took)
    assert all(set(one) == {"name", "user", "cpu_seconds"} for one in took)


def test_of_many_knobs_every_one_is_looked_at_in_turn_on_simulated_cpufreq(tmp_path: Path) -> None:
    root, home = make_server(tmp_path / "root", cpus=300), tmp_path / "home"
    knobs = {f"k{n}": {"path": str(governor(root, n)), "value": "performance"} for n in range(300)}
    write_json(home / "state" / "tuning.json", {"schema": 1, "settings": {}, "skipped": [], "knobs": knobs})
    watch = HostWatch(HostReader(home, root=str(root)), Limits(sample_seconds=0.01))
    watch.begin()
    governor(root, 299).write_text("powersave\n")
    cell = subprocess.Popen(["/bin/sleep", "60"])
    try:
        with watch.during(cell.pid):
            deadline = time.monotonic() + 30
            while not watch.seen.changed and time.monotonic() < deadline:
                time.sleep(0.02)
            governor(root, 299).write_text("performance\n")
    finally:
        cell.kill()
        cell.wait()
    assert watch.finish(tmp_path) == ("governor of policy299 changed from performance to powersave during the cell",)


def test_of_a_long_cell_every_second_row_is_kept(tmp_path: Path) -> None:
    watch = HostWatch(HostReader(root=str(make_server(tmp_path))))
    watch.begin()
    for _ in range(host_state._ROWS_KEPT * 3):
        watch._sample(1, watch._moment(1))
        watch._taken += 1
    assert host_state._ROWS_KEPT / 2 <= len(watch.rows) <= host_state._ROWS_KEPT
    assert watch._every == 4


def test_a_sensor_that_breaks_costs_a_row_and_never_the_cell(tmp_path: Path) -> None:
    root = make_server(tmp_path / "root")
    watch = HostWatch(HostReader(root=str(root)), Limits(sample_seconds=0.02))
    watch.begin()
    cell = burn(0.3)
    (root / "proc/loadavg").write_text("no number\n")
    with watch.during(cell.pid):
        cell.wait()
    (root / "proc/loadavg").write_text("0.1 0.1 0.1 1/2 3\n")
    assert watch.finish(tmp_path) == ()
    samples = json.loads((tmp_path / "host_state.json").read_text())["samples"]
    assert samples["rows"] == []
    assert samples["problem"].startswith("ValueError")
