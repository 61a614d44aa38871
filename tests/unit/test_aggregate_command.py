"""`mlperf-ops aggregate` as a user calls it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.files import pretty_json, read_json
from mlperf_ops.model import Result
from mlperf_ops.runlock import OWNER_FILE, current_owner
from mlperf_ops.typed import load
from tests.support.attempts import Lab, RealLogs, seal, snapshot
from tests.support.plugins import plugin
from tests.support.submission_trees import edit_log


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


def test_results_that_are_there_and_not_packed_are_a_negative_verdict(tmp_path: Path, real_logs: RealLogs) -> None:
    lab = Lab(tmp_path / "results" / "demo", real_logs)
    for host, rate in (("node1", 100), ("node2", 120)):
        folder = lab.cell("Offline", "performance", host=host, system="twins")
        lab.cell("Offline", "accuracy", host=host, system="twins")
        edit_log(folder / "mlperf_log_detail.txt", {"result_samples_per_second": rate})
        seal(folder, load(Result, read_json(folder / "result.json"), "result.json"))
    lab.scenario("Server", host="node3")
    changed = lab.cell("SingleStream", "performance", host="node3")
    lab.cell("SingleStream", "accuracy", host="node3")
    lab.write()
    with (changed / "user.conf").open("a") as stream:
        stream.write("# changed afterwards\n")
    for words in (("--dry-run",), (), ("--json",), ()):
        done = mlperf_ops("aggregate", "results/demo", *words, cwd=tmp_path)
        assert done.returncode == 1, done.stderr
        place, refused = done.stderr.splitlines()
        assert place.startswith(
            "mlperf-ops: 1 place is not in the tree: twins/efficientnet-lite0/Offline, 2 different "
        )
        assert place.endswith("(mlperf_on_conflict: best lets the better one count)")
        key = "node3/efficientnet-lite0/SingleStream/performance"
        assert refused.startswith(f"mlperf-ops: 1 result was measured and cannot be packed: {key}, ")
    told: Any = read_json(tmp_path / "results/demo/report/aggregate.json")
    every, message = plugin("action.show_verdict").without_result(told)
    assert len(every) == 3
    assert message.startswith("3 planned cells have no usable result: twins/efficientnet-lite0/Offline/performance: 2 ")
    assert message.count("2 different results for one place") == 1  # of two cells


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
