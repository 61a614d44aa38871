from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort
import pytest

from mlperf_ops.errors import ConfigError, ResultError
from mlperf_ops.files import JsonObject
from mlperf_ops.harness.dataset import Dataset, open_dataset
from mlperf_ops.model import ModelRequest
from tests.support.images import LITE_PREPROCESS, RESNET50_PREPROCESS, ImageFolder, make_images, write_colour_model

COUNT = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    return make_images(tmp_path_factory.mktemp("images"), COUNT, wrong=(3,))


@pytest.fixture
def dataset(folder: ImageFolder) -> Dataset:
    return open_dataset(folder.request(), None)


def _with_lines(folder: ImageFolder, tmp_path: Path, text: str) -> str:
    """Open the images with another label file and return the sentence."""
    label_file = tmp_path / "labels.txt"
    label_file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        open_dataset(replace(folder.request(), label_file=str(label_file)), None)
    return str(caught.value)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("label_offset", [0, 1])
def test_a_model_recognises_the_generated_pictures_and_misses_the_mislabelled_one(
    folder: ImageFolder, tmp_path: Path, layout: Literal["NCHW", "NHWC"], label_offset: int
) -> None:
    model = write_colour_model(tmp_path / "m.onnx", layout=layout, label_offset=label_offset)

    answers = _answers(folder, model)

    assert answers == [true + label_offset for true in folder.true_classes]
    assert folder.good_count == COUNT - 1


def test_the_recipe_of_efficientnet_lite_also_cuts_out_the_middle(folder: ImageFolder, tmp_path: Path) -> None:
    model = write_colour_model(tmp_path / "m.onnx", preprocess=LITE_PREPROCESS, output_kind="logits", output_name="out")

    assert _answers(folder, model, LITE_PREPROCESS) == list(folder.true_classes)


def test_without_the_crop_the_border_spoils_the_answers(folder: ImageFolder, tmp_path: Path) -> None:
    model = write_colour_model(tmp_path / "m.onnx")

    answers = _answers(folder, model, {**RESNET50_PREPROCESS, "resize_px": 224})

    assert sum(a == b for a, b in zip(answers, folder.true_classes, strict=True)) < COUNT // 2


def _answers(folder: ImageFolder, model: ModelRequest, preprocess: JsonObject | None = None) -> list[int]:
    dataset = open_dataset(folder.request(preprocess), model)
    dataset.load(range(COUNT))
    session = ort.InferenceSession(model.path, providers=["CPUExecutionProvider"])
    output = session.run([model.output_name], {model.input_name: dataset.batch(range(COUNT))})[0]
    return [int(value) for value in (output.argmax(axis=1) if model.output_kind == "logits" else output)]


def test_samples_are_contiguous_float32_views_of_one_block(dataset: Dataset) -> None:
    dataset.load([4, 2, 7])
    sample = dataset.sample(2)

    assert sample.shape == (1, 3, 224, 224)
    assert sample.dtype == np.float32
    assert sample.flags.c_contiguous
    assert sample.nbytes == dataset.sample_bytes == 602_112
    assert np.shares_memory(sample, dataset.batch([4, 2]))


def test_a_batch_of_neighbours_is_not_copied_and_any_other_batch_is_gathered(dataset: Dataset) -> None:
    dataset.load(range(6))

    neighbours, scattered = dataset.batch([1, 2, 3]), dataset.batch([5, 0, 5])

    assert np.shares_memory(neighbours, dataset.sample(2))
    assert not np.shares_memory(scattered, dataset.sample(5))
    for at, index in enumerate([5, 0, 5]):
        assert np.array_equal(scattered[at], dataset.sample(index)[0])


def test_a_batch_can_be_gathered_into_an_array_that_is_used_again(dataset: Dataset) -> None:
    dataset.load(range(4))
    out = np.zeros((2, 3, 224, 224), np.float32)

    assert dataset.batch([2, 3], out=out) is out
    assert np.array_equal(out[1], dataset.sample(3)[0])


def test_samples_that_multistream_padding_repeats_are_loaded_once(dataset: Dataset) -> None:
    dataset.load([1, 0, 1, 1])

    block = dataset.batch([1, 0]).base
    assert block is not None
    assert block.shape == (2, 3, 224, 224)


def test_unloaded_samples_are_gone_and_can_be_loaded_again(dataset: Dataset) -> None:
    dataset.load([0])
    first = dataset.sample(0).copy()
    dataset.unload()
    with pytest.raises(KeyError):
        dataset.sample(0)
    with pytest.raises(KeyError):
        dataset.batch([0])

    dataset.load([0])
    assert np.array_equal(dataset.sample(0), first)


def test_labels_and_count_follow_the_label_file(dataset: Dataset, folder: ImageFolder) -> None:
    assert dataset.count == COUNT
    assert tuple(dataset.label(index) for index in range(COUNT)) == folder.labels


def test_a_smaller_count_takes_the_first_lines(folder: ImageFolder) -> None:
    assert open_dataset(replace(folder.request(), total_count=4), None).count == 4


def test_images_may_lie_in_folders_of_their_own(folder: ImageFolder, tmp_path: Path) -> None:
    (tmp_path / "n01").mkdir()
    (tmp_path / "n01" / "a.JPEG").write_bytes((folder.path / "ILSVRC2012_val_00000001.JPEG").read_bytes())
    (tmp_path / "val_map.txt").write_text("n01/a.JPEG 0\n")

    dataset = open_dataset(replace(folder.request(), path=str(tmp_path)), None)
    dataset.load([0])

    assert dataset.sample(0).shape == (1, 3, 224, 224)


def test_a_missing_image_is_named_with_its_line(folder: ImageFolder, tmp_path: Path) -> None:
    text = folder.label_file.read_text() + "gone.JPEG 1\nalso/gone.JPEG 2\n"

    sentence = _with_lines(folder, tmp_path, text)

    assert f"labels.txt:{COUNT + 1}: the image 'gone.JPEG' is not in {folder.path}" in sentence
    assert "2 of 12 are missing" in sentence
    assert "mlperf_components.imagenet.path" in sentence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.JPEG 1\nb.JPEG\n", "labels.txt:2: expected '<file name> <class index>', found 'b.JPEG'"),
        ("a.JPEG one\n", "labels.txt:1: expected '<file name> <class index>', found 'a.JPEG one'"),
        ("490\n361\n", "labels.txt:1: expected '<file name> <class index>', found '490'"),  # ILSVRC's own ground truth
        ("a.JPEG 1\n\nb.JPEG 2\n", "labels.txt:2: expected '<file name> <class index>', found ''"),
        ("a.JPEG 1000\n", "labels.txt:1: class index 1000 is not in 0..999 (labels count from 0)"),
        ("a.JPEG -1\n", "labels.txt:1: class index -1 is not in 0..999"),
        ("", "labels.txt is empty"),
        ("\n \n", "labels.txt is empty"),
    ],
)
def test_a_wrong_label_file_is_answered_with_file_and_line(
    folder: ImageFolder, tmp_path: Path, text: str, expected: str
) -> None:
    assert expected in _with_lines(folder, tmp_path, text)


def test_a_picture_instead_of_a_label_file_is_answered_with_a_sentence(folder: ImageFolder) -> None:
    with pytest.raises(ConfigError, match=r"00001\.JPEG is not a label file: it is not text .*mlperf_components"):
        open_dataset(replace(folder.request(), label_file="ILSVRC2012_val_00000001.JPEG"), None)


def test_a_missing_label_file_says_what_to_set(folder: ImageFolder) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.txt is missing .*mlperf_components\.imagenet\.label_file"):
        open_dataset(replace(folder.request(), label_file="nowhere.txt"), None)


def test_too_few_lines_for_the_count_are_told(folder: ImageFolder) -> None:
    with pytest.raises(ConfigError, match="has 10 lines; 50000 samples are asked for"):
        open_dataset(replace(folder.request(), total_count=50_000), None)


def test_a_missing_folder_and_a_file_in_its_place_are_told_apart(folder: ImageFolder, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"folder of data set 'imagenet', is missing .*mlperf_components\.imagenet\.path"
    ):
        open_dataset(replace(folder.request(), path=str(tmp_path / "no")), None)
    with pytest.raises(ConfigError, match="is not a folder"):
        open_dataset(replace(folder.request(), path=str(folder.label_file)), None)


def test_an_image_that_ends_early_is_named(folder: ImageFolder, tmp_path: Path) -> None:
    whole = (folder.path / "ILSVRC2012_val_00000001.JPEG").read_bytes()
    (tmp_path / "cut.JPEG").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "val_map.txt").write_text("cut.JPEG 0\n")
    dataset = open_dataset(replace(folder.request(), path=str(tmp_path)), None)

    with pytest.raises(ConfigError, match=r"cut\.JPEG cannot be decoded"):
        dataset.load([0])
    with pytest.raises(KeyError):  # and nothing half is left that looks loaded
        dataset.sample(0)


def test_an_unknown_preprocess_key_names_the_nearest(folder: ImageFolder) -> None:
    request = replace(folder.request(), preprocess={**folder.request().preprocess, "resize_pix": 256})
    with pytest.raises(ResultError, match=r"dataset\.preprocess: unknown key 'resize_pix' \(did you mean 'resize_px'"):
        open_dataset(request, None)
