"""Compliance cells of a results folder, on real LoadGen logs: verified, packed and told of by aggregation."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mlperf_ops.aggregate import AggregateReport, aggregate
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.files import read_json, sha256_file
from mlperf_ops.matrix import MatrixCell
from mlperf_ops.model import Mode
from mlperf_ops.report.gather import read_run
from mlperf_ops.report.html import verdict_page
from mlperf_ops.report.text import verdict_lines
from tests.support.attempts import Lab, RealLogs, make_spec, snapshot
from tests.support.long_logs import LongLogs

pytest.importorskip("mlperf_loadgen", reason="LoadGen is not installed (extra: harness)")
pytestmark = pytest.mark.integration

CATALOGUE = load_catalogue()
PLACE = "closed/TEST-ONLY/results/node1/resnet50/Offline"


@pytest.fixture
def logs(tmp_path_factory: pytest.TempPathFactory) -> LongLogs:
    return LongLogs(tmp_path_factory.mktemp("logs"))


def closed_lab(folder: Path, logs: RealLogs, *modes: Mode) -> Lab:
    lab = Lab(folder / "results" / "demo", logs, division="closed")
    for mode in modes:
        lab.cell("Offline", mode, benchmark="resnet50")
    return lab


def packed(lab: Lab) -> AggregateReport:
    return aggregate(lab.write(), CATALOGUE.round("v6.1"), CATALOGUE)


def standing(report: AggregateReport, mode: str) -> MatrixCell:
    row = next(row for row in report.matrix if row.scenario == "Offline")
    return next(cell for cell in row.cells if cell.cell == mode)


def test_passed_tests_are_packed_with_shortened_logs_and_whole_ones_are_kept(logs: LongLogs, tmp_path: Path) -> None:
    lab = closed_lab(tmp_path, logs, "accuracy", "performance", "TEST01", "TEST04")
    report = packed(lab)
    assert [(one.key, one.passed) for one in report.tests] == [
        ("node1/resnet50/Offline/TEST01", True),
        ("node1/resnet50/Offline/TEST04", True),
    ], report.tests
    files = snapshot(report.tree)
    names = {name.removeprefix(f"{PLACE}/") for name in files if name.startswith(f"{PLACE}/TEST")}
    assert names == {
        "TEST01/verify_accuracy.txt",
        "TEST01/verify_performance.txt",
        "TEST01/performance/run_1/mlperf_log_summary.txt",
        "TEST01/performance/run_1/mlperf_log_detail.txt",
        "TEST01/accuracy/mlperf_log_accuracy.json",
        "TEST01/accuracy/accuracy.txt",
        "TEST04/verify_performance.txt",
        "TEST04/performance/run_1/mlperf_log_summary.txt",
        "TEST04/performance/run_1/mlperf_log_detail.txt",
    }
    assert b"TEST PASS" in files[f"{PLACE}/TEST01/verify_accuracy.txt"].splitlines()
    log = f"{PLACE}/TEST01/accuracy/mlperf_log_accuracy.json"
    whole = lab.run / "full_logs" / log
    assert len(files[log]) <= 10_240
    accuracy_text = files[f"{PLACE}/TEST01/accuracy/accuracy.txt"].decode()
    assert accuracy_text.startswith("accuracy=100.000%, good=1, total=1")
    assert accuracy_text.splitlines()[-1] == f"hash={sha256_file(whole)}"
    assert standing(report, "TEST01").state == "valid"
    before = snapshot(lab.run)
    assert not packed(lab).changed
    assert snapshot(lab.run) == before


def test_a_failed_test_is_packed_as_what_it_is_and_named_everywhere(logs: LongLogs, tmp_path: Path) -> None:
    logs.rates["TEST04"] = 1250
    lab = closed_lab(tmp_path, logs, "accuracy", "performance", "TEST01", "TEST04")
    report = packed(lab)
    text = snapshot(report.tree)[f"{PLACE}/TEST04/verify_performance.txt"]
    assert text.endswith(b"TEST FAIL\n")
    assert b"TEST PASS" not in text
    found = standing(report, "TEST04")
    assert found.state == "failed test"
    assert "25.0 % faster than the performance run" in found.reason
    assert "compliance_min_duration_ms" in found.reason
    run = read_run(lab.run, CATALOGUE)
    shown = verdict_lines(run, "report.html")
    assert "TEST01 passed, TEST04 failed" in shown
    assert "node1/resnet50/Offline/TEST04: the test is 25.0 % faster" in shown
    page = verdict_page(run)
    assert "audit.config" in page
    assert "*.*.performance_issue_same = 1" in page


def test_a_log_that_cannot_be_read_is_a_sentence_and_no_folder(logs: LongLogs, tmp_path: Path) -> None:
    lab = closed_lab(tmp_path, logs, "accuracy", "performance")
    raw = logs.get("Offline", "TEST01")
    log = raw / "mlperf_log_accuracy.json"
    log.write_text(log.read_text()[:40])
    lab.cell("Offline", "TEST01", benchmark="resnet50")
    report = packed(lab)
    (outcome,) = report.tests
    assert "is not whole JSON: entry 0" in outcome.sentence
    assert not (report.tree / PLACE / "TEST01").exists()
    assert (report.tree / PLACE / "performance").is_dir()


def test_a_test_without_a_result_leaves_the_scenario_in_and_is_missing(logs: LongLogs, tmp_path: Path) -> None:
    lab = closed_lab(tmp_path, logs, "accuracy", "performance", "TEST01")
    lab.cell("Offline", "TEST04", benchmark="resnet50", collected=False)
    report = packed(lab)
    assert standing(report, "TEST04").state == "missing"
    assert (report.tree / PLACE / "TEST01").is_dir()
    assert "TEST01 passed, TEST04 not run" in verdict_lines(read_run(lab.run, CATALOGUE), "report.html")


def test_open_tells_of_tests_and_packs_none(logs: LongLogs, tmp_path: Path) -> None:
    lab = Lab(tmp_path / "results" / "demo", logs)
    for mode in ("accuracy", "performance", "TEST01"):
        lab.cell("Offline", mode)
    report = packed(lab)
    assert [one.passed for one in report.tests] == [True]
    assert not any("TEST01" in name for name in snapshot(report.tree))
    assert read_json(lab.run / "report" / "aggregate.json")["tests"]


def test_simulated_tests_stay_out_like_other_simulated_results(logs: LongLogs, tmp_path: Path) -> None:
    lab = closed_lab(tmp_path, logs, "accuracy", "performance")
    cell = lab.planned[0].cell
    spec = make_spec(dataclasses.replace(cell, mode="TEST01"), division="closed", simulated=True)
    lab.cell("Offline", "TEST01", benchmark="resnet50", spec=spec)
    report = packed(lab)
    assert report.tests == ()
    assert "simulated" in standing(report, "TEST01").reason
