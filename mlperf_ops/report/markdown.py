"""verdict.md: the verdict, the results and the findings for a pull request or a mail."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mlperf_ops.checker.model import Finding
from mlperf_ops.report import durations, text, unchecked, verdict
from mlperf_ops.report.evidence import Run
from mlperf_ops.report.hosts import host_line
from mlperf_ops.report.rows import Row, result_rows
from mlperf_ops.wording import one_line, plural

# What Markdown reads inside a line; "_" within a word, as in file names, is text already.
_SPECIAL = re.compile(r"[\\`*\[\]|~#]|(?<![^\W_])_|_(?![^\W_])")


def escape(untrusted: str) -> str:
    """Return text that Markdown shows as it is, in a table cell too; HTML in it stays text."""
    shown = _SPECIAL.sub(r"\\\g<0>", one_line(untrusted))
    return shown.replace("&", "&amp;").replace("<", "&lt;")


def verdict_markdown(run: Run) -> str:
    """Return the text of verdict.md."""
    plan = run.plan
    blocks = [
        [f"**{escape(verdict.headline(run).line)}**"],
        list(_remedy(run)),
        [
            (
                f"MLPerf Inference {escape(plan.round)}, {plan.divisions_text}, run style {plan.run_style}, "
                f"submitter {escape(plan.submitter)}, run {escape(plan.run_id)}."
            )
        ],
        list(_results(run)),
        *_findings(run),
        list(_not_run(run)),
        [escape(line) for line in (host_line(run),) if line],
        [escape(f"Durations: {line}.") for line in (durations.summary(run),) if line],
        [escape(verdict.official_line(run)), "", "The whole report: [report.html](report.html)"],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _remedy(run: Run) -> Iterator[str]:
    commands = unchecked.remedy(run, f"results/{run.folder.resolve().name}")
    if commands:
        yield from ("```sh", *map(one_line, commands), "```")


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heading)} |"
    yield f"|{'---|' * len(heading)}"
    yield from (f"| {' | '.join(escape(cell) for cell in row)} |" for row in rows)


def _results(run: Run) -> Iterator[str]:
    rows = result_rows(run)
    if not rows:
        yield "The plan has no cell that can run."
        return
    yield "## Results"
    yield ""
    tests = text.has_tests(run)
    told = [[*text.cells(row, tests=tests), "; ".join(_notes(row))] for row in rows]
    yield from _table([*text.columns(run), "Notes"], told)


def _notes(row: Row) -> Iterator[str]:
    if row.samples:
        yield f"accuracy of {row.samples}"
    yield from row.notes


def _findings(run: Run) -> Iterator[list[str]]:
    if run.checks is None:
        return
    problems, remarks, groups = verdict.unexpected(run.checks), verdict.advice(run.checks), verdict.expected(run)
    if problems:
        yield [f"## To be fixed ({len(problems)})", "", *_explained(problems)]
    if groups:
        yield [
            "## Expected",
            "",
            *(f"- {escape(group.because)}: {_counted(group.rules)}" for group in groups),
        ]
    if remarks:
        yield [f"## Advice ({len(remarks)})", "", *_explained(remarks)]
    if not (problems or groups or remarks):
        yield ["No findings."]


def _counted(rules: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{escape(rule)} ({plural(count, 'finding')})" for rule, count in rules)


def _explained(findings: tuple[Finding, ...]) -> Iterator[str]:
    groups = verdict.by_message(findings)
    for found in groups[: text.FINDINGS_SHOWN]:
        first = found[0]
        yield f"- **{escape(first.rule)}**: {escape(first.message)}"
        yield f"  - where: {', '.join(escape(place) for place in text.places(found))}"
        yield f"  - means: {escape(first.meaning)}"
        yield f"  - fix: {escape(first.fix)}"
    if len(groups) > text.FINDINGS_SHOWN:
        yield f"- and {len(groups) - text.FINDINGS_SHOWN} more, all in the report"


def _not_run(run: Run) -> Iterator[str]:
    impossible = [cell for cell in run.cells if cell.state == "impossible"]
    if impossible:
        yield f"## Not run ({len(impossible)})"
        yield ""
        yield from (f"- {escape(cell.cell.key)}: {escape(cell.problem or '')}" for cell in impossible)
