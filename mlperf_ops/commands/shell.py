"""`mlperf-ops shell`: the exact environment, folder and command line of a cell, printed or entered."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from typing import Annotated

import typer

from mlperf_ops.campaign.ask import LOCAL, TIMEOUT_SECONDS, ask, run_script
from mlperf_ops.campaign.live import look, reach_hosts, way_to
from mlperf_ops.campaign.names import find_cell
from mlperf_ops.campaign.read import find_run, plan_and_play
from mlperf_ops.campaign.shell import RUN, hand_run, login
from mlperf_ops.commands.campaign_options import ExtraVarsOption, InventoryOption, JsonOption, ResultsOption
from mlperf_ops.doctor.model import Progress
from mlperf_ops.doctor.ssh_settings import HostProblemError
from mlperf_ops.errors import ConfigError, ToolError


def command(  # noqa: PLR0917  # typer makes an option of each
    cell: Annotated[str, typer.Argument(metavar="CELL", help="A cell's name, or an end of it that is its alone.")],
    inventory: InventoryOption = None,
    results: ResultsOption = None,
    host: Annotated[str | None, typer.Option(help="Where it runs, when several hosts measure the cell.")] = None,
    prefix: Annotated[
        str | None, typer.Option(help="Words before the command line, such as 'gdb --args' or 'perf record -g'.")
    ] = None,
    enter: Annotated[
        bool, typer.Option("--enter", help="Make the folder on the host and start a shell there; run.sh runs the cell.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to reach the host.", min=1.0)] = TIMEOUT_SECONDS,
    extra_vars: ExtraVarsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a shell script that runs a cell by hand exactly as its next run does: environment, files, command line.

    The host is asked what it holds. Nothing is changed unless --enter is given; then the script's folder, below
    mlperf_home/debug, is made there and a shell is started in it. No attempt is written to, nothing of it is collected.

    Example: mlperf-ops shell -i inventory/lab sut1/efficientnet-lite0/Offline/performance --prefix 'gdb --args' --enter
    """
    if enter and as_json:
        raise ConfigError("--enter starts a shell, --json prints one object", hint="keep one of them")
    try:
        shlex.split(prefix or "")
    except ValueError as error:
        raise ConfigError(f"--prefix is not a command line: {error}") from None
    run = find_run(inventory, results)
    found = find_cell(look(run, inventory).cells, cell, host)
    plan, _ = plan_and_play(run)
    reached = reach_hosts(run, inventory, extra_vars or [], found.host)
    access = way_to(found.host, reached)
    asked = ask(plan, (), reached, timeout_seconds=timeout)
    if found.host not in asked.answers:
        why = asked.unreachable.get(found.host) or asked.unknown.get(found.host) or "it was not asked"
        raise ToolError(f"host {found.host}: {why}", hint=f"mlperf-ops doctor --limit {found.host} says more")
    answer = asked.answers[found.host]
    planned = next(one for one in plan.cells if (one.cell.key, one.host) == (found.key, found.host))
    made = hand_run(planned, answer, prefix=prefix)
    if answer.measures:
        typer.echo(f"mlperf-ops: host {made.host} measures {answer.measures} now: this would disturb it", err=True)
    if not enter:
        words = {
            "cell": made.key, "host": made.host, "spec_sha256": made.spec_sha256, "folder": made.folder,
            "env": made.env, "argv": list(made.argv), "script": made.script,
        }  # fmt: skip
        typer.echo(json.dumps(words) if as_json else made.script, nl=as_json)
        return
    try:
        deadline = time.monotonic() + timeout
        run_script(access, made.prepare, Progress(deadline, deadline))
    except HostProblemError as problem:
        raise ToolError(problem.message, hint=problem.remedy or None) from None
    argv = ["/bin/sh", "-c", made.enter] if access.connection == LOCAL else login(access, made.enter)
    if access.connection != LOCAL:
        typer.echo(f"mlperf-ops: {shlex.join(argv)}", err=True)
    typer.echo(f"mlperf-ops: {made.folder} on {made.host}; 'sh {RUN}' runs the cell, 'exit' comes back", err=True)
    sys.stdout.flush()
    if access.password:  # ssh itself asks for it
        typer.echo("mlperf-ops: ssh asks for the password that Ansible has", err=True)
    try:
        raise typer.Exit(subprocess.run(argv, env=dict(os.environ), check=False).returncode)
    except OSError as error:
        raise ToolError(f"{argv[0]} does not start: {error.strerror}") from None
