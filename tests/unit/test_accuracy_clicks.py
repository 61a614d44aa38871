"""Clicks and rankings against figures that follow from the definitions."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from mlperf_ops.accuracy.model import library
from mlperf_ops.accuracy.ranking import session_auc
from mlperf_ops.errors import ConfigError, ResultError
from tests.support import accuracy_logs as made
from tests.support.accuracy_scores import log_of, score


def test_predictions_in_perfect_order_have_an_area_of_one(tmp_path: Path) -> None:
    rows = np.array([[0.9, 1], [0.2, 0], [0.6, 1], [0.7, 0]], "<f4")
    found = score("clicks", {"log": log_of(tmp_path, rows[:3].tobytes(), rows[3:].tobytes())})
    assert found.text == "AUC=75.000%, accuracy=75.000%, good=3, total=4, queries=2\n"


def test_a_click_log_without_labels_is_told(tmp_path: Path) -> None:
    inputs = {"log": log_of(tmp_path, np.array([0.9, 0.2], "<f4").tobytes())}
    with pytest.raises(ResultError, match=r"expected 0 and 1, both.*--labels and --trace are needed"):
        score("clicks", inputs)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("trace", "0, 1\n", r"trace\.txt:1: expected '<first>, <last>, <items>'"),
        ("labels", "1\t0\n2\t0\n", r"day_23:2: expected 0 or 1 and a tab"),
        ("labels", "1\t0\n", "day_23 has 1 lines; the trace names 1000 items"),
    ],
)
def test_labels_of_clicks_are_checked_line_by_line(tmp_path: Path, name: str, content: str, told: str) -> None:
    inputs = made.clicks(tmp_path, beside=False)
    inputs[name].write_text(content)
    with pytest.raises(ConfigError, match=told):
        score("clicks", inputs)


def test_another_number_of_predictions_than_the_trace_says_is_told(tmp_path: Path) -> None:
    (tmp_path / "apart").mkdir()
    apart = made.clicks(tmp_path / "apart", beside=False)
    beside = made.clicks(tmp_path, beside=True)
    with pytest.raises(ResultError, match=r"predictions; .*trace\.txt:\d+ says"):
        score("clicks", apart | beside)


def test_a_coin_has_an_entropy_of_one(tmp_path: Path) -> None:
    answers = [
        np.array([90, n, 0.5, 0.5, 1, 0, 1, 1, 2], "<f4").tobytes()
        for n in range(3)  # time, query, two predictions, labels, weights, count
    ]
    found = score("ranking", {"log": log_of(tmp_path, *answers)})
    assert found.details["ne"] == pytest.approx(1.0)
    assert found.details["accuracy"] == pytest.approx(0.5)
    assert found.details["sessions"] == 0  # equal predictions rank nothing
    assert found.text.splitlines()[0] == "WARNING:main:metric/lifetime_ne/rating: 1.0"


def test_ranking_figures_are_those_of_their_definitions(tmp_path: Path) -> None:
    """Against scikit-learn, where weights are one; torchrec itself needs PyTorch."""
    metrics = library("sklearn.metrics", "scikit-learn")
    inputs = made.sessions(tmp_path)
    said, right, areas, rows = [], [], [], []
    for entry in json.loads(inputs["log"].read_text()):
        data = np.frombuffer(bytes.fromhex(entry["data"]), "<f4").copy()
        items = int(data[-1])
        one, label = data[2 : 2 + items], data[2 + items : 2 + 2 * items]
        said.append(one)
        right.append(label)
        if 0 < label.sum() < items and len(set(one.tolist())) > 1 and len(set(one[one != 0].tolist())) > 1:
            areas.append(metrics.roc_auc_score(label, one))
        data[2 + 2 * items : -1] = 1
        entry["data"] = data.tobytes().hex()
        rows.append(entry)
    inputs["log"].write_text(json.dumps(rows))
    found = score("ranking", inputs).details
    every, labels = np.concatenate(said), np.concatenate(right)
    mean = labels.mean()
    base = -(mean * math.log2(mean) + (1 - mean) * math.log2(1 - mean))
    loss = metrics.log_loss(labels, np.clip(every.astype(float), 1e-12, 1 - 1e-12)) / math.log(2)
    assert found["ne"] == pytest.approx(loss / base, rel=1e-6)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, every >= 0.5))
    assert found["gauc"] == pytest.approx(np.mean(areas), abs=2e-3)  # equal predictions are ranked, not halved


def _area(said: list[float], labels: list[int], weights: list[float]) -> float | None:
    return session_auc(np.array(said, "f4"), np.array(labels, "f4"), np.array(weights, "f4"))


def test_a_session_of_one_kind_ranks_nothing() -> None:
    assert _area([0.1, 0.2], [1, 1], [1, 1]) is None
    assert _area([0.1, 0.2], [1, 0], [1, 0]) is None, "what has no weight is not of the other kind"
    assert _area([0.9, 0.2, 0.4], [1, 0, 0], [1, 1, 1]) == pytest.approx(1.0)


def test_a_session_is_ranked_by_weight() -> None:
    """The click stands above a weight of 1 and below one of 3."""
    assert _area([0.5, 0.2, 0.8], [1, 0, 0], [1, 1, 3]) == pytest.approx(0.25)
    assert _area([0.5, 0.2, 0.8], [1, 0, 0], [1, 1, 0]) == pytest.approx(1.0)


def test_a_ranking_response_of_another_length_is_told(tmp_path: Path) -> None:
    inputs = {"log": log_of(tmp_path, np.array([90, 1, 0.5, 1, 1, 3], "<f4").tobytes())}
    with pytest.raises(ResultError, match="6 numbers, of which the last says 3 candidates"):
        score("ranking", inputs)
