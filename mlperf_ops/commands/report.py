"""`mlperf-ops report RUN_DIR`: write verdict.md and report.html."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from mlperf_ops import report
from mlperf_ops.runlock import OWNER_FILE, current_owner, is_alive, read_owner


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run folder: results/<run_id>.")],
    dropped: Annotated[
        Path | None, typer.Option(help="JSON of the hosts that dropped out and why; kept as RUN_DIR/dropped.json.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the text.")] = False,
) -> None:
    """Write report/verdict.md and report/report.html of a run, and print the verdict.

    It may be called while a run is going on: of what is there so far. A tree that was not checked is called that, with
    the command that checks it. The exit code says whether the report could be written; the verdict's exit code belongs
    to `mlperf-ops check`.

    Example: mlperf-ops report results/local
    """
    if dropped is not None:
        report.keep_dropped(run, dropped)
    written = report.build(run)
    user = _in_use(run)
    if user is not None:
        print(f"mlperf-ops: {user}: this report is of what was there so far", file=sys.stderr)  # noqa: T201
    if as_json:
        answer = {
            "changed": written.changed,
            "verdict": written.verdict,
            "verdict_md": str(written.verdict_md),
            "report_html": str(written.report_html),
            "text": written.text,
            "in_use": user,
        }
        typer.echo(json.dumps(answer))
        return
    typer.echo(written.text, nl=False)
    print("report written" if written.changed else "report unchanged", file=sys.stderr)  # noqa: T201


def _in_use(run: Path) -> str | None:
    """Say who else works in a results folder; None: nobody does."""
    owner = read_owner(run)
    if owner is None or owner == current_owner() or not is_alive(owner):
        return None
    return f"{run} is in use by process {owner.pid} ({owner.command}), as {run / OWNER_FILE} says"
