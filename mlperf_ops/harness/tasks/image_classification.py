"""Image classification: one image in, one class index out (little-endian int64, as the accuracy scripts read it)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mlperf_loadgen import QuerySampleResponse

from mlperf_ops.harness.backends import Feed, Outputs
from mlperf_ops.harness.dataset import Dataset, LabelsOnly, open_dataset
from mlperf_ops.harness.labels import labels_of
from mlperf_ops.model import ModelRequest, Spec

# A response's bytes are copied by LoadGen while it completes; the ring is far longer than what is ever in flight.
_RING = 1 << 16
_BYTES = 8


class ImageClassification:
    """Labelled images and a model that gives logits [n, classes] or class indices [n]."""

    def __init__(self, dataset: Dataset | LabelsOnly, model: ModelRequest | None) -> None:
        """Bind the data to the model's input."""
        self._dataset = dataset
        self._input_name = model.input_name if model else "input"
        self._argmax = model is not None and model.output_kind == "logits"
        self._offset = model.label_offset if model else 0
        self._ring = np.zeros(_RING, dtype="<i8")
        self._address = self._ring.ctypes.data
        self._next = 0

    @property
    def count(self) -> int:
        """Images in the library."""
        return self._dataset.count

    def load(self, indices: Sequence[int]) -> None:
        """Decode and preprocess images."""
        self._dataset.load(indices)

    def unload(self) -> None:
        """Free them."""
        self._dataset.unload()

    def feed(self, index: int) -> Feed:
        """One image [1, …]."""
        return {self._input_name: self._dataset.sample(index)}

    def batch(self, indices: Sequence[int]) -> Feed:
        """Images [n, …]."""
        return {self._input_name: self._dataset.batch(indices)}

    def label(self, index: int) -> int:
        """Class index of an image."""
        return self._dataset.label(index)

    def responses(self, ids: Sequence[int], outputs: Outputs) -> list[Any]:
        """Take the most likely class of each image."""
        output = outputs[0]
        if len(ids) == 1:
            slot = self._next & (_RING - 1)
            self._next = slot + 1
            self._ring[slot] = (output.argmax() if self._argmax else output.flat[0]) - self._offset
            return [QuerySampleResponse(ids[0], self._address + slot * _BYTES, _BYTES)]
        classes = (output.argmax(axis=1) if self._argmax else output.reshape(-1)) - self._offset
        count = len(ids)
        first = self._next if self._next + count <= _RING else 0
        self._next = first + count
        self._ring[first : first + count] = classes
        start = self._address + first * _BYTES
        return [QuerySampleResponse(ids[i], start + i * _BYTES, _BYTES) for i in range(count)]


def open_task(spec: Spec) -> ImageClassification:
    """Open the images that the spec names; of an oracle's, which has no model to look at them, only the labels."""
    samples = LabelsOnly(labels_of(spec.dataset)) if spec.model is None else open_dataset(spec.dataset, spec.model)
    return ImageClassification(samples, spec.model)
