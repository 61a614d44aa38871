"""A waiting play's look at an attempt: the script for a host and the reader of this machine say the same."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.files import write_json
from mlperf_ops.harness.supervisor import boot_id, running_since, start_ticks
from tests.support.plugins import plugin

looks = plugin("plugin_utils.looks")


def _both(attempt: Path) -> list[str]:
    done = subprocess.run(["sh", "-c", looks.script(attempt)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    said: list[str] = done.stdout.split()
    assert looks.here(attempt) == said
    return said


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({}, ["running", "measuring"]),
        ({"boot_id": "of another boot"}, ["gone"]),
        ({"start_ticks": 1}, ["gone"]),
        ({"pid": 4194304}, ["gone"]),
    ],
    ids=["alive", "rebooted", "number reused", "dead"],
)
def test_only_the_very_process_on_this_boot_is_running(
    tmp_path: Path, change: dict[str, Any], answer: list[str]
) -> None:
    attempt = tmp_path / "an attempt"
    state: Any = {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid()), "boot_id": boot_id(), "oom_kills": 3}
    write_json(attempt / "state.json", {**state, "request_sha256": "ab" * 32, "started_at": "2026", **change})
    (attempt / "phase").write_text("measuring")
    assert _both(attempt) == answer


def test_a_process_that_has_ended_does_not_run_although_nobody_has_collected_its_exit_status(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        state: Any = {"pid": process.pid, "start_ticks": start_ticks(process.pid), "boot_id": boot_id()}
        write_json(tmp_path / "state.json", state)
        assert start_ticks(process.pid) is not None
        assert running_since(process.pid) is None
        assert _both(tmp_path) == ["gone"]


def test_a_result_ends_it_and_without_a_state_it_is_gone(tmp_path: Path) -> None:
    assert _both(tmp_path) == ["gone"]
    (tmp_path / "result.json").write_text("{}")
    assert _both(tmp_path) == ["ended"]


def test_a_look_that_waits_ends_soon_after_its_cell(tmp_path: Path) -> None:
    timer = threading.Timer(0.5, (tmp_path / "result.json").write_text, ["{}"])
    began = time.monotonic()
    timer.start()
    done = subprocess.run(["sh", "-c", looks.script(tmp_path, 12, 3)], capture_output=True, text=True, check=True)
    seconds = time.monotonic() - began
    timer.join()
    assert done.stdout == "ended\n"
    assert 0.5 < seconds < 12 - 3
