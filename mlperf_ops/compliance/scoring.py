"""Scores of compliance runs on the controller, which has no data set: by the labels kept beside a run's logs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from mlperf_ops.compliance.model import Options
from mlperf_ops.harness.accuracy_log import AnswerType
from mlperf_ops.harness.labels import read_labels
from mlperf_ops.harness.scoring import ANSWER_TYPES, SCORERS, score, score_classes
from mlperf_ops.harness.verdicts import LABELS
from mlperf_ops.model import Spec


def options_of(spec: Spec, folder: Path) -> Options:
    """Return what is known of the answers of a cell that our harness ran.

    Args:
        spec: The compliance cell's.
        folder: Its attempt.
    """
    return Options(answer_type=ANSWER_TYPES.get(spec.task), score=_kept(spec, folder))


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
    logged = answer_type or "int64"
    kind = "uint8" if logged == "byte" else logged  # a class index has no sign
    return lambda log: score_classes(log, classes, kind, partial=True).text
