"""Scores of compliance runs on the controller, which has no data set: by the labels kept beside a run's logs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from mlperf_ops.attempts import IMPORTED
from mlperf_ops.claims import ORIGIN
from mlperf_ops.compliance.model import VERIFY_ACCURACY, Options
from mlperf_ops.compliance.sampled import BASELINE, COMPLIANCE
from mlperf_ops.errors import ResultError
from mlperf_ops.files import read_json
from mlperf_ops.harness.accuracy_log import AnswerType
from mlperf_ops.harness.labels import read_labels
from mlperf_ops.harness.scoring import ANSWER_TYPES, SCORERS, score, score_classes
from mlperf_ops.harness.verdicts import ACCURACY_TXT, LABELS
from mlperf_ops.model import Spec


def options_of(spec: Spec, folder: Path) -> Options:
    """Return what is known of the answers of a compliance cell: what our harness kept, or what its maker says.

    Args:
        spec: The compliance cell's.
        folder: Its attempt.

    Raises:
        ResultError: A file of an imported attempt cannot be read, or import.json has another form.
    """
    if spec.implementation == IMPORTED:
        return _told(folder)
    return Options(answer_type=ANSWER_TYPES.get(spec.task), score=_kept(spec, folder))


def _told(folder: Path) -> Options:
    """Return what an imported attempt says: answers cannot be scored here, so the maker's scores stand for them."""
    origin = read_json(folder / ORIGIN)
    kind, token = origin.get("answer_type"), origin.get("eos_token_id")
    scores = _text(folder / ACCURACY_TXT)
    return Options(
        answer_type=next((one for one in get_args(AnswerType) if one == kind), None),
        eos_token_id=token if isinstance(token, int) else None,
        baseline_text=_text(folder / BASELINE),
        compliance_text=_text(folder / COMPLIANCE) or scores,
        accuracy_text=scores,
        answers_text=_text(folder / VERIFY_ACCURACY),
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace") if path.is_file() else None
    except OSError as error:
        raise ResultError(f"cannot read {path}: {error.strerror or error}") from error


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
