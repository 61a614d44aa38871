"""Worker processes: each has a session of its own, reads samples from shared memory and answers by index.

The LoadGen process drives a worker through a socket that keeps messages apart: it sends a verb and sample indices
(little-endian int64) and gets one byte back when that is done, so that all responses are completed in the LoadGen
process. Worker: `python -m mlperf_ops.harness.generic.workers REQUEST SOCKET MEMORY THREADS`; it ends when the socket
closes.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlperf_ops.files import Json, read_json
from mlperf_ops.harness import failures
from mlperf_ops.harness.backends import Feed, Outputs
from mlperf_ops.harness.failures import CellError
from mlperf_ops.harness.generic.inputs import ModelInput, read_inputs
from mlperf_ops.harness.generic.request import REQUEST, GenericRequest
from mlperf_ops.harness.generic.samples import INDEX, GenericTask, Layout
from mlperf_ops.harness.generic.sessions import open_sessions
from mlperf_ops.typed import dump, load

_LAYOUT, _BIND, _RUN, _BATCH = b"L", b"B", b"R", b"N"
_READY, _DONE, _FAILED = b"r", b"d", b"f"
_MESSAGE_BYTES = 1 << 20
_MAX_BATCH = 8192  # indices that fit into one message of the default socket buffer


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker's first word: the model's inputs and what its session says of itself."""

    inputs: tuple[ModelInput, ...]
    described: dict[str, Json]


class WorkerStream:
    """A worker process as a stream."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        """Drive a process that was started."""
        self._process = process
        self._channel = channel
        self._pack = struct.Struct("<cq").pack

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def wait_ready(self) -> Ready:
        """Wait until the model is open there.

        Raises:
            CellError: The model could not be opened.
        """
        return load(Ready, json.loads(self._answer(_READY)), f"worker process {self.pid}")

    def share(self, layout: Layout) -> None:
        """Let the worker map the samples."""
        self._send(_LAYOUT + json.dumps(dump(layout)).encode())
        self._answer(_DONE)

    def bind(self, index: int, feed: Feed) -> None:  # noqa: ARG002  # the data is there already
        """Let the worker bind a sample."""
        self._send(self._pack(_BIND, index))
        self._answer(_DONE)

    def unbind(self) -> None:
        """The worker keeps its bindings until it ends."""

    def run(self, index: int) -> Outputs:
        """Infer a sample."""
        self._send(self._pack(_RUN, index))
        self._answer(_DONE)
        return ()

    def run_feed(self, feed: Feed) -> Outputs:
        """Infer a batch of sample indices."""
        self._send(_BATCH + feed[INDEX].tobytes())
        self._answer(_DONE)
        return ()

    def close(self) -> None:
        """End the worker."""
        self._channel.close()
        self._process.wait()

    def _send(self, message: bytes) -> None:
        try:
            self._channel.send(message)
        except OSError as error:
            raise self._death() from error

    def _answer(self, wanted: bytes) -> bytes:
        try:
            message = self._channel.recv(_MESSAGE_BYTES)
        except OSError as error:
            raise self._death() from error
        if not message:
            raise self._death()
        if message[:1] == _FAILED:
            raise CellError(*json.loads(message[1:]))
        if message[:1] != wanted:
            raise CellError("crash", f"worker process {self.pid} answered out of order")
        return message[1:]

    def _death(self) -> CellError:
        code = self._process.wait()
        how = f"died of signal {-code}" if code < 0 else f"ended with exit code {code}"
        return CellError("worker_died", f"worker process {self.pid} {how}", "see console.log, and the kernel log")


def start_workers(count: int, folder: Path, memory: int, intra_op_threads: int | None) -> list[WorkerStream]:
    """Start worker processes; `wait_ready` and `share` of each follow.

    Args:
        count: Processes.
        folder: Where request.json lies.
        memory: Descriptor of the memory that will hold the samples.
        intra_op_threads: Of each worker's session; None leaves the runtime's default.
    """
    threads = -1 if intra_op_threads is None else intra_op_threads
    workers = []
    for _ in range(count):
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlperf_ops.harness.generic.workers"),
                    *(str(folder / REQUEST), str(there.fileno()), str(memory), str(threads)),
                ],
                pass_fds=(there.fileno(), memory),
                stdin=subprocess.DEVNULL,
            )
        workers.append(WorkerStream(process, here))
    return workers


def check_batch_fits(batch: int) -> None:
    """Refuse a batch whose indices do not fit into one message.

    Raises:
        CellError: It is larger.
    """
    if batch > _MAX_BATCH:
        raise CellError("bad_input", f"runner processes takes batches of at most {_MAX_BATCH}, not {batch}")


def _serve(request: GenericRequest, channel: socket.socket, memory: int, threads: int | None) -> None:
    opened = open_sessions(request, sessions=1, streams=1, intra_op_threads=threads)
    stream = opened.streams[0]
    channel.send(_READY + json.dumps(dump(Ready(read_inputs(opened.session), opened.describe()))).encode())
    task = GenericTask({}, 0)
    while message := channel.recv(_MESSAGE_BYTES):
        verb = message[:1]
        if verb == _RUN:
            stream.run(int.from_bytes(message[1:], "little"))
        elif verb == _BATCH:
            indices: list[int] = np.frombuffer(message, "<i8", offset=1).tolist()
            stream.run_feed(task.batch(indices))
        elif verb == _BIND:
            index = int.from_bytes(message[1:], "little")
            stream.bind(index, task.feed(index))
        else:
            layout = load(Layout, json.loads(message[1:]), "layout of samples")
            task = GenericTask(layout.map(memory), layout.count)
        channel.send(_DONE)


def main(arguments: Sequence[str]) -> None:
    """Serve one LoadGen process until it closes the socket."""
    request_path, channel_number, memory, threads = arguments
    with socket.socket(fileno=int(channel_number)) as channel:
        try:
            request = load(GenericRequest, read_json(Path(request_path)), request_path)
            _serve(request, channel, int(memory), None if int(threads) < 0 else int(threads))
        except ConnectionError:
            return
        except BaseException as error:  # noqa: BLE001  # whatever it is, the LoadGen process is told
            told: Any = failures.describe(error)
            channel.send(_FAILED + json.dumps([told.kind, told.message, told.hint]).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # a runtime's threads must not delay the end
