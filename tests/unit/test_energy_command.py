"""`mlperf-ops energy`, and that what it shows stays outside of a submission."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.aggregate import aggregate
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.cli import main
from mlperf_ops.files import Json, read_json, write_json
from mlperf_ops.model import Result
from mlperf_ops.typed import load
from tests.support.attempts import Lab, RealLogs, seal, snapshot

KEY = "node1/efficientnet-lite0/Offline/performance"


def energy(**source: Json) -> dict[str, Any]:
    told = {"name": "rapl", "kind": "rapl", "file": "energy_rapl.csv", "average_watts": 120.5, "joules": 1205.0,
            "joules_per_query": 0.125, "problem": None}  # fmt: skip
    return {"schema": 1, "unofficial": True, "window": {"duration_seconds": 10.0}, "sources": [{**told, **source}]}


def add(attempt: Path, told: dict[str, Any]) -> None:
    """Put energy files beside an attempt's own, as its supervisor does."""
    write_json(attempt / "energy.json", told)
    (attempt / "energy_rapl.csv").write_text("t_utc,watts,joules,source,domain\n")
    seal(attempt, load(Result, read_json(attempt / "result.json"), "result.json"))


@pytest.fixture
def lab(tmp_path: Path, real_logs: RealLogs) -> Lab:
    made = Lab(tmp_path / "results" / "demo", real_logs)
    made.scenario("Offline")
    return made


def attempt_of(lab: Lab) -> Path:
    (path,) = lab.run.glob("hosts/node1/*/Offline/performance/*/attempt_1")
    return path


def said(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    code = 0
    try:
        main([*map(str, words)])
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_each_source_of_each_cell_is_a_row_that_says_unofficial(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    add(attempt_of(lab), energy())
    run = lab.write()
    code, out, err = said(capsys, "energy", run)
    assert code == 0
    heading, row = out.splitlines()
    assert heading.split("\t")[2] == "source (unofficial)"
    assert row.split("\t") == [KEY, "node1", "rapl", "120.5", "1205", "0.125", "10", ""]
    assert "unofficial: no power measurement as the MLPerf rules define it" in err
    code, out, _ = said(capsys, "energy", run, "--json")
    told = json.loads(out)
    assert (code, told["unofficial"], told["problems"]) == (0, True, [])
    assert told["rows"][0]["joules"] == 1205.0
    assert told["rows"][0]["file"] == str(attempt_of(lab) / "energy_rapl.csv")
    assert said(capsys, "energy", attempt_of(lab))[1].splitlines()[1].startswith(f"{KEY}\t\trapl\t120.5")


def test_the_energy_of_an_attempt_that_does_not_count_says_so(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    attempt = attempt_of(lab)
    add(attempt, energy(problem="2 readings failed"))
    run = lab.write()
    for path in (attempt / "result.json", *run.glob("hosts/node1/cells.json")):
        path.write_text(path.read_text().replace('"verdict": "valid"', '"verdict": "invalid"'))
    write_json(attempt / "result.json", {**read_json(attempt / "result.json"), "tainted": ["it throttled"]})
    for folder in (run, attempt):
        row = said(capsys, "energy", folder)[1].splitlines()[1]
        assert row.split("\t")[-1] == "attempt_1 is INVALID; attempt_1 is tainted; 2 readings failed"
    (told,) = json.loads(said(capsys, "energy", run, "--json")[1])["rows"]
    assert (told["verdict"], told["attempt"], told["tainted"]) == ("invalid", "attempt_1", True)


def test_why_a_source_has_no_value_is_the_remark(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    missing = {"average_watts": None, "joules": None, "joules_per_query": None}
    add(attempt_of(lab), energy(problem="no RAPL zone", name="cpu", **missing))
    row = said(capsys, "energy", lab.write())[1].splitlines()[1]
    assert row.split("\t") == [KEY, "node1", "cpu (rapl)", "-", "-", "-", "10", "no RAPL zone"]


def test_a_run_without_energy_says_how_to_have_it(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "energy", lab.write())
    assert (code, out) == (0, "")
    assert "mlperf_unofficial_energy names the sources" in err


def test_a_folder_that_is_no_run_and_a_file_that_is_broken(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = said(capsys, "energy", tmp_path / "nowhere")
    assert code == 3
    assert "is no results folder with collected cells" in err
    (attempt_of(lab) / "energy.json").write_text('{"sources": 3}')
    code, _, err = said(capsys, "energy", lab.write())
    assert code == 0
    assert "expected the keys 'sources' with a list" in err


def test_the_tree_of_a_run_with_energy_is_the_tree_without_it(lab: Lab) -> None:
    catalogue = load_catalogue()
    plain = aggregate(lab.write(), catalogue.round("v6.1"), catalogue)
    before = snapshot(plain.tree)
    add(attempt_of(lab), energy())
    report = aggregate(lab.write(), catalogue.round("v6.1"), catalogue)
    assert [one.key for one in report.written] == ["node1/efficientnet-lite0/Offline"]  # the result still counts
    assert snapshot(report.tree) == before
