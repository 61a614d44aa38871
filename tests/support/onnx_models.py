"""Tiny ONNX models: float images, token ids with an attention mask, half precision, and some awkward ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

VOCABULARY, SEGMENTS, HIDDEN = 50, 2, 8

Dims = Sequence["int | str | None"]


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[tuple[str, int, Dims]],
    outputs: Sequence[tuple[str, int, Dims]],
    weights: dict[str, npt.NDArray[Any]],
) -> Path:
    """Write a model."""
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info(*item) for item in inputs],
        [helper.make_tensor_value_info(*item) for item in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def image_model(path: Path, batch: int | str = "N") -> Path:
    """Float image [N, 3, 8, 8] to ten logits."""
    weight = np.random.default_rng(1).standard_normal((192, 10)).astype(np.float32)
    return save(
        path,
        [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("MatMul", ["flat", "weight"], ["logits"])],
        [("image", TensorProto.FLOAT, [batch, 3, 8, 8])],
        [("logits", TensorProto.FLOAT, [batch, 10])],
        {"weight": weight},
    )


def token_model(path: Path) -> Path:
    """Token ids, segment ids and an attention mask [batch, sequence]; ids out of range make it fail."""
    random = np.random.default_rng(2)
    return save(
        path,
        [
            helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.INT64),
            helper.make_node("Gather", ["words", "ids"], ["word"]),
            helper.make_node("Gather", ["segments", "token_type_ids"], ["segment"]),
            helper.make_node("Add", ["word", "segment"], ["both"]),
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
            helper.make_node("Mul", ["both", "wide"], ["masked"]),
        ],
        [
            ("input_ids", TensorProto.INT32, ["batch", "sequence"]),
            ("token_type_ids", TensorProto.INT64, ["batch", "sequence"]),
            ("attention_mask", TensorProto.BOOL, ["batch", "sequence"]),
        ],
        [("masked", TensorProto.FLOAT, ["batch", "sequence", HIDDEN])],
        {
            "words": random.standard_normal((VOCABULARY, HIDDEN)).astype(np.float32),
            "segments": random.standard_normal((SEGMENTS, HIDDEN)).astype(np.float32),
            "last": np.array([-1], dtype=np.int64),
        },
    )


def half_model(path: Path) -> Path:
    """Half-precision vector and a scalar; the output is a scalar."""
    return save(
        path,
        [
            helper.make_node("Mul", ["x", "scale"], ["scaled"]),
            helper.make_node("ReduceSum", ["scaled"], ["sum"], keepdims=0),
        ],
        [("x", TensorProto.FLOAT16, ["N", 16]), ("scale", TensorProto.FLOAT16, [])],
        [("sum", TensorProto.FLOAT16, [])],
        {},
    )


def detector(path: Path) -> Path:
    """Bool image to the places that are true: each sample has another number of them."""
    return save(
        path,
        [helper.make_node("NonZero", ["pixels"], ["found"])],
        [("pixels", TensorProto.BOOL, ["N", 16])],
        [("found", TensorProto.INT64, [2, "count"])],
        {},
    )


def quantised_model(path: Path) -> Path:
    """8-bit image and an integer flag, multiplied."""
    return save(
        path,
        [
            helper.make_node("Cast", ["pixels"], ["wide"], to=TensorProto.INT32),
            helper.make_node("Mul", ["wide", "flag"], ["product"]),
        ],
        [("pixels", TensorProto.UINT8, ["N", 16]), ("flag", TensorProto.INT32, ["N", 1])],
        [("product", TensorProto.INT32, ["N", 16])],
        {},
    )


def string_model(path: Path) -> Path:
    """Strings in, strings out."""
    return save(
        path,
        [helper.make_node("Identity", ["words"], ["same"])],
        [("words", TensorProto.STRING, ["N", 3])],
        [("same", TensorProto.STRING, ["N", 3])],
        {},
    )


def picky_model(path: Path) -> Path:
    """Needs a length of 4: its symbolic dimension cannot be 1."""
    return save(
        path,
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [("x", TensorProto.FLOAT, ["batch", "length"])],
        [("y", TensorProto.FLOAT, [2, 2])],
        {"shape": np.array([2, 2], dtype=np.int64)},
    )


def branching_model(path: Path) -> Path:
    """Two independent branches, for execution mode parallel."""
    weight = np.random.default_rng(3).standard_normal((64, 64)).astype(np.float32)
    return save(
        path,
        [
            helper.make_node("MatMul", ["x", "weight"], ["left"]),
            helper.make_node("Relu", ["x"], ["right"]),
            helper.make_node("Add", ["left", "right"], ["y"]),
        ],
        [("x", TensorProto.FLOAT, ["N", 64])],
        [("y", TensorProto.FLOAT, ["N", 64])],
        {"weight": weight},
    )
