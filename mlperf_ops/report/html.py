"""report.html: one file that opens offline. Jinja escapes every value; only our own plots go in as they are."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mlperf_ops import wording
from mlperf_ops.harness.energy.model import NOTE
from mlperf_ops.report import (
    charts,
    durations,
    energy,
    figures,
    gantt,
    power,
    repeat,
    rows,
    sections,
    text,
    unchecked,
    verdict,
)
from mlperf_ops.report.evidence import CellRun, Run


def verdict_page(run: Run) -> str:
    """Return the text of report.html."""
    environment = Environment(
        loader=PackageLoader("mlperf_ops.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(line=wording.one_line, plural=wording.plural, plot=_plot)
    page: str = environment.get_template("report.html.j2").render(_context(run))
    return page


def _plot(drawn: str) -> Markup:
    """Mark a plot as safe: matplotlib wrote it and escaped the names in it."""
    return Markup(drawn)  # noqa: S704  # see above


def _context(run: Run) -> dict[str, Any]:
    checks = run.checks
    spans = [span for cell in run.cells if cell.result and (span := figures.span(cell.result))]
    return {
        "plan": run.plan,
        "round": run.round,
        "headline": verdict.headline(run),
        "official_line": verdict.official_line(run),
        "remedy": unchecked.remedy(run, f"results/{run.folder.resolve().name}"),
        "period": wording.period([moment for span in spans for moment in (span.start, figures.end_of(span))]),
        "counts": _counts(run),
        "rows": rows.result_rows(run),
        "has_tests": text.has_tests(run),
        "has_official": checks is not None and checks.official is not None,
        "problems": verdict.by_rule(verdict.unexpected(checks)) if checks else (),
        "remarks": verdict.by_rule(verdict.advice(checks)) if checks else (),
        "expected": verdict.expected(run),
        "official_words": sections.official_words(run),
        "disagreements": checks.disagreements if checks else (),
        "checked": checks is not None,
        "impossible": [cell for cell in run.cells if cell.state == "impossible"],
        "unfinished": verdict.unfinished(run),
        "benchmarks": charts.benchmark_charts(run),
        "timelines": charts.timelines(run),
        "powers": power.power_panels(run),
        "energies": energy.energy_lines(run),
        "energy_note": NOTE,
        "durations": durations.durations(run),
        "colours": gantt.COLOURS,
        "refused": run.packaging.refused,
        "systems": sections.system_sections(run),
        "hosts": sections.host_sections(run),
        "software": sections.software_sections(run),
        "components": sections.component_rows(run),
        "cells": sections.cell_sections(run),
        "playbook": wording.visible(repeat.playbook_command(run.plan)),
    }


def _counts(run: Run) -> tuple[tuple[str, str, rows.Tone], ...]:
    """The few numbers that a reader wants before everything else."""
    able = [cell for cell in run.cells if cell.state != "impossible"]
    good = sum(1 for cell in able if _counts_as_valid(cell))
    counts: list[tuple[str, str, rows.Tone]] = [
        (f"{good} of {len(able)}", "cells with a valid result", _tone(run, able))
    ]
    if run.checks is not None:
        problems = len(verdict.unexpected(run.checks))
        planned = sum(len(group.findings) for group in verdict.expected(run))
        counts.append((str(problems), "findings to be fixed", "bad" if problems else "good"))
        counts.append((str(planned), "findings that the plan expects", "expected" if planned else "none"))
    targets = [cell.result.accuracy.met for cell in able if cell.result and cell.result.accuracy]
    if targets:
        met = sum(1 for one in targets if one)
        counts.append(
            (f"{met} of {len(targets)}", "accuracy targets met", "good" if met == len(targets) else "expected")
        )
    return tuple(counts)


def _counts_as_valid(cell: CellRun) -> bool:
    return cell.state == "valid" and not (cell.result is not None and cell.result.tainted)


def _tone(run: Run, cells: list[CellRun]) -> rows.Tone:
    """Say whether cells that are not valid were expected to be so."""
    others = [cell for cell in cells if not _counts_as_valid(cell)]
    checked = [rows.checked_result(run, cell.cell) for cell in others if cell.state == "invalid"]
    if len(checked) < len(others) or any(one is None or one.verdict == "fail" for one in checked):
        return "bad"
    return "expected" if others else "good"
