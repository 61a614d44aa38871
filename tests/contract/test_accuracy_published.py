"""Every accuracy.txt of the published rounds, read by the rounds' patterns.

MLPERF_RESULTS_V5_1 and MLPERF_RESULTS_V4_1 name checkouts of mlcommons/inference_results_v5.1 and _v4.1. The figures of
v5.1 are compared with its summary_results.json, which the official final report wrote.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlperf_ops.accuracy_txt import AccuracyText, read_accuracy_text
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.catalogue.round import AccuracyTarget

V5_1, V4_1 = os.environ.get("MLPERF_RESULTS_V5_1"), os.environ.get("MLPERF_RESULTS_V4_1")
ROUND = load_catalogue().round("v5.1")
# Benchmarks that v4.1 had and v5.1 has not, with the metrics that its checker read.
GONE = {"gptj-99": ["ROUGE1", "ROUGE2", "ROUGEL", "GEN_LEN"], "gptj-99.9": ["ROUGE1", "ROUGE2", "ROUGEL", "GEN_LEN"]}


def read(path: Path, targets: tuple[AccuracyTarget, ...]) -> AccuracyText:
    return read_accuracy_text(path, targets, ROUND.accuracy_regex, ROUND.hash_regex)


def shown(text: AccuracyText) -> str:
    """The column Accuracy as the official report writes it."""
    return "  ".join(f"{metric}: {number}" for metric, number in text.texts.items())


@pytest.mark.skipif(V5_1 is None, reason="MLPERF_RESULTS_V5_1 names no checkout of inference_results_v5.1")
def test_the_figures_of_v5_1_are_those_of_its_official_table() -> None:
    root = Path(str(V5_1))
    rows = json.loads((root / "summary_results.json").read_text())
    compared = 0
    different = []
    for row in rows:
        path = root / row["Location"] / "accuracy" / "accuracy.txt"
        found = read(path, ROUND.accuracy_targets(row["Model"], row["Scenario"]))
        compared += 1
        if dict(pair.split(": ") for pair in row["Accuracy"].split("  ")) != found.texts:
            different.append(f"{row['Location']}: {row['Accuracy']} | {shown(found)}")
    assert different == []
    assert compared == len(rows) > 1400


def _results(root: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(root.glob("*/*/results/*/*/*/accuracy/accuracy.txt")):
        yield path, path.parts[-4]


@pytest.mark.parametrize("root", [V5_1, V4_1], ids=["v5.1", "v4.1"])
def test_every_published_accuracy_txt_states_the_metrics_of_its_benchmark(root: str | None) -> None:
    if root is None:
        pytest.skip("MLPERF_RESULTS_V5_1 or MLPERF_RESULTS_V4_1 is not set")
    read_files, without, no_digest = 0, [], 0
    for path, directory in _results(Path(root)):
        model = ROUND.official_name(directory)
        if model is not None:
            targets = ROUND.accuracy_targets(model, "Offline")
        else:
            gone = next((names for name, names in GONE.items() if directory.startswith(name)), None)
            if gone is None:
                continue  # an own name of the open division
            targets = tuple(AccuracyTarget(metric=metric, min=0.0) for metric in gone)
        found = read(path, targets)
        read_files += 1
        no_digest += found.sha256 is None
        if found.missing or any(math.isnan(score.value) for score in found.scores):
            without.append(path.relative_to(root).as_posix())
    assert read_files > 800
    assert without == []
    assert no_digest == 0


@pytest.mark.skipif(V5_1 is None, reason="MLPERF_RESULTS_V5_1 names no checkout of inference_results_v5.1")
def test_closed_results_of_v5_1_meet_their_targets() -> None:
    root = Path(str(V5_1))
    missed = []
    for row in json.loads((root / "summary_results.json").read_text()):
        if row["Category"] == "closed":
            path = root / row["Location"] / "accuracy" / "accuracy.txt"
            found = read(path, ROUND.accuracy_targets(row["Model"], row["Scenario"]))
            missed += [f"{path}: {score.sentence}" for score in found.scores if not score.met]
    assert missed == []
