"""Runtimes behind one protocol. A backend is one module here and one row of BACKENDS."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import numpy.typing as npt

from mlperf_ops.errors import unknown_name
from mlperf_ops.files import Json
from mlperf_ops.model import BackendRequest, ModelRequest

Array: TypeAlias = npt.NDArray[Any]
Feed: TypeAlias = Mapping[str, Array]
Outputs: TypeAlias = Sequence[Array]


class Stream(Protocol):
    """One inference at a time; several streams run side by side in threads of their own."""

    def bind(self, index: int, feed: Feed) -> None:
        """Make a loaded sample known ahead of timing; the arrays stay alive and unchanged until `unbind`."""

    def unbind(self) -> None:
        """Forget all samples."""

    def run(self, index: int) -> Outputs:
        """Infer a bound sample; the outputs [1, …] are valid until this stream's next call."""

    def run_feed(self, feed: Feed) -> Outputs:
        """Infer any batch; the outputs [n, …] are valid until this stream's next call."""


class Backend(Protocol):
    """A model opened in a runtime."""

    @property
    def streams(self) -> Sequence[Stream]:
        """The inference streams."""

    def input_shape(self, name: str) -> Sequence[int | str | None]:
        """Shape that the model declares for an input; names and None stand for sizes that it leaves open."""

    def describe(self) -> dict[str, Json]:
        """What really runs: provider, precision, threads, versions; read back, not repeated from the request."""


class Opener(Protocol):
    """How a backend module opens a model: its function `open_model`."""

    def __call__(self, model: ModelRequest, request: BackendRequest, *, streams: int, intra_op_threads: int) -> Backend:
        """Open the model with that many streams; -1 threads leaves the runtime's default."""


_IMAGE_RANK, _CHANNELS = 4, 3
BACKENDS: dict[str, str] = {"onnxruntime": "mlperf_ops.harness.backends.onnxruntime"}


def open_backend(model: ModelRequest, request: BackendRequest, *, streams: int, intra_op_threads: int) -> Backend:
    """Open a model in the runtime that the request names.

    Raises:
        ConfigError: No such backend.
        CellError: The runtime refuses the model, or the model has other tensors.
    """
    if request.name not in BACKENDS:
        raise unknown_name("framework", request.name, BACKENDS)
    opener: Opener = importlib.import_module(BACKENDS[request.name]).open_model
    return opener(model, request, streams=streams, intra_op_threads=intra_op_threads)


def image_layout(shape: Sequence[int | str | None]) -> Literal["NCHW", "NHWC"] | None:
    """Read the layout of an image input off its shape: three channels come first or last; None where both may be."""
    if len(shape) != _IMAGE_RANK or (shape[1] == _CHANNELS) == (shape[3] == _CHANNELS):
        return None
    return "NCHW" if shape[1] == _CHANNELS else "NHWC"


__all__ = ["BACKENDS", "Array", "Backend", "Feed", "Outputs", "Stream", "image_layout", "open_backend"]
