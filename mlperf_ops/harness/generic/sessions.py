"""Sessions and streams of a runner: how many sessions are open, and who drives them.

inline: one session in LoadGen's own thread. threads: one session that all threads share. threads+replication: a
session for each thread. processes: a session in each worker process (`workers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from mlperf_ops.errors import nearest
from mlperf_ops.files import Json
from mlperf_ops.harness.backends import Feed, Outputs, Stream
from mlperf_ops.harness.backends.onnxruntime import OrtBackend, OrtStream, open_session, session_options
from mlperf_ops.harness.failures import CellError
from mlperf_ops.harness.generic.inputs import NUMPY_TYPES
from mlperf_ops.harness.generic.request import GenericRequest
from mlperf_ops.model import BackendRequest

_SUFFIX = "ExecutionProvider"
_RUNTIME_DEFAULT = -1


class PlainStream:
    """A stream whose outputs the runtime allocates: for outputs that are no tensors, or whose size depends on data."""

    def __init__(self, session: Any) -> None:  # noqa: ANN401  # untyped library
        """Use a session."""
        self._session = session
        self._feeds: dict[int, Feed] = {}

    def bind(self, index: int, feed: Feed) -> None:
        """Remember a sample."""
        self._feeds[index] = feed

    def unbind(self) -> None:
        """Forget all samples."""
        self._feeds.clear()

    def run(self, index: int) -> Outputs:
        """Infer a sample."""
        return self.run_feed(self._feeds[index])

    def run_feed(self, feed: Feed) -> Outputs:
        """Infer any batch."""
        outputs: Outputs = self._session.run(None, feed)
        return outputs


class Opened:
    """A model opened for a runner."""

    def __init__(self, sessions: Sequence[Any], stream_count: int, request: GenericRequest) -> None:
        """Make the streams; they share sessions when there are fewer of these."""
        self.session = sessions[0]
        self.is_bound = can_bind(self.session)
        self.streams: list[Stream] = []
        names = [item.name for item in self.session.get_outputs()]
        for number in range(stream_count):
            session = sessions[number % len(sessions)]
            self.streams.append(OrtStream(session, names) if self.is_bound else PlainStream(session))
        self._backend = OrtBackend(sessions, [], Path(request.model))

    def describe(self) -> dict[str, Json]:
        """Read back from the session what really runs."""
        return {**self._backend.describe(), "streams": len(self.streams), "io_binding": self.is_bound}


def open_sessions(request: GenericRequest, *, sessions: int, streams: int, intra_op_threads: int | None) -> Opened:
    """Open the model.

    Args:
        request: What was asked.
        sessions: Sessions to open.
        streams: Streams that share them.
        intra_op_threads: Of each session; None leaves the runtime's default.

    Raises:
        CellError: No such provider here, or the model cannot be read.
    """
    threads = _RUNTIME_DEFAULT if intra_op_threads is None else intra_op_threads
    backend = BackendRequest(
        name="onnxruntime",
        provider=provider_name(request.provider),
        intra_op_threads=intra_op_threads,
        inter_op_threads=request.inter_op_threads,
        execution_mode=request.execution_mode,
    )
    options = session_options(backend, threads)
    made = [open_session(request.model, options, backend.provider) for _ in range(sessions)]
    return Opened(made, streams, request)


def provider_name(wanted: str) -> str:
    """Return the runtime's own name of a provider, which may be written short and in any case: "cpu", "CUDA".

    Raises:
        CellError: This ONNX Runtime has no such provider.
    """
    available: list[str] = ort.get_available_providers()
    by_folded = {name.casefold(): name for name in available}
    by_folded |= {name.removesuffix(_SUFFIX).casefold(): name for name in available}
    if wanted.casefold() in by_folded:
        return by_folded[wanted.casefold()]
    guess = nearest(wanted, by_folded)
    raise CellError(
        "no_provider",
        f"ONNX Runtime {ort.__version__} here has no provider '{wanted}'; it has {', '.join(available)}",
        f"did you mean '{by_folded[guess]}'?" if guess else "install the onnxruntime build that brings it",
    )


def can_bind(session: Any) -> bool:  # noqa: ANN401  # untyped library
    """Tell whether inputs and outputs can be bound to fixed buffers ahead of timing.

    They can when all are numeric tensors and every size of an output follows from the inputs' sizes. An output with a
    symbolic dimension of its own, such as the number of detections, may have another size for each sample.
    """
    from_inputs = {dim for item in session.get_inputs() for dim in item.shape if isinstance(dim, str)}
    types = [item.type for item in (*session.get_inputs(), *session.get_outputs())]
    if any(kind not in NUMPY_TYPES or kind == "tensor(string)" for kind in types):
        return False
    return all(
        bool(item.shape) and all((isinstance(dim, int) and dim > 0) or dim in from_inputs for dim in item.shape)
        for item in session.get_outputs()
    )
