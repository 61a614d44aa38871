"""`mlperf-ops check`: what is wrong with a submission tree, who objects, and what to do."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from mlperf_ops.catalogue.one_round import load_round
from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker import (
    CheckReport,
    check_tree,
    retired,
    run_official,
    with_official,
)
from mlperf_ops.checker.baseline import change_since
from mlperf_ops.checker.checkout import inspect
from mlperf_ops.checker.explain import known_rules, rule_page
from mlperf_ops.checker.names import LINK
from mlperf_ops.checker.other_round import SIGNS, hint_of_other_round
from mlperf_ops.checker.structure import UNKNOWN_DIVISION
from mlperf_ops.checker.summary import WORKBOOK, write_summary
from mlperf_ops.checker.table import csv_text, table_rows
from mlperf_ops.checker.workbook import require_openpyxl
from mlperf_ops.errors import EXIT_VERDICT, ConfigError, MlperfOpsError, ToolError
from mlperf_ops.files import JsonObject, read_json, write_atomic, write_json
from mlperf_ops.plan_model import Plan
from mlperf_ops.run_plan import IMPORTS, PLAN, TREE
from mlperf_ops.typed import dump, load

_BESIDE_REPORT = frozenset({"baseline", "hint"})  # what --json prints beside the report


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
        Path | None, typer.Option(help="Folder for summary_results.json and summary.xlsx, as the official report.")
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
    every: Annotated[
        bool, typer.Option("--verbose", "-v", help="List every result with its findings, however many; else by rule.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as one JSON object.")] = False,
) -> None:
    """Check a submission tree by the rules of a round, and explain every finding.

    Exit code 0: submittable. 1: somebody objects, be it expected or not. 2: wrong input, such as an unknown submitter
    or a tree without results. 5: a file could not be written; the verdict is shown all the same. With --only, the
    named rules alone decide; --baseline changes what is shown, not the exit code.

    Example: mlperf-ops check results/local/submission --round v6.1 --plan results/local/plan.json
    """
    if explain is not None:
        typer.echo(rule_page(explain), nl=False)
        return
    if tree is None:
        raise ConfigError("no tree was given", hint="name the folder that holds the divisions")
    rules, planned = _question(tree, round_, plan)
    earlier = None if baseline is None else _earlier(baseline)
    selected = known_rules(only or (), "--only")
    if selected and (csv or summary):
        raise ConfigError(
            f"{'--csv' if csv else '--summary'} needs all rules: it lists accepted results; --only leaves some out",
            hint="call it without --only",
        )
    if official_checker is not None:
        inspect(official_checker, rules)  # before the tree, which may be large
    if summary is not None:
        _announce_missing_library(summary)
    report = check_tree(tree, rules, planned, submitter=submitter, only=selected, cache=cache)
    if not report.results and planned is None:
        raise ConfigError(
            f"{tree} holds no result" + (f" of {submitter}" if submitter else ""), hint=_where_results_are(report)
        )
    report = _second_opinion(
        _told(report, rules), rules, official_checker, tuple(official_flag or ()), official_note, submitter
    )
    # The verdict is shown whatever happens to the files.
    problems = [problem for write in _writers(report, rules, output, csv, summary) for problem in _prevented(write)]
    change = None if earlier is None else change_since(earlier, report)
    hint = _hint(report) or (f"judged by {', '.join(sorted(selected))} alone, not by all rules" if selected else None)
    if as_json:
        more: JsonObject = {} if change is None else {"baseline": dump(change)}
        more |= {} if hint is None else {"hint": hint}
        typer.echo(json.dumps(dump(report) | more))
    else:
        from mlperf_ops.checker.show import show  # noqa: PLC0415  # what only people need takes time to import

        show(report, change, every=every, hint=hint)
    for problem in problems:
        typer.echo(f"mlperf-ops: error: {problem}", err=True)
    if problems:
        raise typer.Exit(problems[0].exit_code)
    if report.verdict != "submittable":
        raise typer.Exit(EXIT_VERDICT)


def _earlier(baseline: Path) -> CheckReport:
    """Read checks.json, or what --json printed, which may say more beside the report."""
    said = {key: value for key, value in read_json(baseline).items() if key not in _BESIDE_REPORT}
    return load(CheckReport, said, str(baseline))


def _told(report: CheckReport, rules: Round) -> CheckReport:
    if not retired.has_history(report, rules):
        return report
    from mlperf_ops.catalogue.loader import load_catalogue  # noqa: PLC0415  # reads all rounds

    return retired.with_history(report, load_catalogue())


def _where_results_are(report: CheckReport) -> str:
    """Say where a result has to be, after what was found instead: another division, or a link to a folder."""
    links = (f"{one.location}: {one.message}" for one in report.findings if one.rule == LINK.id and one.rejects)
    others = (finding.message for finding in report.findings if finding.rule == UNKNOWN_DIVISION.id)
    odd = next(itertools.chain(others, links), None)
    told = "a result is the folder <division>/<submitter>/results/<system>/<benchmark>/<scenario>"
    return told if odd is None else f"{odd}; {told}"


def _hint(report: CheckReport) -> str | None:
    if not any(finding.rule in SIGNS for finding in report.findings):
        return None
    from mlperf_ops.catalogue.loader import load_catalogue  # noqa: PLC0415  # reads all rounds

    return hint_of_other_round(report, load_catalogue().rounds)


def _announce_missing_library(summary: Path) -> None:
    """Say before the check, which may take long, that one of the files will not be written."""
    if summary.suffix in {".xlsx", ".json"} and not summary.is_dir():
        raise ConfigError(
            f"--summary {summary}: expected a folder, in which {WORKBOOK} and summary_results.json are written",
            hint=f"did you mean '--summary {summary.parent}'?",
        )
    try:
        require_openpyxl(WORKBOOK)
    except ToolError as error:
        typer.echo(f"mlperf-ops: {error}; the check goes on without it", err=True)


def _prevented(write: Callable[[], object]) -> tuple[MlperfOpsError, ...]:
    try:
        write()
    except MlperfOpsError as error:
        return (error,)
    return ()


def _writers(
    report: CheckReport, rules: Round, output: Path | None, csv: Path | None, summary: Path | None
) -> Iterator[Callable[[], object]]:
    """Yield what writes each file that was asked for."""
    if output is not None:
        yield lambda: write_json(output, dump(report))
    if csv is not None:
        yield lambda: write_atomic(csv, csv_text(table_rows(report, rules)))
    if summary is not None:
        yield lambda: _write_summary(report, rules, summary)


def _write_summary(report: CheckReport, rules: Round, summary: Path) -> None:
    kept = write_summary(report, rules, summary)
    if kept:
        said = f"keeps {len(kept)} result{'' if len(kept) == 1 else 's'} of scenarios that the round does not list"
        typer.echo(f"{summary}: {said}; the official report drops them", err=True)


def _question(tree: Path, round_: str | None, plan: Path | None) -> tuple[Round, Plan | None]:
    """Return the round and the plan by which to check."""
    planned = None if plan is None else load(Plan, read_json(plan), str(plan))
    name = round_ or (planned.round if planned is not None else None)
    if name is None:
        raise ConfigError("no round was given", hint="add --round v6.1, or --plan with a plan.json")
    if planned is not None and planned.round != name:
        raise ConfigError(f"{plan} is a plan of round {planned.round}, and --round is {name}")
    refuse_run_folder(tree)
    return load_round(name, "--round" if round_ else str(plan)), planned


def _second_opinion(
    report: CheckReport, rules: Round, checkout: Path | None, flags: tuple[str, ...], note: str, submitter: str | None
) -> CheckReport:
    if checkout is None:
        return _noted(report, note or "no checkout of the official checker was given")
    try:
        return with_official(report, run_official(checkout, Path(report.tree), rules, flags=flags, submitter=submitter))
    except ToolError as error:
        return _noted(report, str(error))


def refuse_run_folder(tree: Path) -> None:
    """Stop at a results folder, which holds the tree: as a tree everything in it would be wrong."""
    if not ((tree / PLAN).is_file() or (tree / IMPORTS).is_file()):
        return
    below = tree / TREE
    if below.is_dir():
        raise ConfigError(f"{tree} is a results folder, not a submission tree", hint=f"did you mean '{below}'?")


def _noted(report: CheckReport, note: str) -> CheckReport:
    return dataclasses.replace(report, official_note=note)
