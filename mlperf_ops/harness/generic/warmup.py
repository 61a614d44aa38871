"""Before LoadGen starts: does the model run at all with these inputs, and how fast is it?"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from mlperf_ops.harness import failures
from mlperf_ops.harness.backends import Stream
from mlperf_ops.harness.failures import CellError
from mlperf_ops.harness.generic.conf import Measured
from mlperf_ops.harness.generic.library import Library
from mlperf_ops.harness.tasks import Task

_LATENCY_RUNS = 3
_SECONDS = 0.3


def probe(stream: Stream, task: Task, library: Library, batch: int) -> None:
    """Infer one sample, and one full batch.

    Raises:
        CellError: The model does not run; says which sizes were only assumed.
    """
    try:
        stream.run_feed(task.feed(0))
        if batch > 1:
            stream.run_feed(task.batch([index % task.count for index in range(batch)]))
    except Exception as error:
        told = failures.describe(error)
        if told.kind in ("out_of_memory", "worker_died"):
            raise told from error
        raise _explain(told, library) from error


def _explain(told: CellError, library: Library) -> CellError:
    shapes = ", ".join(f"{item.input.name} {list(item.shape)}" for item in library.shapes)
    assumed = [name for item in library.shapes for name in item.assumed]
    # A first dimension of 1 is a batch of one, which most models take.
    suspects = [name for item in library.shapes for name in item.assumed if name != item.first_dimension] or assumed
    hints = []
    if assumed:
        first = next(item for item in library.shapes if set(item.assumed) & set(suspects))
        sizes = ",".join(str(size) for size in first.shape)
        hints.append(
            f"{', '.join(dict.fromkeys(suspects))} had no size and became 1: give the real one with --shape, "
            f"in the form --shape {first.input.name}={sizes}"
        )
    if library.has_generated_integers:
        hints.append("integers may be out of range: see --int-max and --input")
    first_line = told.message.strip().splitlines()[0]
    return CellError(
        "bad_shape" if assumed else "bad_input",
        f"the model does not run with {shapes}: {first_line}",
        "; ".join(hints) or "see console.log",
    )


def measure(streams: Sequence[Stream], task: Task, batch: int) -> tuple[Measured, int]:
    """Run all streams side by side for a moment; return the speed and the number of inferences."""
    several = None if batch == 1 else task.batch([index % task.count for index in range(batch)])
    for stream in streams:
        stream.bind(0, task.feed(0))
    latencies = [_timed(streams[0]) for _ in range(_LATENCY_RUNS)]
    counts = [0] * len(streams)
    errors: list[BaseException] = []
    end = time.perf_counter() + _SECONDS

    def work(number: int) -> None:
        stream = streams[number]
        try:
            while not counts[number] or time.perf_counter() < end:
                if several is None:
                    stream.run(0)
                else:
                    stream.run_feed(several)
                counts[number] += 1
        except BaseException as error:  # noqa: BLE001  # told by the main thread
            errors.append(error)

    started = time.perf_counter()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(streams))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise failures.describe(errors[0])
    rate = sum(counts) * batch / (time.perf_counter() - started)
    for stream in streams:
        stream.unbind()
    return Measured(min(latencies), rate), sum(counts) + _LATENCY_RUNS


def _timed(stream: Stream) -> float:
    started = time.perf_counter()
    stream.run(0)
    return time.perf_counter() - started
