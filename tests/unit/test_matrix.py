"""What a valid submission still lacks: every required scenario and test, with owner and reason."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.aggregate import aggregate, look
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.files import read_json
from mlperf_ops.matrix import MatrixCell, MatrixRow, missing_rows
from mlperf_ops.model import Result, Scenario
from mlperf_ops.plan_model import Filing
from mlperf_ops.typed import load
from tests.support.attempts import Lab, RealLogs, seal, snapshot

CATALOGUE = load_catalogue()


@pytest.fixture
def lab(tmp_path: Path, real_logs: RealLogs) -> Lab:
    lab = Lab(tmp_path / "results" / "demo", real_logs, division="closed")
    for host in ("node1", "node2", "node3"):
        for mode in ("performance", "accuracy"):
            lab.cell("Offline", mode, host=host, benchmark="resnet50", verdict="valid")
    folder = lab.cell("SingleStream", "performance", host="node1", benchmark="resnet50", verdict="invalid")
    result = load(Result, read_json(folder / "result.json"), "result.json")
    seal(folder, replace(result, reasons=("LoadGen says INVALID: shorter than its minimum duration",)))
    lab.cell("SingleStream", "accuracy", host="node1", benchmark="resnet50", collected=False)
    return lab


def rows_of(lab: Lab) -> dict[tuple[str, str], MatrixRow]:
    return {(row.system, row.scenario): row for row in look(lab.write(), CATALOGUE)}


def states(row: MatrixRow) -> dict[str, str]:
    return {cell.cell: cell.state for cell in row.cells}


def test_every_required_scenario_and_test_of_the_round_is_a_cell(lab: Lab) -> None:
    rows = rows_of(lab)
    assert {key for key in rows if key[0] == "node2"} == {
        ("node2", scenario) for scenario in ("SingleStream", "MultiStream", "Offline")
    }
    assert states(rows["node2", "Offline"]) == {
        "performance": "valid",
        "accuracy": "valid",
        "TEST01": "not planned",
        "TEST04": "not planned",
    }
    assert set(states(rows["node2", "MultiStream"]).values()) == {"not planned"}
    assert {row.need for row in rows.values()} == {"required"}


def test_each_cell_has_its_host_and_the_reason(lab: Lab) -> None:
    row = rows_of(lab)["node1", "SingleStream"]
    performance, accuracy = row.cells[:2]
    assert (performance.state, performance.hosts) == ("invalid", ("node1",))
    assert performance.reason == "LoadGen says INVALID: shorter than its minimum duration"
    assert (accuracy.state, accuracy.reason) == ("missing", "no result was collected from host node1")


def test_the_open_division_lacks_only_what_was_planned(lab: Lab) -> None:
    lab.planned = [replace(cell, division="open") for cell in lab.planned]
    rows = rows_of(lab)
    assert set(rows) == {("node1", "Offline"), ("node1", "SingleStream"), ("node2", "Offline"), ("node3", "Offline")}
    assert set(states(rows["node2", "Offline"])) == {"performance", "accuracy"}
    assert [row.system for row in missing_rows(list(rows.values()))] == ["node1"]


def test_a_place_that_another_run_fills_is_no_hole(lab: Lab) -> None:
    lab.planned = [replace(cell, also=(Filing("resnet50", "resnet", "MultiStream"),)) for cell in lab.planned]
    row = rows_of(lab)["node2", "MultiStream"]
    assert row.stands_on == "node2/resnet50/Offline"
    # Offline cannot stand for MultiStream, which packing says
    assert states(row)["performance"] == "refused"


def test_one_of_several_scenarios_is_enough() -> None:
    cells = rows_with("one of", complete=True), rows_with("one of", complete=False)
    assert missing_rows(cells) == []
    assert missing_rows(cells[1:]) == [cells[1]]


def rows_with(need: Any, *, complete: bool) -> MatrixRow:  # noqa: ANN401  # one of the words
    pair: tuple[Scenario, Scenario] = ("Server", "Interactive") if complete else ("Interactive", "Server")
    lacking = MatrixCell("performance", "missing", (), "not yet")
    row: Any = {"division": "closed", "system": "a", "benchmark": "b", "scenario": pair[0], "need": need}
    return MatrixRow(**row, alternatives=(pair[1],), stands_on=None, cells=() if complete else (lacking,))


def test_the_summary_holds_the_matrix(lab: Lab) -> None:
    run = lab.write()
    report = aggregate(run, CATALOGUE.round("v6.1"), CATALOGUE)
    summary: Any = read_json(run / "report/aggregate.json")
    assert len(summary["matrix"]) == len(report.matrix) == 9
    assert summary["matrix"][0]["cells"][0]["cell"] == "performance"


def mlperf_ops(*words: str | Path, terminal: bool = False) -> tuple[int, str]:
    argv = [sys.executable, "-m", "mlperf_ops", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "110", "TERM": "xterm"}
    if not terminal:
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout
    ours, theirs = pty.openpty()
    process = subprocess.Popen(argv, env=environment, stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    text = b""
    while True:
        try:
            block = os.read(ours, 4096)
        except OSError:  # the other end was closed
            break
        if not block:
            break
        text += block
    os.close(ours)
    return process.wait(timeout=60), text.decode()


def test_missing_writes_nothing_and_says_by_its_exit_code_that_something_is(lab: Lab) -> None:
    run = lab.write()
    before = snapshot(run)
    code, text = mlperf_ops("aggregate", run, "--missing")
    assert code == 1
    assert snapshot(run) == before
    lines = [line.split("\t") for line in text.splitlines()]
    assert ["closed", "node2", "resnet50", "Offline", "required", "TEST01", "not planned", "",
            "the plan has no such cell"] in lines  # fmt: skip
    code, text = mlperf_ops("aggregate", run, "--missing", "--json")
    told = json.loads(text)
    assert (code, told["complete"], told["missing"]) == (1, False, 9)


def test_it_is_a_table_for_each_system_in_a_terminal(lab: Lab) -> None:
    code, text = mlperf_ops("aggregate", lab.write(), "--missing", terminal=True)
    assert code == 1
    for system in ("node1", "node2", "node3"):
        assert system in text
    assert "0 of 3 places are complete" in text
    assert "9 of 9 places lack something" in text


def test_missing_works_before_anything_can_be_packed(tmp_path: Path, real_logs: RealLogs) -> None:
    lab = Lab(tmp_path / "results" / "empty", real_logs)
    lab.cell("Offline", "performance", collected=False)
    lab.cell("Offline", "accuracy", collected=False)
    code, text = mlperf_ops("aggregate", lab.write(), "--missing")
    assert code == 1
    assert "no result was collected from host node1" in text


def test_another_round_is_refused_with_the_rule(lab: Lab) -> None:
    run = lab.write()
    code, _ = mlperf_ops("aggregate", run, "--round", "v6.0")
    assert code == 4
    assert not (run / "submission").exists()
    assert mlperf_ops("aggregate", run, "--round", "v6.1")[0] == 0
