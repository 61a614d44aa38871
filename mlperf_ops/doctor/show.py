"""What the doctor found, for people: a table with marks on a terminal, a line for each finding anywhere."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlperf_ops.doctor.model import Answer, Check, Severity
from mlperf_ops.doctor.wording import RANK, lines, summary

# Heading -> the checks whose worst result stands below it.
_COLUMNS: dict[str, tuple[Check, ...]] = {
    "network": ("address", "port"),
    "host key": ("host-key",),
    "login": ("login",),
    "sudo": ("sudo",),
    "python": ("python",),
    "disk": ("home", "disk"),
    "clock": ("clock",),
    "index": ("index",),
    "files": ("files",),
    "rest": ("architecture", "tuning", "power", "busy", "reboot"),
}
_ORDER: tuple[Check, ...] = tuple(check for checks in _COLUMNS.values() for check in checks)
_MARKS: dict[Severity | None, str] = {
    "blocks": "[red]✖[/]",
    "warns": "[yellow]![/]",
    "note": "[green]✔[/]",
    None: "[green]✔[/]",
}
_COLOURS: dict[Severity, str] = {"blocks": "red", "warns": "yellow", "note": "dim"}


def show(answers: Sequence[Answer], seconds: float, console: Console) -> None:
    """Print the table when somebody looks, the findings, and one line that sums up."""
    if console.is_terminal and any(answer.findings for answer in answers):
        console.print(_table(answers))
    for line, severity in lines(answers):
        console.print(escape(line), style=_COLOURS[severity])
    console.print(escape(summary(answers, seconds)))


def _table(answers: Sequence[Answer]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("host")
    for heading in _COLUMNS:
        table.add_column(heading, justify="center")
    for answer in answers:
        table.add_row(escape(answer.name), *(_mark(answer, checks) for checks in _COLUMNS.values()))
    return table


def _mark(answer: Answer, checks: Sequence[Check]) -> str:
    found = [finding.severity for finding in answer.findings if finding.check in checks]
    if not found and not _was_made(answer, checks[0]):
        return "[dim]·[/]"
    return _MARKS[min(found, key=RANK.index) if found else None]


def _was_made(answer: Answer, check: Check) -> bool:
    return answer.reached is not None and _ORDER.index(check) <= _ORDER.index(answer.reached)
