"""Generated pictures and models that recognise them, so that accuracy is computable without any download.

Class k has a colour of a 10 x 10 x 10 grid, and the model is linear: it takes the grid colour that is nearest to the
mean of what it is fed. The outermost border of a picture has another colour, so that it is recognised only when the
middle was cut out. The tensors are named as in MLPerf's ResNet-50.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from mlperf_ops.files import JsonObject
from mlperf_ops.model import DatasetRequest, ModelRequest

CLASSES = 1000
SIZES = ((300, 260), (260, 340), (224, 224), (120, 90), (512, 384))  # width, height
RESNET50_PREPROCESS: JsonObject = {
    "kind": "imagenet",
    "image_size_px": 224,
    "crop": "resize_shorter_then_crop",
    "resize_px": 256,
    "interpolation": "area",
    "channel_order": "RGB",
    "mean": [123.68, 116.78, 103.94],
    "scale": 1.0,
}
LITE_PREPROCESS: JsonObject = {
    **RESNET50_PREPROCESS,
    "crop": "central_fraction_then_resize",
    "interpolation": "bicubic",
    "mean": [127.0, 127.0, 127.0],
    "scale": 128.0,
}


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """A data set in ImageNet's form."""

    path: Path
    label_file: Path
    true_classes: tuple[int, ...]  # what a right model answers
    labels: tuple[int, ...]  # what the label file says

    @property
    def good_count(self) -> int:
        """Samples that a right model gets right."""
        return sum(a == b for a, b in zip(self.true_classes, self.labels, strict=True))

    def request(self, preprocess: JsonObject | None = None) -> DatasetRequest:
        """The dataset part of a spec."""
        return DatasetRequest(
            component="imagenet",
            path=str(self.path),
            sha256="",
            label_file=self.label_file.name,
            total_count=None,
            preprocess=RESNET50_PREPROCESS if preprocess is None else preprocess,
        )


def class_colours() -> NDArray[np.float64]:
    """RGB of every class, [1000, 3]."""
    index = np.arange(CLASSES)
    steps = np.stack([index // 100, index // 10 % 10, index % 10], axis=1).astype(np.float64)
    return 12.0 + 25.0 * steps


def make_images(folder: Path, count: int, *, wrong: tuple[int, ...] = ()) -> ImageFolder:
    """Write JPEGs of several sizes, and val_map.txt; samples in `wrong` get a label that is not theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    colours = class_colours()
    truth = tuple(index * 37 % CLASSES for index in range(count))
    labels = tuple((true + 1) % CLASSES if index in wrong else true for index, true in enumerate(truth))
    lines = []
    for index, true in enumerate(truth):
        width, height = SIZES[index % len(SIZES)]
        border = min(width, height) // 20  # the middle 224 of 256 leaves out a sixteenth on each side
        pixels = np.empty((height, width, 3), np.uint8)
        pixels[:] = 255 - colours[true]
        pixels[border : height - border, border : width - border] = colours[true]
        name = f"ILSVRC2012_val_{index + 1:08d}.JPEG"
        Image.fromarray(pixels).save(folder / name, format="JPEG", quality=95, subsampling=0)
        lines.append(f"{name} {labels[index]}\n")
    label_file = folder / "val_map.txt"
    label_file.write_text("".join(lines))
    return ImageFolder(folder, label_file, truth, labels)


def write_colour_model(  # a builder of test data, all by name
    path: Path,
    *,
    layout: Literal["NCHW", "NHWC"] = "NCHW",
    preprocess: JsonObject | None = None,
    input_name: str = "input_tensor:0",
    output_name: str = "ArgMax:0",
    output_kind: Literal["logits", "class_index"] = "class_index",
    label_offset: int = 0,
) -> ModelRequest:
    """Write an ONNX model that recognises the pictures of `make_images`, and return the model part of a spec.

    With `label_offset` 1 it has 1001 classes, of which the first never wins, as TensorFlow's ResNet-50.
    """
    values: dict[str, Any] = dict(RESNET50_PREPROCESS if preprocess is None else preprocess)
    mean, scale, size = np.array(values["mean"]), float(values["scale"]), int(values["image_size_px"])
    colours = class_colours()
    weight = 2.0 * scale * colours  # of -|colour - pixel|^2 without the part that all classes share
    bias = 2.0 * colours @ mean - (colours**2).sum(axis=1)
    weight = np.vstack([np.zeros((label_offset, 3)), weight])
    bias = np.concatenate([np.full(label_offset, -1e9), bias])
    classes = CLASSES + label_offset
    if layout == "NCHW":
        shape: list[str | int] = ["N", 3, size, size]
        pool = [
            helper.make_node("GlobalAveragePool", [input_name], ["mean4"]),
            helper.make_node("Flatten", ["mean4"], ["mean"], axis=1),
        ]
    else:
        shape = ["N", size, size, 3]
        pool = [helper.make_node("ReduceMean", [input_name], ["mean"], axes=[1, 2], keepdims=0)]
    logits = output_name if output_kind == "logits" else "scores"
    nodes = [*pool, helper.make_node("Gemm", ["mean", "weight", "bias"], [logits], transB=1)]
    output = helper.make_tensor_value_info(output_name, TensorProto.FLOAT, ["N", classes])
    if output_kind == "class_index":
        nodes.append(helper.make_node("ArgMax", [logits], [output_name], axis=1, keepdims=0))
        output = helper.make_tensor_value_info(output_name, TensorProto.INT64, ["N"])
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, shape)],
        [output],
        [
            numpy_helper.from_array(weight.astype(np.float32), "weight"),
            numpy_helper.from_array(bias.astype(np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)], producer_name="tests")
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return ModelRequest(
        component="resnet50",
        path=str(path),
        sha256="",
        format="onnx",
        input_name=input_name,
        input_layout=layout,
        output_name=output_name,
        output_kind=output_kind,
        label_offset=label_offset,
    )
