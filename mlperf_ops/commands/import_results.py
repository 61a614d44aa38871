"""`mlperf-ops import`: results that were made elsewhere, verified and filed beside our own."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.commands.tables import print_table
from mlperf_ops.errors import ConfigError, ResultError
from mlperf_ops.importing.import_map import read_map
from mlperf_ops.importing.store import Imported, import_all
from mlperf_ops.runlock import hold
from mlperf_ops.typed import dump

_STYLES = {"imported": "green", "there already": "dim", "refused": "red", "ignored": "yellow"}


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
    where they come from in every page. Compliance tests come in as well: named by the map, or found beside the runs by
    their official names (TEST01 …). Mistakes of the map are told all at once, and then nothing is written. Else result
    by result: what cannot be used is named, the others are imported.

    Example: mlperf-ops import --from ~/vendor/results --map import.yaml --run results/lab
    """
    file = read_map(map_, base)
    catalogue = load_catalogue()
    there = run.exists()
    try:
        with contextlib.nullcontext() if dry_run else hold(run):  # which makes the folder
            everything = import_all(file, run, catalogue, dry_run=dry_run)
    except ConfigError:
        if not there:
            with contextlib.suppress(OSError):  # none in a dry run
                run.rmdir()
        raise
    told = [one for one in everything if one.state != "ignored"]
    ignored = [{"folder": one.key, "reason": one.reason} for one in everything if one.state == "ignored"]
    refused = [one for one in told if one.state == "refused"]
    if as_json:
        answer = {"run": str(run), "cells": [dump(one) for one in told], "refused": len(refused), "ignored": ignored}
        typer.echo(json.dumps(answer))
    else:
        _show(everything, run, dry_run=dry_run)
    if refused:
        others = "; the others are in" if len(refused) < len(told) and not dry_run else ""
        raise ResultError(
            f"{len(refused)} of {len(told)} cells cannot be imported",
            hint=None if as_json else f"the reasons are above{others}",
        )


def _show(everything: Sequence[Imported], run: Path, *, dry_run: bool) -> None:
    rows = [(one.state, one.key, one.host, one.verdict, one.result, _why(one)) for one in everything]
    print_table(("state", "cell", "host", "verdict", "result (with unit)", "where, or why"), rows, _STYLES)
    if any(one.state in {"imported", "there already"} for one in everything) and not dry_run:
        typer.echo(f"next: {shlex.join(['mlperf-ops', 'aggregate', str(run)])}")


def _why(one: Imported) -> str:
    found = "found by its name: " if one.found and one.state != "ignored" else ""
    return found + (one.reason or one.path)
