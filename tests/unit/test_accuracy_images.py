"""Boxes and volumes against figures that follow from the definitions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlperf_ops.accuracy.segmentation import dice
from mlperf_ops.errors import ConfigError, ResultError
from tests.support import accuracy_logs as made
from tests.support.accuracy_scores import log_of, score


def _perfect(folder: Path, rows: list[list[float]] | None = None) -> dict[str, Path]:
    truth = {
        "images": [{"id": 11, "width": 100, "height": 50}, {"id": 12, "width": 80, "height": 80}],
        "annotations": [
            {"id": 1, "image_id": 11, "category_id": 7, "iscrowd": 0, "bbox": [10, 5, 40, 20], "area": 800},
            {"id": 2, "image_id": 12, "category_id": 9, "iscrowd": 0, "bbox": [8, 8, 40, 40], "area": 1600},
        ],
        "categories": [{"id": 7, "name": "a"}, {"id": 9, "name": "b"}],
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    first = np.array(rows or [[0, 0.1, 0.1, 0.5, 0.5, 0.9, 7]], "<f4").tobytes()
    second = np.array([[1, 0.1, 0.1, 0.6, 0.6, 0.9, 9]], "<f4").tobytes()
    return {"log": log_of(folder, first, second), "labels": folder / "truth.json"}


def test_boxes_that_are_all_right_are_a_hundred_percent(tmp_path: Path) -> None:
    found = score("detection", _perfect(tmp_path))
    assert found.text == "mAP=100.000%\n"
    assert found.sample_count == 2
    assert found.notes == ()


def test_a_detection_of_another_sample_is_noted(tmp_path: Path) -> None:
    found = score("detection", _perfect(tmp_path, [[5, 0.1, 0.1, 0.5, 0.5, 0.9, 7]]))
    assert found.notes == ("1 detections name another sample than their response, as if batches were mixed up",)


def test_a_class_that_the_annotations_lack_is_told_with_the_inverse_map(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="class 7 is none of the 2 categories"):
        score("detection", _perfect(tmp_path), use_inv_map=True)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "is no COCO annotation file"),
        ("[]", "is no COCO annotation file"),
        ('{"images": [], "annotations": [], "categories": []}', "its images lack id, height or width"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "its images lack id, height or width"),
    ],
)
def test_annotations_of_another_form_are_one_sentence(tmp_path: Path, content: str, told: str) -> None:
    inputs = _perfect(tmp_path)
    inputs["labels"].write_text(content)
    with pytest.raises(ConfigError, match=told):
        score("detection", inputs)


def test_half_a_box_is_told(tmp_path: Path) -> None:
    inputs = _perfect(tmp_path)
    log_of(tmp_path, np.zeros(10, "<f4").tobytes(), b"")
    with pytest.raises(
        ResultError,
        match=r"40 bytes; expected groups of 7 x float32 of 28 bytes each \(float32 does not fit its size: is the log",
    ):
        score("detection", inputs)


def test_a_log_without_any_box_is_no_zero(tmp_path: Path) -> None:
    inputs = _perfect(tmp_path)
    log_of(tmp_path, b"", b"")
    with pytest.raises(ResultError, match="holds no detection at all"):
        score("detection", inputs)


def test_dice_is_twice_the_shared_part_over_the_sum() -> None:
    kidney, tumour = dice(np.array([1, 1, 2, 0, 0]), np.array([1, 0, 2, 2, 0]))
    assert kidney == pytest.approx(2 * 1 / 3, abs=1e-6)
    assert tumour == pytest.approx(2 * 1 / 3, abs=1e-6)


def test_nothing_where_nothing_is_counts_as_right() -> None:
    assert dice(np.zeros(4), np.zeros(4)) == (1.0, 1.0)


def test_volumes_are_scored_by_case(tmp_path: Path) -> None:
    inputs = made.volumes(tmp_path)
    found = score("segmentation", inputs)
    assert found.sample_count == 3
    assert found.details["by_case"]["case_00111"] == 1.0  # nothing there, nothing found
    assert float(found.text.split("mean = ")[1].split(",")[0]) == pytest.approx(
        np.mean(list(found.details["by_case"].values())), abs=5e-6
    )


@pytest.mark.parametrize(
    ("parameters", "told"),
    [({"dtype": "int64"}, "data holds 1536 bytes|expected int64|has 1536 voxels"), ({"dtype": "int16"}, "voxels")],
)
def test_volumes_of_another_type_are_told(tmp_path: Path, parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(ResultError, match=told):
        score("segmentation", made.volumes(tmp_path), **parameters)


def test_a_class_that_is_none_is_told(tmp_path: Path) -> None:
    inputs = made.volumes(tmp_path)
    sizes = [(8 + n) * 16 * 12 for n in range(3)]
    log_of(tmp_path, *(bytes([7]) * size for size in sizes))
    with pytest.raises(
        ResultError, match=r"the response of case_00002 holds 7; expected the classes 0, 1 and 2.* dtype=int8"
    ):
        score("segmentation", inputs)
