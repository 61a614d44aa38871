"""`mlperf-ops aggregate`: from collected results to a submission tree."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlperf_ops.aggregate import AggregateReport, aggregate, as_json, look
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.commands.tables import print_table
from mlperf_ops.errors import EXIT_VERDICT, ConfigError
from mlperf_ops.matrix import MatrixCell, MatrixRow, missing_rows
from mlperf_ops.run_plan import read_plan, round_of
from mlperf_ops.runlock import hold
from mlperf_ops.typed import dump

_STYLES = {
    "written": "green",
    "passed": "green",
    "yours": "yellow",
    "added": "yellow",
    "ours": "yellow",
    "valid": "green",
    "invalid": "red",
    "failed test": "red",
    "refused": "red",
    "conflict": "bold red",
    "failed": "red",
    "tainted": "yellow",
    "missing": "yellow",
    "impossible": "dim",
    "not planned": "magenta",
}
_SAME = "same runs"


def command(
    run_dir: Annotated[Path, typer.Argument(help="A results folder: results/<run_id>, with plan.json and hosts/.")],
    round_name: Annotated[
        str | None, typer.Option("--round", help="Refuse unless the results were measured for this round.")
    ] = None,
    missing: Annotated[
        bool,
        typer.Option(
            "--missing", help="Write nothing; show what a valid submission still lacks. Exit code 1: something."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; show what would be written.")] = False,
    take_ours: Annotated[
        list[str] | None,
        typer.Option(help="A file or folder of the tree whose edits give way to what the results say; repeatable."),
    ] = None,
    as_json_: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Build the submission tree of a results folder.

    Packs what the plan asks for and the hosts have measured; names what is missing and what must not be packed. The
    tree is swapped in only when something differs, so running it again changes nothing. Raw results are only read.
    Documents that you edited in the tree stay until --take-ours names them, and files that you added.

    Exit code 0: every usable result is in the tree; what is missing is only named. 1: the tree lacks results that are
    there, as several claim one place or as they must not be packed. 4: nothing can be packed.

    Example: mlperf-ops aggregate results/local
    """
    if not run_dir.is_dir():
        raise ConfigError(f"{run_dir} is not a folder", hint="give a results folder, such as results/local")
    catalogue = load_catalogue()
    planned = round_of(run_dir, read_plan(run_dir), catalogue)
    round_ = planned if round_name is None else catalogue.round(round_name, "--round")
    if missing and round_ is planned:
        _show_missing(look(run_dir, catalogue), as_json=as_json_)
        return
    with contextlib.nullcontext() if dry_run else hold(run_dir):
        report = aggregate(run_dir, round_, catalogue, dry_run=dry_run, take_ours=take_ours or ())
    if as_json_:
        typer.echo(json.dumps(as_json(report)))
    else:
        _show(report, run_dir, dry_run=dry_run)
    if kept_out := list(_kept_out(report)):
        for sentence in kept_out:
            typer.echo(f"mlperf-ops: {sentence}", err=True)
        raise typer.Exit(EXIT_VERDICT)


def _kept_out(report: AggregateReport) -> Iterator[str]:
    """Say which results are there and yet not in the tree, so that somebody has to decide."""
    undecided = [one for one in report.conflicts if one.rule is None]
    places = tuple(f"{one.key}/" for one in undecided)
    refused = [cell for cell in report.refused if not cell.key.startswith(places)]
    if undecided:
        what = "1 place is" if len(undecided) == 1 else f"{len(undecided)} places are"
        first = "" if len(undecided) == 1 else "the first is "
        remedy = "mlperf_on_conflict: best lets the better one count"
        yield f"{what} not in the tree: {first}{undecided[0].key}, {undecided[0].sentence} ({remedy})"
    if refused:
        what = "1 result was" if len(refused) == 1 else f"{len(refused)} results were"
        first = "" if len(refused) == 1 else "the first is "
        yield f"{what} measured and cannot be packed: {first}{refused[0].key}, {refused[0].reason}"


def _show(report: AggregateReport, run: Path, *, dry_run: bool) -> None:
    print_table(("state", "what", "result (with unit)", "where, or why"), _rows(report, run), _STYLES)
    lacking = missing_rows(report.matrix)
    if lacking:
        places = "place lacks" if len(lacking) == 1 else "places lack"
        command = shlex.join(["mlperf-ops", "aggregate", str(run), "--missing"])
        typer.echo(f"{len(lacking)} {places} something of a valid submission; see {command}")
    staying = [one for one in report.edits if one.state != "ours"]
    if staying:
        said = "1 file stays as you left it" if len(staying) == 1 else f"{len(staying)} files stay as you left them"
        example = shlex.join(["mlperf-ops", "aggregate", str(run), "--take-ours", staying[0].path])
        typer.echo(f"{said}; to take ours instead: {example}")
    state = "would change" if dry_run and report.changed else "changed" if report.changed else "is up to date"
    typer.echo(f"{report.tree} {state}")


def _rows(report: AggregateReport, run: Path) -> Iterator[tuple[str, str, str, str]]:
    for packed in report.written:
        yield "written", packed.key, packed.result, packed.path
    for packed in report.written:
        if packed.stands_for:
            yield "stands on", packed.key, packed.result, f"{packed.stands_for}: {packed.rule}"
    for state, cells in (("missing", report.missing), ("refused", report.refused)):
        for cell in cells:
            yield state, cell.key, "", cell.reason
    for conflict in report.conflicts:
        yield "conflict" if conflict.rule is None else "chosen", conflict.key, "", conflict.sentence
    for test in report.tests:
        yield "passed" if test.passed else "failed test", test.key, "", test.sentence or "; ".join(test.notes)
    for system, fields in report.unknown_fields.items():
        for name, reason in fields.items():
            yield "unknown", f"{system}: {name}", "", reason
    for edit in report.edits:
        aside = f"; yours is now {run / edit.aside}" if edit.aside else ""
        yield edit.state, edit.path, "", edit.reason + aside


# --- the matrix ------------------------------------------------------------------------------------------------------


def _show_missing(rows: Sequence[MatrixRow], *, as_json: bool) -> None:
    """Print the matrix; exit code 1 when something is missing."""
    lacking = missing_rows(rows)
    if as_json:
        typer.echo(
            json.dumps({"complete": not lacking, "missing": len(lacking), "matrix": [dump(row) for row in rows]})
        )
    elif (console := Console(highlight=False)).is_terminal:
        _show_tables(rows, lacking, console)
    else:
        print_table(
            ("division", "system", "benchmark", "scenario", "need", "cell", "state", "hosts", "reason"),
            [
                (row.division, row.system, row.benchmark, row.scenario, row.need, cell.cell, cell.state,
                 ",".join(cell.hosts), cell.reason)
                for row in rows
                for cell in row.cells
            ],
        )  # fmt: skip
    if lacking:
        raise typer.Exit(EXIT_VERDICT)


def _show_tables(rows: Sequence[MatrixRow], lacking: Sequence[MatrixRow], console: Console) -> None:
    """Print one table for each division and system, then the reasons, each once."""
    groups: dict[tuple[str, str], list[MatrixRow]] = {}
    for row in rows:
        groups.setdefault((row.division, row.system), []).append(row)
    for (division, system), own in groups.items():
        columns = list(dict.fromkeys(cell.cell for row in own for cell in row.cells))
        done = sum(1 for row in own if row not in lacking)
        console.print(f"[bold]{escape(system)}[/] ({division}): {done} of {len(own)} places are complete")
        table = Table("benchmark", "scenario", "need", *columns, box=None, pad_edge=False)
        before = ""
        for row in own:
            shown = {cell.cell: _mark(cell, row) for cell in row.cells}
            name = escape(row.benchmark) if row.benchmark != before else ""
            before = row.benchmark
            table.add_row(
                f"  {name}", row.scenario, _need(row, lacking), *(shown.get(column, "") for column in columns)
            )
        console.print(table)
        console.print()
    for reason, cells in _reasons(lacking).items():
        console.print(f"{escape(', '.join(cells))}: {escape(reason)}", soft_wrap=True)
    told = "nothing is missing" if not lacking else f"{len(lacking)} of {len(rows)} places lack something"
    console.print(f"[bold]{told}[/]")


def _mark(cell: MatrixCell, row: MatrixRow) -> str:
    host = f" {escape(','.join(cell.hosts))}" if cell.hosts and len({*cell.hosts, row.system}) > 1 else ""
    note = f" [dim]({_SAME})[/]" if row.stands_on is not None and cell.good else ""
    return f"[{_STYLES[cell.state]}]{cell.state}[/][dim]{host}[/]{note}"


def _need(row: MatrixRow, lacking: Iterable[MatrixRow]) -> str:
    if row.need != "one of":
        return row.need
    return "one of" if row in lacking or row.complete else "[dim]one of: not needed[/]"


def _reasons(rows: Iterable[MatrixRow]) -> dict[str, list[str]]:
    """Return reason -> cells, so that one cause of many cells is told once; what nobody planned tells itself."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for cell in row.cells:
            if not cell.good and cell.state != "not planned":
                where = f"{row.system}/{row.benchmark}/{row.scenario}/{cell.cell}"
                found.setdefault(f"{cell.state}: {cell.reason}", []).append(where)
    return found
