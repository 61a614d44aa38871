from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mlperf_ops.errors import ConfigError, ResultError
from mlperf_ops.harness.preprocess import decode, parameters, resize_area, resized_shape, transform
from tests.support.images import LITE_PREPROCESS, RESNET50_PREPROCESS

# sha256 of cv2.resize(synthetic(…), …, interpolation=cv2.INTER_AREA), equal in OpenCV 4.12.0 and 5.0.0
OPENCV_AREA = {
    (512, 512, 256, 256): "163c05217cd351da759d8d1a1abd3ff50a1e6e6c2051dab9d2a7a6658140a4ee",
    (768, 768, 256, 256): "ca8bb811510e37d8d20e9a88c3d420b4e8146f13e473c53d2da1c06d71b1e7cb",
    (375, 500, 256, 341): "042f43445911e0eceeca6ecf27fc2aa12aa6827ce488f9c75736fe3296e98e87",
    (683, 1024, 256, 383): "5ae8195c8859433514d0a7029599f5f5c56c49fade4e7ec3054e3545c15e5011",
    (257, 300, 256, 298): "b1b544a180d22db0f42f0e94586189245ccde8121cbd48ec4c59a33010abcf39",
    (120, 90, 341, 256): "bcdf478cef1f96962f3dacaac967519d4b866b93e7a1abe6c853ec7aba43eef9",
    (150, 1000, 256, 1706): "55b9d4902ac6856762fed3ae45002308b67140b62100d0b419b23e6c1220640e",
    (256, 400, 256, 400): "7a860b63587eb0aa332305480d46d773b277ddeeb1bb2325a1fbbe02bc3d1ba8",
}
Shape = tuple[int, int, int, int]
RESNET50 = parameters(RESNET50_PREPROCESS)
LITE = parameters(LITE_PREPROCESS)


def synthetic(height: int, width: int) -> NDArray[np.uint8]:
    """A picture with detail everywhere, the same on every machine."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    pixels: NDArray[np.uint8] = ((x * x * 3 + y * y * 5 + x * y * 7 + c * 91 + (x * y) // (c + 3)) % 256).astype(
        np.uint8
    )
    return pixels


@pytest.mark.parametrize("shape", OPENCV_AREA)
def test_the_area_resize_gives_opencvs_pixels_bit_for_bit(shape: Shape) -> None:
    height, width, new_height, new_width = shape
    resized = resize_area(synthetic(height, width), new_width, new_height)

    assert resized.shape == (new_height, new_width, 3)
    assert hashlib.sha256(resized.tobytes()).hexdigest() == OPENCV_AREA[shape]


@pytest.mark.parametrize("shape", OPENCV_AREA)
def test_the_installed_opencv_still_gives_these_pixels(shape: Shape) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed; its results are kept as digests")
    height, width, new_height, new_width = shape
    image = synthetic(height, width)

    theirs = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_AREA)

    assert np.array_equal(resize_area(image, new_width, new_height), theirs)


@pytest.mark.parametrize("shape", OPENCV_AREA)
def test_a_box_of_the_area_resize_is_a_part_of_the_whole(shape: Shape) -> None:
    height, width, new_height, new_width = shape
    image = synthetic(height, width)

    whole = resize_area(image, new_width, new_height)
    part = resize_area(image, new_width, new_height, (17, 5, 241, 229))

    assert np.array_equal(part, whole[5:229, 17:241])


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_the_official_resnet50_code_gives_the_same_tensor(tmp_path: Path, layout: Literal["NCHW", "NHWC"]) -> None:
    checkout = os.environ.get("MLPERF_INFERENCE_CHECKOUT")
    if not checkout:
        pytest.skip("MLPERF_INFERENCE_CHECKOUT is not set to a checkout of mlcommons/inference")
    cv2 = pytest.importorskip("cv2", reason="OpenCV, which the official code needs, is not installed")
    official = _official_preprocessing(Path(checkout))
    for name, shape, subsampling in (("wide", (375, 500), 2), ("tall", (501, 333), 1), ("small", (120, 200), 0)):
        for mode in ("RGB", "L", "CMYK"):
            path = tmp_path / f"{name}.{mode}.jpg"
            Image.fromarray(synthetic(*shape)).convert(mode).save(path, quality=90, subsampling=subsampling)
            theirs = official(cv2.imread(str(path)), dims=[224, 224, 3], need_transpose=layout == "NCHW")

            assert np.array_equal(transform(decode(path), RESNET50, layout), theirs), path.name


def _official_preprocessing(checkout: Path) -> Any:  # noqa: ANN401  # foreign code
    folder = str(checkout / "vision" / "classification_and_detection" / "python")
    sys.path.insert(0, folder)
    try:
        import dataset  # type: ignore[import-not-found]  # noqa: PLC0415  # of the checkout
    finally:
        sys.path.remove(folder)
        sys.modules.pop("dataset", None)
    return dataset.pre_process_vgg


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (512, 512, (256, 256)),
        (375, 500, (256, 341)),  # 341.33 is rounded down
        (500, 375, (341, 256)),
        (683, 1024, (256, 383)),
        (90, 120, (256, 341)),
        (281, 500, (256, 455)),
    ],
)
def test_the_shorter_side_becomes_256(height: int, width: int, expected: tuple[int, int]) -> None:
    assert resized_shape(height, width, 256) == expected


def test_resnet50_takes_the_middle_224_and_subtracts_the_means() -> None:
    image = np.zeros((256, 341, 3), np.uint8)
    image[16:240, 58:282] = (10, 20, 30)  # (341 - 224) // 2 = 58

    sample = transform(image, RESNET50, "NCHW")

    for channel, value in enumerate((10 - 123.68, 20 - 116.78, 30 - 103.94)):
        assert np.all(sample[channel] == np.float32(value))


def test_efficientnet_lite_takes_seven_eighths_of_the_shorter_side() -> None:
    image = np.zeros((256, 400, 3), np.uint8)
    image[16:240, 88:312] = 255

    sample = transform(image, LITE, "NCHW")

    assert np.all(sample == 1.0)  # (255 - 127) / 128


def test_bicubic_is_pils_own(tmp_path: Path) -> None:
    image = synthetic(512, 512)

    sample = transform(image, LITE, "NHWC")

    middle = Image.fromarray(image).crop((32, 32, 480, 480)).resize((224, 224), Image.Resampling.BICUBIC)
    assert np.array_equal(sample, (np.asarray(middle, np.float32) - 127) / 128)


def test_a_shorter_side_resize_with_pils_filter_crops_after_it() -> None:
    image = synthetic(300, 400)
    params = parameters({**RESNET50_PREPROCESS, "interpolation": "bilinear"})

    sample = transform(image, params, "NHWC")

    resized = np.asarray(Image.fromarray(image).resize((341, 256), Image.Resampling.BILINEAR))
    assert np.array_equal(sample, resized[16:240, 58:282] - np.array(RESNET50.mean, np.float32))


def test_both_layouts_hold_the_same_numbers_and_are_contiguous() -> None:
    image = synthetic(300, 280)

    nchw, nhwc = transform(image, RESNET50, "NCHW"), transform(image, RESNET50, "NHWC")

    assert nchw.shape == (3, 224, 224)
    assert nhwc.shape == (224, 224, 3)
    assert nchw.dtype == nhwc.dtype == np.float32
    assert nchw.flags.c_contiguous
    assert nhwc.flags.c_contiguous
    assert np.array_equal(nchw.transpose(1, 2, 0), nhwc)


def test_bgr_turns_the_channels_before_the_means() -> None:
    image = np.full((256, 256, 3), (1, 2, 3), np.uint8)
    params = parameters({**RESNET50_PREPROCESS, "channel_order": "BGR", "mean": [0.5, 0.5, 0.5]})

    assert transform(image, params, "NCHW")[:, 0, 0].tolist() == [2.5, 1.5, 0.5]


def test_a_sample_can_be_written_into_a_block() -> None:
    block = np.full((2, 3, 224, 224), np.nan, np.float32)

    made = transform(synthetic(240, 320), RESNET50, "NCHW", out=block[1])

    assert np.shares_memory(made, block)
    assert np.isfinite(block[1]).all()
    assert np.isnan(block[0]).all()


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "1", "I;16"])
def test_pictures_of_any_mode_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    grey = Image.new("L", (40, 30), 255)
    made = Image.fromarray(np.full((30, 40), 65535, np.uint16)) if mode == "I;16" else grey.convert(mode)
    made.save(path)

    pixels = decode(path)

    assert pixels.shape == (30, 40, 3)
    assert pixels.dtype == np.uint8
    assert pixels.min() >= 254


def test_the_orientation_that_a_camera_noted_is_applied_as_the_official_code_does(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    picture = Image.new("RGB", (64, 32))
    picture.paste((255, 255, 255), (0, 0, 32, 32))
    picture.save(tmp_path / "a.jpg", exif=exif, quality=95)

    pixels = decode(tmp_path / "a.jpg")

    assert pixels.shape == (64, 32, 3)
    assert pixels[:24].min() > 200
    assert pixels[40:].max() < 50


def test_files_that_are_no_pictures_get_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("<html>404</html>")
    with pytest.raises(ConfigError, match=r"a\.jpg cannot be decoded"):
        decode(tmp_path / "a.jpg")
    with pytest.raises(ConfigError, match=r"b\.jpg is missing"):
        decode(tmp_path / "b.jpg")


@pytest.mark.parametrize(
    ("change", "error", "expected"),
    [
        ({"crop": "centre"}, ResultError, "crop: unknown value 'centre'; expected one of"),
        ({"image_size_px": 300}, ConfigError, "resize_px 256 is smaller than image_size_px 300"),
        ({"image_size_px": 0}, ConfigError, "image_size_px 0 is not a size"),
        ({"mean": [1.0]}, ConfigError, "mean has 1 values; expected 3"),
        ({"scale": 0.0}, ConfigError, r"scale 0\.0 is not greater than 0"),
        ({"interpolation": 3}, ResultError, "interpolation: unknown value '3'; expected one of"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(
    change: dict[str, object], error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        parameters({**RESNET50_PREPROCESS, **change})
