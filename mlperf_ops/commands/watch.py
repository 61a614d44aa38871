"""`mlperf-ops watch`: follow a campaign live, on a terminal as a screen, elsewhere as lines."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Iterator
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from mlperf_ops.campaign.ask import TIMEOUT_SECONDS
from mlperf_ops.campaign.board import Event
from mlperf_ops.campaign.live import reach_hosts
from mlperf_ops.campaign.read import find_run
from mlperf_ops.campaign.screen import screen
from mlperf_ops.campaign.show import show
from mlperf_ops.campaign.watching import Moment, watch
from mlperf_ops.commands.campaign_options import ExtraVarsOption, InventoryOption, ResultsOption
from mlperf_ops.typed import dump

_EVENTS_KEPT = 20


def command(
    inventory: InventoryOption = None,
    results: ResultsOption = None,
    output: Annotated[
        bool, typer.Option("--output", help="Each line that a running cell and LoadGen print is an event, too.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to log in to a host.", min=1.0)] = TIMEOUT_SECONDS,
    extra_vars: ExtraVarsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as one JSON object per line.")] = False,
) -> None:
    """Follow a campaign live: what starts, its phases and verdicts, hosts that are lost and come back.

    One connection per host, over which a process that sleeps nearly always tells what changes; a lost one is opened
    again, and no line is lost or comes twice. On a terminal it is a screen, elsewhere a line for each change. It ends
    when nothing is left to do, or by Ctrl-C, and leaves nothing on the hosts.

    Example: mlperf-ops watch -i inventory/lab
    """
    run = find_run(inventory, results)
    reached = reach_hosts(run, inventory, extra_vars or [])
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, _as_interrupt)
    moments = watch(run, inventory, reached, timeout_seconds=timeout, given=results, output=output)
    with contextlib.closing(moments) as following, contextlib.suppress(KeyboardInterrupt):  # type: ignore[type-var]  # a generator
        console = Console(highlight=False)
        if sys.stdout.isatty() and not console.is_dumb_terminal and not as_json:
            _on_screen(following, console)
        else:
            _as_lines(following, as_json=as_json)


def _as_interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the handler's signature
    """End as by Ctrl-C, so that the connections are closed."""
    raise KeyboardInterrupt


def _as_lines(moments: Iterator[Moment], *, as_json: bool) -> None:
    try:
        for moment in moments:
            for event in moment.events:
                sys.stdout.write(f"{json.dumps(dump(event)) if as_json else event.line}\n")
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it has had enough; Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _on_screen(moments: Iterator[Moment], console: Console) -> None:
    recent: deque[Event] = deque(maxlen=_EVENTS_KEPT)
    last: Moment | None = None
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            for moment in moments:
                recent.extend(moment.events)
                last = moment
                now = dt.datetime.now().astimezone()
                drawn = screen(moment.status, console, now=now, last_lines=moment.last_lines, recent=list(recent))
                live.update(drawn, refresh=True)
    finally:
        # The screen is gone by now: what remains is where the campaign stands.
        if last is not None:
            show(last.status, console, now=dt.datetime.now().astimezone())
