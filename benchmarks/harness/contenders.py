"""The programs that are compared: each measures one scenario with given session options, in a process of its own."""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime as ort

from benchmarks.harness.models import Workload
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.files import Json, JsonObject, read_json, write_json
from mlperf_ops.harness.backends.onnxruntime import session_options
from mlperf_ops.harness.dataset import open_dataset
from mlperf_ops.harness.energy.model import ENERGY, SourceSettings
from mlperf_ops.harness.supervisor import run_cell
from mlperf_ops.loadgen_log import read_detail
from mlperf_ops.model import AccuracyRequest, BackendRequest, Cell, DatasetRequest, LoadgenRequest, ModelRequest, Spec


@dataclass(frozen=True, slots=True)
class Setting:
    """What all contenders of a comparison share."""

    scenario: str
    samples: int
    streams: int
    intra_op_threads: int
    max_batch: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Throughput, and the latency of single queries where the scenario has them."""

    samples_per_second: float
    p50_ns: float | None = None
    p999_ns: float | None = None


def model_request(workload: Workload) -> ModelRequest:
    """Describe the workload's model."""
    return ModelRequest(
        component=workload.name,
        path=str(workload.model),
        sha256="",
        format="onnx",
        input_name=workload.input_name,
        input_layout="NCHW",
        output_name=workload.output_name,
        output_kind="logits",
    )


def dataset_request(workload: Workload) -> DatasetRequest:
    """Describe the workload's images."""
    return DatasetRequest("noise", str(workload.images), "", "val_map.txt", None, workload.preprocess)


def backend_request(setting: Setting) -> BackendRequest:
    """Describe the session options."""
    return BackendRequest(
        name="onnxruntime",
        intra_op_threads=setting.intra_op_threads,
        streams=setting.streams,
        max_batch=setting.max_batch,
    )


def bare_loop(workload: Workload, setting: Setting) -> Figures:
    """Call `session.run` in plain loops over the same samples: no LoadGen, no post-processing, nothing else."""
    dataset = open_dataset(dataset_request(workload), model_request(workload))
    dataset.load(range(dataset.count))
    options = session_options(backend_request(setting), setting.intra_op_threads)
    session = ort.InferenceSession(str(workload.model), options, providers=["CPUExecutionProvider"])
    order = np.random.default_rng(1).integers(0, dataset.count, setting.samples).tolist()
    names, input_name = [workload.output_name], workload.input_name
    size = setting.max_batch
    feeds: list[dict[str, object]] = (
        [{input_name: dataset.sample(i)} for i in range(dataset.count)]
        if size == 1
        else [{input_name: np.ascontiguousarray(dataset.batch([(i + k) % dataset.count for k in range(size)]))}
              for i in range(dataset.count)]
    )  # fmt: skip
    for feed in feeds[:16]:
        session.run(names, feed)
    if setting.scenario == "SingleStream":
        return _latencies(lambda index: session.run(names, feeds[index]), order)
    take = itertools.count(0, size).__next__

    def loop() -> None:
        while (at := take()) < len(order):
            session.run(names, feeds[order[at]])

    threads = [threading.Thread(target=loop) for _ in range(setting.streams)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Figures(setting.samples / (time.perf_counter() - started))


def _latencies(call: Callable[[int], object], order: Sequence[int]) -> Figures:
    clock = time.perf_counter_ns
    latencies = np.empty(len(order), dtype=np.int64)
    for number, index in enumerate(order):
        started = clock()
        call(index)
        latencies[number] = clock() - started
    p50, p999 = np.percentile(latencies, [50, 99.9])
    return Figures(1e9 / float(latencies.mean()), float(p50), float(p999))


def harness(
    workload: Workload,
    setting: Setting,
    *,
    server_qps: float | None = None,
    energy_sources: Sequence[SourceSettings] = (),
) -> tuple[Figures, JsonObject]:
    """Run our harness under LoadGen; return its figures, and what LoadGen and the energy sources left."""
    lines = {
        "min_duration": 0,
        "min_query_count": setting.samples,
        "max_query_count": setting.samples,
        **({"target_qps": server_qps, "coalesce_queries": 1} if server_qps else {}),
        **({"target_qps": 1} if setting.scenario == "Offline" else {}),
        **({"target_latency": 1000} if setting.scenario == "SingleStream" else {}),
    }
    round_name = max(load_catalogue().rounds)
    spec = Spec(
        cell=Cell("benchmark", workload.name, setting.scenario, "performance"),  # type: ignore[arg-type]  # from argv
        official_benchmark="resnet",
        round=round_name,
        division="open",
        run_style="test",
        implementation="harness",
        simulated=False,
        argv=("{python}", "-m", "mlperf_ops.harness.sut", "--spec", "spec.json"),
        env={},
        loadgen=LoadgenRequest(
            conf_model="resnet50",
            scenario=setting.scenario,  # type: ignore[arg-type]  # from argv
            mode="PerformanceOnly",
            user_conf="".join(f"resnet50.{setting.scenario}.{key} = {value}\n" for key, value in lines.items()),
            expect={},
        ),
        model=model_request(workload),
        dataset=dataset_request(workload),
        task="image_classification",
        backend=backend_request(setting),
        accuracy=AccuracyRequest("acc", None, None, gate=False),
        cpu_affinity=None,
        warmup_seconds=0.2,
        packages={},
    )
    with tempfile.TemporaryDirectory() as folder:
        result = run_cell(spec, Path(folder), request_sha256="", energy_sources=energy_sources)
        energy = read_json(Path(folder, ENERGY)) if energy_sources else None
    if result.loadgen is None:
        raise RuntimeError(f"the harness failed: {result.reasons}: {result.failure}")
    fields = result.loadgen.fields
    return _from_log(fields), cast("JsonObject", {"validity": result.loadgen.validity, "energy": energy, **fields})


def _from_log(fields: dict[str, Json]) -> Figures:
    def number(key: str) -> float | None:
        value = fields.get(key)
        return float(value) if isinstance(value, (int, float)) else None

    rate = (
        number("result_samples_per_second")
        or number("result_completed_samples_per_sec")
        or number("result_qps_without_loadgen_overhead")
    )
    return Figures(
        rate or 0.0, number("result_50.00_percentile_latency_ns"), number("result_99.90_percentile_latency_ns")
    )


def reference(workload: Workload, setting: Setting, checkout: Path, python: str) -> Figures:
    """Run MLCommons' Python reference (vision/classification_and_detection) on the same model and images.

    Its session takes ONNX Runtime's default threads, so compare it with `intra_op_threads` = all cores; it takes
    pictures of 224 px only.
    """
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder, "user.conf")
        conf.write_text(
            "".join(
                f"resnet50.{setting.scenario}.{key} = {value}\n"
                for key, value in {
                    "target_qps": 1, "min_duration": 0, "min_query_count": setting.samples,
                    "max_query_count": setting.samples,
                }.items()
            )
        )  # fmt: skip
        argv = [
            python, "main.py", "--dataset", "imagenet_mobilenet", "--dataset-path", str(workload.images),
            "--dataset-list", str(workload.images / "val_map.txt"), "--model", str(workload.model),
            "--model-name", "resnet50", "--backend", "onnxruntime", "--inputs", workload.input_name,
            "--outputs", workload.output_name, "--data-format", "NCHW", "--scenario", setting.scenario,
            "--threads", str(setting.streams), "--max-batchsize", str(setting.max_batch), "--user_conf", str(conf),
            "--output", folder, "--cache_dir", folder, "--performance-sample-count", "1024",
        ]  # fmt: skip
        _run(argv, checkout / "vision" / "classification_and_detection" / "python")
        return _from_log(read_detail(Path(folder, "mlperf_log_detail.txt"), None).values)


def generic_app(workload: Workload, setting: Setting, checkout: Path, python: str) -> Figures:
    """Run app-loadgen-generic-python of mlcommons/mlperf-automations; Offline only, its own random inputs."""
    with tempfile.TemporaryDirectory() as folder:
        runner = ["inline"] if setting.streams == 1 else ["threadpool", "--concurrency", str(setting.streams)]
        argv = [
            python, "main.py", str(workload.model), "-b", "onnxruntime", "-o", folder, "-r", *runner,
            "--intraop", str(setting.intra_op_threads), "--samples", str(setting.samples),
        ]  # fmt: skip
        _run(argv, checkout / "script" / "app-loadgen-generic-python" / "src")
        detail = next(Path(folder).rglob("mlperf_log_detail.txt"))
        return _from_log(read_detail(detail, None).values)


def _run(argv: Sequence[str], folder: Path) -> None:
    done = subprocess.run(
        argv,
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-3:]
        raise RuntimeError(f"{argv[1]} in {folder} failed: {' | '.join(last)}")


def in_own_process(call: Callable[..., Figures], *arguments: object) -> Figures:
    """Run a contender that measures in-process in a fresh interpreter, so that no contender warms another up."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "figures.json")
        pid = os.fork()
        if pid == 0:
            figures = call(*arguments)
            write_json(out, {"rate": figures.samples_per_second, "p50": figures.p50_ns, "p999": figures.p999_ns})
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if status != 0:
            raise RuntimeError(f"{call.__name__} failed")
        held = cast("dict[str, float]", read_json(out))
    return Figures(held["rate"], held["p50"], held["p999"])
