"""`mlperf-ops check`: what is wrong with a submission tree, who objects, and what to do."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlperf_ops.aggregate import TREE
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.checker import (
    CheckedResult,
    CheckReport,
    Finding,
    OfficialResult,
    check_tree,
    run_official,
    with_official,
)
from mlperf_ops.checker.rules import printable
from mlperf_ops.errors import EXIT_VERDICT, ConfigError, ToolError
from mlperf_ops.files import read_json, write_json
from mlperf_ops.model import Plan
from mlperf_ops.run_plan import IMPORTS, PLAN
from mlperf_ops.typed import dump, load

_STYLE = {"official": "bold red", "rules": "red", "advice": "cyan"}
_VERDICT = {
    "submittable": ("bold green", "nobody objects"),
    "demonstration": ("bold yellow", "not submittable: every objection follows from the plan"),
    "rejected": ("bold red", "not submittable"),
}


_ERRORS_SHOWN = 6
_CLOSING = re.compile(r"Some .* failed for: ")  # it sums up the lines before it
_NAMED = 3  # system, benchmark and scenario name a result well enough beside its own heading
_WIDTH_OF_A_FILE = 140


def command(  # typer shows the help of the options
    tree: Annotated[Path, typer.Argument(help="Folder that holds the divisions, such as results/local/submission.")],
    round_: Annotated[str | None, typer.Option("--round", help="Round whose rules apply; default: the plan's.")] = None,
    plan: Annotated[Path | None, typer.Option(help="plan.json: what it rules out itself is expected.")] = None,
    official_checker: Annotated[
        Path | None, typer.Option(help="Checkout of mlcommons/inference whose checker gives a second opinion.")
    ] = None,
    official_flag: Annotated[
        list[str] | None, typer.Option(help="Further flag for the official checker, such as --skip-dataset-size-check.")
    ] = None,
    official_note: Annotated[str, typer.Option(help="Why there is no official checker; goes into the report.")] = "",
    output: Annotated[Path | None, typer.Option(help="Also write the whole report here, as checks.json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as one JSON object.")] = False,
) -> None:
    """Check a submission tree by the rules of a round, and explain every finding.

    Exit code 0: submittable. 1: somebody objects, be it expected or not.

    Example: mlperf-ops check results/local/submission --round v6.1 --plan results/local/plan.json
    """
    planned = None if plan is None else load(Plan, read_json(plan), str(plan))
    name = round_ or (planned.round if planned is not None else None)
    if name is None:
        raise ConfigError("no round was given", hint="add --round v6.1, or --plan with a plan.json")
    if planned is not None and planned.round != name:
        raise ConfigError(f"{plan} is a plan of round {planned.round}, and --round is {name}")
    refuse_run_folder(tree)
    rules = load_catalogue().round(name, "--round" if round_ else str(plan))
    report = check_tree(tree, rules, planned)
    if official_checker is None:
        report = _noted(report, official_note or "no checkout of the official checker was given")
    else:
        try:
            opinion = run_official(official_checker, tree, rules, flags=tuple(official_flag or ()))
        except ToolError as error:
            report = _noted(report, str(error))
        else:
            report = with_official(report, opinion)
    if output is not None:
        write_json(output, dump(report))
    if as_json:
        typer.echo(json.dumps(dump(report)))
    else:
        show(report, Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE))
    if report.verdict != "submittable":
        raise typer.Exit(EXIT_VERDICT)


def refuse_run_folder(tree: Path) -> None:
    """Stop at a results folder, which holds the tree: as a tree everything in it would be wrong."""
    below = tree / TREE
    if below.is_dir() and ((tree / PLAN).is_file() or (tree / IMPORTS).is_file()):
        raise ConfigError(f"{tree} is a results folder, not a submission tree", hint=f"did you mean '{below}'?")


def _noted(report: CheckReport, note: str) -> CheckReport:
    return dataclasses.replace(report, official_note=note)


def show(report: CheckReport, console: Console) -> None:
    """Print the results with their findings, then what each broken rule means, then the verdict."""
    official = {} if report.official is None else {result.location: result for result in report.official.results}
    left = list(report.findings)
    for result in report.results:
        own = [finding for finding in left if finding.affects == result.location]
        left = [finding for finding in left if finding.affects != result.location]
        console.print(_heading(result, official.get(result.location)))
        _findings(console, own, result.location)
    if left:
        console.print(Text("other places", style="bold"))
        _findings(console, left, "")
    _meanings(console, report.findings)
    _official(console, report)
    style, words = _VERDICT[report.verdict]
    counts = Text(f"{report.verdict.upper()} ", style=style)
    counts.append(f"for round {report.round}: {words}; {_count(len(report.results), 'result')}, ", style="default")
    expected = sum(1 for finding in report.findings if finding.expected_because)
    counts.append(_count(len(report.findings), "finding") + (f", {expected} expected" if expected else ""))
    console.print(counts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


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
        said.append(f" [{printable(where)}]" + (" (expected)" if expected else ""), style="not bold dim")
        table.add_row(Text(f" {finding.severity}", style="dim" if expected else _STYLE[finding.severity]), said)
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


def _official(console: Console, report: CheckReport) -> None:
    if report.official is None:
        console.print(Text(f"official checker: {report.official_note}", style="dim"))
        return
    official = report.official
    accepted = sum(1 for result in official.results if result.passed)
    flags = f" with {' '.join(official.flags)}" if official.flags else ""
    text = (
        f"official checker --version {official.version}{flags}: accepts {accepted} of {len(official.results)} results"
    )
    console.print(Text(text + (f" ({official.note})" if official.note else ""), style="bold"))
    for result in official.results:
        for error in () if result.passed else result.errors[:_ERRORS_SHOWN]:
            if not _CLOSING.match(error):
                short = "/".join(result.location.split("/")[-_NAMED:])
                shown = error.replace(result.location + "/", "")
                console.print(Text(f"  {printable(short)}: {shown}", style="dim"))
    for run in official.runs:
        if run.crash is not None or run.exit_code is None:
            console.print(Text(f"  {run.system}: {run.crash or 'stopped, it ran out of time'}", style="yellow"))
    for one in report.disagreements:
        text = f"  disagreement on {one.location}: ours {one.ours}, official {one.official}: {one.message}"
        console.print(Text(text, style="bold yellow"))
