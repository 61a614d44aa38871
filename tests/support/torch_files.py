"""PyTorch weight files without PyTorch: both containers, with tensors that are permuted views of their storages."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def _rebuild_tensor_v2(*_arguments: object) -> None:
    """Stands for torch._utils._rebuild_tensor_v2, by name."""


class _Storage:
    def __init__(self, kind: type, key: str, flat: Array) -> None:
        self.kind, self.key, self.flat = kind, key, flat


class _View:
    """A tensor as torch pickles it."""

    def __init__(self, storage: _Storage, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> None:
        self.arguments: tuple[object, ...] = (storage, offset, shape, strides, False, OrderedDict())

    def __reduce__(self) -> tuple[Callable[..., None], tuple[object, ...]]:
        return _rebuild_tensor_v2, self.arguments


@contextmanager
def _torch_names() -> Iterator[tuple[type, type]]:
    """Let pickle find the names that it writes: torch.FloatStorage, torch.LongStorage and the rebuild function."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    kinds = tuple(type(name, (), {"__module__": "torch"}) for name in ("FloatStorage", "LongStorage"))
    for kind in kinds:
        setattr(torch, kind.__name__, kind)
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    with (
        mock.patch.dict(sys.modules, {"torch": torch, "torch._utils": utils}),
        mock.patch.object(_rebuild_tensor_v2, "__module__", "torch._utils"),
    ):
        yield kinds[0], kinds[1]


def _state(
    tensors: Mapping[str, Array], float_kind: type, long_kind: type
) -> tuple[OrderedDict[str, _View], list[_Storage]]:
    """Views of storages; matrices and kernels lie in memory with their axes turned around, as from TensorFlow."""
    views: OrderedDict[str, _View] = OrderedDict()
    storages = []
    for number, (name, value) in enumerate(tensors.items()):
        stored = np.ascontiguousarray(value.T)
        kind = long_kind if value.dtype == np.int64 else float_kind
        storage = _Storage(kind, str(1000 + number), stored.reshape(-1))
        view = stored.T.reshape(value.shape)
        views[name] = _View(storage, value.shape, tuple(step // value.itemsize for step in view.strides))
        storages.append(storage)
    return views, storages


def write_stream(path: Path, tensors: Mapping[str, Array]) -> Path:
    """Write the old container: five pickles and the storages."""
    out = io.BytesIO()
    with _torch_names() as kinds:
        state, storages = _state(tensors, *kinds)
        for head in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}):
            pickle.dump(head, out, protocol=2)
        _dump(state, out, tail=(None,))
        pickle.dump([storage.key for storage in storages], out, protocol=2)
    for storage in storages:
        out.write(struct.pack("<q", storage.flat.size) + storage.flat.tobytes())
    path.write_bytes(out.getvalue())
    return path


def write_archive(path: Path, tensors: Mapping[str, Array]) -> Path:
    """Write the newer container: a zip archive."""
    out = io.BytesIO()
    with _torch_names() as kinds:
        state, storages = _state(tensors, *kinds)
        _dump(state, out, tail=())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", out.getvalue())
        for storage in storages:
            archive.writestr(f"weights/data/{storage.key}", storage.flat.tobytes())
    return path


def write_view(path: Path, flat: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> Path:
    """Write a stream with one tensor `w`, as a view of any shape, also one that reaches too far."""
    out = io.BytesIO()
    with _torch_names() as (float_kind, _):
        for number in (0x1950A86A20F9469CFC6C, 1001, 0):
            pickle.dump(number, out, protocol=2)
        _dump({"w": _View(_Storage(float_kind, "1", flat), shape, strides, offset)}, out, tail=(None,))
        pickle.dump(["1"], out, protocol=2)
    out.write(struct.pack("<q", flat.size) + flat.tobytes())
    path.write_bytes(out.getvalue())
    return path


def _dump(state: object, out: io.BytesIO, tail: tuple[None, ...]) -> None:
    class Pickler(pickle.Pickler):
        def persistent_id(self, item: object) -> object:
            if isinstance(item, _Storage):
                return ("storage", item.kind, item.key, "cpu", item.flat.size, *tail)
            return None

    Pickler(out, protocol=2).dump(state)


def write_tensor(path: Path, values: Sequence[int]) -> None:
    """Write an int64 tensor by itself, as torch.save does."""

    def name(module: str, attribute: str) -> bytes:
        return b"c" + f"{module}\n{attribute}\n".encode()

    identity = b"(X\x07\x00\x00\x00storage" + name("torch", "LongStorage") + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    identity += b"J" + struct.pack("<i", len(values)) + b"tQ"
    tensor = b"\x80\x02" + name("torch._utils", "_rebuild_tensor_v2") + b"(" + identity + b"K\x00"
    tensor += (
        b"J" + struct.pack("<i", len(values)) + b"\x85K\x01\x85\x89" + name("collections", "OrderedDict") + b")RtR."
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("val_idx/data.pkl", tensor)
        archive.writestr("val_idx/version", "3\n")
        archive.writestr("val_idx/data/0", np.array(values, "<i8").tobytes())
