"""The harness with real LoadGen and real ONNX Runtime, on pictures whose right answer is computable."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import pytest

from mlperf_ops.files import read_json, sha256_file
from mlperf_ops.harness.supervisor import new_attempt, run_cell
from mlperf_ops.model import BackendRequest, DatasetRequest, Result, Spec
from mlperf_ops.typed import dump, load
from tests.support.images import ImageFolder, make_images, write_colour_model
from tests.support.specs import HARNESS_ARGV, SINGLE_THREAD, LoadgenScenario, make_spec

pytestmark = pytest.mark.integration
SCENARIOS: Sequence[LoadgenScenario] = get_args(LoadgenScenario)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    return make_images(tmp_path_factory.mktemp("imagenet"), 12, wrong=(3, 7))


def run(spec: Spec, folder: Path) -> tuple[Result, Path]:
    attempt = new_attempt(folder)
    return run_cell(spec, attempt, request_sha256="request"), attempt


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_the_official_tensor_names_give_the_computable_accuracy(
    images: ImageFolder, tmp_path: Path, scenario: LoadgenScenario, layout: Literal["NCHW", "NHWC"]
) -> None:
    model = write_colour_model(tmp_path / "resnet50_v1.onnx", layout=layout, label_offset=1)
    result, attempt = run(make_spec(images, model, scenario), tmp_path / "cell")
    assert result.failure is None
    assert result.accuracy is not None
    assert result.accuracy.value == pytest.approx(100 * images.good_count / 12)
    assert result.accuracy.sample_count == 12
    assert (attempt / "accuracy.txt").read_text().startswith("accuracy=83.333%, good=10, total=12")
    assert result.verdict == "valid"


def test_the_layout_is_the_files_own_whatever_the_catalogue_says(images: ImageFolder, tmp_path: Path) -> None:
    model = write_colour_model(tmp_path / "m.onnx", layout="NHWC")
    result, _ = run(make_spec(images, dataclasses.replace(model, input_layout="NCHW")), tmp_path / "cell")
    assert result.accuracy is not None, result.failure
    assert result.accuracy.value == pytest.approx(100 * images.good_count / 12)


@pytest.mark.parametrize(
    ("scenario", "backend"),
    [
        ("SingleStream", SINGLE_THREAD),
        ("MultiStream", BackendRequest("onnxruntime", intra_op_threads=1, streams=1, max_batch=3)),
        ("MultiStream", BackendRequest("onnxruntime", intra_op_threads=1, streams=2)),
        ("Server", BackendRequest("onnxruntime", intra_op_threads=1, streams=2, max_batch=4, batch_timeout_us=2000)),
        ("Offline", BackendRequest("onnxruntime", intra_op_threads=1, streams=2, max_batch=5)),
        ("Offline", BackendRequest("onnxruntime", intra_op_threads=2, streams=0, execution_mode="parallel")),
    ],
)
def test_batches_and_streams_answer_every_sample_right(
    images: ImageFolder, tmp_path: Path, scenario: LoadgenScenario, backend: BackendRequest
) -> None:
    model = write_colour_model(tmp_path / "m.onnx", output_kind="logits")
    right, _ = run(make_spec(images, model, scenario, backend=backend), tmp_path / "accuracy")
    assert right.accuracy is not None, right.failure
    assert right.accuracy.value == pytest.approx(100 * images.good_count / 12)
    fast, _ = run(make_spec(images, model, scenario, accuracy=False, backend=backend), tmp_path / "performance")
    assert fast.loadgen is not None, fast.failure
    assert fast.loadgen.errors == ()
    expected_streams = backend.streams or max(1, len(os.sched_getaffinity(0)) // (backend.intra_op_threads or 1))
    assert fast.effective["streams"] == (1 if scenario == "SingleStream" else expected_streams)
    assert fast.effective["intra_op_threads"] == backend.intra_op_threads
    assert fast.effective["execution_mode"] == backend.execution_mode


def test_a_result_records_what_really_ran(images: ImageFolder, tmp_path: Path) -> None:
    model = write_colour_model(tmp_path / "m.onnx")
    spec = make_spec(images, model, "SingleStream", accuracy=False, cpu_affinity="0")
    result, attempt = run(spec, tmp_path / "cell")
    assert result.effective["cpus"] == "0"
    assert result.effective["providers"] == ["CPUExecutionProvider"]
    assert result.effective["precision"] == "fp32"
    assert result.effective["loadgen_version"] == "6.0.17"
    assert result.effective["max_batch"] == 1
    assert result.spec_sha256 == spec.sha256
    assert load(Result, read_json(attempt / "result.json"), "result.json") == result
    assert load(Spec, read_json(attempt / "spec.json"), "spec.json") == spec
    files = read_json(attempt / "manifest.json")["files"]
    assert isinstance(files, dict)
    present = {path.name for path in attempt.iterdir()} - {"manifest.json", "result.json", "state.json"}
    assert set(files) == present
    assert files["mlperf_log_detail.txt"] == sha256_file(attempt / "mlperf_log_detail.txt")


def test_warm_up_runs_before_the_clock_starts(images: ImageFolder, tmp_path: Path) -> None:
    model = write_colour_model(tmp_path / "m.onnx")
    warm, _ = run(make_spec(images, model, warmup_seconds=0.3), tmp_path / "warm")
    cold, _ = run(make_spec(images, model, warmup_seconds=0.0), tmp_path / "cold")
    assert warm.effective["warmup_runs"] != 0
    assert cold.effective["warmup_runs"] == 0


def test_a_wrong_tensor_name_fails_with_the_names_that_there_are(images: ImageFolder, tmp_path: Path) -> None:
    model = write_colour_model(tmp_path / "m.onnx", input_name="data")
    spec = make_spec(images, dataclasses.replace(model, input_name="input_tensor:0"))
    result, attempt = run(spec, tmp_path / "cell")
    assert result.verdict == "failed"
    assert result.failure is not None
    assert result.failure.kind == "wrong_tensor"
    assert "no input tensor 'input_tensor:0'; its inputs are data" in result.failure.message
    assert result.failure.last_lines
    assert result.loadgen is None
    assert not (attempt / "accuracy.txt").exists()


def test_a_missing_image_is_named_before_anything_runs(tmp_path: Path) -> None:
    images = make_images(tmp_path / "imagenet", 4)
    (images.path / "ILSVRC2012_val_00000003.JPEG").unlink()
    result, _ = run(make_spec(images, write_colour_model(tmp_path / "m.onnx")), tmp_path / "cell")
    assert result.verdict == "failed"
    assert result.failure is not None
    assert "ILSVRC2012_val_00000003.JPEG" in result.failure.message


def test_settings_other_than_the_rounds_fail_the_cell(images: ImageFolder, tmp_path: Path) -> None:
    spec = make_spec(images, write_colour_model(tmp_path / "m.onnx"))
    asked = {**spec.loadgen.expect, "effective_qsl_rng_seed": 1780908523862526354}
    other = dataclasses.replace(spec, loadgen=dataclasses.replace(spec.loadgen, expect=asked))
    result, _ = run(other, tmp_path / "cell")
    assert result.verdict == "failed"
    assert result.failure is not None
    assert result.failure.kind == "settings_mismatch"
    assert "effective_qsl_rng_seed is 2085463073848966840, expected 1780908523862526354" in result.failure.message


def test_an_accuracy_below_the_closed_target_makes_the_cell_invalid(tmp_path: Path) -> None:
    images = make_images(tmp_path / "imagenet", 10, wrong=(0, 1, 2))
    result, _ = run(make_spec(images, write_colour_model(tmp_path / "m.onnx")), tmp_path / "cell")
    assert result.verdict == "invalid"
    assert result.reasons == ("acc is 70%, the target is at least 75.6954",)


def test_the_oracle_is_marked_simulated(images: ImageFolder, tmp_path: Path) -> None:
    result, _ = run(make_spec(images, None), tmp_path / "cell")
    assert result.simulated
    assert result.effective["simulated"] is True
    assert result.accuracy is not None
    assert result.accuracy.value == 100


def test_a_spec_without_a_model_is_refused_unless_simulated(images: ImageFolder, tmp_path: Path) -> None:
    result, _ = run(make_spec(images, None, simulated=False), tmp_path / "cell")
    assert result.verdict == "failed"


def test_a_missing_command_prefix_is_one_sentence(images: ImageFolder, tmp_path: Path) -> None:
    spec = make_spec(images, None, argv=("no-such-numactl", "-N0", "{python}"))
    result, _ = run(spec, tmp_path / "cell")
    assert result.failure is not None
    assert result.failure.message == "cannot start no-such-numactl: No such file or directory"


def start_by_hand(spec: Spec, folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir()
    (folder / "spec.json").write_text(json.dumps(dump(spec)))
    return subprocess.Popen(
        [sys.executable, "-m", "mlperf_ops.harness", "--spec", str(folder / "spec.json")], stdout=subprocess.DEVNULL
    )


def wait_until_measuring(attempt: Path) -> int:
    """Wait for the measuring phase and return the pid of the measuring process."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        phase = attempt / "phase"
        if phase.is_file() and phase.read_text() == "measuring":
            supervisor = json.loads((attempt / "state.json").read_text())["pid"]
            children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
            return int(children[0])
        time.sleep(0.02)
    raise AssertionError("the run did not get as far as measuring")


def long_spec(images: ImageFolder, tmp_path: Path) -> Spec:
    model = write_colour_model(tmp_path / "m.onnx")
    return make_spec(images, model, "SingleStream", accuracy=False, queries=10_000_000)


def test_a_killed_run_is_a_failed_cell_and_says_so(images: ImageFolder, tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    supervisor = start_by_hand(long_spec(images, tmp_path), folder)
    os.kill(wait_until_measuring(folder / "attempt_1"), signal.SIGKILL)
    assert supervisor.wait(timeout=20) == 3
    result = read_json(folder / "attempt_1" / "result.json")
    assert result["verdict"] == "failed"
    failure = result["failure"]
    assert isinstance(failure, dict)
    assert failure["kind"] in ("killed", "out_of_memory")
    assert result["loadgen"] is None


def test_a_stopped_supervisor_takes_its_run_along_and_leaves_a_failed_cell(images: ImageFolder, tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    supervisor = start_by_hand(long_spec(images, tmp_path), folder)
    child = wait_until_measuring(folder / "attempt_1")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(timeout=20) == 3
    assert not Path(f"/proc/{child}").exists()
    assert "stopped by SIGTERM" in str(read_json(folder / "attempt_1" / "result.json")["reasons"])


def test_a_run_that_runs_out_of_memory_says_so(images: ImageFolder, tmp_path: Path) -> None:
    prlimit = shutil.which("prlimit")
    assert prlimit, "prlimit is part of util-linux"
    spec = make_spec(
        images,
        write_colour_model(tmp_path / "m.onnx"),
        argv=(prlimit, f"--as={200 << 20}", *HARNESS_ARGV),
    )
    result, _ = run(spec, tmp_path / "cell")
    assert result.verdict == "failed"
    assert result.loadgen is None
    assert result.failure is not None
    assert result.failure.kind == "out_of_memory"
    assert result.failure.last_lines


def test_an_offline_accuracy_run_over_many_loaded_sets_ends(tmp_path: Path) -> None:
    """LoadGen crashes when a thread that has completed samples ends while the test goes on."""
    count = 20_000  # in sets of 1,024
    label_file = tmp_path / "val_map.txt"
    label_file.write_text("".join(f"{index}.jpg {index % 1000}\n" for index in range(count)))
    dataset = DatasetRequest("imagenet", str(tmp_path), "0" * 64, "val_map.txt", None, {})
    spec = make_spec(make_images(tmp_path / "unused", 1), None, "Offline", dataset=dataset)
    for streams in (1, 3):
        backend = dataclasses.replace(SINGLE_THREAD, streams=streams)
        result, _ = run(dataclasses.replace(spec, backend=backend), tmp_path / f"cell{streams}")
        assert result.failure is None
        assert result.accuracy is not None
        assert (result.accuracy.value, result.accuracy.sample_count) == (100, count)
