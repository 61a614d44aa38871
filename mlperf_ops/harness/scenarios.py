"""The SUT side of LoadGen's scenarios.

SingleStream, and MultiStream on one stream, run inside LoadGen's own thread: nothing is handed over. Server, Offline
and MultiStream on several streams hand work to one thread per stream; the runtime releases the interpreter lock while
it computes, so the streams run in parallel.
"""

from __future__ import annotations

import itertools
import os
import queue
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from mlperf_loadgen import QuerySamplesComplete

from mlperf_ops.harness import failures
from mlperf_ops.harness.backends import Stream
from mlperf_ops.harness.tasks import Task

_FLUSH_RESPONSES = 256  # Offline: responses handed to LoadGen at once
_Query: TypeAlias = tuple[Callable[[], int], list[int], list[int]]  # the next place in it, response ids, samples


class Guard:
    """An exception in a callback of LoadGen's, or in a stream's thread, must end the process: LoadGen would wait."""

    def __init__(self, attempt: Path) -> None:
        """Remember where the cause is to be left."""
        self._attempt = attempt

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Leave the cause and end the process at once."""
        if error is not None:
            self.end(error)

    def end(self, error: BaseException) -> None:
        """End the process with the cause recorded."""
        traceback.print_exception(error)
        failures.leave(error, self._attempt)
        os._exit(failures.EXIT_FAILURE)


class InlineSut:
    """Run each query where LoadGen issues it, in batches of at most `max_batch`."""

    def __init__(self, task: Task, stream: Stream, max_batch: int, guard: Guard) -> None:
        """Drive one stream."""
        self._task, self._stream, self._max_batch, self._guard = task, stream, max(1, max_batch), guard

    def issue(self, ids: list[int], indices: list[int]) -> None:
        """Answer a query."""
        try:
            if len(ids) == 1:
                QuerySamplesComplete(self._task.responses(ids, self._stream.run(indices[0])))
                return
            answers: list[Any] = []
            for at in range(0, len(ids), self._max_batch):
                answers += infer(
                    self._task, self._stream, ids[at : at + self._max_batch], indices[at : at + self._max_batch]
                )
            QuerySamplesComplete(answers)
        except BaseException as error:  # noqa: BLE001  # nothing may pass into LoadGen's C++ frames
            self._guard.end(error)

    def stop(self) -> None:
        """Nothing runs on its own."""


class ThreadedSut:
    """Hand work to one thread per stream."""

    def __init__(self, streams: Sequence[Stream], work: Callable[[Stream], None], guard: Guard) -> None:
        """Start the threads."""
        self._guard = guard
        self._threads = [
            threading.Thread(target=self._guarded, args=(work, stream), name=f"stream-{number}", daemon=True)
            for number, stream in enumerate(streams)
        ]
        for thread in self._threads:
            thread.start()

    def _guarded(self, work: Callable[[Stream], None], stream: Stream) -> None:
        with self._guard:
            work(stream)

    def join(self) -> None:
        """Wait for the threads to end."""
        for thread in self._threads:
            thread.join()


class QueueSut:
    """Server, and MultiStream on several streams: a queue, and dynamic batching within a time bound."""

    def __init__(
        self, task: Task, streams: Sequence[Stream], max_batch: int, batch_timeout_us: int, guard: Guard
    ) -> None:
        """Start one thread per stream."""
        self._task, self._max_batch, self._timeout_seconds = task, max(1, max_batch), batch_timeout_us / 1e6
        self._queue: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self.largest_batch = 0
        self._threads = ThreadedSut(streams, self._work, guard)
        self._stream_count = len(streams)

    def issue(self, ids: list[int], indices: list[int]) -> None:
        """Queue a query's samples."""
        put = self._queue.put
        for item in zip(ids, indices, strict=True):
            put(item)

    def _work(self, stream: Stream) -> None:
        get, task = self._queue.get, self._task
        if self._max_batch == 1:
            self.largest_batch = 1
            while (item := get()) is not None:
                QuerySamplesComplete(task.responses((item[0],), stream.run(item[1])))
            return
        while (item := get()) is not None:
            batch = [item, *self._more()]
            self.largest_batch = max(self.largest_batch, len(batch))
            QuerySamplesComplete(infer(task, stream, [b[0] for b in batch], [b[1] for b in batch]))

    def _more(self) -> list[tuple[int, int]]:
        """Take what waits already, and what comes until the batch is full or the time is over."""
        more: list[tuple[int, int]] = []
        deadline = time.monotonic() + self._timeout_seconds if self._timeout_seconds else 0.0
        while len(more) + 1 < self._max_batch:
            try:
                wait_seconds = deadline - time.monotonic() if deadline else 0.0
                item = self._queue.get(timeout=wait_seconds) if wait_seconds > 0 else self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                self._queue.put(None)
                break
            more.append(item)
        return more

    def stop(self) -> None:
        """End the threads after the queue is empty."""
        for _ in range(self._stream_count):
            self._queue.put(None)
        self._threads.join()


class OfflineSut:
    """Offline: all samples are known at once; streams take the next batch from a counter that they share.

    An accuracy run issues one query per loaded set. The threads last for all of them: LoadGen keeps a log for each
    thread that completes samples, and crashes when such a thread ends while the test goes on.
    """

    def __init__(self, task: Task, streams: Sequence[Stream], max_batch: int, guard: Guard) -> None:
        """Start one thread per stream."""
        self._task, self._max_batch = task, max(1, max_batch)
        self._queues: dict[int, queue.SimpleQueue[_Query | None]] = {id(one): queue.SimpleQueue() for one in streams}
        self._threads = ThreadedSut(streams, self._work, guard)

    def issue(self, ids: list[int], indices: list[int]) -> None:
        """Start on the whole query."""
        take = itertools.count(0, self._max_batch).__next__  # one bytecode: atomic under the interpreter lock
        for one in self._queues.values():
            one.put((take, ids, indices))

    def _work(self, stream: Stream) -> None:
        get = self._queues[id(stream)].get
        while (query := get()) is not None:
            self._answer(stream, *query)

    def _answer(self, stream: Stream, take: Callable[[], int], ids: list[int], indices: list[int]) -> None:
        task, size, total = self._task, self._max_batch, len(ids)
        pending: list[Any] = []
        while (at := take()) < total:
            if size == 1:
                pending += task.responses((ids[at],), stream.run(indices[at]))
            else:
                pending += infer(task, stream, ids[at : at + size], indices[at : at + size])
            if len(pending) >= _FLUSH_RESPONSES:
                QuerySamplesComplete(pending)
                pending = []
        if pending:
            QuerySamplesComplete(pending)

    def stop(self) -> None:
        """End the threads after their last query."""
        for one in self._queues.values():
            one.put(None)
        self._threads.join()


def infer(task: Task, stream: Stream, ids: Sequence[int], indices: Sequence[int]) -> list[Any]:
    """Infer a batch and make its responses; a batch of one needs no gathering."""
    if len(ids) == 1:
        return task.responses(ids, stream.run(indices[0]))
    return task.responses(ids, stream.run_feed(task.batch(indices)))


Sut = InlineSut | QueueSut | OfflineSut


def make_sut(
    scenario: str, task: Task, streams: Sequence[Stream], *, max_batch: int, batch_timeout_us: int, guard: Guard
) -> Sut:
    """Choose the SUT for a scenario."""
    if scenario == "Offline":
        return OfflineSut(task, streams, max_batch, guard)
    if scenario == "Server" or len(streams) > 1:
        return QueueSut(task, streams, max_batch, batch_timeout_us, guard)
    return InlineSut(task, streams[0], max_batch, guard)
