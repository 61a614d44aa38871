"""Labelled images as LoadGen's samples: everything slow is done by `load`, ahead of timing.

Memory: a loaded sample is a float32 array, 224 x 224 x 3 x 4 = 602,112 bytes; the 1024 samples that MLPerf's resnet50
keeps loaded need 617 MB. LoadGen loads the 50,000 images of an accuracy run in such parts, one after the other.
Nothing is cached on disk.

This module is shipped to hosts: numpy and PIL only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mlperf_ops.errors import ConfigError
from mlperf_ops.harness.labels import Labels, labels_of
from mlperf_ops.harness.preprocess import Layout, Parameters, Tensor, decode, parameters, transform
from mlperf_ops.model import DatasetRequest, ModelRequest


class Dataset:
    """Images of a folder in the order of a label file."""

    def __init__(self, folder: Path, labels: Labels, params: Parameters, layout: Layout) -> None:
        """Bind the parts; nothing is decoded yet."""
        self._folder = folder
        self._labels = labels
        self._params = params
        self._layout: Layout = layout
        size = params.image_size_px
        self._shape = (3, size, size) if layout == "NCHW" else (size, size, 3)
        self._data: Tensor = np.empty((0, *self._shape), np.float32)
        self._slots: dict[int, int] = {}
        self._views: dict[int, Tensor] = {}

    @property
    def count(self) -> int:
        """Samples in the library."""
        return len(self._labels)

    @property
    def sample_bytes(self) -> int:
        """Memory that one loaded sample takes."""
        return self._params.sample_bytes

    def label(self, index: int) -> int:
        """Class index of a sample."""
        return self._labels.classes[index]

    def load(self, indices: Iterable[int]) -> None:
        """Decode and preprocess samples, in parallel on the processors that this process may use.

        What was loaded before is dropped. PIL and numpy release the interpreter lock while they work.

        Raises:
            ConfigError: An image cannot be decoded.
        """
        self.unload()
        wanted = list(dict.fromkeys(indices))  # LoadGen's MultiStream padding repeats samples
        data = np.empty((len(wanted), *self._shape), np.float32)

        def fill(slot: int) -> None:
            image = decode(self._folder / self._labels.names[wanted[slot]])
            transform(image, self._params, self._layout, out=data[slot])

        pool = ThreadPoolExecutor(max(1, min(_processors(), len(wanted))), thread_name_prefix="load")
        try:
            for _ in pool.map(fill, range(len(wanted))):
                pass
        finally:
            pool.shutdown(cancel_futures=True)
        self._data = data
        self._slots = {index: slot for slot, index in enumerate(wanted)}
        self._views = {index: data[slot : slot + 1] for slot, index in enumerate(wanted)}

    def unload(self) -> None:
        """Free all samples."""
        self._data = np.empty((0, *self._shape), np.float32)
        self._slots, self._views = {}, {}

    def sample(self, index: int) -> Tensor:
        """Return a loaded sample [1, …] without copying it.

        Raises:
            KeyError: The sample is not loaded.
        """
        return self._views[index]

    def batch(self, indices: Sequence[int], out: Tensor | None = None) -> Tensor:
        """Gather loaded samples [n, …].

        Args:
            indices: Samples; where they lie side by side, no byte is copied.
            out: Array [n, …] to gather into, which saves the pages of a new one; it is then also returned.

        Raises:
            KeyError: A sample is not loaded.
        """
        slots = [self._slots[index] for index in indices]
        first, count = slots[0], len(slots)
        if out is None and slots == list(range(first, first + count)):
            return self._data[first : first + count]
        return np.take(self._data, slots, axis=0, out=out, mode="clip" if out is not None else "raise")


class LabelsOnly:
    """Labels without images, for an oracle."""

    def __init__(self, labels: Labels) -> None:
        """Hold the labels."""
        self._labels = labels

    @property
    def count(self) -> int:
        """Samples in the library."""
        return len(self._labels)

    def label(self, index: int) -> int:
        """Class index of a sample."""
        return self._labels.classes[index]

    def load(self, indices: Iterable[int]) -> None:
        """Nothing to load."""

    def unload(self) -> None:
        """Nothing to free."""

    def sample(self, index: int) -> Tensor:  # noqa: ARG002  # there is nothing of any sample
        """Return an empty array."""
        return np.empty((1, 0), np.float32)

    def batch(self, indices: Sequence[int]) -> Tensor:
        """Return as many empty arrays."""
        return np.empty((len(indices), 0), np.float32)


def open_dataset(request: DatasetRequest, model: ModelRequest | None) -> Dataset:
    """Open labelled images for a model; without one they are in NCHW.

    Raises:
        ConfigError: The folder, the label file or an image is missing or wrong; names file and line.
        ResultError: The request's preprocess parameters have an unknown key or another type.
    """
    params = parameters(request.preprocess, "dataset.preprocess")
    folder = Path(request.path)
    if not folder.is_dir():
        state = "is not a folder" if folder.exists() else "is missing"
        raise ConfigError(
            f"{folder}, the folder of data set '{request.component}', {state}",
            hint=f"set mlperf_components.{request.component}.path to the folder with the images on this host",
        )
    labels = labels_of(request)
    _check_images(folder, labels, request.component)
    return Dataset(folder, labels, params, model.input_layout if model is not None else "NCHW")


def _check_images(folder: Path, labels: Labels, component: str) -> None:
    """Check that every image is there, with one listing per folder instead of 50,000 look-ups (they may be on NFS)."""
    present: dict[str, frozenset[str]] = {}
    missing: list[int] = []
    for index, name in enumerate(labels.names):
        parent, base = os.path.split(name)
        if parent not in present:
            below = folder / parent
            present[parent] = frozenset(os.listdir(below)) if below.is_dir() else frozenset()
        if base not in present[parent]:
            missing.append(index)
    if missing:
        more = f" ({len(missing)} of {len(labels)} are missing)" if len(missing) > 1 else ""
        raise ConfigError(
            f"{labels.where(missing[0])}: the image '{labels.names[missing[0]]}' is not in {folder}{more}",
            hint=f"do mlperf_components.{component}.path and its label_file belong together?",
        )


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
