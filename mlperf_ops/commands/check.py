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

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker import (
    CheckedResult,
    CheckReport,
    Finding,
    OfficialResult,
    check_tree,
    run_official,
    with_official,
)
from mlperf_ops.checker.baseline import Change, change_since
from mlperf_ops.checker.checkout import inspect
from mlperf_ops.checker.explain import known_rules, rule_page
from mlperf_ops.checker.rules import printable
from mlperf_ops.checker.summary import write_summary
from mlperf_ops.checker.table import csv_text, table_rows
from mlperf_ops.errors import EXIT_VERDICT, ConfigError, ToolError
from mlperf_ops.files import read_json, write_atomic, write_json
from mlperf_ops.model import Plan
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


def command(  # noqa: PLR0917  # typer makes an option of each
    tree: Annotated[
        Path | None, typer.Argument(help="Folder that holds the divisions, such as results/local/submission.")
    ] = None,
    round_: Annotated[str | None, typer.Option("--round", help="Round whose rules apply; default: the plan's.")] = None,
    submitter: Annotated[str | None, typer.Option(help="Check only this submitter's folders.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Show and judge by this rule only; may be repeated.")] = None,
    explain: Annotated[str | None, typer.Option(help="Print the page of a rule and end.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the result table here, by the official columns.")] = None,
    summary: Annotated[
        Path | None, typer.Option(help="Write summary_results.json and summary.xlsx, as the official report, here.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="An earlier checks.json: show what is new since, and what is gone.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps what was found, so that only what changed is judged again.")
    ] = None,
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

    Exit code 0: submittable. 1: somebody objects, be it expected or not. 2: wrong input, such as an unknown submitter
    or a tree without results. With --only, the named rules alone decide; --baseline changes what is shown, not the
    exit code.

    Example: mlperf-ops check results/local/submission --round v6.1 --plan results/local/plan.json
    """
    if explain is not None:
        typer.echo(rule_page(explain), nl=False)
        return
    if tree is None:
        raise ConfigError("no tree was given", hint="name the folder that holds the divisions")
    rules, planned = _question(tree, round_, plan)
    earlier = None if baseline is None else load(CheckReport, read_json(baseline), str(baseline))
    selected = known_rules(only or (), "--only")
    if official_checker is not None:
        inspect(official_checker, rules)  # before the tree, which may be large
    report = check_tree(tree, rules, planned, submitter=submitter, only=selected, cache=cache)
    if not report.results and planned is None:
        raise ConfigError(
            f"{tree} holds no result" + (f" of {submitter}" if submitter else ""),
            hint="a result is the folder <division>/<submitter>/results/<system>/<benchmark>/<scenario>",
        )
    report = _second_opinion(report, rules, official_checker, tuple(official_flag or ()), official_note)
    if output is not None:
        write_json(output, dump(report))
    if csv is not None:
        write_atomic(csv, csv_text(table_rows(report, rules)))
    if summary is not None:
        kept = write_summary(report, rules, summary)
        if kept:
            said = f"keeps {_count(len(kept), 'result')} of scenarios that the round does not list"
            typer.echo(f"{summary}: {said}; the official report drops them", err=True)
    change = None if earlier is None else change_since(earlier, report)
    if as_json:
        typer.echo(json.dumps(dump(report) | ({} if change is None else {"baseline": dump(change)})))
    else:
        show(report, Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE), change)
    if report.verdict != "submittable":
        raise typer.Exit(EXIT_VERDICT)


def _question(tree: Path, round_: str | None, plan: Path | None) -> tuple[Round, Plan | None]:
    """Return the round and the plan by which to check."""
    planned = None if plan is None else load(Plan, read_json(plan), str(plan))
    name = round_ or (planned.round if planned is not None else None)
    if name is None:
        raise ConfigError("no round was given", hint="add --round v6.1, or --plan with a plan.json")
    if planned is not None and planned.round != name:
        raise ConfigError(f"{plan} is a plan of round {planned.round}, and --round is {name}")
    _refuse_run_folder(tree)
    return load_catalogue().round(name, "--round" if round_ else str(plan)), planned


def _second_opinion(
    report: CheckReport, rules: Round, checkout: Path | None, flags: tuple[str, ...], note: str
) -> CheckReport:
    if checkout is None:
        return _noted(report, note or "no checkout of the official checker was given")
    try:
        return with_official(report, run_official(checkout, Path(report.tree), rules, flags=flags))
    except ToolError as error:
        return _noted(report, str(error))


def _refuse_run_folder(tree: Path) -> None:
    """Stop at a results folder, which holds the tree: as a tree everything in it would be wrong."""
    from mlperf_ops.aggregate import PLAN, TREE  # noqa: PLC0415  # it imports much, and a re-check is to be quick

    below = tree / TREE
    if below.is_dir() and (tree / PLAN).is_file():
        raise ConfigError(f"{tree} is a results folder, not a submission tree", hint=f"did you mean '{below}'?")


def _noted(report: CheckReport, note: str) -> CheckReport:
    return dataclasses.replace(report, official_note=note)


def show(report: CheckReport, console: Console, change: Change | None = None) -> None:
    """Print the results with their findings, then what each broken rule means, then the verdict.

    Args:
        report: What was found.
        console: Where to.
        change: Show only what is new since an earlier report, and what is gone.
    """
    if change is not None:
        _gone(console, change)
        places = {finding.affects for finding in change.new}
        touched = tuple(result for result in report.results if result.location in places)
        _body(dataclasses.replace(report, findings=change.new, results=touched), console)
    else:
        _body(report, console)
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
    _official(console, report)


def _verdict(report: CheckReport, console: Console) -> None:
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
    text = f"official {official.kind} checker --version {official.version}{flags}: "
    text += f"accepts {accepted} of {len(official.results)} results"
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
        known = f" (known: {one.known})" if one.known else ""
        console.print(Text(text + known, style="dim" if known else "bold yellow"))
