"""Scores of compliance runs on the controller, which has no data set: by the labels kept beside a run's logs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from mlperf_ops.catalogue.compliance_rules import AnswerType
from mlperf_ops.compliance.model import Options
from mlperf_ops.harness.labels import read_labels
from mlperf_ops.harness.scoring import ANSWER_TYPES, SCORERS, LabelType, score, score_classes
from mlperf_ops.harness.verdicts import LABELS
from mlperf_ops.model import Spec

# The scorer and the official verification name the types of an answer differently; byte is the latter's uint8.
_LABEL_TYPES: dict[AnswerType, LabelType] = {"byte": "uint8", "int32": "int32", "int64": "int64", "float32": "float32"}
_ANSWER_TYPES: dict[LabelType, AnswerType] = {label: answer for answer, label in _LABEL_TYPES.items()}


def options_of(spec: Spec, folder: Path) -> Options:
    """Return what is known of the answers of a cell that our harness ran.

    Args:
        spec: The compliance cell's.
        folder: Its attempt.
    """
    logged = ANSWER_TYPES.get(spec.task)
    return Options(answer_type=None if logged is None else _ANSWER_TYPES[logged], score=_kept(spec, folder))


def _kept(spec: Spec, folder: Path) -> Callable[[Path], str] | None:
    if spec.task not in SCORERS or not (folder / LABELS).is_file():
        return None
    here = dataclasses.replace(spec.dataset, path=str(folder), label_file=LABELS)
    own = dataclasses.replace(spec, dataset=here)
    return lambda log: score(own, log, partial=True).text


def by_labels(labels: Path, answer_type: AnswerType | None) -> Callable[[Path], str]:
    """Return a scorer of image classification for logs that were made elsewhere.

    Raises:
        ConfigError: The label file is missing or none.
    """
    classes = read_labels(labels).classes
    kind = _LABEL_TYPES.get(answer_type or "int64", "int64")
    return lambda log: score_classes(log, classes, kind, partial=True).text
