"""The doctor of this machine: it judges what the inventory says now, whatever was planned before."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.files import Json
from tests.support.playbooks import environ, local_inventory

pytestmark = pytest.mark.integration


def _ops(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlperf_ops", *words],
        cwd=folder, env=environ(), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def _files(folder: Path, *words: str) -> list[dict[str, Any]]:
    done = _ops(folder, "doctor", "-i", "lab", "--json", *words)
    findings = [one for host in json.loads(done.stdout)["hosts"] for one in host["findings"]]
    return [one for one in findings if one["check"] == "files"]


def test_a_model_that_was_named_after_the_plan_and_is_missing_blocks(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.onnx"
    local_inventory(tmp_path / "lab", tmp_path / "home", components={"resnet50": {"path": str(missing)}})
    planned = _ops(tmp_path, "plan", "-i", "lab")
    assert planned.returncode == 0, planned.stderr
    (unused,) = _files(tmp_path)
    assert unused["severity"] == "warns"
    assert unused["message"].endswith("; no planned cell uses it")

    benchmarks: Json = [{"benchmark": "resnet50", "scenarios": ["Offline"], "dataset": "imagenet-20"}]
    local_inventory(
        tmp_path / "lab", tmp_path / "home", benchmarks=benchmarks, components={"resnet50": {"path": str(missing)}}
    )
    before = (tmp_path / "results/lab/plan.json").read_bytes()
    for words in ((), ("-e", "mlperf_smoke=true")):
        (used,) = _files(tmp_path, *words)
        assert used["severity"] == "blocks"
        assert used["message"] == f"mlperf_components.resnet50.path is not there: {missing}"
        assert used["remedy"] == "put it there or correct mlperf_components.resnet50.path"
    assert (tmp_path / "results/lab/plan.json").read_bytes() == before
