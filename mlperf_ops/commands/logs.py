"""`mlperf-ops logs`: what a cell's process printed and LoadGen's summary, from the controller's copy or the host."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from mlperf_ops.campaign.ask import TIMEOUT_SECONDS
from mlperf_ops.campaign.live import home_of, look, reach_hosts, way_to
from mlperf_ops.campaign.logs import CONSOLE, SUMMARY, Logs, copied, follow, of_host
from mlperf_ops.campaign.model import CellStatus
from mlperf_ops.campaign.names import find_cell
from mlperf_ops.campaign.read import find_run
from mlperf_ops.commands.campaign_options import InventoryOption, JsonOption, ResultsOption
from mlperf_ops.doctor.model import Access
from mlperf_ops.errors import ConfigError, ResultError


def command(  # noqa: PLR0917  # typer makes an option of each
    cell: Annotated[str, typer.Argument(metavar="CELL", help="A cell's name, or an end of it that is its alone.")],
    inventory: InventoryOption = None,
    results: ResultsOption = None,
    host: Annotated[str | None, typer.Option(help="Where it ran, when several hosts measure the cell.")] = None,
    live: Annotated[bool, typer.Option("--live", help="The host's own files: of what was not collected yet.")] = False,
    follow_it: Annotated[
        bool, typer.Option("--follow", "-f", help="Read along while it runs; ends when the cell does.")
    ] = False,
    file: Annotated[str, typer.Option(help="Another file of the attempt, such as mlperf_log_detail.txt.")] = CONSOLE,
    timeout: Annotated[float, typer.Option(help="Seconds to reach a host.", min=1.0)] = TIMEOUT_SECONDS,
    extra_vars: Annotated[
        list[str] | None, typer.Option("-e", "--extra-vars", help="Passed on to Ansible, with --live and --follow.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the logs of a cell's attempt: what its process printed, and LoadGen's summary.

    Without --live it is the controller's copy of the attempt that `mlperf-ops status` speaks of. With --follow the
    phases come as well, each in brackets, and a lost connection is opened again.

    Example: mlperf-ops logs -i inventory/lab sut1/efficientnet-lite0/Offline/performance --follow
    """
    if "/" in file or file in {"", ".", ".."}:
        raise ConfigError(f"--file '{file}' is no file of an attempt", hint=f"such as {CONSOLE}, user.conf, spec.json")
    if follow_it and as_json:
        raise ConfigError("--follow prints as it comes, --json one object at the end", hint="keep one of them")
    if follow_it and file != CONSOLE:
        raise ConfigError(f"--follow reads {CONSOLE} only", hint=f"without --follow: --live --file {file}")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    run = find_run(inventory, results)
    found = find_cell(look(run, inventory).cells, cell, host)
    if not live and not follow_it:
        folder = _copy(run, found)
        _show(found, str(folder), copied(folder, file), file, as_json=as_json)
        return
    reached = reach_hosts(run, inventory, extra_vars or [], found.host)
    access, home = way_to(found.host, reached), home_of(run, found.host)
    found = find_cell(look(run, inventory, reached, timeout_seconds=timeout).cells, found.key, found.host)
    where = _on_host(found)
    if follow_it and found.state == "running":
        _follow(found, where, access, home, timeout)
        ended = find_cell(look(run, inventory, reached, timeout_seconds=timeout).cells, found.key, found.host)
        _tell(ended, where)
        return
    said = of_host(access, home, where, timeout_seconds=timeout, name=file)
    _show(found, where, said, file, as_json=as_json)


def _follow(cell: CellStatus, where: str, access: Access, home: str, timeout: float) -> None:
    typer.echo(f"mlperf-ops: {cell.key} on {cell.host}, {where}", err=True)
    for line in follow(access, home, where, timeout_seconds=timeout):
        typer.echo(f"[{line.text}]" if line.is_phase else line.text, nl=line.is_phase)
    said = of_host(access, home, where, timeout_seconds=timeout)
    typer.echo(f"--- {SUMMARY}\n{said.summary}" if said.summary else "LoadGen left no summary")


def _copy(run: Path, cell: CellStatus) -> Path:
    """Return the controller's copy of an attempt."""
    if cell.path is not None:
        return run / "hosts" / cell.host / cell.path
    reason = f": {cell.reason}" if cell.reason else ""
    raise ResultError(
        f"the controller has no attempt of {cell.key}, which is {cell.state}{reason}",
        hint="--live asks the host for what was not collected yet",
    )


def _on_host(cell: CellStatus) -> str:
    """Return the attempt's folder on its host."""
    if cell.on_host is not None:
        return cell.on_host
    reason = f": {cell.reason}" if cell.reason else ""
    raise ResultError(f"host {cell.host} has no attempt of {cell.key}, which is {cell.state}{reason}")


def _show(cell: CellStatus, where: str, said: Logs, file: str, *, as_json: bool) -> None:
    if as_json:
        answer = {
            "cell": cell.key, "host": cell.host, "state": cell.state, "reason": cell.reason, "attempt": cell.attempt,
            "folder": where, "file": file, "text": said.console, "summary": said.summary,
        }  # fmt: skip
        typer.echo(json.dumps(answer))
        return
    _tell(cell, where)
    if said.console:
        typer.echo(said.console, nl=not said.console.endswith("\n"))
    else:
        typer.echo(f"mlperf-ops: {file} is empty: the process printed nothing", err=True)
    if said.summary:
        typer.echo(f"--- {SUMMARY}\n{said.summary}", nl=not said.summary.endswith("\n"))


def _tell(cell: CellStatus, where: str) -> None:
    reason = f": {cell.reason}" if cell.reason else ""
    typer.echo(f"mlperf-ops: {cell.key} on {cell.host} is {cell.state}{reason}\nmlperf-ops: {where}", err=True)
