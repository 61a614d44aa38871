"""`mlperf-ops aggregate`: from collected results to a submission tree."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlperf_ops.aggregate import PLAN, AggregateReport, aggregate, as_json, read_plan
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.errors import ConfigError
from mlperf_ops.runlock import hold


def command(
    run_dir: Annotated[Path, typer.Argument(help="A results folder: results/<run_id>, with plan.json and hosts/.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; show what would be written.")] = False,
    as_json_: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Build the submission tree of a results folder.

    Packs what the plan asks for and the hosts have measured; names what is missing and what must not be packed. The
    tree is swapped in only when something differs, so running it again changes nothing. Raw results are only read.

    Example: mlperf-ops aggregate results/local
    """
    if not run_dir.is_dir():
        raise ConfigError(f"{run_dir} is not a folder", hint="give a results folder, such as results/local")
    catalogue = load_catalogue()
    round_ = catalogue.round(read_plan(run_dir).round, str(run_dir / PLAN))
    with contextlib.nullcontext() if dry_run else hold(run_dir):
        report = aggregate(run_dir, round_, catalogue, dry_run=dry_run)
    if as_json_:
        typer.echo(json.dumps(as_json(report)))
    else:
        _show(report, dry_run=dry_run)


def _show(report: AggregateReport, *, dry_run: bool) -> None:
    rows = [("written", packed.key, packed.path) for packed in report.written]
    rows += [("missing", cell.key, cell.reason) for cell in report.missing]
    rows += [("refused", cell.key, cell.reason) for cell in report.refused]
    rows += [
        ("unknown", f"{system}: {name}", reason)
        for system, fields in report.unknown_fields.items()
        for name, reason in fields.items()
    ]
    console = Console()
    if console.is_terminal:
        table = Table("state", "what", "where, or why", box=None, pad_edge=False)
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
    else:  # a line is never broken, for grep and cut
        for row in rows:
            typer.echo("\t".join(row))
    state = "would change" if dry_run and report.changed else "changed" if report.changed else "is up to date"
    typer.echo(f"{report.tree} {state}")
