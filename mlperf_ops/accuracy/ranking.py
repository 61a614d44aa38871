"""Normalised entropy, accuracy and session AUC of dlrm-v3 (official: recommendation/dlrm_v3/accuracy.py, by torchrec).

A response is float32 [3 + 3 n]: time step, query, n predictions, n labels, n weights, n. torchrec needs PyTorch, so its
three formulas are here in numpy (torchrec 1.3.0, metrics/ne.py, accuracy.py, gauc.py: the lifetime values, one task).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlperf_ops.accuracy.model import Array, Request, Scored, values_of
from mlperf_ops.catalogue.scorer_parameters import Ranking
from mlperf_ops.errors import ResultError
from mlperf_ops.harness.accuracy_log import read_responses

_FIXED_FIELDS = 3
_ETA = 1e-12  # torchrec keeps probabilities this far from 0 and 1
_THRESHOLD = 0.5


@dataclass(slots=True)
class Sums:
    """What the three metrics add up over the responses."""

    cross_entropy: float = 0.0
    weights: float = 0.0
    positive: float = 0.0
    negative: float = 0.0
    right: float = 0.0
    area: float = 0.0
    sessions: int = 0

    def add(self, said: Array, labels: Array, weights: Array) -> None:
        """Add one response: predictions, labels 0 or 1, and weights, each float32 [n]."""
        chance = np.clip(said.astype(np.float64), _ETA, 1 - _ETA)
        loss = -weights * labels * np.log2(chance) - weights * (1.0 - labels) * np.log2(1.0 - chance)
        self.cross_entropy += float(loss.sum())
        self.weights += float(weights.sum())
        self.positive += float((weights * labels).sum())
        self.negative += float((weights * (1.0 - labels)).sum())
        self.right += float((weights * ((said.astype(np.float64) >= _THRESHOLD) == labels)).sum())
        area = session_auc(said, labels, weights)
        if area is not None:
            self.area += area
            self.sessions += 1

    def normalised_entropy(self) -> float:
        """Cross entropy over that of always predicting the mean label."""
        mean = min(max(self.positive / self.weights, _ETA), 1 - _ETA)
        return self.cross_entropy / float(-self.positive * np.log2(mean) - self.negative * np.log2(1.0 - mean))


def session_auc(said: Array, labels: Array, weights: Array) -> float | None:
    """Return the weighted AUC of one session; None where labels of positive weight, or predictions, are of one kind.

    All float32 [n]. Among equal predictions the order is the log's; torch leaves it open.
    """
    order = np.argsort(said, kind="stable")
    clicked = (labels * weights)[order]
    passed = ((1 - labels) * weights)[order]
    positive, negative = clicked.sum(), passed.sum()
    if not (positive > 0 and negative > 0) or np.all((said == said[0]) | (said == 0)):
        return None
    below = np.cumsum(passed, dtype=np.float64).astype(np.float32)  # torch adds up in double, and keeps floats
    return float((clicked * below).sum() / (positive * negative + np.float32(1e-10)))


def score(request: Request, parameters: Ranking) -> Scored:
    """Return the three figures over all responses; every response counts, as officially."""
    sums, count = Sums(), 0
    for response in read_responses(request.log):
        data = values_of(response, "float32", request.log, known=("float32",))
        items = int(data[-1]) if len(data) and np.isfinite(data[-1]) else -1
        if items < 1 or len(data) != _FIXED_FIELDS + 3 * items:
            raise ResultError(
                f"{request.log}: entry {response.number}: {len(data)} numbers, of which the last says {items} "
                "candidates; expected 3 + 3 per candidate"
            )
        count += 1
        sums.add(data[2 : 2 + items], data[2 + items : 2 + 2 * items], data[2 + 2 * items : -1])
    expected = parameters.sample_count
    if not count or (expected and count != expected and not request.partial):
        raise ResultError(
            f"{request.log} holds {count} responses; expected {expected or 'some'}", hint="was the run interrupted?"
        )
    if not sums.weights or not sums.positive or not sums.negative:
        raise ResultError(f"{request.log}: the labels are all of one kind, or have no weight")
    figures = {
        "ne": sums.normalised_entropy(),
        "accuracy": sums.right / sums.weights,
        "gauc": (sums.area + 1e-9) / (sums.sessions + 2e-9),
    }
    text = "".join(f"WARNING:main:metric/lifetime_{name}/{parameters.task}: {v}\n" for name, v in figures.items())
    return Scored(text, count, {**figures, "sessions": sums.sessions})
