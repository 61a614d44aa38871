"""`mlperf-ops aggregate` as a user calls it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.files import pretty_json
from mlperf_ops.runlock import OWNER_FILE, current_owner
from tests.support.attempts import Lab, RealLogs, snapshot


def mlperf_ops(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "mlperf_ops", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "60"}
    return subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def run(tmp_path: Path, real_logs: RealLogs) -> Path:
    lab = Lab(tmp_path / "results" / "demo", real_logs)
    lab.scenario("Offline")
    lab.cell("Server", "performance")
    lab.cell("Server", "accuracy", collected=False)
    return lab.write()


def test_it_shows_what_was_written_and_what_is_missing(run: Path, tmp_path: Path) -> None:
    done = mlperf_ops("aggregate", "results/demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "written" in done.stdout
    assert "node1/efficientnet-lite0/Server/accuracy" in done.stdout
    assert done.stdout.splitlines()[-1] == "results/demo/submission changed"
    again = mlperf_ops("aggregate", "results/demo", cwd=tmp_path)
    assert again.stdout.splitlines()[-1] == "results/demo/submission is up to date"
    assert not (run / OWNER_FILE).exists()


def test_json_is_one_object_on_stdout(run: Path, tmp_path: Path) -> None:
    dry = mlperf_ops("aggregate", run, "--dry-run", "--json", cwd=tmp_path)
    assert not (run / "submission").exists()
    done = mlperf_ops("aggregate", run, "--json", cwd=tmp_path)
    told: dict[str, Any] = json.loads(done.stdout)
    assert json.loads(dry.stdout) == told
    assert told["changed"] is True
    assert told["tree"] == str(run / "submission")
    assert [one["key"] for one in told["written"]] == ["node1/efficientnet-lite0/Offline"]
    assert [one["key"] for one in told["missing"]] == ["node1/efficientnet-lite0/Server/accuracy"]
    assert told["refused"] == []
    assert json.loads(mlperf_ops("aggregate", run, "--json", cwd=tmp_path).stdout)["changed"] is False


def test_a_folder_that_somebody_else_works_in_is_busy(run: Path, tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        owner = current_owner(other.pid)
        (run / OWNER_FILE).write_text(
            pretty_json({name: getattr(owner, name) for name in ("pid", "start_ticks", "boot_id", "command")})
        )
        before = snapshot(run)
        done = mlperf_ops("aggregate", run, cwd=tmp_path)
        assert done.returncode == 6
        assert "is in use by process" in done.stderr
        assert snapshot(run) == before
    finally:
        other.communicate(b"\n")


@pytest.mark.parametrize(
    ("folder", "code", "sentence"),
    [("absent", 2, "absent is not a folder"), ("empty", 3, "cannot read empty/plan.json")],
)
def test_a_wrong_folder_is_one_sentence(tmp_path: Path, folder: str, code: int, sentence: str) -> None:
    (tmp_path / "empty").mkdir()
    done = mlperf_ops("aggregate", folder, cwd=tmp_path)
    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
