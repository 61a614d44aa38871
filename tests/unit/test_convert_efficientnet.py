from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from mlperf_ops.convert import converter
from mlperf_ops.convert.torch_stream import read_tensors
from mlperf_ops.errors import ConfigError, ToolError
from mlperf_ops.files import Json
from tests.support.torch_files import write_archive, write_stream, write_view

Floats = NDArray[np.float64]
Weights = dict[str, NDArray[Any]]
SIZE_PX = 35  # odd, so that SAME padding differs from side to side
OPTIONS: dict[str, Json] = {"image_size_px": SIZE_PX, "depth_multiplier": 1.0}
# (repeats, kernel, stride, expand ratio) of EfficientNet-B0, and narrow widths of our own
STAGES = ((1, 3, 1, 1), (2, 3, 2, 6), (2, 5, 2, 6), (3, 3, 2, 6), (3, 5, 1, 6), (4, 5, 2, 6), (1, 3, 1, 6))
WIDTHS = (3, 4, 4, 5, 5, 6, 6)
STEM, HEAD = 4, 8


class Network:
    """EfficientNet-Lite as its definition says it: batch norm apart, TensorFlow's SAME padding, plain loops."""

    def __init__(self) -> None:
        self.weights: Weights = {}
        self._random = np.random.default_rng(7)

    def run(self, image: Floats) -> Floats:
        """Compute the logits of one image [3, S, S]; a weight is made up when it is first asked for."""
        x = self._layer(image, "_conv_stem", "_bn0", STEM, 3, 2)
        number = 0
        for (repeats, kernel, first_stride, expand), width in zip(STAGES, WIDTHS, strict=True):
            for repeat in range(repeats):
                x = self._block(
                    x, f"_blocks.{number}.", kernel, first_stride if repeat == 0 else 1, expand, width, repeat
                )
                number += 1
        x = self._layer(x, "_conv_head", "_bn1", HEAD, 1, 1).mean(axis=(1, 2))
        logits: Floats = self._weight("_fc.weight", (1000, HEAD)) @ x + self._weight("_fc.bias", (1000,))
        return logits

    def _block(self, x: Floats, prefix: str, kernel: int, stride: int, expand: int, width: int, repeat: int) -> Floats:
        y = x
        if expand != 1:
            y = self._layer(y, f"{prefix}_expand_conv", f"{prefix}_bn0", x.shape[0] * expand, 1, 1)
        y = self._layer(y, f"{prefix}_depthwise_conv", f"{prefix}_bn1", y.shape[0], kernel, stride, depthwise=True)
        y = self._layer(y, f"{prefix}_project_conv", f"{prefix}_bn2", width, 1, 1, relu6=False)
        return y + x if repeat else y

    def _layer(
        self,
        x: Floats,
        name: str,
        norm: str,
        channels: int,
        kernel: int,
        stride: int,
        *,
        depthwise: bool = False,
        relu6: bool = True,
    ) -> Floats:
        inputs = 1 if depthwise else x.shape[0]
        y = _same_convolution(x, self._weight(f"{name}.weight", (channels, inputs, kernel, kernel)), stride, depthwise)
        gamma, beta, mean = (self._weight(f"{norm}.{part}", (channels,)) for part in ("weight", "bias", "running_mean"))
        variance = self._weight(f"{norm}.running_var", (channels,))
        self.weights[f"{norm}.num_batches_tracked"] = np.array(9, np.int64)
        normal = (y - mean[:, None, None]) / np.sqrt(variance + 1e-3)[:, None, None]
        y = normal * gamma[:, None, None] + beta[:, None, None]
        return np.clip(y, 0, 6) if relu6 else y

    def _weight(self, name: str, shape: tuple[int, ...]) -> Floats:
        if name not in self.weights:
            low, high = (0.5, 1.5) if name.endswith("running_var") else (-0.8, 1.0)
            self.weights[name] = self._random.uniform(low, high, shape).astype(np.float32)
        return self.weights[name].astype(np.float64)


def _same_convolution(x: Floats, weight: Floats, stride: int, depthwise: bool) -> Floats:  # noqa: FBT001
    kernel, size = weight.shape[-1], x.shape[1]
    out = -(-size // stride)
    pad = max((out - 1) * stride + kernel - size, 0)
    padded = np.pad(x, ((0, 0), (pad // 2, pad - pad // 2), (pad // 2, pad - pad // 2)))
    y = np.zeros((weight.shape[0], out, out))
    for i in range(kernel):
        for j in range(kernel):
            patch = padded[:, i : i + (out - 1) * stride + 1 : stride, j : j + (out - 1) * stride + 1 : stride]
            tap = weight[:, :, i, j]
            y += tap[:, :, None] * patch if depthwise else np.einsum("oi,ihw->ohw", tap, patch)
    return y


@pytest.fixture(scope="module")
def network() -> Network:
    made = Network()
    made.run(np.zeros((3, SIZE_PX, SIZE_PX)))
    return made


def _convert(weights: Mapping[str, NDArray[Any]], folder: Path, options: Mapping[str, Json] = OPTIONS) -> Path:
    return converter("efficientnet_lite")((write_stream(folder / "w.pth", weights),), options, folder, "tiny")


def test_the_onnx_computes_what_the_definition_says(network: Network, tmp_path: Path) -> None:
    model = _convert(network.weights, tmp_path)
    images = np.random.default_rng(1).normal(0, 1, (3, 3, SIZE_PX, SIZE_PX)).astype(np.float32)
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])

    logits = session.run(["logits"], {"input": images})[0]  # a batch: N is open

    for image, found in zip(images, logits, strict=True):
        expected = network.run(image.astype(np.float64))
        assert np.std(expected) > 0.1
        assert np.allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_both_containers_and_a_second_run_give_the_same_bytes(network: Network, tmp_path: Path) -> None:
    convert = converter("efficientnet_lite")
    made = []
    for number, write in enumerate((write_stream, write_stream, write_archive)):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        made.append(convert((write(folder / "w.pth", network.weights),), OPTIONS, folder, "tiny").read_bytes())

    assert made[0] == made[1] == made[2]


def test_the_file_says_nothing_that_changes_with_versions(network: Network, tmp_path: Path) -> None:
    model = onnx.load(_convert(network.weights, tmp_path))

    assert (model.ir_version, model.opset_import[0].version) == (8, 13)
    assert (model.producer_name, model.producer_version, model.doc_string) == ("mlperf-ops", "", "")
    assert len(model.graph.node) == 94
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"


def test_another_depth_than_the_weights_have_is_noticed(network: Network, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"'_blocks\.3\..*depth_multiplier and the weight file belong together"):
        _convert(network.weights, tmp_path, {**OPTIONS, "depth_multiplier": 1.2})
    with pytest.raises(ToolError, match=r"hold \d+ values that this architecture lacks"):
        _convert({**network.weights, "_blocks.16._bn2.bias": np.zeros(3, np.float32)}, tmp_path)


def test_a_weight_of_another_shape_is_named(network: Network, tmp_path: Path) -> None:
    weights = {**network.weights, "_bn0.bias": np.zeros(STEM + 1, np.float32)}

    with pytest.raises(ToolError, match=r"'_bn0\.bias' has shape \[5\]; expected \[4\]"):
        _convert(weights, tmp_path)


@pytest.mark.parametrize(
    "options",
    [{}, {**OPTIONS, "width": 1}, {**OPTIONS, "image_size_px": "224"}, {**OPTIONS, "depth_multiplier": 0}],
)
def test_wrong_options_are_refused(network: Network, tmp_path: Path, options: dict[str, Json]) -> None:
    with pytest.raises(ConfigError, match=r"image_size_px.*depth_multiplier"):
        _convert(network.weights, tmp_path, options)


def test_an_unknown_converter_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown converter 'efficientnet'.*did you mean 'efficientnet_lite'"):
        converter("efficientnet")


@pytest.mark.parametrize("write", [write_stream, write_archive])
def test_permuted_tensors_are_read_in_their_own_order(tmp_path: Path, write: Callable[..., Path]) -> None:
    tensors: Weights = {
        "kernel": np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5),
        "count": np.array(7, np.int64),
        "empty": np.zeros((0, 3), np.float32),
    }

    read = read_tensors(write(tmp_path / "w.pth", tensors))

    assert list(read) == list(tensors)
    for name, value in tensors.items():
        assert read[name].dtype == value.dtype
        assert np.array_equal(read[name], value)
        assert read[name].flags.c_contiguous


def test_a_view_may_start_inside_its_storage(tmp_path: Path) -> None:
    path = write_view(tmp_path / "w.pth", np.arange(10, dtype=np.float32), (2, 2), (1, 3), offset=4)

    assert read_tensors(path)["w"].tolist() == [[4, 7], [5, 8]]


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((11,), (1,), 0),
        ((2, 2), (9, 1), 0),
        ((1,), (1,), 10),
        ((1 << 40,), (0,), 0),
        ((2,), (-1,), 5),
        ((2,), (1, 1), 0),
    ],
)
def test_a_view_that_reaches_outside_its_storage_is_refused(
    tmp_path: Path, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> None:
    path = write_view(tmp_path / "w.pth", np.arange(10, dtype=np.float32), shape, strides, offset)

    with pytest.raises(ToolError, match="is not a PyTorch weight file that can be read safely"):
        read_tensors(path)


class Attack:
    """What an unrestricted unpickler would run."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("container", ["stream", "archive"])
def test_a_pickle_that_names_a_command_is_refused_and_not_run(tmp_path: Path, container: str) -> None:
    attack = pickle.dumps({"w": Attack(f"touch {tmp_path / 'run'}")}, protocol=2)
    path = tmp_path / "w.pth"
    if container == "stream":
        out = io.BytesIO()
        for number in (0x1950A86A20F9469CFC6C, 1001, 0):
            pickle.dump(number, out, protocol=2)
        path.write_bytes(out.getvalue() + attack)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/data.pkl", attack)

    with pytest.raises(ToolError, match=r"it names posix\.system"):
        read_tensors(path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("write", [write_stream, write_archive])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.999])
def test_a_file_that_is_cut_off_is_refused(
    network: Network, tmp_path: Path, write: Callable[..., Path], part: float
) -> None:
    path = write(tmp_path / "w.pth", network.weights)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])

    with pytest.raises(ToolError, match=r"w\.pth is not a PyTorch weight file that can be read safely"):
        read_tensors(path)


def test_images_are_labelled_by_their_names(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    members = []
    for name in ("b_12.jpg", "a_3.jpg"):
        (source / name).write_bytes(name.encode())
        members.append(source / name)

    made = converter("labelled_file_names")(
        tuple(members), {"pattern": r"_(?P<label>\d+)\.jpg$", "label_file": "val_map.txt"}, out, "some"
    )

    assert made == out
    assert (out / "val_map.txt").read_text() == "a_3.jpg 3\nb_12.jpg 12\n"
    assert (out / "b_12.jpg").read_bytes() == b"b_12.jpg"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("(", "not a regular expression"), ("x", r"lacks the group \(\?P<label>"), (r"q(?P<label>\d+)", "does not match")],
)
def test_a_pattern_that_cannot_work_is_refused(tmp_path: Path, pattern: str, expected: str) -> None:
    (tmp_path / "a_3.jpg").write_bytes(b"")
    with pytest.raises((ConfigError, ToolError), match=expected):
        converter("labelled_file_names")(
            (tmp_path / "a_3.jpg",), {"pattern": pattern, "label_file": "v.txt"}, tmp_path, "some"
        )
