"""Read tensors out of a PyTorch checkpoint without PyTorch, and without trusting it.

Two containers exist: a zip archive (`<root>/data.pkl` and one file per storage), and the older stream of five pickles
followed by the storages. Either way the pickle may name four things only; anything else is refused before it runs.
A tensor is a strided view of a storage: TensorFlow's weights are stored permuted, and reading them as contiguous gives
garbage without any error.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from mlperf_ops.errors import ToolError

Array = NDArray[Any]

_STREAM_MAGIC = 0x1950A86A20F9469CFC6C
_STREAM_PROTOCOL = 1001
_COUNT = struct.Struct("<q")
_STORAGE_ID_FIELDS = 5


class _StorageType(NamedTuple):
    dtype: str


@dataclass(slots=True)
class _Storage:
    dtype: np.dtype[Any]
    count: int
    data: Array | None = None


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int  # in elements, as the strides
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(storage: object, offset: object, shape: object, strides: object, *_rest: object) -> _Tensor:
    sizes, steps = _counts(shape), _counts(strides)
    if not isinstance(storage, _Storage) or len(sizes) != len(steps):
        raise pickle.UnpicklingError("a tensor is described in an unknown form")
    return _Tensor(storage, _count(offset), sizes, steps)


def _counts(values: object) -> tuple[int, ...]:
    if not isinstance(values, tuple):
        raise pickle.UnpicklingError("a tensor's shape or strides are not a tuple")
    return tuple(_count(value) for value in values)


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise pickle.UnpicklingError(f"{value!r} stands where a count is expected")
    return value


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): _StorageType("<f4"),
    ("torch", "LongStorage"): _StorageType("<i8"),
}


class _Unpickler(pickle.Unpickler):
    """Resolves four names and remembers the storages that tensors refer to."""

    def __init__(self, stream: io.BytesIO, storages: dict[str, _Storage]) -> None:
        super().__init__(stream)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  # pickle's signature
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which a weight file has no need of") from None

    def persistent_load(self, identity: Any) -> _Storage:  # noqa: ANN401  # pickle's signature
        if not isinstance(identity, tuple) or len(identity) < _STORAGE_ID_FIELDS or identity[0] != "storage":
            raise pickle.UnpicklingError("a storage is described in an unknown form")
        _, kind, key, _, count, *view = identity
        if not isinstance(kind, _StorageType) or any(part is not None for part in view):
            raise pickle.UnpicklingError("a storage has an unknown type")
        return self._storages.setdefault(str(key), _Storage(np.dtype(kind.dtype), _count(count)))


def read_tensors(path: Path) -> dict[str, Array]:
    """Read the state dictionary of a checkpoint: name -> contiguous array.

    Raises:
        ToolError: The file is not such a checkpoint, is cut off, or its pickle names anything but tensors.
    """
    try:
        raw = path.read_bytes()
        state = _checked(_archive_state(raw) if zipfile.is_zipfile(io.BytesIO(raw)) else _stream_state(raw))
        return {name: _materialise(name, tensor) for name, tensor in state.items()}
    except OSError as error:
        raise ToolError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a broken pickle may raise nearly anything
        raise ToolError(f"{path} is not a PyTorch weight file that can be read safely: {error}") from error


def read_tensor(path: Path) -> Array:
    """Read the one tensor of a file that `torch.save` wrote, contiguous.

    Raises:
        ToolError: The file is no such file, is cut off, or its pickle names anything but tensors.
    """
    try:
        raw = path.read_bytes()
        state = _archive_state(raw) if zipfile.is_zipfile(io.BytesIO(raw)) else _stream_state(raw)
        return _materialise(path.name, state)
    except OSError as error:
        raise ToolError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a broken pickle may raise nearly anything
        raise ToolError(f"{path} is not a PyTorch tensor that can be read safely: {error}") from error


def _archive_state(raw: bytes) -> object:
    storages: dict[str, _Storage] = {}
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        root = PurePosixPath(archive.namelist()[0]).parts[0]
        state = _Unpickler(io.BytesIO(archive.read(f"{root}/data.pkl")), storages).load()
        for key, storage in storages.items():
            storage.data = _array(archive.read(f"{root}/data/{key}"), storage)
    return state


def _stream_state(raw: bytes) -> object:
    stream = io.BytesIO(raw)
    storages: dict[str, _Storage] = {}

    def load() -> Any:  # noqa: ANN401  # whatever the pickle holds, checked by the caller
        return _Unpickler(stream, storages).load()

    if load() != _STREAM_MAGIC or load() != _STREAM_PROTOCOL:
        raise pickle.UnpicklingError("it does not start as a checkpoint")
    load()  # the writing system: byte order and type sizes, little-endian by definition of the format
    state = load()
    for key in load():
        storage = storages[key]
        (count,) = _COUNT.unpack(stream.read(_COUNT.size))
        if count != storage.count:
            raise ValueError(f"storage {key} has {count} elements instead of {storage.count}")
        storage.data = _array(stream.read(count * storage.dtype.itemsize), storage)
    return state


def _array(raw: bytes, storage: _Storage) -> Array:
    if len(raw) != storage.count * storage.dtype.itemsize:
        raise ValueError("it ends early")
    return np.frombuffer(raw, storage.dtype)


def _checked(state: object) -> Mapping[str, object]:
    if not isinstance(state, dict):
        raise pickle.UnpicklingError("it holds no dictionary of tensors")
    return state


def _materialise(name: str, tensor: object) -> Array:
    if not isinstance(tensor, _Tensor) or tensor.storage.data is None:
        raise ValueError(f"'{name}' is not a tensor with data")
    data, size = tensor.storage.data, math.prod(tensor.shape)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if size > data.size or (size and last >= data.size):  # a view must not reach past its storage, nor blow it up
        raise ValueError(f"'{name}' reaches past the end of its storage")
    steps = tuple(step * data.itemsize for step in tensor.strides)
    return np.ascontiguousarray(as_strided(data[tensor.offset :], tensor.shape, steps)).reshape(tensor.shape)
