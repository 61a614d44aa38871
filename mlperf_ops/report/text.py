"""The report for a terminal: plain text with aligned columns, ASCII wherever the data is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat

from mlperf_ops.checker.model import CheckReport, Finding
from mlperf_ops.model import COMPLIANCE_TESTS
from mlperf_ops.report import unchecked, verdict
from mlperf_ops.report.evidence import Run
from mlperf_ops.report.hosts import host_line
from mlperf_ops.report.rows import Row, Word, result_rows
from mlperf_ops.wording import one_line, plural

_GAP = "  "
_PLACES_NAMED = 3
FINDINGS_SHOWN = 12


def verdict_lines(run: Run, page: str) -> str:
    """Return verdict, results, findings and where the report is.

    Args:
        run: What to report.
        page: Path of report.html as it is to be shown.
    """
    blocks = [
        [verdict.headline(run).line],
        unchecked.lines(run, str(run.folder)),
        list(_results(run)),
        *(_findings(run.checks, run) if run.checks is not None else ()),
        list(_not_run(run)),
        [line for line in (host_line(run),) if line],
        [verdict.official_line(run), f"Report: {page}"],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns to the left; the last one is left as it is."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return [_GAP.join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def columns(run: Run) -> tuple[str, ...]:
    """Return the headings of the results table."""
    official = ("Official",) if run.checks is not None and run.checks.official is not None else ()
    compliance = ("Compliance",) if has_tests(run) else ()
    return ("System", "Benchmark", "Scenario", "Result", "LoadGen", "Accuracy", *compliance, "Our check", *official)


def has_tests(run: Run) -> bool:
    """Whether the results table has a column for compliance tests."""
    return any(cell.cell.mode in COMPLIANCE_TESTS and cell.state != "impossible" for cell in run.cells)


def cells(row: Row, *, tests: bool) -> tuple[str, ...]:
    """Return a row's texts, in the order of `columns`; `tests` when these have the compliance tests."""
    benchmark = f"{row.benchmark} ({row.maps_to})" if row.maps_to else row.benchmark
    result = f"{row.result} {row.label}".rstrip()
    official = (row.official.text,) if row.official is not None else ()
    compliance = ((row.compliance.text if row.compliance is not None else "-"),) if tests else ()
    return (
        row.system,
        benchmark,
        row.scenario,
        result,
        row.loadgen.text,
        _noted(row.accuracy),
        *compliance,
        row.ours.text,
        *official,
    )


def _noted(word: Word) -> str:
    return f"{word.text} ({word.note})" if word.note else word.text


def _results(run: Run) -> Iterator[str]:
    rows = result_rows(run)
    if not rows:
        yield "The plan has no cell that can run."
        return
    tests = has_tests(run)
    yield from table([tuple(name.upper() for name in columns(run)), *(cells(row, tests=tests) for row in rows)])
    yield from (f"  {one_line(sentence)}" for sentence in verdict.failed_tests(run))


def _findings(checks: CheckReport, run: Run) -> Iterator[list[str]]:
    problems, remarks, groups = verdict.unexpected(checks), verdict.advice(checks), verdict.expected(run)
    if problems:
        yield [f"To be fixed ({len(problems)}):", *_explained(problems)]
    if groups:
        yield [
            f"Expected from the plan ({sum(len(group.findings) for group in groups)}):",
            *(f"  {group.because}: {', '.join(f'{rule} x{count}' for rule, count in group.rules)}" for group in groups),
        ]
    if remarks:
        yield [f"Advice ({len(remarks)}):", *_explained(remarks)]
    if not (problems or groups or remarks):
        yield ["No findings."]


def _explained(findings: tuple[Finding, ...]) -> Iterator[str]:
    groups = verdict.by_message(findings)
    for found in groups[:FINDINGS_SHOWN]:
        first = found[0]
        yield f"  [{one_line(first.rule)}] {one_line(first.message)}"
        for head, place in zip(("where:", *repeat("", len(found))), places(found), strict=False):
            yield f"      {head:6} {place}"
        yield f"      means: {one_line(first.meaning)}"
        yield f"      fix:   {one_line(first.fix)}"
    if len(groups) > FINDINGS_SHOWN:
        yield f"  and {len(groups) - FINDINGS_SHOWN} more, all in the report"


def places(findings: Sequence[Finding]) -> list[str]:
    """Name the first places of findings, and count the others."""
    names = list(dict.fromkeys(one_line(found.location) for found in findings))
    left = len(names) - _PLACES_NAMED
    return names[:_PLACES_NAMED] + ([f"and {plural(left, 'more place')}"] if left > 0 else [])


def _not_run(run: Run) -> Iterator[str]:
    impossible = [cell for cell in run.cells if cell.state == "impossible"]
    if impossible:
        yield f"Not run ({len(impossible)}):"
        yield from (f"  {one_line(cell.cell.key)}: {one_line(cell.problem or '')}" for cell in impossible)
