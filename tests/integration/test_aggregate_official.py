"""The tree against the official tools: truncation gives the same bytes, the checker finds nothing unexpected."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlperf_ops.aggregate import aggregate
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.model import Scenario
from tests.support.attempts import Lab, RealLogs, snapshot

CHECKOUT = os.environ.get("MLPERF_INFERENCE_CHECKOUT", "")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not CHECKOUT, reason="MLPERF_INFERENCE_CHECKOUT names no checkout of mlcommons/inference"),
]
SCENARIOS: tuple[Scenario, ...] = ("SingleStream", "MultiStream", "Server", "Offline")
SUBMISSION_TOOLS = Path(CHECKOUT) / "tools" / "submission"


@pytest.fixture
def lab(tmp_path: Path, real_logs: RealLogs) -> Lab:
    lab = Lab(tmp_path / "results" / "demo", real_logs)
    for scenario in SCENARIOS:
        lab.scenario(scenario)
    return lab


def run_tool(*argv: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SUBMISSION_TOOLS)}
    return subprocess.run(
        [sys.executable, *map(str, argv)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_the_official_truncation_of_the_raw_logs_gives_our_bytes(lab: Lab, tmp_path: Path) -> None:
    run = lab.write()
    catalogue = load_catalogue()
    report = aggregate(run, catalogue.round("v6.1"), catalogue)
    # The same tree with the raw accuracy files in it, for the official tool to work on.
    raw_tree = tmp_path / "raw_tree"
    shutil.copytree(report.tree, raw_tree)
    for packed in report.written:
        _, benchmark, scenario = packed.key.split("/")
        (attempt,) = (run / "hosts/node1" / benchmark / scenario / "accuracy").glob("*/attempt_1")
        for name in ("mlperf_log_accuracy.json", "accuracy.txt"):
            shutil.copyfile(attempt / name, raw_tree / packed.path / "accuracy" / name)
    assert snapshot(raw_tree) != snapshot(report.tree)
    tool = SUBMISSION_TOOLS / "truncate_accuracy_log.py"
    done = run_tool(
        tool, "--input", raw_tree, "--submitter", "TEST-ONLY", "--backup", tmp_path / "backup", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert snapshot(raw_tree) == snapshot(report.tree)
    assert snapshot(tmp_path / "backup") == snapshot(run / "full_logs")


def test_the_official_checker_objects_only_to_what_short_runs_on_few_samples_cause(lab: Lab, tmp_path: Path) -> None:
    catalogue = load_catalogue()
    tree = aggregate(lab.write(), catalogue.round("v6.1"), catalogue).tree
    csv = tmp_path / "summary.csv"
    done = run_tool("-m", "submission_checker.main", "--input", tree, "--version", "v6.1", "--csv", csv, cwd=tmp_path)
    errors = [line.partition(" ERROR] ")[2] for line in done.stderr.splitlines() if " ERROR] " in line]
    caused = ("dataset size", "test duration less than 600s", "early stopping")
    overall = ("Checks failed for", "NoResults ", "SUMMARY: ")
    unexpected = [line for line in errors if not any(words.lower() in line.lower() for words in (*caused, *overall))]
    assert unexpected == []
    assert any("dataset size" in line for line in errors)
    for name in ("system checks", "measurement checks"):
        assert done.stderr.count(f"All {name} checks passed for") == len(SCENARIOS)
    assert "Traceback" not in done.stderr
