"""One LoadGen run: open model and data, warm up, measure, say what really ran.

Run as `python -m mlperf_ops.harness.sut --spec spec.json` in the attempt folder, by the supervisor
(`python -m mlperf_ops.harness`). One process per run: LoadGen's embedded mlperf.conf is applied only by the first
`FromConfig` of a process.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import os
import platform
import sys
import time
import traceback
from pathlib import Path

from mlperf_ops.files import Json, read_json, write_json
from mlperf_ops.harness import failures
from mlperf_ops.harness.attempt_files import AUDIT_CONFIG, EFFECTIVE, PHASE
from mlperf_ops.harness.backends import Backend, image_layout, open_backend
from mlperf_ops.harness.backends.oracle import OracleBackend
from mlperf_ops.harness.cpus import apply_affinity, format_cpu_list, thread_counts
from mlperf_ops.harness.measure import measure, settings_of
from mlperf_ops.harness.scenarios import Guard, QueueSut, make_sut
from mlperf_ops.harness.tasks import Task, open_task
from mlperf_ops.model import Spec
from mlperf_ops.typed import load

_WARMUP_SAMPLES = 8


def run(spec: Spec, attempt: Path, *, oracle_ms: float = 0.0) -> None:
    """Run the spec's LoadGen test in the attempt folder.

    Args:
        spec: What to run.
        attempt: The folder.
        oracle_ms: How long an oracle takes for an answer, where answers are timed.

    Raises:
        CellError: The model, the data or the settings cannot be used.
    """
    _phase(attempt, "loading")
    cpus = apply_affinity(spec.cpu_affinity)
    streams, intra_op_threads = thread_counts(spec.backend, len(cpus))
    if spec.loadgen.scenario == "SingleStream":
        streams = 1  # there is never more than one query in flight
    task, backend = _open(spec, streams, intra_op_threads, oracle_ms)
    settings = settings_of(spec.loadgen.conf_model, spec.loadgen.scenario, spec.loadgen.mode)
    guard = Guard(attempt)

    def load_samples(indices: list[int]) -> None:
        with guard:
            wanted = sorted(set(indices))  # MultiStream pads the last query with repeated samples
            task.load(wanted)
            for stream in backend.streams:
                for index in wanted:
                    stream.bind(index, task.feed(index))
            _phase(attempt, "measuring")

    def unload_samples(indices: list[int]) -> None:  # noqa: ARG001  # LoadGen's signature
        with guard:
            for stream in backend.streams:
                stream.unbind()
            task.unload()

    warmup_runs = _warm_up(spec, attempt, task, backend)
    sut = make_sut(
        spec.loadgen.scenario,
        task,
        backend.streams,
        max_batch=spec.backend.max_batch,
        batch_timeout_us=spec.backend.batch_timeout_us,
        guard=guard,
    )
    audit_config = attempt / AUDIT_CONFIG if spec.loadgen.audit_conf else None
    cpu_seconds = measure(settings, attempt, sut, task.count, load_samples, unload_samples, audit_config)
    _phase(attempt, "scoring")
    effective: dict[str, Json] = {
        **backend.describe(),
        "cpus": format_cpu_list(cpus),
        "max_batch": spec.backend.max_batch,
        "batch_timeout_us": spec.backend.batch_timeout_us,
        "largest_batch": sut.largest_batch if isinstance(sut, QueueSut) else spec.backend.max_batch,
        "warmup_runs": warmup_runs,
        "cpu_seconds": round(cpu_seconds, 3),
        "samples": task.count,
        "python": platform.python_version(),
        "python_executable": sys.executable,
        "loadgen_version": importlib.metadata.version("mlcommons_loadgen"),
        "numpy_version": importlib.metadata.version("numpy"),
        "pid": os.getpid(),
    }
    write_json(attempt / EFFECTIVE, effective)


def _open(spec: Spec, streams: int, intra_op_threads: int, oracle_ms: float) -> tuple[Task, Backend]:
    if spec.model is not None:
        backend = open_backend(spec.model, spec.backend, streams=streams, intra_op_threads=intra_op_threads)
        # The file knows its own layout better than the catalogue: users bring NCHW and NHWC files of one model.
        layout = image_layout(backend.input_shape(spec.model.input_name)) or spec.model.input_layout
        model = dataclasses.replace(spec.model, input_layout=layout)
        return open_task(dataclasses.replace(spec, model=model)), backend
    if not spec.simulated:
        raise failures.CellError("bad_input", "the spec names no model, and only a simulated run may go without one")
    task = open_task(spec)
    timed = spec.loadgen.mode == "PerformanceOnly"
    return task, OracleBackend(task.label, streams, oracle_ms / 1000 if timed else 0.0)


def _warm_up(spec: Spec, attempt: Path, task: Task, backend: Backend) -> int:
    """Run real samples on every stream before LoadGen starts its clock; return the number of runs."""
    if spec.model is None or spec.warmup_seconds <= 0:
        return 0
    _phase(attempt, "warmup")
    indices = list(range(min(_WARMUP_SAMPLES, task.count)))
    task.load(indices)
    runs = 0
    end = time.monotonic() + spec.warmup_seconds
    while time.monotonic() < end or runs < len(backend.streams):
        stream = backend.streams[runs % len(backend.streams)]
        stream.run_feed(task.feed(indices[runs % len(indices)]))
        runs += 1
    if spec.backend.max_batch > 1:
        for stream in backend.streams:
            stream.run_feed(task.batch((indices * spec.backend.max_batch)[: spec.backend.max_batch]))
            runs += 1
    task.unload()
    return runs


def _phase(attempt: Path, name: str) -> None:
    (attempt / PHASE).write_text(name)


def main() -> int:
    """Run the spec given on the command line in the current folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spec", type=Path, required=True, help="spec.json of the cell")
    parser.add_argument(
        "--oracle-ms",
        type=float,
        default=0.0,
        metavar="MS",
        help="milliseconds that an oracle sleeps for each answer that is timed; a real model ignores it",
    )
    arguments = parser.parse_args()
    attempt = Path.cwd()
    try:
        spec = load(Spec, read_json(arguments.spec), str(arguments.spec))
        run(spec, attempt, oracle_ms=arguments.oracle_ms)
    except BaseException as error:  # noqa: BLE001  # whatever it is, the supervisor is told
        traceback.print_exc()
        failures.leave(error, attempt)
        return failures.EXIT_FAILURE
    return 0


if __name__ == "__main__":
    sys.exit(main())
