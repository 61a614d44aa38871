"""`mlperf-ops import`: results that were made elsewhere, verified and filed beside our own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.errors import ResultError
from mlperf_ops.importing.import_map import read_map
from mlperf_ops.importing.store import Imported, import_all
from mlperf_ops.runlock import hold
from mlperf_ops.typed import dump

_STYLES = {"imported": "green", "there already": "dim", "refused": "red"}


def command(
    map_: Annotated[Path, typer.Option("--map", help="YAML file: which folder is which result, and what made it.")],
    run: Annotated[Path, typer.Option(help="Results folder: results/<run_id>; made when it is not there.")],
    base: Annotated[
        Path, typer.Option("--from", help="Folder that the paths of the map start at; only read.")
    ] = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; verify and show.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Take over results of other tools: folders of LoadGen logs, named by a small YAML file.

    They are verified as our own are (round, seeds, settings, validity, score), stored once and never changed, and say
    where they come from in every page. Result by result: what cannot be used is named, the others are imported.

    Example: mlperf-ops import --from ~/vendor/results --map import.yaml --run results/lab
    """
    file = read_map(map_, base)
    catalogue = load_catalogue()
    if not dry_run:
        run.mkdir(parents=True, exist_ok=True)
    with contextlib.nullcontext() if dry_run else hold(run):
        told = import_all(file, run, catalogue, dry_run=dry_run)
    refused = [one for one in told if one.state == "refused"]
    if as_json:
        typer.echo(json.dumps({"run": str(run), "cells": [dump(one) for one in told], "refused": len(refused)}))
    else:
        _show(told)
    if refused:
        raise ResultError(
            f"{len(refused)} of {len(told)} cells cannot be imported",
            hint="the reasons are above; the others are in" if not as_json else None,
        )


def _show(told: Sequence[Imported]) -> None:
    console = Console()
    if not console.is_terminal:  # a line is never broken, for grep and cut
        for one in told:
            typer.echo("\t".join((one.state, one.key, one.host, one.verdict, one.reason or one.path)))
        return
    table = Table("state", "cell", "host", "verdict", "where, or why", box=None, pad_edge=False)
    for one in told:
        table.add_row(
            f"[{_STYLES[one.state]}]{one.state}[/]",
            *map(escape, (one.key, one.host, one.verdict, one.reason or one.path)),
        )
    console.print(table)
