"""TEST08: the answers of a recommender's performance run are as good as those of its accuracy run, query by query.

An accuracy answer holds [ts_idx, query_idx, predictions…, labels…, weights…, n] and one of the test
[ts_idx, query_idx, predictions…], as little-endian float32. The normalized entropy of both, with the accuracy run's
labels and weights, may differ by the round's tolerance. Rule: mlcommons/inference, compliance/TEST08,
run_verification.py.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlperf_ops.compliance.model import Judgement, Request
from mlperf_ops.errors import ResultError
from mlperf_ops.harness.accuracy_log import ACCURACY_LOG, Logged, read_responses

Floats: TypeAlias = NDArray[np.float32]
Key: TypeAlias = tuple[int, int]

_EPSILON = 1e-7
_HEAD, _PARTS = 2, 3  # numbers before the predictions; predictions, labels and weights
_SHOWN = 3
_KEPT_BACK = "run accuracy and test again with the same model, data and options"


def judge_entropy(request: Request, accuracy: Path) -> Judgement:
    """Compare the entropies of all queries that the test has logged.

    Raises:
        ResultError: A log cannot be read, or an answer has another form.
    """
    tolerance = request.rules.relative_tolerance or 0.0
    test_log, accuracy_log = request.runs.test / ACCURACY_LOG, accuracy / ACCURACY_LOG
    tested = [
        (_key(numbers), numbers[_HEAD:]) for numbers in (_numbers(one, test_log) for one in read_responses(test_log))
    ]
    wanted = {key for key, _ in tested}
    known: dict[Key, tuple[Floats, Floats, Floats]] = {}
    count = 0
    for answer in read_responses(accuracy_log):
        count += 1
        key, parts = _accuracy_answer(answer, accuracy_log)
        if key in wanted:
            known[key] = parts
    different: list[str] = []
    matched = 0
    for key, predictions in tested:
        if key not in known:
            continue
        matched += 1
        before, labels, weights = known[key]
        if len(predictions) != len(labels):
            raise ResultError(
                f"{test_log}: query {key} has {len(predictions)} predictions and {len(labels)} in the accuracy run"
            )
        if told := _difference(_entropy(before, labels, weights), _entropy(predictions, labels, weights), tolerance):
            different.append(f"query {key}: {told}")
    unmatched = len(tested) - matched
    lines = (
        f"answers logged in the accuracy run: {count}",
        f"answers logged in the test: {len(tested)}",
        f"compared by (ts_idx, query_idx): {matched}",
        f"without an answer in the accuracy run: {unmatched}",
        f"normalized entropy differs by more than {tolerance * 100:g} %: {len(different)}",
        *different[:_SHOWN],
    )
    reasons = []
    if different:
        reasons.append(f"the normalized entropy of {len(different)} of {matched} queries differs: {different[0]}")
    if unmatched:
        reasons.append(f"the accuracy run has no answer to {unmatched} of {len(tested)} queries of the test")
    if not tested:
        reasons.append("the test logged no answer")
    return Judgement(passed=not reasons, lines=lines, reasons=tuple(reasons), remedy=_KEPT_BACK)


def _numbers(answer: Logged, log: Path) -> Floats:
    if len(answer.data) % 4 or len(answer.data) < 4 * _HEAD:
        raise ResultError(
            f"{log}: qsl_idx {answer.index}: {len(answer.data)} bytes are no [ts_idx, query_idx, …] of float32"
        )
    return np.frombuffer(answer.data, "<f4")


def _key(numbers: Floats) -> Key:
    return int(numbers[0]), int(numbers[1])


def _accuracy_answer(answer: Logged, log: Path) -> tuple[Key, tuple[Floats, Floats, Floats]]:
    numbers = _numbers(answer, log)
    count = int(numbers[-1]) if math.isfinite(float(numbers[-1])) else -1
    if count < 0 or len(numbers) != _HEAD + 1 + _PARTS * count:
        raise ResultError(
            f"{log}: qsl_idx {answer.index}: {len(numbers)} numbers do not hold {count} candidates, as the last says"
        )
    parts = [numbers[_HEAD + part * count : _HEAD + (part + 1) * count] for part in range(_PARTS)]
    return _key(numbers), (parts[0], parts[1], parts[2])


def _entropy(predictions: Floats, labels: Floats, weights: Floats) -> float:
    """Normalized entropy: weighted cross entropy over that of the labels' mean; 0 where it has no meaning."""
    predictions, labels = np.clip(predictions, _EPSILON, 1 - _EPSILON), np.clip(labels, _EPSILON, 1 - _EPSILON)
    total = np.sum(weights)
    if total == 0:
        return 0.0
    cross = -np.sum(weights * (labels * np.log(predictions) + (1 - labels) * np.log(1 - predictions)))
    mean = np.clip(np.sum(weights * labels) / total, _EPSILON, 1 - _EPSILON)
    base = -mean * np.log(mean) - (1 - mean) * np.log(1 - mean)
    return float(cross / (base * total)) if base else 0.0


def _difference(before: float, after: float, tolerance: float) -> str | None:
    if before == after == 0:
        return None
    if 0 in (before, after) or abs(after - before) / abs(before) > tolerance:
        return f"{after:.6f} in the test and {before:.6f} in the accuracy run"
    return None
