"""Accuracy out of LoadGen's accuracy log, in the form of the official scripts.

A task is one function here and one row of SCORERS. This module is shipped to hosts: standard library only.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mlperf_ops.errors import ResultError, unknown_name
from mlperf_ops.harness.labels import labels_of
from mlperf_ops.model import Spec

LabelType = Literal["int64", "int32", "float32"]

# little-endian formats of the class index in a response; the harness logs int64, other SUTs may not
_FORMATS: dict[LabelType, str] = {"int64": "<q", "int32": "<i", "float32": "<f"}
_SHOWN = 5


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


def score_classes(log: Path, labels: Sequence[int], label_type: LabelType = "int64", *, partial: bool = False) -> Score:
    """Score logged class indices against the labels: top-1 in percent.

    A sample that is logged more than once counts once, by its first entry: LoadGen's MultiStream pads the last query
    with samples that it asked for before. (Rule and line form: mlcommons/inference,
    vision/classification_and_detection/tools/accuracy-imagenet.py.)

    Args:
        log: mlperf_log_accuracy.json, whole.
        labels: Class index of every sample of the library.
        label_type: How the SUT wrote a class index into its response.
        partial: Score the logged samples only; else a missing one is an error.

    Raises:
        ResultError: The log cannot be read, names a sample that does not exist, or lacks one.
    """
    found = _read_classes(log, len(labels), label_type)
    missing = [index for index in range(len(labels)) if index not in found]
    if missing and (not partial or not found):
        shown = ", ".join(map(str, missing[:_SHOWN])) + (", …" if len(missing) > _SHOWN else "")
        raise ResultError(
            f"{log} lacks {len(missing)} of {len(labels)} samples (qsl_idx {shown})",
            hint="an accuracy run has to answer every sample of the label file; was the run interrupted?",
        )
    total = len(found)
    good = sum(answer == labels[index] for index, answer in found.items())
    value = 100.0 * good / total
    return Score(value, "%", total, good, f"accuracy={value:.3f}%, good={good}, total={total}\n")


def _read_classes(log: Path, sample_count: int, label_type: LabelType) -> dict[int, int]:
    """First logged class of each sample."""
    form = struct.Struct(_FORMATS[label_type])
    found: dict[int, int] = {}
    for number, entry in enumerate(_entries(log)):
        where = f"{log}: entry {number}"
        try:
            index, data = entry["qsl_idx"], bytes.fromhex(entry["data"])
        except (TypeError, KeyError, ValueError) as error:
            raise ResultError(f"{where}: expected an object with qsl_idx and data in hexadecimal") from error
        if not isinstance(index, int) or not 0 <= index < sample_count:
            raise ResultError(
                f"{where}: qsl_idx {index} is not a sample; the label file has {sample_count}",
                hint="does the label file belong to this run?",
            )
        if len(data) != form.size:
            raise ResultError(f"{where}: data holds {len(data)} bytes; expected {form.size} ({label_type} class index)")
        answer = form.unpack(data)[0]
        found.setdefault(index, int(answer) if math.isfinite(answer) else -1)
    return found


def _entries(log: Path) -> list[Any]:
    try:
        entries = json.loads(log.read_bytes())
    except FileNotFoundError as error:
        raise ResultError(f"{log} is missing", hint="was the run interrupted?") from error
    except OSError as error:
        raise ResultError(f"cannot read {log}: {error.strerror or error}") from error
    except ValueError as error:
        raise ResultError(
            f"{log} is not whole JSON: {error}", hint="the run was interrupted, or the log is a truncated copy"
        ) from error
    if not isinstance(entries, list):
        raise ResultError(f"{log} holds a {type(entries).__name__}; expected a list of responses")
    return entries


def _image_classification(spec: Spec, log: Path, partial: bool) -> Score:  # noqa: FBT001  # called by table
    return score_classes(log, labels_of(spec.dataset).classes, partial=partial)


SCORERS: dict[str, Callable[[Spec, Path, bool], Score]] = {"image_classification": _image_classification}

# How a task's answers are written, which compliance tests compare.
ANSWER_TYPES: dict[str, LabelType] = {"image_classification": "int64"}
