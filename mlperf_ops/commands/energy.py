"""`mlperf-ops energy`: what RAPL, GPUs, BMC or PDU read beside the cells of a run, unofficially."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mlperf_ops.commands.tables import print_table
from mlperf_ops.energy_rows import EnergyRow, energy_table
from mlperf_ops.harness.energy.model import NOTE
from mlperf_ops.typed import dump

_HEADING = ("cell", "host", "source (unofficial)", "average W", "J", "J per query", "seconds", "remark")


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="results/<run id>, or the folder of an attempt.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Show the unofficial energy of each performance cell: average watts, joules and joules per query of each source.

    Sources measure different parts of a machine and are never added up. The numbers are no power result as the MLPerf
    rules define it, and no submission takes them.

    Example: mlperf-ops energy results/lab
    """
    found = energy_table(folder)
    if as_json:
        told = {"unofficial": True, "note": NOTE, "rows": [dump(row) for row in found.rows]}
        typer.echo(json.dumps({**told, "problems": list(found.problems)}))
        return
    print_table(_HEADING, [_cells(row) for row in found.rows])
    for problem in found.problems:
        typer.echo(f"mlperf-ops: {problem}", err=True)
    if found.rows:
        typer.echo(f"mlperf-ops: {NOTE}", err=True)
    else:
        typer.echo(
            f"mlperf-ops: no cell of {folder} has unofficial energy (mlperf_unofficial_energy names the sources; "
            "cells that run from then on have it)",
            err=True,
        )


def _cells(row: EnergyRow) -> tuple[str, ...]:
    return (
        row.key,
        row.host,
        row.source if row.source == row.kind else f"{row.source} ({row.kind})",
        *(_shown(value) for value in (row.average_watts, row.joules, row.joules_per_query, row.duration_seconds)),
        row.remark,
    )


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
