"""`mlperf-ops run`: the whole flow. Builds the ansible-playbook command, shows it and becomes it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from typing import Annotated

import typer

from mlperf_ops.ansible_command import playbook_command
from mlperf_ops.model import RunStyle

PLAYBOOK = "run-inference.yml"


def command(
    inventory: Annotated[str, typer.Option("--inventory", "-i", help="Inventory to run.")],
    style: Annotated[RunStyle | None, typer.Option(help="Run style instead of the inventory's.")] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Run every cell for seconds only, to see that nothing is missing.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Cells to run: benchmark/scenario/mode, or less of it, with * for any; a cell's name. Repeat."
        ),
    ] = None,
    extra_vars: Annotated[list[str] | None, typer.Option("-e", "--extra-vars", help="Passed on to Ansible.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; show what would change.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Ansible's output goes to stderr, its command and exit code to stdout.")
    ] = False,
    arguments: Annotated[list[str] | None, typer.Argument(help="After --: passed on to ansible-playbook.")] = None,
) -> None:
    """Run everything that an inventory asks for and that has no good result yet, up to the checked submission tree.

    With --smoke nothing counts and real results stay as they are: the results folder is results/<run id>-smoke. With
    --only the plan stays whole and the other cells stay planned. The exit code is ansible-playbook's.

    Example: mlperf-ops run -i inventory/lab --check -- --limit sut1,localhost
    """
    words = [f"mlperf_run_style={style}"] if style is not None else []
    if smoke:
        words.append("mlperf_smoke=true")
    if only:
        words.append(json.dumps({"mlperf_only": only}))
    made = playbook_command(
        PLAYBOOK, inventory, extra_vars=[*words, *(extra_vars or [])], arguments=arguments or [], check=check
    )
    typer.echo(f"mlperf-ops: {shlex.join(made.argv)}", err=True)
    if not as_json:
        sys.stdout.flush()
        os.execve(made.argv[0], list(made.argv), dict(made.env))  # noqa: S606  # no shell: a list
    done = subprocess.run(made.argv, env=dict(made.env), stdout=sys.stderr, check=False)
    typer.echo(json.dumps({"argv": list(made.argv), "exit_code": done.returncode}))
    raise typer.Exit(done.returncode)
