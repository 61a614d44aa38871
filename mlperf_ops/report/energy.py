"""Unofficial energy in the report: what each source read beside a cell, next to the cell's performance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlperf_ops.energy_rows import EnergyRow, rows_of
from mlperf_ops.errors import ResultError
from mlperf_ops.harness.energy.model import ENERGY
from mlperf_ops.report import figures
from mlperf_ops.report.evidence import CellRun, Run
from mlperf_ops.wording import number, one_line

_NONE = "-"


@dataclass(frozen=True, slots=True)
class EnergyLine:
    """A source beside a cell; every text is visible characters only.

    Attributes:
        cell: System, benchmark and scenario.
        anchor: Of the cell.
        performance: Metric with unit, as in the results table.
        source: Name of the source, and its kind where that is another word.
        watts: Average in LoadGen's window; "-" where it cannot be told.
        joules: The same.
        per_query: Joules; the same.
        remark: What one should know before the numbers are used, such as a verdict that is not valid.
    """

    cell: str
    anchor: str
    performance: str
    source: str
    watts: str
    joules: str
    per_query: str
    remark: str


def energy_lines(run: Run) -> tuple[EnergyLine, ...]:
    """Return a line for each source of each performance cell, of the attempts that the report is about."""
    return tuple(line for cell in run.cells for line in _lines(run, cell))


def _lines(run: Run, cell: CellRun) -> Iterator[EnergyLine]:
    if cell.folder is None or cell.result is None or cell.cell.mode != "performance":
        return
    attempt = run.folder / cell.folder
    if not (attempt / ENERGY).is_file():
        return
    try:
        found = rows_of(attempt, cell.result, cell.host, cell.result.verdict)
    except ResultError as error:
        yield _line(run, cell, None, str(error))
        return
    for row in found:
        yield _line(run, cell, row, row.remark)


def _line(run: Run, cell: CellRun, row: EnergyRow | None, remark: str) -> EnergyLine:
    metric, one = figures.metric(cell, run.round), cell.cell
    source = "" if row is None else row.source if row.source == row.kind else f"{row.source} ({row.kind})"
    values = (None,) * 3 if row is None else (row.average_watts, row.joules, row.joules_per_query)
    watts, joules, per_query = (_NONE if value is None else number(value) for value in values)
    return EnergyLine(
        cell=one_line(f"{one.system}, {one.benchmark}, {one.scenario}"),
        anchor=cell.anchor,
        performance=metric.text if metric is not None else _NONE,
        source=one_line(source),
        watts=watts,
        joules=joules,
        per_query=per_query,
        remark=one_line(remark),
    )
