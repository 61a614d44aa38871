"""Models and images for the measurements: small generated ones, so that overhead shows, or the user's own file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from mlperf_ops.files import Json

CLASSES = 1000
IMAGE_COUNT = 64


@dataclass(frozen=True, slots=True)
class Workload:
    """A model with images that fit it."""

    name: str
    model: Path
    images: Path
    image_size_px: int
    input_name: str
    output_name: str
    preprocess: dict[str, Json]


def generated(folder: Path, *, hidden: int, image_size_px: int = 32) -> Workload:
    """Make a two-layer classifier with `hidden` features, and noise images; about 20 µs at 40 hidden features."""
    rng = np.random.default_rng(0)
    inputs = 3 * image_size_px * image_size_px
    weights = [
        numpy_helper.from_array((rng.standard_normal(shape) / 50).astype(np.float32), name)
        for name, shape in (("first", (inputs, hidden)), ("second", (hidden, CLASSES)))
    ]
    nodes = [
        helper.make_node("Flatten", ["input"], ["flat"]),
        helper.make_node("MatMul", ["flat", "first"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "second"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, image_size_px, image_size_px])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES])],
        weights,
    )
    model = folder / f"small_{hidden}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), model)
    return _workload(f"small_{hidden}", model, folder, image_size_px, rng)


def given(model: Path, folder: Path, image_size_px: int) -> Workload:
    """Take the user's classifier [N,3,S,S] -> [N,classes] with noise images."""
    return _workload(model.stem, model, folder, image_size_px, np.random.default_rng(0))


def _workload(name: str, model: Path, folder: Path, image_size_px: int, rng: np.random.Generator) -> Workload:
    graph = onnx.load(model, load_external_data=False).graph
    images = folder / f"images_{image_size_px}"
    images.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(IMAGE_COUNT):
        pixels = rng.integers(0, 256, (image_size_px, image_size_px, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"noise_{number:03d}.JPEG", quality=95)
        lines.append(f"noise_{number:03d}.JPEG {number}")
    (images / "val_map.txt").write_text("\n".join(lines) + "\n")
    preprocess: dict[str, Json] = {
        "kind": "imagenet",
        "image_size_px": image_size_px,
        "crop": "resize_shorter_then_crop",
        "resize_px": image_size_px,
        "interpolation": "bilinear",
        "channel_order": "RGB",
        "mean": [127.0, 127.0, 127.0],
        "scale": 128.0,
    }
    return Workload(name, model, images, image_size_px, graph.input[0].name, graph.output[0].name, preprocess)
