"""Unofficial energy in the report: a row for each source beside the cell's performance, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.files import write_json
from mlperf_ops.harness.energy.model import NOTE
from mlperf_ops.report.energy import energy_lines
from mlperf_ops.report.gather import read_run
from mlperf_ops.report.html import verdict_page
from mlperf_ops.report.rows import result_rows


def attempt_of(run: Path) -> Path:
    (attempt,) = run.glob("hosts/*/*/Offline/performance/*/attempt_1")
    return attempt


def write(attempt: Path) -> None:
    source: dict[str, Any] = {"name": "rapl", "kind": "rapl", "file": "energy_rapl.csv", "problem": None}
    read = {**source, "average_watts": 120.5, "joules": 1205.0, "joules_per_query": 0.125}
    silent = {**source, "name": "rack", "kind": "pdu", "problem": "<no answer>", "average_watts": None, "joules": None}
    write_json(attempt / "energy.json", {"window": {"duration_seconds": 10.0}, "sources": [read, silent]})


def test_each_source_is_a_row_beside_the_cells_performance(run: Path) -> None:
    write(attempt_of(run))
    read = read_run(run, load_catalogue())
    known, unknown = energy_lines(read)
    (row,) = [one for one in result_rows(read) if one.scenario == "Offline"]
    assert known.performance == row.result
    assert (known.source, known.watts, known.joules, known.per_query, known.remark) == (
        "rapl", "120.5", "1,205.0", "0.1250", "",
    )  # fmt: skip
    assert (unknown.source, unknown.watts, unknown.per_query, unknown.remark) == ("rack (pdu)", "-", "-", "<no answer>")
    page = verdict_page(read)
    before, _, rest = page.partition('<h2 id="energy">Energy, unofficial</h2>')
    section, _, after = rest.partition("<h2")
    assert NOTE[1:] in section, "its first letter begins a sentence"
    assert "<th>Source, unofficial</th>" in section
    assert "1,205.0" in section
    assert "&lt;no answer&gt;" in section
    assert "1,205.0" not in before + after, "no table of results has an unofficial figure"


def test_a_file_that_is_broken_is_a_remark(run: Path) -> None:
    (attempt_of(run) / "energy.json").write_text("{")
    read = read_run(run, load_catalogue())
    (line,) = energy_lines(read)
    assert (line.source, line.watts) == ("", "-")
    assert re.search(r"energy\.json", line.remark)


def test_a_run_without_energy_has_no_such_section(run: Path) -> None:
    assert 'id="energy"' not in verdict_page(read_run(run, load_catalogue()))
