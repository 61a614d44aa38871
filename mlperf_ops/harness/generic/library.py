"""The samples of a run, from the user's files or generated, all made before LoadGen starts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlperf_ops.files import Json
from mlperf_ops.harness.backends import Array
from mlperf_ops.harness.failures import CellError
from mlperf_ops.harness.generic import samples
from mlperf_ops.harness.generic.inputs import (
    NUMPY_TYPES,
    ModelInput,
    SampleShape,
    check_batch,
    fill,
    sample_shapes,
    values_for,
)
from mlperf_ops.harness.generic.request import DEFAULT_SAMPLES, SHARED_MEMORY_RUNNER, GenericRequest

_STRING = "object"


@dataclass(frozen=True, slots=True)
class Library:
    """Samples of every input, and where they come from."""

    count: int
    arrays: dict[str, Array]  # [count, …one sample…]
    layout: samples.Layout
    shapes: tuple[SampleShape, ...]
    sources: dict[str, str]

    @property
    def has_generated_integers(self) -> bool:
        """Whether the range of generated integers may be what a model does not like."""
        return any(source.startswith("generated: integers") for source in self.sources.values())

    def describe(self) -> list[Json]:
        """Say what each input is fed with; the digest is over all samples."""
        return [
            {
                "name": item.input.name,
                "type": item.input.type,
                "model_shape": [dim if dim is not None else "?" for dim in item.input.dims],
                "sample_shape": list(item.shape),
                "assumed_1": list(item.assumed),
                "source": self.sources[item.input.name],
                "sha256": _digest(self.arrays[item.input.name]),
            }
            for item in self.shapes
        ]


def build_library(request: GenericRequest, inputs: Sequence[ModelInput], rows: dict[str, int], memory: int) -> Library:
    """Read or generate all samples.

    Args:
        request: What was asked.
        inputs: The model's inputs.
        rows: Input -> rows of the table that it indexes (`graph.index_rows`).
        memory: Descriptor of the memory to fill.

    Raises:
        ConfigError: Shapes, files or the batch do not fit the model.
        CellError: There is not enough memory.
    """
    check_batch(inputs, request.batch)
    files = samples.open_files(request.files, inputs)
    shapes = sample_shapes(inputs, request.shapes, {name: array.shape[1:] for name, array in files.items()})
    count = samples.sample_count(request.samples, files, DEFAULT_SAMPLES)
    types = {item.name: NUMPY_TYPES[item.type] for item in inputs}
    text = [item.name for item in inputs if types[item.name] == _STRING]
    if text and request.runner == SHARED_MEMORY_RUNNER:
        raise CellError(
            "bad_input", f"input '{text[0]}' holds strings, which worker processes cannot share", "use another --runner"
        )
    layout = samples.plan_layout(
        {item.input.name: (types[item.input.name], item.shape) for item in shapes if item.input.name not in text}, count
    )
    samples.reserve(memory, layout)
    arrays = layout.map(memory)
    sources: dict[str, str] = {}
    for item in shapes:
        name = item.input.name
        if name in text:
            arrays[name] = np.empty((count, *item.shape), dtype=object)
        if name in files:
            np.copyto(arrays[name], files[name][:count], casting="same_kind")
            sources[name] = f"file {request.files[name]}"
        else:
            values = values_for(item.input, rows, request.int_max)
            fill(arrays[name], name, values, request.seed)
            sources[name] = f"generated: {values}"
    return Library(count, arrays, layout, shapes, sources)


def _digest(array: Array) -> str:
    if array.dtype.kind == "O":
        return hashlib.sha256(repr(array.tolist()).encode()).hexdigest()
    return hashlib.sha256(array.data).hexdigest()
