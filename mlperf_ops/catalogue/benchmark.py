"""Benchmarks: a model, its data and how they are used, mapped to a benchmark of the rounds."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import Field, JsonValue, model_validator
from typing_extensions import Self

from mlperf_ops.catalogue.base import CatalogueModel, Count, Entry, Name, Positive
from mlperf_ops.files import JsonObject

# What a benchmark is about. Those that the harness can run are in `mlperf_ops.harness.tasks`.
Task: TypeAlias = Literal[
    "image_classification",
    "object_detection",
    "point_cloud_detection",
    "segmentation",
    "language",
    "translation",
    "text_generation",
    "vision_language",
    "retrieval",
    "text_to_image",
    "text_to_video",
    "speech",
    "recommendation",
    "graph",
]


class TensorInput(CatalogueModel):
    """The model's input tensor. A size that the model leaves open is written as a name, such as "N"."""

    name: str
    layout: Literal["NCHW", "NHWC"]
    dtype: Literal["float32", "uint8", "int8"]
    shape: tuple[int | str, ...]


class TensorOutput(CatalogueModel):
    """The model's answer.

    `label_offset` is subtracted from the model's class index to get the label's: 1 for TensorFlow models with 1001
    classes, of which the first is background.
    """

    name: str
    kind: Literal["logits", "class_index"]
    label_offset: int = 0


class ModelEntry(CatalogueModel):
    """The model file and how to talk to it."""

    component: Name
    format: Literal["onnx"]
    input: TensorInput
    output: TensorOutput


class Preprocess(CatalogueModel):
    """From an image file to the input tensor; parameters of `mlperf_ops.harness.preprocess`.

    1. Decode to 8-bit RGB, upright by the EXIF orientation (grey and CMYK files are converted).
    2. `crop: resize_shorter_then_crop` (MLPerf's resnet50): resize so that the shorter side is `resize_px` and the
       other `int(resize_px * longer / shorter)`, then cut the middle `image_size_px` square, whose left is
       `(width - image_size_px) // 2` and top `(height - image_size_px) // 2`.
       `crop: central_fraction_then_resize` (EfficientNet-Lite): cut the middle square of side
       `min(width, height) * image_size_px // resize_px`, then resize it to `image_size_px`. The fraction is given as
       these two integers, and `crop_fraction` is only their quotient, so that no rounding can differ.
    3. `interpolation` is what the resize does. `area` (OpenCV's INTER_AREA, the official code's choice for resnet50):
       a target pixel is the mean of the source pixels that it covers, weighted by the covered part, and an enlargement
       is bilinear. `bilinear` and `bicubic`: PIL's filters of these names, which widen when shrinking. The result is
       8-bit again, rounded once. (PIL's BOX filter is not `area`: it takes whole pixels only.)
    4. `channel_order`, then float32 `(x - mean) / scale`: `mean` has one value per channel in that order, and x is
       0..255.
    5. The layout (NCHW or NHWC) is the model's, see `TensorInput.layout`.
    """

    kind: Literal["imagenet"]
    image_size_px: Count
    crop: Literal["central_fraction_then_resize", "resize_shorter_then_crop"]
    resize_px: Count
    interpolation: Literal["bilinear", "bicubic", "area"]
    channel_order: Literal["RGB", "BGR"] = "RGB"
    mean: tuple[float, float, float]
    scale: Positive

    @property
    def crop_fraction(self) -> float:
        """Side of the cut square over the shorter side, of the original image."""
        return self.image_size_px / self.resize_px


class Measurements(CatalogueModel):
    """What measurements.json says of the numbers; quote "no", which YAML reads as false."""

    input_data_types: str = Field(min_length=1)
    weight_data_types: str = Field(min_length=1)
    retraining: str = Field(min_length=1)
    weight_transformations: str = Field(min_length=1)


class Benchmark(Entry):
    """benchmarks/<name>.yaml: what a user writes under `mlperf_benchmarks[].benchmark`."""

    aliases: tuple[Name, ...] = ()
    official: bool = Field(description="The round's own model: allowed in the closed and network divisions.")
    maps_to: Name = Field(description="Benchmark of the round whose rules, targets and counts apply.")
    directory: Name = Field(description="Name below results/<system>/ in a submission.")
    task: Task
    model: ModelEntry | None = Field(default=None, description="None only for status data-only.")
    datasets: tuple[Name, ...] = Field(
        default=(),
        description="Components in order of preference; one with source user counts when the inventory has its path.",
    )
    preprocess_rules: Preprocess | None = Field(default=None, alias="preprocess")
    measurements: Measurements | None = None
    loadgen_conf_model: str | None = Field(
        default=None,
        description="Name that LoadGen's embedded mlperf.conf knows; None: it knows none.",
    )
    equal_issue: bool = Field(default=False, description="LoadGen issues every sample equally often.")
    status: Literal["runnable", "data-only"] = "runnable"
    note: str = Field(default="", description="data-only: what is missing to run it.")
    reference: str = Field(default="", description="Folder of the reference implementation in mlcommons/inference.")
    successor: Name | None = Field(default=None, description="Benchmark of a round that took its place.")
    family: Name | None = Field(default=None, description="Set of benchmarks that are swept together.")
    precisions: dict[str, str] = Field(
        default_factory=dict,
        description="Variants that a sweep runs: precision -> the variant's name in published results.",
    )

    @property
    def preprocess(self) -> JsonObject:
        """The parameters of `Preprocess` as JSON, for a spec; empty when there are none."""
        return {} if self.preprocess_rules is None else self.preprocess_rules.model_dump(mode="json")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.status == "runnable":
            needed = {"model": self.model, "preprocess": self.preprocess_rules, "measurements": self.measurements}
            missing = [key for key, value in needed.items() if value is None] + ([] if self.datasets else ["datasets"])
            if missing:
                raise ValueError(f"a runnable benchmark needs {', '.join(missing)}")
        elif not self.note:
            raise ValueError("a data-only benchmark needs note: a sentence that says what is missing to run it")
        return self


class FamilyMember(CatalogueModel):
    """One pattern of a family: every combination of the axes gives one benchmark."""

    axes: dict[str, tuple[str | int, ...]]
    entry: dict[str, JsonValue] = Field(description='Fields of a benchmark, with "{axis}" in its texts.')


class Family(CatalogueModel):
    """benchmarks/<family>.yaml with the key `family`: many alike benchmarks as a matrix."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    family: Name
    description: str = ""
    common: dict[str, JsonValue] = Field(default_factory=dict, description="Fields of every member.")
    matrix: tuple[FamilyMember, ...]


def expand(value: JsonValue, axes: dict[str, str | int]) -> Any:  # noqa: ANN401  # JSON in, JSON out
    """Fill "{axis}" into every text of a JSON value; a text that is one axis alone keeps the axis's type.

    Raises:
        KeyError: A text names an axis that does not exist.
    """
    if isinstance(value, dict):
        return {key: expand(item, axes) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item, axes) for item in value]
    if isinstance(value, str):
        whole = value[1:-1]
        return axes[whole] if value == f"{{{whole}}}" and whole in axes else value.format_map(axes)
    return value
