"""`mlperf-ops status`: what of a campaign is done, runs, is blocked or missing, and when it will be ready."""

from __future__ import annotations

import datetime as dt
import io
import json
import sys
from typing import Annotated

import typer
from rich.console import Console

from mlperf_ops.campaign.ask import TIMEOUT_SECONDS
from mlperf_ops.campaign.live import look, reach_hosts
from mlperf_ops.campaign.read import find_run
from mlperf_ops.campaign.show import show
from mlperf_ops.commands.campaign_options import InventoryOption, JsonOption, ResultsOption
from mlperf_ops.typed import dump

_FILE_COLUMNS = 1000


def command(
    inventory: InventoryOption = None,
    results: ResultsOption = None,
    live: Annotated[
        bool, typer.Option("--live", help="Ask the hosts, too: what they measure, and what was not collected yet.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds for all hosts together, with --live.", min=1.0)] = (
        TIMEOUT_SECONDS
    ),
    every_cell: Annotated[bool, typer.Option("--cells", help="A line for each cell instead of the matrix.")] = False,
    extra_vars: Annotated[
        list[str] | None, typer.Option("-e", "--extra-vars", help="Passed on to Ansible, with --live.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show where every cell of a campaign stands, how long the rest takes, what finishes last, and what to do next.

    Only reads, also while a play goes on. Without --live it costs the hosts nothing and knows what was collected; with
    --live each host is asked by one short command, all at once, and one that does not answer is a row that says so.

    Example: mlperf-ops status -i inventory/lab --live
    """
    run = find_run(inventory, results)
    reached = reach_hosts(run, inventory, extra_vars or []) if live else None
    seen = look(run, inventory, reached, timeout_seconds=timeout, given=results)
    if as_json:
        typer.echo(json.dumps(dump(seen)))
        return
    for problem in seen.problems:
        typer.echo(f"mlperf-ops: {problem}", err=True)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # reasons have letters that a terminal may lack
    wide = None if sys.stdout.isatty() else _FILE_COLUMNS
    console = Console(soft_wrap=True, highlight=False, width=wide)
    show(seen, console, now=dt.datetime.now().astimezone(), every_cell=every_cell)
