"""What an ONNX file holds, without the onnx package: weight types, operators, opset.

Hosts have no onnx package; the few fields needed are read from the protobuf wire format (onnx.proto: ModelProto.graph
= 7, .opset_import = 8, GraphProto.node = 1, .initializer = 5, NodeProto.op_type = 4, TensorProto.dims = 1,
.data_type = 2). Weights outside the file (external data) count by their shape. Standard library only.
"""

from __future__ import annotations

import math
import mmap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mlperf_ops.files import Json

_TYPE_NAMES = {
    1: ("fp32", 4), 2: ("uint8", 1), 3: ("int8", 1), 6: ("int32", 4), 7: ("int64", 8), 10: ("fp16", 2),
    11: ("fp64", 8), 16: ("bf16", 2), 17: ("fp8", 1), 18: ("fp8", 1), 19: ("fp8", 1), 20: ("fp8", 1),
    21: ("uint4", 1), 22: ("int4", 1), 23: ("fp4", 1),
}  # fmt: skip
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SHAPE_DATA_ELEMENTS = 16  # smaller integer tensors are axes and shapes, not weights


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004  # the continuation bit
            return value, at
        shift += 7


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Walk the (number, value) pairs of a protobuf message; fixed-width values are skipped."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
        elif wire == _BYTES:
            size, at = _varint(data, at)
            yield number, data[at : at + size]
            at += size
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"not an ONNX file: wire type {wire}")


def tensor(data: memoryview) -> tuple[int, list[int]]:
    """Return data type and dimensions of a TensorProto."""
    dims: list[int] = []
    data_type = 0
    for number, value in fields(data):
        if number == 1 and isinstance(value, int):
            dims.append(value)
        elif number == 1 and isinstance(value, memoryview):  # packed
            at = 0
            while at < len(value):
                dim, at = _varint(value, at)
                dims.append(dim)
        elif number == 2 and isinstance(value, int):  # noqa: PLR2004  # field numbers, see above
            data_type = value
    return data_type, dims


def inspect(path: Path) -> dict[str, Json]:
    """Return weight bytes by type, the precision that dominates them, operator counts and the opset.

    Raises:
        ValueError: The file is not an ONNX model.
    """
    weights: Counter[str] = Counter()
    operators: Counter[str] = Counter()
    opset = 0
    try:
        with path.open("rb") as stream:
            # Not closed by hand: slices of the view may outlive this function in a traceback.
            view = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        for number, value in fields(view):
            if number == 7 and isinstance(value, memoryview):  # noqa: PLR2004  # field numbers, see above
                _graph(value, weights, operators)
            elif number == 8 and isinstance(value, memoryview):  # noqa: PLR2004
                entry = dict(fields(value))
                if not entry.get(1):
                    opset = int(entry.get(2, 0))  # a varint field
    except IndexError as error:
        raise ValueError(f"{path} is not an ONNX model, or it is cut short") from error
    if not operators:
        raise ValueError(f"{path} is not an ONNX model: it has no graph")
    precision = weights.most_common(1)[0][0] if weights else "none"
    return {
        "precision": precision,
        "weight_bytes": dict(sorted(weights.items())),
        "operators": dict(sorted(operators.items())),
        "opset": opset,
    }


def _graph(data: memoryview, weights: Counter[str], operators: Counter[str]) -> None:
    for number, value in fields(data):
        if not isinstance(value, memoryview):
            continue
        if number == 1:
            for inner, text in fields(value):
                if inner == 4 and isinstance(text, memoryview):  # noqa: PLR2004
                    operators[bytes(text).decode()] += 1
        elif number == 5:  # noqa: PLR2004
            data_type, dims = tensor(value)
            elements = math.prod(dims)
            name, size_bytes = _TYPE_NAMES.get(data_type, (f"type{data_type}", 1))
            if name not in ("int32", "int64") or elements > _SHAPE_DATA_ELEMENTS:
                weights[name] += elements * size_bytes
