"""What `mlperf-ops check` shows to people: results with their findings, what broken rules mean, the verdict.

A tree with many results or findings is shown by rule instead (`grouped`).
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlperf_ops.checker import CheckedResult, CheckReport, Finding, OfficialResult
from mlperf_ops.checker.baseline import Change
from mlperf_ops.checker.grouped import STYLES, counted, show_grouped
from mlperf_ops.checker.model import ResultVerdict, Severity
from mlperf_ops.checker.rules import printable

_VERDICT = {
    "submittable": ("bold green", "nobody objects"),
    "demonstration": ("bold yellow", "not submittable: every objection follows from the plan"),
    "rejected": ("bold red", "not submittable"),
}
_SEVERITIES: dict[Severity, str] = {
    "official": "the official checker rejects it too",
    "rules": "the rules reject it, the official checker accepts it",
    "advice": "nobody rejects it",
}
_RESULTS: dict[ResultVerdict, str] = {
    "pass": "nobody objects",
    "expected": "rejected, as the plan itself says",
    "fail": "rejected",
}
_LISTED = 30  # results or findings: more are read by rule
_ERRORS_SHOWN = 6
_CLOSING = re.compile(r"Some .* failed for: ")  # it sums up the lines before it
_NAMED = 3  # system, benchmark and scenario name a result well enough beside its own heading
_WIDTH_OF_A_FILE = 140


def show(report: CheckReport, change: Change | None = None, *, every: bool = False, hint: str | None = None) -> None:
    """Print the results with their findings, then what each broken rule means, then the verdict.

    Args:
        report: What was found.
        change: Show only what is new since an earlier report, and what is gone.
        every: List each result and each finding, however many there are.
        hint: What to know before anything else.
    """
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE, highlight=False)
    if hint is not None:
        console.print(Text(f"hint: {hint}", style="bold yellow"), soft_wrap=True)
    if change is not None:
        _gone(console, change)
        places = {finding.affects for finding in change.new}
        touched = tuple(result for result in report.results if result.location in places)
        shown = dataclasses.replace(report, findings=change.new, results=touched)
    else:
        shown = report
    if every or max(len(shown.findings), len(shown.results)) <= _LISTED:
        _body(shown, console)
        _official(console, report, every=True)
    else:
        show_grouped(console, shown)
        _official(console, report, every=False)
    _legend(console, shown)
    _verdict(report, console)


def _gone(console: Console, change: Change) -> None:
    words = f"since the baseline: {len(change.new)} new, {len(change.gone)} gone, {change.known} as before"
    console.print(Text(words, style="bold"))
    for finding in change.gone:
        console.print(
            Text(f" gone      {finding.rule}: {finding.message} [{printable(finding.location)}]", style="green")
        )


def _body(report: CheckReport, console: Console) -> None:
    official = {} if report.official is None else {result.location: result for result in report.official.results}
    places = {result.location for result in report.results}
    of_results: dict[str, list[Finding]] = {}
    for finding in report.findings:
        if finding.affects in places:
            of_results.setdefault(finding.affects, []).append(finding)
    left = [finding for finding in report.findings if finding.affects not in places]
    for result in report.results:
        own = of_results.get(result.location, [])
        console.print(_heading(result, official.get(result.location)))
        _findings(console, own, result.location)
    if left:
        console.print(Text("other places", style="bold"))
        _findings(console, left, "")
    _meanings(console, report.findings)


def _legend(console: Console, report: CheckReport) -> None:
    """Say what the words mean that stand above: who objects, and how a result stands."""
    severities = {finding.severity for finding in report.findings}
    verdicts = {result.verdict for result in report.results}
    if not severities:
        return
    lines = ["who objects: " + "; ".join(f"{one} = {said}" for one, said in _SEVERITIES.items() if one in severities)]
    if verdicts:
        lines.append("results: " + "; ".join(f"{one} = {said}" for one, said in _RESULTS.items() if one in verdicts))
    for line in lines:
        console.print(Text(line, style="dim"), soft_wrap=True)


def _verdict(report: CheckReport, console: Console) -> None:
    style, words = _VERDICT[report.verdict]
    line = Text(f"{report.verdict.upper()} ", style=style)
    line.append(f"for round {report.round}: {words}; {_standing(report)}{_counts(report)}", style="default")
    console.print(line, soft_wrap=True)


def _standing(report: CheckReport) -> str:
    """Say how many results are rejected."""
    total = counted(len(report.results), "result")
    by_verdict = Counter(result.verdict for result in report.results)
    rejected, expected = by_verdict["fail"], by_verdict["expected"]
    if not report.findings or not report.results:
        return total
    said = [f"{rejected:,} of {total} rejected"] if rejected or not expected else []
    if expected:
        said.append(f"{expected:,} {'more' if said else 'of ' + total} rejected as the plan says itself")
    return ", ".join(said)


def _counts(report: CheckReport) -> str:
    """Say how many findings there are, by who objects."""
    total = counted(len(report.findings), "finding")
    if not report.findings:
        return f", {total}"
    by_severity = Counter(finding.severity for finding in report.findings)
    told = ", ".join(f"{by_severity[one]:,} {one}" for one in _SEVERITIES if by_severity[one])
    expected = sum(1 for finding in report.findings if finding.expected_because)
    return f"; {total} ({told})" + (f", {expected:,} of them expected" if expected else "")


def _heading(result: CheckedResult, official: OfficialResult | None) -> Text:
    style = {"pass": "green", "expected": "yellow", "fail": "red"}[result.verdict]
    text = Text(f"{result.verdict:8} ", style=style)
    text.append(printable(result.location), style="bold")
    if result.metric is not None:
        text.append(f"  {result.metric:.6g} {result.unit}", style="default")
    for metric, value in result.accuracy.items():
        text.append(f"  {metric} {printable(value)}", style="default")
    if result.validity is not None:
        text.append(f"  {printable(result.validity)}", style="default")
    if result.inferred:
        text.append(f"  inferred from {result.measured_scenario}", style="default")
    if official is not None:
        says = "no verdict" if official.passed is None else "accepts" if official.passed else "rejects"
        text.append(f"  official: {says}", style="default")
    return text


def _findings(console: Console, findings: Iterable[Finding], place: str) -> None:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=9)
    table.add_column(overflow="fold")
    for finding in findings:
        expected = finding.expected_because is not None
        where = finding.location.removeprefix(place + "/") if place else finding.location
        said = Text(f"{finding.rule}: ", style="dim" if expected else "bold")
        said.append(finding.message, style="dim" if expected else "not bold default")
        place_shown = "" if finding.location == place else f" [{printable(where)}]"
        said.append(place_shown + (" (expected)" if expected else ""), style="not bold dim")
        table.add_row(Text(f" {finding.severity}", style="dim" if expected else STYLES[finding.severity]), said)
    if table.row_count:
        console.print(table)


def _meanings(console: Console, findings: tuple[Finding, ...]) -> None:
    """Say once per rule, and not once per finding, what it means and what to do."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    said: set[str] = set()
    for finding in findings:
        dim = finding.expected_because is not None
        text = f"expected: {finding.expected_because}" if dim else f"{finding.meaning} {finding.fix}"
        if finding.rule + text not in said:
            said.add(finding.rule + text)
            table.add_row(
                Text(f" {finding.rule}", style="dim" if dim else "bold"), Text(text, style="dim" if dim else "")
            )
    if said:
        console.print(Text("what the findings mean, and what to do", style="bold"))
        console.print(table)


def _official(console: Console, report: CheckReport, *, every: bool) -> None:
    if report.official is None:
        if report.official_note is not None:
            console.print(Text(f"official checker: {report.official_note}", style="dim"))
        return
    official = report.official
    accepted = sum(1 for result in official.results if result.passed)
    flags = f" with {' '.join(official.flags)}" if official.flags else ""
    text = f"official {official.kind} checker --version {official.version}{flags}: "
    text += f"accepts {accepted:,} of {counted(len(official.results), 'result')}"
    console.print(Text(text + (f" ({official.note})" if official.note else ""), style="bold"))
    for result in official.results if every else ():
        for error in () if result.passed else result.errors[:_ERRORS_SHOWN]:
            if not _CLOSING.match(error):
                short = "/".join(result.location.split("/")[-_NAMED:])
                shown = error.replace(result.location + "/", "")
                console.print(Text(f"  {printable(short)}: {shown}", style="dim"))
    for run in official.runs:
        if run.crash is not None or run.exit_code is None:
            console.print(Text(f"  {run.system}: {run.crash or 'stopped, it ran out of time'}", style="yellow"))
    same: dict[tuple[str, str, str, str, str], list[str]] = {}
    for one in report.disagreements:
        key = (one.ours, one.official, one.message, one.known or "", one.location if every else "")
        same.setdefault(key, []).append(one.location)
    for (ours, theirs, message, known, _), places in same.items():
        more = f" and {len(places) - 1:,} more" if len(places) > 1 else ""
        text = f"  disagreement on {places[0]}{more}: ours {ours}, official {theirs}: {message}"
        console.print(Text(text + (f" (known: {known})" if known else ""), style="dim" if known else "bold yellow"))
