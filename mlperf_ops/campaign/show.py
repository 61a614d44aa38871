"""Where a campaign stands, for people: a matrix of marks, what needs somebody's eyes, how long it takes, what to do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlperf_ops.campaign.durations import shown_one, shown_seconds
from mlperf_ops.campaign.model import CELL_STATES, DONE, CellState, CellStatus, HostStatus, Status
from mlperf_ops.model import COMPLIANCE_TESTS, SCENARIOS, Mode, Scenario
from mlperf_ops.plan_model import Seconds
from mlperf_ops.wording import plural

# State -> mark, the same where the terminal has no such letters, colour.
_MARKS: Mapping[CellState, tuple[str, str, str]] = {
    "valid": ("✔", "V", "green"),
    "simulated": ("s", "s", "magenta"),
    "running": ("▶", ">", "cyan"),
    "planned": ("·", ".", "default"),
    "blocked": ("⊘", "B", "red"),
    "stale": ("↻", "o", "yellow"),
    "tainted": ("~", "~", "yellow"),
    "invalid": ("!", "!", "yellow"),
    "failed": ("✖", "X", "red"),
    "impossible": ("-", "-", "dim"),
}
_MODES: tuple[Mode, ...] = ("accuracy", "performance", *COMPLIANCE_TESTS)
_HEADINGS: Mapping[Scenario, tuple[str, str, str]] = {
    "SingleStream": ("SingleStream", "Single", "SS"),
    "MultiStream": ("MultiStream", "Multi", "MS"),
    "Server": ("Server", "Server", "Sv"),
    "Offline": ("Offline", "Offline", "Of"),
    "Interactive": ("Interactive", "Inter", "In"),
}
_FORMS = ((0, 0), (1, 0), (1, 1), (2, 1))  # lengths of headings and of the last column, the best first
_LEAST_NAMES = 12  # columns for the names of host and benchmark, however narrow the terminal is
_TOLD: tuple[CellState, ...] = ("failed", "invalid", "tainted", "stale", "planned", "blocked", "impossible")
_TOLD_MOST, _PATH_MOST = 10, 6


def show(status: Status, console: Console, *, now: dt.datetime, every_cell: bool = False) -> None:
    """Print a status.

    Args:
        status: What to print.
        console: Where; its width and its letters decide about the form.
        now: For the time at which it will be ready; with a time zone.
        every_cell: Print a line for each cell instead of the matrix.
    """
    marks = letters(console)
    console.print(escape(headline(status)), style="bold")
    if status.play is not None:
        console.print(escape(f"at work: {status.play.command} (process {status.play.pid})"))
    console.print()
    if every_cell:
        _print_cells(status, console, marks)
    else:
        console.print(_matrix(status, marks, console.width))
        console.print(_legend(status, marks))
    for line in _hosts(status, marks):
        console.print(line)
    if not every_cell:
        for line in (*_running(status, marks), *_told(status, marks)):
            console.print(line)
    console.print()
    arrow = " → " if speaks_utf(console) else " > "
    for text in times(status, now, arrow):
        console.print(escape(text))
    if status.next:
        console.print("next:")
    width = max((len(action.command) for action in status.next), default=0)
    for action in status.next:
        console.print(f"  [bold]{escape(action.command.ljust(width))}[/]  [dim]# {escape(action.why)}[/]")


def letters(console: Console) -> dict[CellState, str]:
    """Return the mark of each state with its colour."""
    place = 0 if speaks_utf(console) else 1
    return {state: f"[{mark[2]}]{mark[place]}[/]" for state, mark in _MARKS.items()}


def speaks_utf(console: Console) -> bool:
    """Tell whether a console has more than the letters of ASCII."""
    return console.encoding.lower().startswith("utf")


def word(state: CellState, status: Status) -> str:
    """Return the name of a state for people: a cell of a smoke run is never valid, it ran."""
    return "ran" if status.smoke and state == "valid" else state


def headline(status: Status) -> str:
    """Say whose status it is, and how much is done."""
    runnable = [cell for cell in status.cells if cell.state != "impossible"]
    done = sum(1 for cell in runnable if cell.state in DONE)
    kind = f"round {status.round}, run style {status.run_style}"
    ran = "cells done"
    if status.smoke:
        kind, ran = f"a smoke run, of which nothing counts, round {status.round}", "cells ran"
    told = f"{status.results}: {kind}: {done} of {len(runnable)} {ran}"
    return told if status.asked else f"{told}, as far as results were collected"


# --- the matrix -------------------------------------------------------------------------------------------------------


def _matrix(status: Status, marks: Mapping[CellState, str], width: int) -> Table:
    """Return the matrix in the first form that fits: with shorter headings, a shorter last column, cut names."""
    scenarios = [one for one in SCENARIOS if any(cell.scenario == one for cell in status.cells)]
    modes = _modes(status.cells)
    rows = list(_rows(status, scenarios, modes, marks))
    host, name = (max((len(row[place]) for row in rows), default=0) for place in (0, 1))
    forms = [_form(scenarios, modes, rows, headings, lefts) for headings, lefts in _FORMS]
    fitting = (form for form in forms if max(host, 4) + 1 + max(name, 9) + 1 + form[2] <= width)
    titles, lefts, others = next(fitting, forms[-1])
    room = max(width - others - 2, _LEAST_NAMES)
    host = min(max(host, 4), max(room - name, room // 2))
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("host", no_wrap=True)
    table.add_column("benchmark"[: max(room - host, 1)], no_wrap=True)
    for title in titles:
        table.add_column(title, no_wrap=True)
    table.add_column("left", no_wrap=True)
    for one, benchmark, *entries, left in rows:
        names = (escape(str(one)[:host]), escape(str(benchmark)[: max(room - host, 1)]))
        table.add_row(*names, *(str(entry) for entry in entries), escape(left[lefts]))
    return table


def _form(
    scenarios: Sequence[Scenario], modes: Sequence[Mode], rows: Sequence[Sequence[Any]], headings: int, lefts: int
) -> tuple[list[str], int, int]:
    """Return the headings of a form, which length of the last column it has, and its width without the names."""
    titles = [_HEADINGS[one][headings] for one in scenarios]
    last = max([4, *(len(row[-1][lefts]) for row in rows)])
    return titles, lefts, sum(max(len(title), len(modes)) + 1 for title in titles) + last


def _modes(cells: Iterable[CellStatus]) -> list[Mode]:
    there = {cell.mode for cell in cells}
    return [mode for mode in _MODES if mode in there]


def _rows(
    status: Status, scenarios: Sequence[Scenario], modes: Sequence[Mode], marks: Mapping[CellState, str]
) -> Iterator[list[Any]]:
    """Yield host, benchmark, the marks of each scenario, and what is left in two lengths."""
    for host in status.hosts:
        mine = [cell for cell in status.cells if cell.host == host.name]
        state = {(cell.benchmark, cell.scenario, cell.mode): cell.state for cell in mine}
        names = list(dict.fromkeys(cell.benchmark for cell in mine))
        for place, benchmark in enumerate(names):
            entries = []
            for scenario in scenarios:
                found = [state.get((benchmark, scenario, mode)) for mode in modes]
                entries.append("".join(" " if one is None else marks[one] for one in found))
            first = place == 0
            yield [host.name if first else "", benchmark, *entries, _left(host) if first else ("", "")]


def _left(host: HostStatus) -> tuple[str, str]:
    """Return what the last column says of a host, and the same in few letters."""
    if host.state == "unreachable":
        return "no answer", "gone"
    time = shown_seconds(host.remaining)
    parts = ((host.unknown, "of unknown length"), (host.waiting, "blocked"))
    words = [*([time] if time else []), *(f"{count} {word}" for count, word in parts if count)]
    return ", ".join(words) or "done", (f"{time}+" if time and len(words) > 1 else time or (words or ["done"])[0])


def _legend(status: Status, marks: Mapping[CellState, str]) -> str:
    seen = {cell.state for cell in status.cells}
    states = "  ".join(f"{marks[state]} {word(state, status)}" for state in CELL_STATES if state in seen)
    modes = ", ".join(_modes(status.cells))
    return f"[dim]a mark is a cell, in this order:[/] {modes}\n{states}"


def _print_cells(status: Status, console: Console, marks: Mapping[CellState, str]) -> None:
    for cell in status.cells:
        host = "" if cell.host == cell.system else f"  on {cell.host}"
        more = progress(cell) if cell.state == "running" else cell.reason
        left = "" if cell.state == "running" or cell.remaining is None else f"  {shown_seconds(cell.remaining)}"
        told = f"  {more}" if more else ""
        state = word(cell.state, status)
        console.print(f"{marks[cell.state]} {escape(cell.key)}  {state}{escape(host)}{escape(left)}{escape(told)}")


# --- what needs somebody's eyes ---------------------------------------------------------------------------------------


def _running(status: Status, marks: Mapping[CellState, str]) -> Iterator[str]:
    for cell in status.cells:
        if cell.state == "running":
            host = "" if cell.host == cell.system else f" on {cell.host}"
            yield f"{marks['running']} {escape(cell.key)}{escape(host)}: {escape(progress(cell))}"


def progress(cell: CellStatus) -> str:
    """Say how far a running cell is."""
    elapsed = cell.elapsed_seconds or 0.0
    told = f"{cell.phase}, {shown_one(round(elapsed))}"
    if cell.expected is None or cell.remaining is None:
        text = f"{told}; nobody knows yet how long it takes"
    elif elapsed > cell.expected.high and cell.phase == "measuring":
        text = f"{told}, longer than expected ({shown_seconds(cell.expected)})"
    else:
        text = f"{told} of {shown_seconds(cell.expected)}, {shown_seconds(cell.remaining)} left"
    return f"{text}; {cell.reason}" if cell.reason else text


def _hosts(status: Status, marks: Mapping[CellState, str]) -> Iterator[str]:
    for host in status.hosts:
        if host.state == "unreachable":
            yield f"{marks['blocked']} {escape(host.name)}: no answer: {escape(host.detail)}"
        elif host.state == "unknown":
            yield f"{marks['blocked']} {escape(host.name)}: {escape(host.detail)}"
        elif host.blocked:
            yield f"{marks['blocked']} {escape(host.name)}: {escape(host.blocked)}"


def _told(status: Status, marks: Mapping[CellState, str]) -> Iterator[str]:
    """Say of each cell that is not as it should be why, equal reasons once."""
    hosts_told = {host.name for host in status.hosts if host.blocked or host.state == "unreachable"}
    groups: dict[tuple[CellState, str], list[CellStatus]] = {}
    for state in _TOLD:
        for cell in status.cells:
            if state == "planned" and not cell.reason:
                continue
            if cell.state == state and not (state == "blocked" and cell.host in hosts_told):
                groups.setdefault((state, cell.reason), []).append(cell)
    for (state, reason), cells in list(groups.items())[:_TOLD_MOST]:
        more = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
        told = f": {reason}" if reason else ""
        yield f"{marks[state]} {escape(cells[0].key)}{more}{escape(told)}"
    if len(groups) > _TOLD_MOST:
        yield escape(f"and {len(groups) - _TOLD_MOST} other reasons: --cells lists every cell")


# --- how long ---------------------------------------------------------------------------------------------------------


def times(status: Status, now: dt.datetime, arrow: str) -> Iterator[str]:
    """Yield how many cells are in each state, how long the rest takes, and what finishes last."""
    counts = {state: sum(1 for cell in status.cells if cell.state == state) for state in CELL_STATES}
    told = ", ".join(f"{count} {word(state, status)}" for state, count in counts.items() if count)
    yield told or "the plan has no cells"
    path = status.critical_path
    if path is None or status.remaining is None:
        if status.unknown:
            takes = "takes" if status.unknown == 1 else "take"
            yield f"nobody knows yet how long {plural(status.unknown, 'cell')} {takes}"
        return
    more = f", and {plural(status.unknown, 'cell')} whose length nobody knows yet" if status.unknown else ""
    without = sum(host.waiting for host in status.hosts)  # what waits for a shared thing is counted
    blocked = f"; without {plural(without, 'blocked cell')}" if without else ""
    working = status.play is not None or counts["running"]
    when = _clock(status.remaining, now) if working else ", once it is started"
    yield f"left: {shown_seconds(status.remaining)} of measuring{more}{when}{blocked}"
    if len(status.hosts) > 1 or len(path.cells) > 1:
        cells = [key.partition("/")[2] for key in path.cells]
        shown = arrow.join(cells[:_PATH_MOST])
        if len(cells) > _PATH_MOST:
            shown += f"{arrow}{len(cells) - _PATH_MOST} more"
        yield f"critical path: {path.host}, {shown_seconds(path.remaining)}: {shown}"


def _clock(left: Seconds, now: dt.datetime) -> str:
    """Return when a range of seconds from now is over: ", ready 14:10 to 14:25"."""
    first, last = (now + dt.timedelta(seconds=value) for value in (left.low, left.high))
    form = "%H:%M" if last.date() == now.date() else "%a %d %b %H:%M"
    early, late = first.strftime(form), last.strftime(form)
    return f", ready about {late}" if early == late else f", ready {early} to {late}"
