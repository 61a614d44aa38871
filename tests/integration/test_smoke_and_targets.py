"""A smoke run, and targets that are adjusted with permission: whole playbooks on this machine with real LoadGen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.playbooks import CHECKOUT, Played, environ, local_inventory, play

pytestmark = [pytest.mark.integration, pytest.mark.network]

_NAME = "efficientnet-lite0"
_SINGLE = f"localhost/{_NAME}/SingleStream/performance"
_ACCURACY = f"localhost/{_NAME}/SingleStream/accuracy"
_PLAY = str(CHECKOUT / "run-inference.yml")
# Far slower than it is: LoadGen then makes only as many queries as it has to, which take less than 20 s.
_WRONG = {_NAME: {"SingleStream": {"target_latency_ms": 1000, "min_query_count": 70}}}


class Lab:
    """Inventories of this machine with one home."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"

    def inventory(self, name: str, **changes: object) -> Path:
        return local_inventory(self.folder / name, self.home, **changes)  # type: ignore[arg-type]  # JSON

    def play(self, inventory: Path, *arguments: str) -> Played:
        return play(_PLAY, inventory, self.folder, *arguments)

    def ops(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mlperf_ops", *words],
            cwd=self.folder, env=environ(), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def attempts(self, run_id: str, mode: str = "*") -> list[Path]:
        return sorted((self.home / "runs" / run_id).glob(f"*/*/*/{mode}/*/attempt_*/result.json"))

    def results(self, run_id: str, mode: str = "*") -> list[dict[str, Any]]:
        found = [json.loads(path.read_text()) for path in self.attempts(run_id, mode)]
        return sorted(found, key=lambda one: str(one["started_at"]))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("smoke"))


def _slow(lab: Lab, name: str, **changes: object) -> Path:
    settings: dict[str, object] = {
        "benchmarks": [{"benchmark": _NAME, "scenarios": ["SingleStream"]}],
        "run_style": "valid",
        "min_duration_ms": 20_000,
        "targets": _WRONG,
    }
    return lab.inventory(name, **{**settings, **changes})


def test_a_wrong_target_is_adjusted_only_with_permission_and_then_stays(lab: Lab) -> None:
    inventory = _slow(lab, "keen", adjust_targets=True)
    written = (inventory / "hosts.yml").read_bytes()
    done = lab.play(inventory)
    said = " ".join(done.output.split())
    assert "it runs again with target_latency" in said, done.output
    first, second = lab.results("keen", "performance")
    assert (first["verdict"], second["verdict"]) == ("invalid", "valid"), done.output
    assert (inventory / "hosts.yml").read_bytes() == written
    record = json.loads((lab.folder / "results/keen/hosts/localhost/adjusted_targets.json").read_text())
    (adjusted,) = record["adjustments"]
    target = adjusted["value"]
    assert 0 < target < adjusted["was"] == 1000
    confs = {
        path.parent.joinpath("user.conf").read_text().splitlines()[0] for path in lab.attempts("keen", "performance")
    }
    assert f"resnet50.SingleStream.target_latency = {target:g}" in {line.removesuffix(".0") for line in confs}

    review = lab.folder / "keen.adjusted_targets.yml"
    held = yaml.safe_load(review.read_text())["localhost"]
    assert held["mlperf_targets"] == {_NAME: {"SingleStream": {"min_query_count": 70, "target_latency": target}}}
    assert held["origin"][0]["attempt"] == adjusted["attempt"]

    settled = lab.play(inventory)
    assert settled.exit_code == 0, settled.output
    again = lab.play(inventory)
    assert len(lab.attempts("keen", "performance")) == 2, again.output
    assert again.total("changed") == 0, again.output
    assert f"target_latency is {target:g} instead of 1000" in " ".join(again.output.split())
    status = json.loads(lab.ops("status", "-i", "keen", "--json").stdout)["cells"]
    assert {cell["key"]: cell["state"] for cell in status} == {_SINGLE: "valid", _ACCURACY: "valid"}

    # What the review file holds is the inventory's own word from now on: the same spec, so nothing runs.
    _slow(lab, "keen", targets=held["mlperf_targets"])
    kept = lab.play(inventory)
    assert len(lab.attempts("keen", "performance")) == 2, kept.output


def test_without_permission_an_invalid_cell_stays_so(lab: Lab) -> None:
    inventory = _slow(lab, "plain")
    done = lab.play(inventory)
    assert done.exit_code != 0 or "invalid" in done.output
    (only,) = lab.results("plain", "performance")
    assert only["verdict"] == "invalid"
    assert "lower target_latency_ms from 1000" in " ".join(only["reasons"])
    assert not (lab.folder / "plain.adjusted_targets.yml").exists()

    # With the permission given later, what it has shown is enough: the wrong target does not run once more.
    allowed = lab.play(_slow(lab, "plain", adjust_targets=True))
    assert [one["verdict"] for one in lab.results("plain", "performance")] == ["invalid", "valid"], allowed.output


def test_a_smoke_run_names_what_is_missing_and_the_real_run_runs_all_anew(lab: Lab) -> None:
    missing = lab.folder / "nowhere.onnx"
    benchmarks = [
        {"benchmark": _NAME, "scenarios": ["SingleStream"]},
        {"benchmark": "resnet50", "scenarios": ["Offline"], "dataset": "imagenet-20"},
    ]
    inventory = lab.inventory("lab", benchmarks=benchmarks, components={"resnet50": {"path": str(missing)}})
    done = lab.play(inventory, "-e", "mlperf_smoke=true")
    assert done.exit_code != 0, done.output
    said = " ".join(done.output.split())
    assert "SMOKE: 2 cells would run, 2 would fail" in said, done.output
    assert f"the model 'resnet50' is not at {missing} (put it there or correct mlperf_components.resnet50.path)" in said
    run = lab.folder / "results" / "lab-smoke"
    told = lab.ops("smoke", str(run), "--json")
    assert told.returncode == 1
    states = {one["key"]: (one["state"], one["step"]) for one in json.loads(told.stdout)["cells"]}
    assert states == {
        _ACCURACY: ("runs", ""),
        _SINGLE: ("runs", ""),
        "localhost/resnet50/Offline/accuracy": ("would fail", "load"),
        "localhost/resnet50/Offline/performance": ("would fail", "load"),
    }
    assert not (lab.folder / "results" / "lab").exists()
    refused = lab.ops("pack", str(run / "submission"), "--round", "v6.1", "--output", "x.tar.gz")
    assert refused.returncode != 0
    assert "smoke run" in refused.stderr
    assert lab.ops("targets", "-i", "lab", "--results", str(run)).returncode != 0

    inventory = lab.inventory("lab", benchmarks=benchmarks[:1])
    clean = lab.play(inventory, "-e", "mlperf_smoke=true")
    assert clean.exit_code == 0, clean.output
    assert "SMOKE: 2 cells would run, 0 would fail" in " ".join(clean.output.split())
    assert len({str(one["spec_sha256"]) for one in lab.results("lab-smoke")}) == 2

    real = lab.play(inventory)
    assert real.exit_code == 0, real.output
    assert "2 to run" in real.output
    assert len(lab.results("lab")) == 2
    assert not {one["spec_sha256"] for one in lab.results("lab")} & {
        one["spec_sha256"] for one in lab.results("lab-smoke")
    }
    assert lab.ops("smoke", str(lab.folder / "results" / "lab")).returncode == 2
