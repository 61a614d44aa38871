"""Trees of simulated results: nobody gets one by mistake, and none is without its marks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlperf_ops.aggregate import aggregate
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.checker import check_tree
from mlperf_ops.errors import SubmissionError
from mlperf_ops.model import Cell
from mlperf_ops.simulated import MARK_TEXT, build
from tests.support.attempts import Lab, RealLogs, make_spec, snapshot

CATALOGUE = load_catalogue()


def simulated_lab(folder: Path, logs: RealLogs, submitter: str = "TEST-ONLY") -> Lab:
    lab = Lab(folder / "results" / "demo", logs, submitter=submitter)
    for mode in ("performance", "accuracy"):
        cell = Cell("node1", "efficientnet-lite0", "Offline", mode)
        lab.cell("Offline", mode, spec=make_spec(cell, simulated=True))
    lab.write()
    return lab


def test_aggregate_refuses_what_the_test_tree_is_made_of(tmp_path: Path, real_logs: RealLogs) -> None:
    lab = simulated_lab(tmp_path, real_logs)
    with pytest.raises(SubmissionError) as caught:
        aggregate(lab.run, CATALOGUE.round("v6.1"), CATALOGUE)
    assert "simulated" in str(caught.value)
    build(lab.run, CATALOGUE)
    assert not (lab.run / "submission").exists()


def test_every_place_that_is_looked_at_carries_the_mark(tmp_path: Path, real_logs: RealLogs) -> None:
    lab = simulated_lab(tmp_path, real_logs)
    tree, _, _ = build(lab.run, CATALOGUE)
    assert tree == lab.run / "simulated"
    files = snapshot(tree)
    for name, content in files.items():
        if name.endswith(("README.md", "SIMULATED.md")):
            assert content.startswith(MARK_TEXT.encode())
        if name.endswith("measurements.json") or "/systems/" in name:
            assert json.loads(content)["simulated"] == "true"
    assert "SIMULATED.md" in files
    report = check_tree(tree, CATALOGUE.round("v6.1"))
    assert report.verdict == "rejected"
    places = {found.location for found in report.findings if found.rule == "simulated"}
    assert len(places) == 3  # the top, the system, the result


def test_no_other_submitter_gets_such_a_tree(tmp_path: Path, real_logs: RealLogs) -> None:
    lab = simulated_lab(tmp_path, real_logs, submitter="Example")
    with pytest.raises(SubmissionError) as caught:
        build(lab.run, CATALOGUE)
    assert "only made for TEST-ONLY" in str(caught.value)
    assert not (lab.run / "simulated").exists()
