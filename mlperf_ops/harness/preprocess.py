"""From an image file to an input tensor: decode, crop, resize, normalise. Pure functions on numpy arrays.

The `area` resize follows OpenCV's INTER_AREA, which the official code uses for resnet50, down to its roundings and its
order of float32 sums, so that no OpenCV is needed on a host: the pixels of opencv-python-headless 4.12 and 5.0 are the
same, bit for bit, for whole and broken factors and for enlargements, and so are the decoded pixels of colour, grey and
CMYK JPEGs, as both use libjpeg-turbo (tests/unit/test_preprocess.py keeps OpenCV's results as digests and compares
again where cv2 can be imported).

This module is shipped to hosts: numpy and PIL only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mlperf_ops.errors import ConfigError
from mlperf_ops.typed import load

Pixels: TypeAlias = NDArray[np.uint8]
Tensor: TypeAlias = NDArray[np.float32]
Layout: TypeAlias = Literal["NCHW", "NHWC"]

_SLIVER = 1e-3  # OpenCV leaves out a partly covered source pixel whose part is not larger than this
_FIXED_ONE = 2048  # OpenCV's bilinear weights have 11 bits
_PIL_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True, slots=True)
class Parameters:
    """`preprocess` of a dataset request; the meaning of each key is documented in the catalogue (`Preprocess`)."""

    kind: Literal["imagenet"]
    image_size_px: int
    crop: Literal["central_fraction_then_resize", "resize_shorter_then_crop"]
    resize_px: int
    interpolation: Literal["bilinear", "bicubic", "area"]
    mean: tuple[float, ...]  # per channel, in channel_order, in units of 0..255
    scale: float
    channel_order: Literal["RGB", "BGR"] = "RGB"

    @property
    def sample_bytes(self) -> int:
        """Size of one float32 sample."""
        return self.image_size_px * self.image_size_px * 3 * 4


def parameters(value: Mapping[str, object], where: str = "preprocess") -> Parameters:
    """Read the parameters out of a spec.

    Raises:
        ResultError: A key is unknown or missing, or has another type.
        ConfigError: A value makes no sense, such as a crop that is larger than the resized image.
    """
    made = load(Parameters, value, where)
    if made.image_size_px < 1 or made.resize_px < made.image_size_px:
        raise ConfigError(
            f"{where}: resize_px {made.resize_px} is smaller than image_size_px {made.image_size_px}"
            if made.image_size_px >= 1
            else f"{where}: image_size_px {made.image_size_px} is not a size in pixels"
        )
    if len(made.mean) != 3:  # noqa: PLR2004  # red, green, blue
        raise ConfigError(f"{where}: mean has {len(made.mean)} values; expected 3, one per channel")
    if made.scale <= 0:
        raise ConfigError(f"{where}: scale {made.scale} is not greater than 0")
    return made


def decode(path: Path) -> Pixels:
    """Decode an image file to RGB [height, width, 3].

    An EXIF orientation is applied, because `cv2.imread` of the official code does it.

    Raises:
        ConfigError: The file is missing, is not an image or ends early.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode == "CMYK":
                return _cmyk_to_rgb(np.asarray(upright))
            return np.asarray(upright if upright.mode == "RGB" else upright.convert("RGB"))
    except FileNotFoundError as error:
        raise ConfigError(f"the image {path} is missing") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # SyntaxError: PIL's broken PNG
        raise ConfigError(
            f"the image {path} cannot be decoded: {error}", hint="copy it again from the data set, it may be cut off"
        ) from error


def _cmyk_to_rgb(ink: Pixels) -> Pixels:
    """Convert as OpenCV does; PIL's own conversion rounds up and is brighter by 1 of 255 nearly everywhere."""
    light = 255 - ink.astype(np.int32)
    black = light[..., 3:]
    return (black - (((255 - light[..., :3]) * black) >> 8)).astype(np.uint8)


def transform(image: Pixels, params: Parameters, layout: Layout, out: Tensor | None = None) -> Tensor:
    """Turn a decoded image into a float32 sample, C-contiguous, [3, size, size] or [size, size, 3].

    Args:
        image: RGB [height, width, 3].
        params: What to do.
        layout: Order of the axes.
        out: Where to put the sample; a new array by default.
    """
    size = params.image_size_px
    square = _crop_then_resize(image, params) if _crops_first(params) else _resize_then_crop(image, params)
    if params.channel_order == "BGR":
        square = square[..., ::-1]
    sample = np.empty((3, size, size) if layout == "NCHW" else (size, size, 3), np.float32) if out is None else out
    view = sample.transpose(1, 2, 0) if layout == "NCHW" else sample
    np.subtract(square, np.asarray(params.mean, np.float32), out=view, dtype=np.float32)
    if params.scale != 1.0:
        view /= np.float32(params.scale)
    return sample


def _crops_first(params: Parameters) -> bool:
    return params.crop == "central_fraction_then_resize"


def _crop_then_resize(image: Pixels, params: Parameters) -> Pixels:
    height, width, _ = image.shape
    side = max(1, min(width, height) * params.image_size_px // params.resize_px)
    left, top = (width - side) // 2, (height - side) // 2
    size = params.image_size_px
    return resize(image[top : top + side, left : left + side], size, size, params.interpolation)


def _resize_then_crop(image: Pixels, params: Parameters) -> Pixels:
    height, width = resized_shape(image.shape[0], image.shape[1], params.resize_px)
    size = params.image_size_px
    left, top = (width - size) // 2, (height - size) // 2
    if params.interpolation == "area":  # only what is kept has to be computed
        return resize_area(image, width, height, (left, top, left + size, top + size))
    return resize(image, width, height, params.interpolation)[top : top + size, left : left + size]


def resized_shape(height: int, width: int, shorter_px: int) -> tuple[int, int]:
    """Return (height, width) with the shorter side made `shorter_px`; the other side is rounded down."""
    if height > width:
        return int(shorter_px * height / width), shorter_px
    return shorter_px, int(shorter_px * width / height)


def resize(image: Pixels, width: int, height: int, interpolation: Literal["bilinear", "bicubic", "area"]) -> Pixels:
    """Resize to 8-bit pixels: `area` as OpenCV does, the others as PIL does."""
    if interpolation == "area":
        return resize_area(image, width, height)
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), _PIL_FILTERS[interpolation]))


def resize_area(image: Pixels, width: int, height: int, box: tuple[int, int, int, int] | None = None) -> Pixels:
    """Resize as OpenCV's INTER_AREA does.

    Args:
        image: [height, width, channels].
        width: Of the result before it is cut.
        height: Of the result before it is cut.
        box: (left, top, right, bottom) of the result that is computed and returned; all of it by default.
    """
    left, top, right, bottom = (0, 0, width, height) if box is None else box
    source_height, source_width = image.shape[:2]
    if (source_height, source_width) == (height, width):
        return image[top:bottom, left:right]
    if source_width < width or source_height < height:
        return _enlarge(image, width, height, (left, top, right, bottom))
    rows, row_weights = _area_weights(source_height, height, top, bottom)
    columns, column_weights = _area_weights(source_width, width, left, right)
    first_row, first_column = int(rows[0, 0]), int(columns[0, 0])
    covered = image[first_row : int(rows[-1, -1]) + 1, first_column : int(columns[-1, -1]) + 1]
    # Columns first, for OpenCV's order of float32 sums; each along axis 0, where numpy gathers whole rows.
    wide = _weighted_sum(np.ascontiguousarray(covered.transpose(1, 0, 2)), columns - first_column, column_weights)
    sums = _weighted_sum(np.ascontiguousarray(wide.transpose(1, 0, 2)), rows - first_row, row_weights)
    if source_width == 2 * width and source_height == 2 * height:
        sums += np.float32(0.5)  # OpenCV's own case for 2 x 2: halves go up, elsewhere to the even neighbour
        return np.floor(sums, out=sums).astype(np.uint8)
    return np.rint(sums, out=sums).astype(np.uint8)


def _weighted_sum(image: NDArray[np.uint8] | NDArray[np.float32], taps: NDArray[np.intp], weights: Tensor) -> Tensor:
    """Sum over taps of image[tap] * weight, along axis 0."""
    columns = weights[:, :, None, None]
    total: Tensor = image[taps[0]] * columns[0]
    for tap, weight in zip(taps[1:], columns[1:], strict=True):
        total += image[tap] * weight
    return total


def _area_weights(source: int, target: int, start: int, stop: int) -> tuple[NDArray[np.intp], Tensor]:
    """Source pixels [taps, targets] under each target pixel of start..stop, and their parts of its area."""
    scale = 1.0 / (target / source)
    begin = np.arange(start, stop) * scale
    end = begin + scale
    cell = np.minimum(scale, source - begin)
    taps = int(np.ceil(scale)) + 1
    pixels = np.floor(begin).astype(np.intp) + np.arange(taps)[:, None]
    covered = np.minimum(end, pixels + 1.0) - np.maximum(begin, pixels)
    covered[(covered <= _SLIVER) | (pixels >= source)] = 0.0
    return np.minimum(pixels, source - 1), (covered / cell).astype(np.float32)


def _enlarge(image: Pixels, width: int, height: int, box: tuple[int, int, int, int]) -> Pixels:
    """Bilinear in OpenCV's fixed-point arithmetic: 11-bit weights, rounded once at the end."""
    left, top, right, bottom = box
    rows, row_weights = _linear_weights(image.shape[0], height, top, bottom)
    columns, column_weights = _linear_weights(image.shape[1], width, left, right)
    near, far = np.minimum(columns, image.shape[1] - 1), np.minimum(columns + 1, image.shape[1] - 1)
    wide = image[:, near] * column_weights[0][:, None] + image[:, far] * column_weights[1][:, None]
    wide >>= 4
    near, far = np.minimum(rows, image.shape[0] - 1), np.minimum(rows + 1, image.shape[0] - 1)
    upper = (wide[near] * row_weights[0][:, None, None]) >> 16
    lower = (wide[far] * row_weights[1][:, None, None]) >> 16
    enlarged: Pixels = ((upper + lower + 2) >> 2).astype(np.uint8)
    return enlarged


def _linear_weights(source: int, target: int, start: int, stop: int) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """First of two neighbours, and both weights times 2048, as INTER_AREA chooses them where it enlarges."""
    ratio = target / source
    position = np.arange(start, stop)
    first = np.floor(position * (1.0 / ratio)).astype(np.intp)
    part = ((position + 1) - (first + 1) * ratio).astype(np.float32)
    part = np.where(part <= 0, np.float32(0), part - np.floor(part))
    part[first >= source - 1] = 0
    weights = np.rint(np.stack([1 - part, part]) * np.float32(_FIXED_ONE)).astype(np.int32)
    return first, weights
