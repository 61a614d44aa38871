"""`mlperf-ops run`: the whole flow. Builds the ansible-playbook command, shows it, runs it and has the last word.

The play is a process of its own, so that somebody is left to say what goes on when it is killed; it does not outlive
this one.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Annotated

import typer

from mlperf_ops.ansible_command import PlaybookCommand, playbook_command
from mlperf_ops.campaign import last_word
from mlperf_ops.model import RunStyle

PLAYBOOK = "run-inference.yml"
_PR_SET_PDEATHSIG = 1
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP)


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
    --only the plan stays whole and the other cells stay planned. The exit code is ansible-playbook's. When the play is
    killed or interrupted, the last lines say what goes on on the hosts without it, and how to go on.

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
    sys.stdout.flush()
    pid, returncode = _play(made, to_stderr=as_json)
    if last_word.was_cut_off(returncode) and not check:
        with contextlib.suppress(KeyboardInterrupt, OSError):  # once more Ctrl-C, or a terminal that is gone
            _say_what_goes_on(pid, returncode, inventory, extra_vars or [])
    if as_json:
        typer.echo(json.dumps({"argv": list(made.argv), "exit_code": last_word.exit_code(returncode)}))
    raise typer.Exit(last_word.exit_code(returncode))


def _play(made: PlaybookCommand, *, to_stderr: bool) -> tuple[int, int]:
    """Run a play to its end; return its pid, and its exit code or negative signal."""
    parent = os.getpid()
    with _signals_for() as begun:
        play = subprocess.Popen(
            made.argv,
            env=dict(made.env),
            stdout=sys.stderr if to_stderr else None,
            preexec_fn=lambda: _end_with(parent),  # noqa: PLW1509  # this process has one thread
        )
        begun(play)
        return play.pid, play.wait()


def _end_with(parent: int) -> None:
    """Let this process end when its parent does, also by SIGKILL; without Linux it then goes on alone."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def _signals_for() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Pass signals on to a play, which then ends, instead of ending before it; Ctrl-C reaches both of them anyway."""
    plays: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def passed_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the handler's signature
        if number == signal.SIGINT:
            return
        if plays:
            plays[0].send_signal(number)
        else:
            early.append(number)

    def begun(play: subprocess.Popen[bytes]) -> None:
        plays.append(play)
        for number in early:
            play.send_signal(number)

    # What is ignored, as under nohup, stays so.
    wanted = [one for one in (signal.SIGINT, *_PASSED_ON) if signal.getsignal(one) is not signal.SIG_IGN]
    before = {one: signal.signal(one, passed_on) for one in wanted}
    try:
        yield begun
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _say_what_goes_on(pid: int, returncode: int, inventory: str, extra_vars: list[str]) -> None:
    again = shlex.join(["mlperf-ops", *sys.argv[1:]])
    typer.echo(f"\nmlperf-ops: {last_word.how_it_ended(returncode)}", err=True)
    run = last_word.run_of(pid)
    if run is None:
        typer.echo(f"mlperf-ops: it did not come as far as a plan; to begin again: {again}", err=True)
        return
    typer.echo("mlperf-ops: asking the hosts what goes on there", err=True)
    for line in last_word.last_words(run, inventory, extra_vars, again):
        typer.echo(f"mlperf-ops: {line}", err=True)
