"""Which integer inputs of an ONNX model index a table, and how many rows that table has. Standard library only.

Token ids must stay below the vocabulary's size and segment ids below 2, or the model fails; only the graph knows.
Field numbers of onnx.proto: ModelProto.graph = 7; GraphProto.node = 1, .initializer = 5; NodeProto.input = 1,
.output = 2, .op_type = 4, .attribute = 5; AttributeProto.name = 1, .i = 3; TensorProto.name = 8.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.harness.onnx_inspect import fields, tensor

_GRAPH, _NODE, _INITIALIZER, _TENSOR_NAME = 7, 1, 5, 8
_INPUT, _OUTPUT, _OP_TYPE, _ATTRIBUTE, _ATTRIBUTE_NAME, _ATTRIBUTE_INT = 1, 2, 4, 5, 1, 3
# (input that holds ids, input that holds the table) of each operator that looks rows up.
_LOOKUPS: dict[str, tuple[tuple[int, int], ...]] = {
    "Gather": ((1, 0),),
    "EmbedLayerNormalization": ((0, 2), (1, 4)),
}
# Operators whose first output holds the very values of their first input.
_CARRIERS = frozenset({"Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Transpose"})
# The same, for a table: rows stay rows.
_TABLE_CARRIERS = frozenset({"Cast", "Identity", "DequantizeLinear"})


@dataclass(frozen=True, slots=True)
class _Node:
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    axis: int


def index_rows(path: Path) -> dict[str, int]:
    """Return, for each tensor that serves as an index, the rows of the smallest table that it indexes.

    The names are those of graph inputs and of intermediate tensors; a caller looks up its own.

    Raises:
        ValueError: The file is not an ONNX model.
    """
    nodes, tables = _read(path)
    made_by = {output: node for node in nodes for output in node.outputs}
    rows: dict[str, int] = {}
    for node in nodes:
        for ids, table in _LOOKUPS.get(node.operator, ()):
            if max(ids, table) >= len(node.inputs):
                continue
            dims = tables.get(_origin(node.inputs[table], made_by, _TABLE_CARRIERS))
            if dims is None or not -len(dims) <= node.axis < len(dims):
                continue
            name = _origin(node.inputs[ids], made_by, _CARRIERS)
            rows[name] = min(rows.get(name, dims[node.axis]), dims[node.axis])
    return rows


def _origin(name: str, made_by: dict[str, _Node], carriers: frozenset[str]) -> str:
    while (node := made_by.get(name)) is not None and node.operator in carriers and node.inputs:
        name = node.inputs[0]
    return name


def _read(path: Path) -> tuple[list[_Node], dict[str, list[int]]]:
    nodes: list[_Node] = []
    tables: dict[str, list[int]] = {}
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        # The slices below refer to the map; they must be gone before it closes.
        _read_model(memoryview(mapped), nodes, tables)
    return nodes, tables


def _read_model(data: memoryview, nodes: list[_Node], tables: dict[str, list[int]]) -> None:
    for number, graph in fields(data):
        if number != _GRAPH or not isinstance(graph, memoryview):
            continue
        for inner, value in fields(graph):
            if not isinstance(value, memoryview):
                continue
            if inner == _NODE:
                nodes.append(_read_node(value))
            elif inner == _INITIALIZER:
                name = next((_text(text) for key, text in fields(value) if key == _TENSOR_NAME), "")
                tables[name] = tensor(value)[1]


def _read_node(data: memoryview) -> _Node:
    inputs: list[str] = []
    outputs: list[str] = []
    operator = ""
    axis = 0
    for number, value in fields(data):
        if number == _INPUT:
            inputs.append(_text(value))
        elif number == _OUTPUT:
            outputs.append(_text(value))
        elif number == _OP_TYPE:
            operator = _text(value)
        elif number == _ATTRIBUTE and isinstance(value, memoryview):
            attribute = dict(fields(value))
            found = attribute.get(_ATTRIBUTE_INT)
            if _text(attribute.get(_ATTRIBUTE_NAME, 0)) == "axis" and isinstance(found, int):
                axis = found - (1 << 64) if found >> 63 else found
    return _Node(operator, tuple(inputs), tuple(outputs), axis)


def _text(value: int | memoryview) -> str:
    return bytes(value).decode(errors="replace") if isinstance(value, memoryview) else ""
