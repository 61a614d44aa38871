"""AUC of click prediction (official: accuracy-dlrm.py of dlrm_v2).

A response is float32 [items, 2], predictions beside their labels; or, with `--labels day_23 --trace FILE`, the
predictions alone: line i of the trace says how many items sample i has, and day_23 holds their labels in order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mlperf_ops.accuracy.model import Array, Request, Scored, library, values_of
from mlperf_ops.catalogue.scorer_parameters import Clicks
from mlperf_ops.errors import ConfigError, ResultError
from mlperf_ops.harness.accuracy_log import Logged, first_responses, read_responses

_TRACE_COLUMN = 2  # items of the sample


def score(request: Request, parameters: Clicks) -> Scored:
    """Return the area under the ROC curve and the share of right answers, in percent."""
    metrics = library("sklearn.metrics", "scikit-learn")
    given = "labels" in request.inputs
    pairs = list(_with_labels(request, parameters) if given else _beside_labels(request, parameters))
    said = np.concatenate([answer for answer, _ in pairs])
    right = np.concatenate([label for _, label in pairs])
    if not np.isfinite(said).all():
        raise ResultError(f"{request.log} holds a prediction that is not finite")
    if set(np.unique(right).tolist()) != {0, 1}:
        raise ResultError(
            f"the labels are {', '.join(f'{value:g}' for value in np.unique(right)[:5])}; expected 0 and 1, both",
            hint=None if given else "does the log carry predictions alone? then --labels and --trace are needed",
        )
    area = float(metrics.roc_auc_score(right, said))
    good, total = int(np.count_nonzero(said.round() == right)), len(said)
    text = f"AUC={100.0 * area:.3f}%, accuracy={100.0 * good / total:.3f}%, good={good}, total={total}"
    return Scored(f"{text}, queries={len(pairs)}\n", len(pairs), {"AUC": area, "good": good, "items": total})


def _beside_labels(request: Request, parameters: Clicks) -> Iterator[tuple[Array, Array]]:
    count = parameters.sample_count or _highest(request.log) + 1
    for response in first_responses(request.log, count, "the round", partial=request.partial):
        rows = values_of(response, parameters.dtype, request.log, per_item=2).reshape(-1, 2)
        yield rows[:, 0], rows[:, 1]


def _highest(log: Path) -> int:
    return max((response.index for response in read_responses(log)), default=-1)


def _with_labels(request: Request, parameters: Clicks) -> Iterator[tuple[Array, Array]]:
    trace = request.input("trace")
    starts = _starts(trace)
    labels = _labels(request.input("labels"), int(starts[-1]))
    for response in first_responses(request.log, len(starts) - 1, str(trace), partial=request.partial):
        said = values_of(response, parameters.dtype, request.log)
        right = labels[starts[response.index] : starts[response.index + 1]]
        _same_length(response, said, right, request.log, trace)
        yield said, right


def _same_length(response: Logged, said: Array, right: Array, log: Path, trace: Path) -> None:
    if len(said) != len(right):
        raise ResultError(
            f"{log}: entry {response.number}: {len(said)} predictions; {trace}:{response.index + 1} says {len(right)}",
            hint="does the log carry labels beside the predictions? then leave --labels and --trace out",
        )


def _starts(trace: Path) -> Array:
    """First item of each sample, and behind the last one the count of all [samples + 1]."""
    starts = [0]
    try:
        with trace.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    items = int(line.split(",")[_TRACE_COLUMN])
                except (IndexError, ValueError) as error:
                    raise ConfigError(
                        f"{trace}:{number}: expected '<first>, <last>, <items>', found {line.strip()[:40]!r}"
                    ) from error
                starts.append(starts[-1] + items)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the trace {trace}: {error}") from error
    return np.array(starts)


def _labels(path: Path, count: int) -> Array:
    """Labels of the first `count` lines, int8."""
    labels = np.zeros(count, np.int8)
    number = 0
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(itertools.islice(stream, count), start=1):
                label = line.split(b"\t", 1)[0].strip()
                if label not in (b"0", b"1"):
                    raise ConfigError(f"{path}:{number}: expected 0 or 1 and a tab, found {label[:20]!r}")
                labels[number - 1] = label == b"1"
    except OSError as error:
        raise ConfigError(f"cannot read the labels {path}: {error.strerror or error}") from error
    if number < count:
        raise ConfigError(f"{path} has {number} lines; the trace names {count} items")
    return labels
