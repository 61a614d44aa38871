from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mlperf_ops.errors import ConfigError, ResultError
from mlperf_ops.harness.accuracy_log import LabelType
from mlperf_ops.harness.scoring import score, score_classes
from mlperf_ops.model import Cell, Scenario
from tests.support.attempts import RealLogs, make_spec

SAMPLES = 20  # MultiStream asks for 24 of them: the last query of 8 is filled up
SCENARIOS: tuple[Scenario, ...] = ("SingleStream", "MultiStream", "Server", "Offline")
RIGHT = list(range(SAMPLES))  # the tiny SUT misses samples 0 and 10


def _log(path: Path, entries: list[tuple[int, bytes]]) -> Path:
    path.write_text(json.dumps([{"seq_id": n, "qsl_idx": i, "data": d.hex()} for n, (i, d) in enumerate(entries)]))
    return path


def _int64(*classes: int) -> list[tuple[int, bytes]]:
    return [(index, struct.pack("<q", value)) for index, value in enumerate(classes)]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_real_accuracy_log_counts_every_sample_once(real_logs: RealLogs, scenario: Scenario) -> None:
    log = real_logs.get(scenario, "accuracy", SAMPLES) / "mlperf_log_accuracy.json"

    score = score_classes(log, RIGHT)

    assert score.text == "accuracy=90.000%, good=18, total=20\n"
    assert (score.value, score.unit, score.sample_count, score.good_count) == (90.0, "%", 20, 18)


def test_multistream_really_pads_its_last_query(real_logs: RealLogs) -> None:
    log = real_logs.get("MultiStream", "accuracy", SAMPLES) / "mlperf_log_accuracy.json"

    assert len(json.loads(log.read_text())) == 24


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_official_script_prints_the_same_line(real_logs: RealLogs, tmp_path: Path, scenario: Scenario) -> None:
    checkout = os.environ.get("MLPERF_INFERENCE_CHECKOUT")
    if not checkout:
        pytest.skip("MLPERF_INFERENCE_CHECKOUT is not set to a checkout of mlcommons/inference")
    log = real_logs.get(scenario, "accuracy", SAMPLES) / "mlperf_log_accuracy.json"
    val_map = tmp_path / "val_map.txt"
    val_map.write_text("".join(f"{index}.JPEG {label}\n" for index, label in enumerate(RIGHT)))
    script = Path(checkout) / "vision" / "classification_and_detection" / "tools" / "accuracy-imagenet.py"

    argv = [sys.executable, str(script), "--dtype=int64", "--mlperf-accuracy-file", str(log)]
    done = subprocess.run([*argv, "--imagenet-val-file", str(val_map)], capture_output=True, text=True, check=True)

    assert score_classes(log, RIGHT).text == done.stdout


def test_the_line_keeps_the_official_form_for_the_whole_of_imagenet(tmp_path: Path) -> None:
    log = _log(tmp_path / "log.json", _int64(*([7] * 50_000)))

    score = score_classes(log, [7] * 38_228 + [8] * 11_772)

    assert score.text == "accuracy=76.456%, good=38228, total=50000\n"
    assert score.value == pytest.approx(76.456)


def test_the_first_of_two_answers_counts(tmp_path: Path) -> None:
    log = _log(tmp_path / "log.json", [*_int64(5, 6), (0, struct.pack("<q", 9))])

    assert score_classes(log, [5, 6]).good_count == 2


@pytest.mark.parametrize(("label_type", "form"), [("int32", "<i"), ("float32", "<f")])
def test_other_suts_may_log_other_number_types(tmp_path: Path, label_type: LabelType, form: str) -> None:
    log = _log(tmp_path / "log.json", [(0, struct.pack(form, 3)), (1, struct.pack(form, 999))])

    assert score_classes(log, [3, 999], label_type).good_count == 2
    with pytest.raises(ResultError, match=r"entry 0: data holds 4 bytes; expected 8 \(int64 class index\)"):
        score_classes(log, [3, 999])


@pytest.mark.parametrize(
    ("logged", "read", "told"),
    [
        ("<i", "float32", "read as float32, 4.2039e-45 is no class index .*add --parameter dtype=int32 for class 3 to"),
        ("<f", "int32", r"1.07794e.09 is no class index .*add --parameter dtype=float32 for class 3 to mlperf-ops"),
        ("<f", "uint8", "4 bytes.*dtype=float32 for class 3"),
        ("<q", "float32", r"8 bytes; expected 4 \(float32 class index\) .*dtype=int64 for class 3"),
        ("<qq", "float32", "one number: uint8, int16, int32, int64, float32"),
    ],
)
def test_a_class_index_of_another_type_is_told(tmp_path: Path, logged: str, read: LabelType, told: str) -> None:
    log = _log(tmp_path / "log.json", [(0, struct.pack(logged, *[3] * (len(logged) - 1)))])

    with pytest.raises(ResultError, match=told):
        score_classes(log, [3], read)


def test_a_part_of_the_samples_is_scored_when_it_is_asked_for(tmp_path: Path) -> None:
    log = _log(tmp_path / "log.json", _int64(1, 0))

    assert score_classes(log, [1, 1, 1], partial=True).text == "accuracy=50.000%, good=1, total=2\n"


def test_an_answer_that_is_no_number_is_simply_wrong(tmp_path: Path) -> None:
    log = _log(tmp_path / "log.json", [(0, struct.pack("<f", float("nan")))])

    assert score_classes(log, [0], "float32").good_count == 0


def test_missing_samples_are_counted_and_named(tmp_path: Path) -> None:
    log = _log(tmp_path / "log.json", _int64(1, 1))

    with pytest.raises(ResultError, match=r"lacks 8 of 10 samples \(qsl_idx 2, 3, 4, 5, 6, …\)"):
        score_classes(log, [1] * 10)


def test_a_sample_that_the_label_file_lacks_is_refused(tmp_path: Path) -> None:
    log = _log(tmp_path / "log.json", _int64(1, 1, 1))

    with pytest.raises(ResultError, match=r"entry 2: qsl_idx 2 is not a sample; the label file has 2"):
        score_classes(log, [1, 1])


def test_a_log_of_an_interrupted_run_is_refused(real_logs: RealLogs, tmp_path: Path) -> None:
    whole = (real_logs.get("Offline", "accuracy", SAMPLES) / "mlperf_log_accuracy.json").read_text()
    log = tmp_path / "mlperf_log_accuracy.json"
    log.write_text(whole[: len(whole) // 2])

    with pytest.raises(ResultError, match="is not whole JSON"):
        score_classes(log, RIGHT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is not whole JSON"),
        ("{}", r"starts with '\{'; expected a list"),
        ("[1]", "entry 0: expected an object with qsl_idx and data"),
        ('[{"qsl_idx": 0}]', "entry 0: expected an object with qsl_idx and data"),
        ('[{"qsl_idx": 0, "data": "xyz"}]', "entry 0: expected an object with qsl_idx and data"),
        ('[{"qsl_idx": "0", "data": ""}]', "entry 0: qsl_idx '0' is not a sample's number"),
        ("[]", "lacks 1 of 1 samples"),
    ],
)
def test_a_log_of_another_form_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "log.json").write_text(text)

    with pytest.raises(ResultError, match=expected):
        score_classes(tmp_path / "log.json", [0])


def test_a_missing_log_asks_about_an_interruption(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"log\.json is missing \(was the run interrupted"):
        score_classes(tmp_path / "log.json", [0])


def test_a_spec_is_scored_by_its_task_and_label_file(real_logs: RealLogs, tmp_path: Path) -> None:
    log = real_logs.get("Offline", "accuracy", SAMPLES) / "mlperf_log_accuracy.json"
    (tmp_path / "val_map.txt").write_text("".join(f"{index}.JPEG {index}\n" for index in RIGHT))
    spec = make_spec(Cell("s", "resnet50", "Offline", "accuracy"))
    spec = replace(spec, dataset=replace(spec.dataset, path=str(tmp_path)))

    assert score(spec, log).good_count == 18
    with pytest.raises(ConfigError, match=r"unknown task 'image_clasification'.*did you mean 'image_classification'"):
        score(replace(spec, task="image_clasification"), log)
