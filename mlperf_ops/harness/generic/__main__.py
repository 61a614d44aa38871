"""One LoadGen run of `mlperf-ops loadgen-onnx`: `python -m mlperf_ops.harness.generic` in a folder with request.json.

It leaves LoadGen's logs, user.conf and effective.json; a failure leaves failure.json instead.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.errors import MlperfOpsError
from mlperf_ops.files import Json, read_json, write_json
from mlperf_ops.harness import failures
from mlperf_ops.harness.attempt_files import EFFECTIVE, PHASE, USER_CONF
from mlperf_ops.harness.backends import Stream
from mlperf_ops.harness.cpus import format_cpu_list
from mlperf_ops.harness.failures import CellError
from mlperf_ops.harness.generic import conf, samples, warmup
from mlperf_ops.harness.generic.graph import index_rows
from mlperf_ops.harness.generic.inputs import ModelInput, read_inputs
from mlperf_ops.harness.generic.library import build_library
from mlperf_ops.harness.generic.request import REQUEST, SHARED_MEMORY_RUNNER, GenericRequest
from mlperf_ops.harness.generic.samples import GenericTask, IndexTask
from mlperf_ops.harness.generic.sessions import open_sessions
from mlperf_ops.harness.generic.workers import WorkerStream, check_batch_fits, start_workers
from mlperf_ops.harness.measure import measure, settings_of
from mlperf_ops.harness.scenarios import Guard, InlineSut, OfflineSut, QueueSut, Sut
from mlperf_ops.typed import load


@dataclass(frozen=True, slots=True)
class Engine:
    """The model, open: who infers, what it takes, and what its sessions say of themselves."""

    streams: Sequence[Stream]
    inputs: tuple[ModelInput, ...]
    described: dict[str, Json]
    workers: Sequence[WorkerStream] = ()


def run(request: GenericRequest, folder: Path) -> None:
    """Run one scenario in the folder.

    Raises:
        CellError: The model, the inputs or the settings cannot be used.
        ConfigError: The same, where it is the command line that is wrong.
    """
    _phase(folder, "loading")
    cpus = frozenset(os.sched_getaffinity(0))
    concurrency = 1 if request.runner == "inline" else request.concurrency or len(cpus)
    memory = samples.new_memory()
    engine = _open(request, folder, memory, concurrency, len(cpus))
    library = build_library(request, engine.inputs, index_rows(Path(request.model)), memory)
    for worker in engine.workers:
        worker.share(library.layout)
    task_type = IndexTask if engine.workers else GenericTask
    task = task_type(library.arrays, library.count)
    _phase(folder, "warmup")
    warmup.probe(engine.streams[0], task, library, request.batch)
    measured, warmup_runs = warmup.measure(engine.streams, task, request.batch)
    made = conf.compose(request, measured)
    (folder / USER_CONF).write_text(made.text)
    guard = Guard(folder)
    sut = _make_sut(request, task, engine.streams, guard)
    cpu_seconds = _measure(request, made.model, folder, task, engine, sut, guard)
    write_json(
        folder / EFFECTIVE,
        {
            **engine.described,
            "runner": request.runner,
            "concurrency": concurrency,
            "worker_pids": [worker.pid for worker in engine.workers],
            "batch": request.batch,
            "largest_batch": sut.largest_batch if isinstance(sut, QueueSut) else request.batch,
            "samples": library.count,
            "seed": request.seed,
            "inputs": library.describe(),
            "conf_model": made.model,
            "warmup_runs": warmup_runs,
            "warmup_samples_per_second": round(measured.samples_per_second, 3),
            "cpus": format_cpu_list(cpus),
            "cpu_seconds": round(cpu_seconds, 3),
            "python": platform.python_version(),
            "loadgen_version": importlib.metadata.version("mlcommons_loadgen"),
            "numpy_version": importlib.metadata.version("numpy"),
            "pid": os.getpid(),
        },
    )
    for worker in engine.workers:
        worker.close()


def _open(request: GenericRequest, folder: Path, memory: int, concurrency: int, cpu_count: int) -> Engine:
    sessions = concurrency if request.runner in ("threads+replication", SHARED_MEMORY_RUNNER) else 1
    threads = request.intra_op_threads
    if threads is None and sessions > 1:
        threads = max(1, cpu_count // sessions)  # sessions that do not know of each other would all take every CPU
    if request.runner != SHARED_MEMORY_RUNNER:
        opened = open_sessions(request, sessions=sessions, streams=concurrency, intra_op_threads=threads)
        return Engine(opened.streams, read_inputs(opened.session), opened.describe())
    check_batch_fits(request.batch)
    workers = start_workers(concurrency, folder, memory, threads)
    ready = [worker.wait_ready() for worker in workers]
    described: dict[str, Json] = {**ready[0].described, "sessions": sessions, "streams": concurrency}
    return Engine(workers, ready[0].inputs, described, workers)


def _make_sut(request: GenericRequest, task: GenericTask, streams: Sequence[Stream], guard: Guard) -> Sut:
    if request.runner == "inline":
        return InlineSut(task, streams[0], request.batch, guard)
    if request.scenario == "Offline":
        return OfflineSut(task, streams, request.batch, guard)
    return QueueSut(task, streams, request.batch, 0, guard)


def _measure(
    request: GenericRequest, model: str, folder: Path, task: GenericTask, engine: Engine, sut: Sut, guard: Guard
) -> float:
    settings = settings_of(model, request.scenario, "PerformanceOnly")

    def load_samples(indices: list[int]) -> None:
        with guard:
            for stream in engine.streams:
                for index in sorted(set(indices)):
                    stream.bind(index, task.feed(index))
            _phase(folder, "measuring")

    def unload_samples(indices: list[int]) -> None:  # noqa: ARG001  # LoadGen's signature
        with guard:
            for stream in engine.streams:
                stream.unbind()

    return measure(settings, folder, sut, task.count, load_samples, unload_samples)


def _phase(folder: Path, name: str) -> None:
    (folder / PHASE).write_text(name)


def main() -> int:
    """Run the request of the current folder."""
    folder = Path.cwd()
    try:
        run(load(GenericRequest, read_json(folder / REQUEST), REQUEST), folder)
    except MlperfOpsError as error:
        failures.leave(CellError("bad_input", error.message, error.hint or ""), folder)
        return failures.EXIT_FAILURE
    except BaseException as error:  # noqa: BLE001  # whatever it is, the command line tells the user
        traceback.print_exc()
        failures.leave(error, folder)
        return failures.EXIT_FAILURE
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # neither workers nor a runtime's threads may delay the end
