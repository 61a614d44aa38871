"""A check of a large tree for people: how its results stand, and each broken rule once with what it is about."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlperf_ops.checker.model import CheckedResult, CheckReport, Finding, ResultVerdict, Severity, places_of
from mlperf_ops.checker.rules import printable

STYLES: dict[Severity, str] = {"official": "bold red", "rules": "red", "advice": "cyan"}
_ORDER: dict[Severity, int] = {"official": 0, "rules": 1, "advice": 2}
_VERDICTS: tuple[ResultVerdict, ...] = ("pass", "expected", "fail")
_MESSAGES_SHOWN = 3
_INDENT = 10


@dataclass(frozen=True, slots=True)
class Group:
    """Findings of one rule that mean the same.

    Attributes:
        findings: In the order of the tree.
        results: How many results they concern.
    """

    findings: tuple[Finding, ...]
    results: int

    @property
    def first(self) -> Finding:
        """The one that stands for all."""
        return self.findings[0]

    def messages(self) -> list[tuple[str, list[Finding]]]:
        """Return what they say, the most frequent first."""
        found: dict[str, list[Finding]] = {}
        for finding in self.findings:
            found.setdefault(finding.message, []).append(finding)
        return sorted(found.items(), key=lambda item: -len(item[1]))


def groups(findings: Iterable[Finding], results: Sequence[CheckedResult]) -> list[Group]:
    """Return findings by rule, severity, remedy and the plan's reason, worst and most frequent first."""
    found: dict[tuple[str | None, ...], list[Finding]] = {}
    for finding in findings:
        key = (finding.rule, finding.severity, finding.expected_because, finding.fix)
        found.setdefault(key, []).append(finding)
    places = [places_of(result.location) for result in results]
    made = [Group(tuple(same), _concerned(same, places)) for same in found.values()]
    return sorted(
        made,
        key=lambda one: (one.first.expected_because is not None, _ORDER[one.first.severity], -len(one.findings)),
    )


def _concerned(findings: Iterable[Finding], places_of_results: Iterable[tuple[str, ...]]) -> int:
    affected = {finding.affects for finding in findings}
    return sum(1 for places in places_of_results if not affected.isdisjoint(places))


def show_grouped(console: Console, report: CheckReport) -> None:
    """Print the results by submitter (of a single one by system), then the findings by rule."""
    console.print(_standing(report.results))
    if not report.findings:
        return
    words = f"findings by rule; -v lists all {len(report.findings):,} by result, --only RULE those of a rule"
    console.print(Text(f"\n{words}", style="bold"))
    for group in groups(report.findings, report.results):
        _group(console, group)


def _standing(results: Sequence[CheckedResult]) -> Table:
    depth = 2 if len({(one.division, one.submitter) for one in results}) > 1 else 4
    counts: dict[str, dict[ResultVerdict, int]] = {}
    for one in results:
        place = "/".join(one.location.split("/")[:depth])
        counts.setdefault(place, dict.fromkeys(_VERDICTS, 0))[one.verdict] += 1
    table = Table(box=None, pad_edge=False)
    table.add_column("results of")
    used = [verdict for verdict in _VERDICTS if any(row[verdict] for row in counts.values())]
    for verdict in used:
        table.add_column(verdict, justify="right")
    for place, row in counts.items():
        table.add_row(printable(place), *(str(row[verdict] or "") for verdict in used))
    return table


def _group(console: Console, group: Group) -> None:
    first, expected = group.first, group.first.expected_because is not None
    heading = Text(f" {first.severity:8} ", style="dim" if expected else STYLES[first.severity])
    heading.append(f"{first.rule}: {counted(len(group.findings), 'finding')}", style="dim" if expected else "bold")
    if group.results:
        heading.append(f", {counted(group.results, 'result')}", style="dim" if expected else "bold")
    console.print(heading, soft_wrap=True)
    _messages(console, group.messages())
    # Wrapped here, because rich fills its lines with spaces.
    told = f"expected: {first.expected_because}" if expected else f"{first.meaning} {first.fix}"
    margin = " " * _INDENT
    for line in textwrap.wrap(told, console.width, initial_indent=margin, subsequent_indent=margin):
        console.print(Text(line, style="dim"), soft_wrap=True)


def _messages(console: Console, messages: Sequence[tuple[str, list[Finding]]]) -> None:
    """Print the most frequent messages, each with its first place on a line of its own, which can be copied."""
    for message, same in messages[:_MESSAGES_SHOWN]:
        often = f" ({len(same):,} times, the first is below)" if len(same) > 1 else ""
        console.print(Text(f"{' ' * _INDENT}{message}{often}"), soft_wrap=True)
        console.print(Text(f"{' ' * _INDENT}  {printable(same[0].location)}", style="dim"), soft_wrap=True)
    rest = sum(len(same) for _, same in messages[_MESSAGES_SHOWN:])
    if rest:
        console.print(Text(f"{' ' * _INDENT}and {rest:,} more like these", style="dim"))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
