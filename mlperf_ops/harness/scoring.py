"""Accuracy out of LoadGen's accuracy log, in the form of the official scripts.

A task is one function here and one row of SCORERS. The other metrics of the rounds are scored on the controller
(mlperf_ops.accuracy), which uses `score_classes` too. This module is shipped to hosts: standard library only.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, SupportsInt, get_args

from mlperf_ops.errors import ResultError, unknown_name
from mlperf_ops.harness.accuracy_log import NUMBER_FORMATS, AnswerType, LabelType, Logged, first_responses
from mlperf_ops.harness.labels import labels_of
from mlperf_ops.model import Spec

# What an int32 class index looks like as a float32, and the other way round.
_SMALLEST_FLOAT, _LARGEST_CLASS = 1e-30, 100_000_000


class Labels(Protocol):
    """Class indices by sample: a tuple, or an array."""

    def __len__(self) -> int:
        """Count of samples."""

    def __getitem__(self, index: int, /) -> SupportsInt:
        """Class index of a sample."""


@dataclass(frozen=True, slots=True)
class Score:
    """What an accuracy log is worth."""

    value: float  # in `unit`
    unit: str
    sample_count: int
    good_count: int
    text: str  # accuracy.txt


def score(spec: Spec, log: Path, *, partial: bool = False) -> Score:
    """Score a cell's accuracy log.

    Args:
        spec: Whose task and data set count.
        log: mlperf_log_accuracy.json, whole.
        partial: The log holds the answers to some samples only (a compliance test's), which are all that is scored.

    Raises:
        ConfigError: The task has no scorer, or the label file is wrong.
        ResultError: The log is missing, cut off or does not cover all samples once.
    """
    if spec.task not in SCORERS:
        raise unknown_name("task", spec.task, SCORERS)
    return SCORERS[spec.task](spec, log, partial)


def score_classes(
    log: Path,
    labels: Labels,
    label_type: LabelType = "int64",
    *,
    partial: bool = False,
    source: str = "the label file",
) -> Score:
    """Score logged class indices against the labels: top-1 in percent.

    A sample that is logged more than once counts once, by its first entry. (Rule and line form: mlcommons/inference,
    vision/classification_and_detection/tools/accuracy-imagenet.py.)

    Args:
        log: mlperf_log_accuracy.json, whole.
        labels: Class index of every sample of the library.
        label_type: How the SUT wrote a class index into its response; our harness writes int64.
        partial: Score the samples that the log has, instead of refusing a log that lacks some.
        source: Where the labels come from, for error messages.

    Raises:
        ResultError: The log cannot be read, names a sample that does not exist, lacks one, or holds other numbers.
    """
    form = struct.Struct(NUMBER_FORMATS[label_type])
    good = total = 0
    for response in first_responses(log, len(labels), source, partial=partial):
        total += 1
        good += _class_index(response, form, label_type, log) == int(labels[response.index])
    value = 100.0 * good / total
    return Score(value, "%", total, good, f"accuracy={value:.3f}%, good={good}, total={total}\n")


def _class_index(response: Logged, form: struct.Struct, label_type: LabelType, log: Path) -> int:
    where = f"{log}: entry {response.number}"
    if len(response.data) != form.size:
        raise ResultError(
            f"{where}: data holds {len(response.data)} bytes; expected {form.size} ({label_type} class index)",
            hint=_another_type(response.data, label_type),
        )
    answer: float = form.unpack(response.data)[0]
    if not math.isfinite(answer):
        return -1
    if not _is_class(answer):
        raise ResultError(
            f"{where}: read as {label_type}, {answer:g} is no class index",
            hint=_another_type(response.data, label_type),
        )
    return int(answer)


def _is_class(answer: float) -> bool:
    return answer == 0 or _SMALLEST_FLOAT <= abs(answer) <= _LARGEST_CLASS


def _another_type(data: bytes, label_type: LabelType) -> str:
    """Return the hint: as which type the data is a class index, and the option that says so."""
    told = []
    known: tuple[LabelType, ...] = get_args(LabelType)
    for name in known:
        form = NUMBER_FORMATS[name]
        if name != label_type and len(data) == struct.calcsize(form):
            answer: float = struct.unpack(form, data)[0]
            if math.isfinite(answer) and _is_class(answer) and answer == int(answer):
                told.append(f"--parameter dtype={name} for class {answer:g}")
    if not told:
        return f"a class index is logged as one number: {', '.join(known)}"
    return f"does the SUT log another type? add {' or '.join(told)} to mlperf-ops accuracy"


def _image_classification(spec: Spec, log: Path, partial: bool) -> Score:  # noqa: FBT001  # called by table
    return score_classes(log, labels_of(spec.dataset).classes, partial=partial)


SCORERS: dict[str, Callable[[Spec, Path, bool], Score]] = {"image_classification": _image_classification}

# How a task's answers are written, which compliance tests compare.
ANSWER_TYPES: dict[str, AnswerType] = {"image_classification": "int64"}
