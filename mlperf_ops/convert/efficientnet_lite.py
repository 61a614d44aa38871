"""EfficientNet-Lite from its PyTorch weights to ONNX, with numpy and onnx only.

The architecture is EfficientNet's (seven stages of inverted residual blocks) as the Lite variants reduce it: ReLU6, no
squeeze-and-excitation, stem, head and the outer stages not scaled. Channel counts come from the weights. Batch norm is
folded into the convolutions, and TensorFlow's SAME padding is made static for the given image size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mlperf_ops.convert.torch_stream import read_tensors
from mlperf_ops.errors import ConfigError, ToolError
from mlperf_ops.files import Json

Weights = NDArray[np.float32]

_EPSILON = 1e-3  # TensorFlow's batch norm; PyTorch's own default would be 1e-5
_OPSET = 13
_IR_VERSION = 8
_CLASSES = 1000
_OTHER_DEPTH = "do depth_multiplier and the weight file belong together?"


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int  # of the first block
    expands: bool
    scaled: bool  # by the depth multiplier


_STAGES = (
    _Stage(1, 3, 1, expands=False, scaled=False),
    _Stage(2, 3, 2, expands=True, scaled=True),
    _Stage(2, 5, 2, expands=True, scaled=True),
    _Stage(3, 3, 2, expands=True, scaled=True),
    _Stage(3, 5, 1, expands=True, scaled=True),
    _Stage(4, 5, 2, expands=True, scaled=True),
    _Stage(1, 3, 1, expands=True, scaled=False),
)


def convert(members: tuple[Path, ...], options: Mapping[str, Json], folder: Path, name: str) -> Path:
    """Convert one .pth file to `<name>.onnx`: input `input` [N, 3, S, S], output `logits` [N, 1000].

    Args:
        members: The .pth file.
        options: `image_size_px` (S) and `depth_multiplier`.
        folder: Where to write.
        name: Of the component.

    Raises:
        ConfigError: An option is missing or unknown, or there is not exactly one member.
        ToolError: The weights are not those of this architecture.
    """
    image_size_px, depth_multiplier = _options(options, name)
    if len(members) != 1:
        raise ConfigError(
            f"component '{name}': efficientnet_lite takes one member, the .pth file; found {len(members)}"
        )
    model = build(read_tensors(members[0]), image_size_px, depth_multiplier, name)
    target = folder / f"{name}.onnx"
    target.write_bytes(model.SerializeToString(deterministic=True))
    return target


def _options(options: Mapping[str, Json], name: str) -> tuple[int, float]:
    size, depth = options.get("image_size_px"), options.get("depth_multiplier")
    if set(options) != {"image_size_px", "depth_multiplier"} or not isinstance(size, int) or isinstance(depth, bool):
        raise ConfigError(
            f"component '{name}': convert.options of efficientnet_lite are image_size_px, depth_multiplier"
        )
    if not isinstance(depth, (int, float)) or size < 1 or depth <= 0:
        raise ConfigError(f"component '{name}': image_size_px and depth_multiplier are numbers greater than 0")
    return size, float(depth)


def build(weights: Mapping[str, NDArray[Any]], image_size_px: int, depth_multiplier: float, name: str) -> Any:  # noqa: ANN401  # onnx has no usable types
    """Build and check the model.

    Raises:
        ToolError: A weight is missing, left over or has another shape.
    """
    graph = _Graph(weights, image_size_px)
    graph.conv("_conv_stem", "_bn0", kernel=3, stride=2, relu6=True)
    number = 0
    for stage in _STAGES:
        repeats = math.ceil(stage.repeats * depth_multiplier) if stage.scaled else stage.repeats
        for repeat in range(repeats):
            graph.block(f"_blocks.{number}.", stage, first=repeat == 0)
            number += 1
    graph.conv("_conv_head", "_bn1", kernel=1, stride=1, relu6=True)
    graph.classify("_fc")
    graph.refuse_leftovers()
    size = image_size_px
    made = helper.make_graph(
        graph.nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", _CLASSES])],
        graph.initializers,
    )
    model = helper.make_model(
        made,
        producer_name="mlperf-ops",
        ir_version=_IR_VERSION,
        opset_imports=[helper.make_opsetid("", _OPSET)],
    )
    onnx.checker.check_model(model, full_check=True)
    return model


class _Graph:
    """Nodes in the order of computation; `self._tip` is the tensor that the next node reads."""

    def __init__(self, weights: Mapping[str, NDArray[Any]], image_size_px: int) -> None:
        self._weights = dict(weights)
        self._unused = {name for name in weights if not name.endswith(".num_batches_tracked")}
        self._size_px = image_size_px
        self._tip = "input"
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._constant("relu6_min", np.array(0, np.float32))
        self._constant("relu6_max", np.array(6, np.float32))

    def block(self, prefix: str, stage: _Stage, *, first: bool) -> None:
        """Append an inverted residual block; all but the first of a stage add their input."""
        before = self._tip
        if stage.expands:
            self.conv(f"{prefix}_expand_conv", f"{prefix}_bn0", kernel=1, stride=1, relu6=True)
        stride = stage.stride if first else 1
        self.conv(f"{prefix}_depthwise_conv", f"{prefix}_bn1", stage.kernel, stride, relu6=True, depthwise=True)
        self.conv(f"{prefix}_project_conv", f"{prefix}_bn2", kernel=1, stride=1, relu6=False)
        if not first:
            self._node("Add", [self._tip, before], f"{prefix}add")

    def conv(self, name: str, norm: str, kernel: int, stride: int, *, relu6: bool, depthwise: bool = False) -> None:
        """Append a convolution with its batch norm folded in."""
        weight = self._take(f"{name}.weight", (None, 1 if depthwise else None, kernel, kernel))
        channels = weight.shape[0]
        gamma, beta, mean, variance = (
            self._take(f"{norm}.{part}", (channels,)) for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + _EPSILON)  # float64: one rounding, at the end
        self._constant(f"{name}.weight", (weight * scale[:, None, None, None]).astype(np.float32))
        self._constant(f"{name}.bias", (beta - mean * scale).astype(np.float32))
        out_px = -(-self._size_px // stride)
        padding = max((out_px - 1) * stride + kernel - self._size_px, 0)
        before, after = padding // 2, padding - padding // 2
        self._size_px = out_px
        self._node(
            "Conv",
            [self._tip, f"{name}.weight", f"{name}.bias"],
            name,
            group=channels if depthwise else 1,
            kernel_shape=[kernel, kernel],
            pads=[before, before, after, after],
            strides=[stride, stride],
        )
        if relu6:
            self._node("Clip", [self._tip, "relu6_min", "relu6_max"], f"{name}.relu6")

    def classify(self, name: str) -> None:
        """Append pooling and the last, fully connected layer."""
        weight = self._take(f"{name}.weight", (_CLASSES, None))
        self._constant(f"{name}.weight", weight.astype(np.float32))
        self._constant(f"{name}.bias", self._take(f"{name}.bias", (_CLASSES,)).astype(np.float32))
        self._node("GlobalAveragePool", [self._tip], "pool")
        self._node("Flatten", [self._tip], "flatten", axis=1)
        self._node("Gemm", [self._tip, f"{name}.weight", f"{name}.bias"], "logits", transB=1)

    def refuse_leftovers(self) -> None:
        """Weights that no layer asked for mean another architecture."""
        if self._unused:
            example = min(self._unused)
            raise ToolError(
                f"the weights hold {len(self._unused)} values that this architecture lacks, such as '{example}'",
                hint=_OTHER_DEPTH,
            )

    def _take(self, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
        if name not in self._weights:
            raise ToolError(f"the weights lack '{name}'", hint=_OTHER_DEPTH)
        value = self._weights[name]
        if len(value.shape) != len(shape) or any(
            want not in (None, have) for want, have in zip(shape, value.shape, strict=True)
        ):
            raise ToolError(
                f"the weights' '{name}' has shape {list(value.shape)}; expected {list(shape)}", hint=_OTHER_DEPTH
            )
        self._unused.discard(name)
        return value.astype(np.float64)

    def _constant(self, name: str, value: Weights) -> None:
        self.initializers.append(numpy_helper.from_array(value, name))

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: int | list[int]) -> None:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        self._tip = output
