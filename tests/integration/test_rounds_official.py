"""Trees of every round, with logs of the round's own LoadGen, against the official checker's rules of that round."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mlperf_ops.aggregate import aggregate
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.errors import SubmissionError
from mlperf_ops.model import Scenario
from mlperf_ops.plan_model import Filing
from tests.support.attempts import Lab, RealLogs, snapshot

CHECKOUT = os.environ.get("MLPERF_INFERENCE_CHECKOUT", "")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not CHECKOUT, reason="MLPERF_INFERENCE_CHECKOUT names no checkout of mlcommons/inference"),
]
CATALOGUE = load_catalogue()
ROUNDS = ("v5.1", "v6.0", "v6.1")
SCENARIOS: tuple[Scenario, ...] = ("SingleStream", "Server", "Offline")
# What runs of a fraction of a second over 200 samples cause, and what sums it up.
CAUSED = ("dataset size", "test duration less than 600s", "early stopping")
OVERALL = ("Checks failed for", "NoResults ", "SUMMARY: ")


@pytest.fixture(scope="module")
def logs_of(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RealLogs]:
    """Logs by round; the LoadGen that a round pins is installed beside the environment's."""
    made = {}
    for name in ROUNDS:
        base = tmp_path_factory.mktemp(name)
        pinned = CATALOGUE.round(name).loadgen
        argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(base / "loadgen")]
        subprocess.run([*argv, f"{pinned.package}=={pinned.version}"], check=True, timeout=300)
        made[name] = RealLogs(base / "logs", loadgen=base / "loadgen")
    return made


def lab_of(round_name: str, logs: RealLogs, base: Path) -> Lab:
    lab = Lab(base / "results" / round_name, logs, round=round_name)
    for scenario in SCENARIOS:
        lab.scenario(scenario)
    return lab


def official_errors(tree: Path, version: str, csv: Path) -> tuple[list[str], str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(CHECKOUT) / "tools/submission"), "PYTHONDONTWRITEBYTECODE": "1"}
    words = ["--input", str(tree), "--version", version, "--csv", str(csv)]
    done = subprocess.run(
        [sys.executable, "-m", "submission_checker.main", *words],
        cwd=csv.parent, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    errors = [line.partition(" ERROR] ")[2] for line in done.stderr.splitlines() if " ERROR] " in line]
    return errors, done.stderr


@pytest.mark.parametrize("round_name", ROUNDS)
def test_the_official_checker_objects_to_the_shortness_of_the_runs_only(
    round_name: str, logs_of: dict[str, RealLogs], tmp_path: Path
) -> None:
    lab = lab_of(round_name, logs_of[round_name], tmp_path)
    # MultiStream is not run: it follows from SingleStream
    also = (Filing("efficientnet-lite0", "resnet", "MultiStream"),)
    lab.planned = [replace(cell, also=also) if cell.cell.scenario == "SingleStream" else cell for cell in lab.planned]
    report = aggregate(lab.write(), CATALOGUE.round(round_name), CATALOGUE)
    assert len(report.written) == len(SCENARIOS) + 1
    errors, text = official_errors(report.tree, round_name, tmp_path / "summary.csv")
    unexpected = [line for line in errors if not any(words.lower() in line.lower() for words in (*CAUSED, *OVERALL))]
    assert unexpected == []
    assert any("dataset size" in line for line in errors)
    for name in ("system checks", "measurement checks"):
        assert text.count(f"All {name} checks passed for") == len(report.written)
    assert "Traceback" not in text
    assert not aggregate(lab.run, CATALOGUE.round(round_name), CATALOGUE).changed


def test_v51_has_measurements_and_code_in_folders_of_their_own(logs_of: dict[str, RealLogs], tmp_path: Path) -> None:
    lab = lab_of("v5.1", logs_of["v5.1"], tmp_path)
    names = set(snapshot(aggregate(lab.write(), CATALOGUE.round("v5.1"), CATALOGUE).tree))
    here = "open/TEST-ONLY"
    assert {name for name in names if "/Offline/" in name} == {
        f"{here}/measurements/node1/efficientnet-lite0/Offline/node1_Offline.json",
        f"{here}/measurements/node1/efficientnet-lite0/Offline/user.conf",
        f"{here}/measurements/node1/efficientnet-lite0/Offline/README.md",
        *(
            f"{here}/results/node1/efficientnet-lite0/Offline/{name}"
            for name in (
                "performance/run_1/mlperf_log_summary.txt",
                "performance/run_1/mlperf_log_detail.txt",
                "accuracy/mlperf_log_summary.txt",
                "accuracy/mlperf_log_detail.txt",
                "accuracy/mlperf_log_accuracy.json",
                "accuracy/accuracy.txt",
            )
        ),
    }
    assert f"{here}/code/efficientnet-lite0/README.md" in names
    assert not any(name.startswith(f"{here}/src") for name in names)


@pytest.mark.parametrize(("ran", "wanted"), [("v5.1", "v6.1"), ("v6.0", "v5.1"), ("v6.1", "v6.0")])
def test_runs_of_one_round_are_refused_as_another_both_by_the_plan_and_by_the_logs(
    ran: str, wanted: str, logs_of: dict[str, RealLogs], tmp_path: Path
) -> None:
    lab = lab_of(ran, logs_of[ran], tmp_path)
    with pytest.raises(SubmissionError, match=f"was measured for round {ran} and cannot be rendered as {wanted}"):
        aggregate(lab.write(), CATALOGUE.round(wanted), CATALOGUE)
    liar = lab_of(wanted, logs_of[ran], tmp_path / "liar")
    with pytest.raises(SubmissionError, match=f"its log shows the seeds of round {ran}, and the submission is for"):
        aggregate(liar.write(), CATALOGUE.round(wanted), CATALOGUE)
    assert not (liar.run / "submission").exists()
