"""How a play looks at a running cell: one shell line, which waits on the host where there is time."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from pathlib import Path

from tests.support.plugins import plugin

loadgen_run = plugin("action.loadgen_run")


def look(attempt: Path, wait: str) -> tuple[list[str], float]:
    """Return the words of a look and how long it took."""
    began = time.monotonic()
    script = loadgen_run._LOOK.format(attempt=attempt, wait=wait)
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False)
    return done.stdout.split(), time.monotonic() - began


def test_a_look_says_running_with_its_phase_gone_or_ended(tmp_path: Path) -> None:
    assert look(tmp_path / "none", "")[0] == []
    assert look(tmp_path, "")[0] == ["gone"]
    (tmp_path / "state.json").write_text(json.dumps({"pid": os.getpid()}, indent=2))
    (tmp_path / "phase").write_text("measuring")
    assert look(tmp_path, "")[0] == ["running", "measuring"] == loadgen_run.look_here(tmp_path)
    (tmp_path / "result.json").write_text("{}")
    assert look(tmp_path, "")[0] == ["ended"] == loadgen_run.look_here(tmp_path)


def test_a_look_that_waits_ends_soon_after_its_cell(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"pid": os.getpid()}, indent=2))
    timer = threading.Timer(0.5, (tmp_path / "result.json").write_text, ["{}"])
    timer.start()
    words, seconds = look(tmp_path, loadgen_run._WAIT)
    timer.join()
    assert words == ["ended"]
    assert 0.5 < seconds < loadgen_run._SLOW_POLL_SECONDS - loadgen_run._STEP_SECONDS
    assert loadgen_run._STEP_SECONDS < 5
