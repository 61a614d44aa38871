"""`mlperf-ops loadgen-onnx` with real LoadGen, real sessions and tiny models."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlperf_ops.files import sha256_file
from mlperf_ops.harness.generic.request import RUNNERS, SCENARIOS
from mlperf_ops.loadgen_log import read_detail, read_summary
from tests.support import onnx_models

pytestmark = pytest.mark.integration

SHORT = ("--duration-sec", "0", "--min-queries", "100")
LOGS = ("mlperf_log_detail.txt", "mlperf_log_summary.txt")


@dataclass(frozen=True)
class Done:
    """What a call of the command line gave."""

    code: int
    stdout: str
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.stdout)
        return value

    @property
    def run(self) -> dict[str, Any]:
        runs: list[dict[str, Any]] = self.result["runs"]
        assert len(runs) == 1
        return runs[0]


def argv(model: Path, *words: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "mlperf_ops",
        "loadgen-onnx",
        str(model),
        "--output",
        str(model.parent / "out"),
        *words,
    ]


def call(model: Path, *words: str) -> Done:
    done = subprocess.run(argv(model, *words), capture_output=True, text=True, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return onnx_models.image_model(tmp_path / "image.onnx")


@pytest.mark.parametrize("runner", RUNNERS)
def test_every_runner_runs_every_scenario_and_tells_loadgens_own_figures(image: Path, runner: str) -> None:
    words = () if runner == "inline" else ("--concurrency", "2")
    done = call(image, "--runner", runner, *words, *SHORT, "--expected-qps", "300", "--json")
    assert [run["scenario"] for run in done.result["runs"]] == list(SCENARIOS), done.stderr
    assert done.result["model"]["sha256"] == sha256_file(image)
    sessions = {"inline": 1, "threads": 1, "threads+replication": 2, "processes": 2}[runner]
    for run in done.result["runs"]:
        folder = Path(run["folder"])
        detail = read_detail(folder / LOGS[0])
        assert detail.values["effective_scenario"] == run["scenario"]
        assert detail.values["effective_test_mode"] == "PerformanceOnly"
        assert detail.values["effective_qsl_rng_seed"] != 0  # mlperf.conf took effect: one process per run
        assert run["validity"] == detail.values["result_validity"]
        assert run["metric"]["value"] > 0
        effective = run["effective"]
        assert effective["runner"] == runner
        assert effective["sessions"] == sessions
        assert effective["streams"] == (1 if runner == "inline" else 2)
        assert len(set(effective["worker_pids"]) - {effective["pid"]}) == (2 if runner == "processes" else 0)
        summary = read_summary(folder / LOGS[1])
        assert run["percentiles_ms"]["99.90"] == int(summary["99.90 percentile latency (ns)"]) / 1e6
        assert all(not Path(f"/proc/{pid}").exists() for pid in effective["worker_pids"])
    assert json.loads((Path(done.result["folder"]) / "result.json").read_text()) == done.result


def test_threads_of_a_session_follow_the_option(image: Path) -> None:
    told = [
        call(image, "--scenario", "Offline", *SHORT, "--intraop", number, "--json").run["effective"]["intra_op_threads"]
        for number in ("0", "1", "2", "3")
    ]
    assert told == ["runtime default", 1, 2, 3]


def test_sessions_that_do_not_know_of_each_other_share_the_cpus_out(image: Path) -> None:
    cpus = len(os.sched_getaffinity(0))
    run = call(image, "--scenario", "Offline", *SHORT, "-r", "processes", "--concurrency", "2", "--json").run
    assert run["effective"]["intra_op_threads"] == max(1, cpus // 2)


Reader = Callable[[dict[str, Any]], object]

# Option and its value -> where the result records it.
OPTIONS: dict[str, tuple[tuple[str, ...], Reader]] = {
    "scenario": (("--scenario", "Server"), lambda run: run["settings"]["effective_scenario"]),
    "runner": (("--runner", "threads"), lambda run: run["effective"]["runner"]),
    "concurrency": (("--concurrency", "3"), lambda run: run["effective"]["streams"]),
    "provider": (("--ep", "azure"), lambda run: run["effective"]["providers"]),
    "intraop": (("--intraop", "2"), lambda run: run["effective"]["intra_op_threads"]),
    "interop": (("--interop", "2"), lambda run: run["effective"]["inter_op_threads"]),
    "execmode": (("--execmode", "parallel"), lambda run: run["effective"]["execution_mode"]),
    "batch": (("--batch", "4"), lambda run: run["effective"]["batch"]),
    "samples": (("--samples", "20"), lambda run: run["settings"]["effective_performance_sample_count"]),
    "shape": (("--shape", "sequence=5"), lambda run: run["effective"]["inputs"][0]["sample_shape"]),
    "int_max": (("--int-max", "3"), lambda run: run["effective"]["inputs"][0]["source"]),
    "seed": (("--seed", "5"), lambda run: run["effective"]["inputs"][0]["sha256"]),
    "expected_qps": (("--expected-qps", "500"), lambda run: run["settings"]["effective_target_qps"]),
    "target_latency_ms": (("--target-latency-ms", "70"), lambda run: run["settings"]["effective_target_latency_ns"]),
    "duration_sec": (("--duration-sec", "0.3"), lambda run: run["settings"]["effective_min_duration_ms"]),
    "min_queries": (("--min-queries", "110"), lambda run: run["settings"]["requested_min_query_count"]),
    "max_queries": (("--max-queries", "150"), lambda run: run["settings"]["effective_max_query_count"]),
    "user_conf": (("--user-conf", "USER_CONF"), lambda run: run["settings"]["effective_max_duration_ms"]),
    "cmd_prefix": (("--cmd-prefix", "taskset -c 0"), lambda run: run["effective"]["cpus"]),
}
EXPECTED: dict[str, object] = {
    "scenario": "Server",
    "runner": "threads",
    "concurrency": 3,
    "provider": ["AzureExecutionProvider", "CPUExecutionProvider"],
    "intraop": 2,
    "interop": 2,
    "execmode": "parallel",
    "batch": 4,
    "samples": 20,
    "shape": [1, 5],
    "int_max": "generated: integers 0 to 3",
    "expected_qps": 500,
    "target_latency_ms": 70_000_000,
    "duration_sec": 300,
    "min_queries": 110,
    "max_queries": 150,
    "user_conf": 33_000,
    "cmd_prefix": "0",
}


def test_every_option_changes_the_setting_that_is_recorded(tmp_path: Path) -> None:
    model = onnx_models.token_model(tmp_path / "tokens.onnx")
    (tmp_path / "user.conf").write_text("*.Server.max_duration = 33000\n*.Offline.max_duration = 33000\n")
    words = [word.replace("USER_CONF", str(tmp_path / "user.conf")) for given, _ in OPTIONS.values() for word in given]
    before = call(model, "--scenario", "Offline", *SHORT, "--json").run
    after = call(model, *words, "--json").run
    for name, (_, read) in OPTIONS.items():
        if name == "cmd_prefix" and read(before) == "0":
            continue  # a machine with one CPU
        assert read(after) != read(before), name
        if name in EXPECTED:
            assert read(after) == EXPECTED[name], name


def test_token_models_get_ids_that_are_in_range(tmp_path: Path) -> None:
    model = onnx_models.token_model(tmp_path / "tokens.onnx")
    done = call(model, "--scenario", "Offline", *SHORT, "--shape", "input_ids=1,16", "--batch", "4", "--json")
    assert done.code == 0, done.stderr
    told = {item["name"]: (item["sample_shape"], item["source"]) for item in done.run["effective"]["inputs"]}
    assert told == {
        "input_ids": ([1, 16], "generated: integers 0 to 49"),
        "token_type_ids": ([1, 16], "generated: integers 0 to 1"),
        "attention_mask": ([1, 16], "generated: true or false"),
    }


@pytest.mark.parametrize(
    "make",
    [onnx_models.half_model, onnx_models.detector, onnx_models.quantised_model, onnx_models.string_model],
    ids=["half-precision-and-scalars", "outputs-that-depend-on-data", "8-bit", "strings"],
)
def test_inputs_and_outputs_of_other_kinds_work(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    done = call(make(tmp_path / "model.onnx"), "--scenario", "SingleStream", *SHORT, "--json")
    assert done.code == 0, done.stderr
    assert done.run["loadgen"]["result_query_count"] >= 100


def test_own_samples_reach_worker_processes_through_shared_memory(tmp_path: Path) -> None:
    model = onnx_models.token_model(tmp_path / "tokens.onnx")
    np.save(tmp_path / "ids.npy", np.full((12, 1, 6), 49, dtype=np.int64))
    words = ("--input", f"input_ids={tmp_path / 'ids.npy'}", "-r", "processes", "--concurrency", "1", *SHORT)
    done = call(model, "--scenario", "Offline", *words, "--batch", "3", "--json")
    assert done.code == 0, done.stderr
    effective = done.run["effective"]
    assert effective["samples"] == 12
    assert [item["sample_shape"] for item in effective["inputs"]] == [[1, 6]] * 3
    np.save(tmp_path / "ids.npy", np.full((12, 1, 6), 50, dtype=np.int64))  # one beyond the vocabulary
    failed = call(model, "--scenario", "Offline", *words)
    assert failed.code == 2
    assert "the model does not run with input_ids [1, 6]" in failed.stderr


def test_an_earlier_runs_logs_are_never_touched(image: Path) -> None:
    first = Path(call(image, "--scenario", "Offline", *SHORT, "--json").result["folder"])
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    second = Path(call(image, "--scenario", "Offline", *SHORT, "--json").result["folder"])
    assert (first.name, second.name) == ("attempt_1", "attempt_2")
    assert before == {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    assert {path.name for path in (second / "Offline").iterdir()} >= {*LOGS, "user.conf", "request.json", "console.log"}


def test_an_invalid_run_is_a_negative_verdict_with_its_reason(image: Path) -> None:
    words = ("--scenario", "Server", "--duration-sec", "0.2", "--expected-qps", "200000", "--target-latency-ms", "1")
    done = call(image, *words)
    assert done.code == 1
    assert "the latency constraint was missed" in " ".join(done.stdout.split())


def test_a_run_that_ends_after_as_many_queries_as_asked_is_valid(image: Path) -> None:
    count = ("--min-queries", "600", "--max-queries", "600", "--duration-sec", "0")
    done = call(
        image, "--scenario", "Server", *count, "--expected-qps", "3000", "--target-latency-ms", "1000", "--json"
    )
    assert done.run["loadgen"]["result_query_count"] == 600
    assert any("Max query count" in text for text in done.run["errors"])  # LoadGen calls it an error
    assert (done.run["verdict"], done.code) == ("valid", 0)


def test_people_get_a_table_and_the_folder(image: Path) -> None:
    done = call(image, "--scenario", "Offline", *SHORT)
    assert done.code == 0
    assert "samples/s" in done.stdout
    assert "VALID" in done.stdout
    assert str(image.parent / "out" / "image.onnx" / "attempt_1") in done.stdout


@pytest.mark.parametrize("runner", ["threads", "processes"])
def test_a_symbolic_dimension_that_cannot_be_one_is_told_with_the_option_that_fixes_it(
    tmp_path: Path, runner: str
) -> None:
    model = onnx_models.picky_model(tmp_path / "picky.onnx")
    done = call(model, "--scenario", "Offline", "--runner", runner)
    assert done.code == 2
    assert "the model does not run with x [1, 1]" in done.stderr
    assert "length had no size and became 1: give the real one with --shape, in the form --shape x=1,1" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert call(model, "--scenario", "Offline", "--runner", runner, *SHORT, "--shape", "x=1,4").code == 0


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--provider", "CPUExecutionProvidr"), 2, "did you mean 'CPUExecutionProvider'?"),
        (
            ("--shape", "imag=1,3,8,8"),
            2,
            "--shape: unknown input 'imag'; expected one of N, image (did you mean 'image'?)",
        ),
        (("--samples", "900000000"), 5, "samples need"),
        (("--cmd-prefix", "no-such-tool -x"), 2, "cannot start no-such-tool: No such file or directory"),
        (("--cmd-prefix", "prlimit --as=900000000", "--samples", "1500000"), 5, "memory ran out"),
    ],
)
def test_what_cannot_work_is_one_sentence(image: Path, words: tuple[str, ...], code: int, sentence: str) -> None:
    done = call(image, *words)
    assert sentence in done.stderr
    assert (done.code, len(done.stderr.splitlines())) == (code, 1)


def test_scenarios_that_ended_before_a_failure_stay_in_the_result(image: Path, tmp_path: Path) -> None:
    conf = tmp_path / "user.conf"
    conf.write_text("*.*.min_duration = 100\n")
    done = call(
        image, "--user-conf", str(conf), "--target-latency-ms", "0.5", "--min-queries", "70", "--max-queries", "99"
    )
    result = json.loads((tmp_path / "out" / "image.onnx" / "attempt_1" / "result.json").read_text())
    assert done.code == 2
    assert "whole milliseconds in Server" in done.stderr
    assert [run["verdict"] == "failed" for run in result["runs"]] == [False, False, True]


@pytest.fixture
def long_run(image: Path) -> Iterator[subprocess.Popen[str]]:
    words = ("--scenario", "Offline", "-r", "processes", "--concurrency", "2", "--duration-sec", "100")
    with subprocess.Popen(argv(image, *words), stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def wait_for_workers(folder: Path) -> list[int]:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        phase = next(folder.rglob("phase"), None)
        if phase is not None and phase.read_text() == "measuring":
            break
        time.sleep(0.05)
    return processes_of(folder, "generic.workers")


def processes_of(folder: Path, word: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode()
                where = os.readlink(entry / "cwd")
            except OSError:
                continue
            if word in command and where.startswith(str(folder)):
                found.append(int(entry.name))
    return found


def test_a_worker_process_that_dies_ends_the_run_with_a_sentence(image: Path, long_run: subprocess.Popen[str]) -> None:
    victim, other = wait_for_workers(image.parent)
    os.kill(victim, signal.SIGKILL)
    _, stderr = long_run.communicate(timeout=20)
    assert long_run.returncode == 3
    assert f"worker process {victim} died of signal 9" in stderr
    assert processes_of(image.parent, "mlperf_ops") == []
    assert other != victim


def test_stopping_the_command_stops_its_processes(image: Path, long_run: subprocess.Popen[str]) -> None:
    assert len(wait_for_workers(image.parent)) == 2
    long_run.send_signal(signal.SIGTERM)
    long_run.communicate(timeout=20)
    assert long_run.returncode != 0
    end = time.monotonic() + 5
    while processes_of(image.parent, "mlperf_ops.harness") and time.monotonic() < end:
        time.sleep(0.05)
    assert processes_of(image.parent, "mlperf_ops.harness") == []
