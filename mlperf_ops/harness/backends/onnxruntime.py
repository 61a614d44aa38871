"""ONNX Runtime: one session per stream, or one shared by all where streams are single-threaded.

Samples are bound to fixed output buffers ahead of timing: a run then converts and allocates nothing, which costs
about 2 µs less than `session.run` and makes the harness a match for a bare loop (benchmarks/harness).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from mlperf_ops.errors import nearest
from mlperf_ops.files import Json
from mlperf_ops.harness.backends import Array, Feed, Outputs
from mlperf_ops.harness.failures import CellError, tells_of_memory
from mlperf_ops.harness.onnx_inspect import inspect
from mlperf_ops.model import BackendRequest, ModelRequest

_GRAPH = {
    "disable": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
_LOG_ERROR = 3
_SPINNING = "session.intra_op.allow_spinning"


class OrtStream:
    """One stream: bindings of its own, so that streams never share an output buffer."""

    def __init__(self, session: Any, output_names: Sequence[str]) -> None:  # noqa: ANN401  # untyped library
        """Use a session; the output buffers are made by the first bound run."""
        self._session = session
        self._run_bound = session.run_with_iobinding
        self._output_names = list(output_names)
        self._buffers: list[Array] = []
        self._bindings: dict[int, Any] = {}
        self._kept: list[Feed] = []

    def bind(self, index: int, feed: Feed) -> None:
        """Bind a sample's arrays and this stream's output buffers."""
        if not self._buffers:
            self._buffers = [np.ascontiguousarray(output) for output in self.run_feed(feed)]
        binding = self._session.io_binding()
        for name, array in feed.items():
            binding.bind_cpu_input(name, array)
        for name, buffer in zip(self._output_names, self._buffers, strict=True):
            binding.bind_output(name, "cpu", 0, buffer.dtype.type, buffer.shape, buffer.ctypes.data)
        self._bindings[index] = binding
        self._kept.append(feed)

    def unbind(self) -> None:
        """Forget all samples."""
        self._bindings.clear()
        self._kept.clear()

    def run(self, index: int) -> Outputs:
        """Infer a bound sample into the stream's buffers."""
        self._run_bound(self._bindings[index])
        return self._buffers

    def run_feed(self, feed: Feed) -> Outputs:
        """Infer any batch."""
        outputs: Outputs = self._session.run(self._output_names, feed)
        return outputs


class OrtBackend:
    """A model in ONNX Runtime."""

    def __init__(self, sessions: Sequence[Any], streams: Sequence[OrtStream], path: Path) -> None:
        """Keep what `describe` reads back."""
        self._sessions = sessions
        self._streams = streams
        self._path = path

    @property
    def streams(self) -> Sequence[OrtStream]:
        """The inference streams."""
        return self._streams

    def input_shape(self, name: str) -> Sequence[int | str | None]:
        """Return the declared shape of an input."""
        shapes: dict[str, Sequence[int | str | None]] = {i.name: i.shape for i in self._sessions[0].get_inputs()}
        return shapes[name]

    def _allow_spinning(self) -> Json:
        try:
            return bool(self._sessions[0].get_session_options().get_session_config_entry(_SPINNING) == "1")
        except RuntimeError:  # what was never set cannot be read back
            return "runtime default"

    def describe(self) -> dict[str, Json]:
        """Read back from the session and from the file what really runs."""
        session = self._sessions[0]
        options = session.get_session_options()
        held = inspect(self._path)
        return {
            "backend": "onnxruntime",
            "backend_version": ort.__version__,
            "providers": list(session.get_providers()),
            "precision": held["precision"],
            "weight_bytes": held["weight_bytes"],
            "opset": held["opset"],
            "sessions": len(self._sessions),
            "streams": len(self._streams),
            "intra_op_threads": options.intra_op_num_threads or "runtime default",
            "inter_op_threads": options.inter_op_num_threads or "runtime default",
            "allow_spinning": self._allow_spinning(),
            "execution_mode": str(options.execution_mode).rsplit("_", 1)[-1].lower(),
            "graph_optimization": str(options.graph_optimization_level).rsplit(".", 1)[-1],
            "inputs": {item.name: [str(dim) for dim in item.shape] + [item.type] for item in session.get_inputs()},
            "outputs": {item.name: [str(dim) for dim in item.shape] + [item.type] for item in session.get_outputs()},
        }


def session_options(request: BackendRequest, intra_op_threads: int) -> Any:  # noqa: ANN401  # untyped library
    """Make session options; -1 threads leaves the runtime's default."""
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_ERROR
    options.graph_optimization_level = _GRAPH[request.graph_optimization]
    options.execution_mode = (
        ort.ExecutionMode.ORT_PARALLEL if request.execution_mode == "parallel" else ort.ExecutionMode.ORT_SEQUENTIAL
    )
    if intra_op_threads > 0:
        options.intra_op_num_threads = intra_op_threads
    if request.inter_op_threads is not None:
        options.inter_op_num_threads = request.inter_op_threads
    if request.allow_spinning is not None:
        options.add_session_config_entry(_SPINNING, str(int(request.allow_spinning)))
    return options


def open_session(path: str, options: Any, provider: str) -> Any:  # noqa: ANN401  # untyped library
    """Open one session on the provider.

    Raises:
        CellError: No such provider here, or the model cannot be read.
    """
    available = ort.get_available_providers()
    if provider not in available:
        guess = nearest(provider, available)
        raise CellError(
            "no_provider",
            f"ONNX Runtime {ort.__version__} here has no provider '{provider}'; it has {', '.join(available)}",
            f"did you mean '{guess}'?" if guess else "install the runtime build that brings it",
        )
    try:
        session = ort.InferenceSession(path, options, providers=[provider])
    except Exception as error:
        if tells_of_memory(str(error)) or isinstance(error, MemoryError):
            raise
        first_line = str(error).strip().splitlines()[0]
        raise CellError(
            "bad_model", f"ONNX Runtime cannot open {path}: {first_line}", "is it a whole ONNX file?"
        ) from error
    running = session.get_providers()
    if provider not in running:  # the runtime falls back to the CPU without an error
        raise CellError(
            "no_provider",
            f"ONNX Runtime could not start {provider} and fell back to {', '.join(running)}",
            "see console.log for the library or device that it misses",
        )
    return session


def open_model(model: ModelRequest, request: BackendRequest, *, streams: int, intra_op_threads: int) -> OrtBackend:
    """Open the model and check its tensors against the request.

    Raises:
        CellError: No such provider, unreadable model, or other tensor names.
    """
    # A single-threaded session runs in the calling thread, so that all streams can share it and its weights.
    count = 1 if intra_op_threads == 1 else streams
    options = session_options(request, intra_op_threads)
    sessions = [open_session(model.path, options, request.provider) for _ in range(count)]
    _check_name("input", model.input_name, [item.name for item in sessions[0].get_inputs()], model.path)
    outputs = [item.name for item in sessions[0].get_outputs()]
    if model.output_name:
        _check_name("output", model.output_name, outputs, model.path)
        outputs = [model.output_name]
    made = [OrtStream(sessions[i % count], outputs) for i in range(streams)]
    return OrtBackend(sessions, made, Path(model.path))


def _check_name(side: str, wanted: str, present: list[str], path: str) -> None:
    if wanted and wanted not in present:
        raise CellError(
            "wrong_tensor",
            f"{path} has no {side} tensor '{wanted}'; its {side}s are {', '.join(present)}",
            f"set the model's {side} name in the catalogue entry to '{nearest(wanted, present) or present[0]}'",
        )
