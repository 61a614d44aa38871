"""The official workload from inventory to tree: resnet50, closed, edge, with the user's own files by path.

ImageNet and the official weights cannot be had here, so the pictures are generated and the model is a small one with
the official tensor names that recognises them; everything else is what a submitter runs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest

from mlperf_ops.catalogue import load_catalogue
from tests.support.images import make_images, write_colour_model
from tests.support.playbooks import CHECKOUT, local_inventory, play

pytestmark = [pytest.mark.integration, pytest.mark.network]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One mlperf_home for both layouts: its Python environment is the slow part."""
    return tmp_path_factory.mktemp("home")


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_resnet50_runs_closed_with_the_users_own_files(
    tmp_path: Path, home: Path, layout: Literal["NCHW", "NHWC"]
) -> None:
    images = make_images(tmp_path / "imagenet", 20, wrong=(4, 9))
    write_colour_model(tmp_path / "resnet50_v1.onnx", layout=layout, label_offset=1)
    inventory = local_inventory(
        tmp_path / "own",
        home,
        division="closed",
        benchmarks=[{"benchmark": "resnet50", "scenarios": "required"}],
        components={
            "imagenet": {"path": str(images.path), "label_file": "val_map.txt"},
            "resnet50": {"path": str(tmp_path / "resnet50_v1.onnx")},
        },
    )
    played = play(str(CHECKOUT / "run-inference.yml"), inventory, tmp_path)
    run = tmp_path / "results" / "own"
    plan = json.loads((run / "plan.json").read_text())
    assert {cell["cell"]["scenario"] for cell in plan["cells"]} == {"SingleStream", "MultiStream", "Offline"}

    cells = json.loads((run / "hosts" / "localhost" / "cells.json").read_text())["cells"]
    for cell in cells:
        result = json.loads((run / "hosts" / "localhost" / cell["path"] / "result.json").read_text())
        assert result["failure"] is None
        detail = json.loads((run / "hosts" / "localhost" / cell["path"] / "spec.json").read_text())
        assert detail["dataset"]["preprocess"]["interpolation"] == "area"
        assert detail["model"]["input_name"] == "input_tensor:0"
        if cell["key"].endswith("accuracy"):
            assert result["accuracy"]["value"] == pytest.approx(90.0)
            assert result["accuracy"]["met"] is True
    assert len(cells) == 12  # accuracy, performance, TEST01 and TEST04 of three scenarios

    tree = run / "submission" / "closed" / "example"
    for scenario in ("SingleStream", "MultiStream", "Offline"):
        log = tree / "results" / "localhost" / "resnet50" / scenario / "performance" / "run_1" / "mlperf_log_detail.txt"
        expected = load_catalogue().round("v6.1").rules("resnet").performance_sample_count
        assert f'"key": "effective_performance_sample_count", "value": {expected},' in log.read_text()
        answers = tree / "results" / "localhost" / "resnet50" / scenario / "TEST01" / "verify_accuracy.txt"
        assert "TEST PASS" in answers.read_text().splitlines()
    assert (tree / "documentation" / "calibration.md").is_file()

    # Beyond being short it lacks the other pictures.
    checks = json.loads((run / "report" / "checks.json").read_text())
    unexpected = {
        finding["rule"]
        for finding in checks["findings"]
        if finding["severity"] != "advice" and finding["expected_because"] is None
    }
    assert unexpected == {"dataset-size"}
    assert "REJECTED" in played.output
