"""What `mlperf-ops watch` shows on a terminal: a line for each host, the whole below it, and the last events.

Hosts that do not fit are counted in one line: first come those that need somebody's eyes, then those that measure.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mlperf_ops.campaign.board import Event
from mlperf_ops.campaign.durations import shown_seconds
from mlperf_ops.campaign.model import DONE, CellState, CellStatus, HostStatus, Status
from mlperf_ops.campaign.show import headline, letters, speaks_utf, times
from mlperf_ops.wording import in_order

_EVENTS_MOST, _EVENTS_LEAST = 8, 2
_WIDE_COLUMNS = 130  # from here on the last line of a log has a column of its own
_SHORT = {
    "SingleStream": "SS", "MultiStream": "MS", "Server": "Sv", "Offline": "Of", "Interactive": "In",
    "performance": "perf", "accuracy": "acc",
}  # fmt: skip
_ORDER: Mapping[str, int] = {"lost": 0, "running": 1, "busy": 2, "waiting": 3, "blocked": 4, "idle": 5, "done": 6}


def screen(
    status: Status, console: Console, *, now: dt.datetime, last_lines: Mapping[str, str], recent: Sequence[Event]
) -> RenderableType:
    """Return the whole screen, which is never higher than the terminal.

    Args:
        status: What to show.
        console: Its size and letters decide about the form.
        now: For the times at which cells end; with a time zone.
        last_lines: Of the running cells' logs, by host.
        recent: Events, the latest last.
    """
    marks = letters(console)
    arrow = " → " if speaks_utf(console) else " > "
    below = [Text(text, no_wrap=True, overflow="ellipsis") for text in times(status, now, arrow)]
    top = [Text(headline(status), style="bold", no_wrap=True, overflow="ellipsis")]
    if status.play is not None:
        top.append(Text(f"at work: {status.play.command}", no_wrap=True, overflow="ellipsis"))
    rows = sorted(status.hosts, key=lambda host: (_ORDER[kind_of(host)], _ends(host, status), in_order(host.name)))
    space = max(console.height - len(top) - len(below) - 3, 2)  # the table's head, and an empty line below and above
    events = min(len(recent), _EVENTS_MOST, max(_EVENTS_LEAST, space - len(rows)))
    for_hosts = max(space - events, 1)
    shown = rows if len(rows) <= for_hosts else rows[: for_hosts - 1]
    wide = console.width >= _WIDE_COLUMNS
    two_lines = not wide and sum(2 if last_lines.get(host.name) else 1 for host in rows) <= for_hosts
    parts: list[RenderableType] = [*top, Text("")]
    parts.append(_table(shown, status, marks, now, last_lines if wide or two_lines else {}, wide=wide))
    if len(shown) < len(rows):
        parts.append(Text(_folded(rows[len(shown) :], console), style="dim", no_wrap=True, overflow="ellipsis"))
    parts += [Text(""), *below]
    parts += [Text(event.line, style="dim", no_wrap=True, overflow="ellipsis") for event in recent[-events:]]
    return Group(*parts)


def kind_of(host: HostStatus) -> str:
    """Return in one word how a host stands."""
    if host.state in {"unreachable", "unknown"}:
        return "lost"
    if host.state in {"running", "busy"}:
        return host.state
    if host.state == "not asked":
        return "waiting"
    if host.to_come:
        return "idle"
    return "blocked" if host.waiting else "done"


def _ends(host: HostStatus, status: Status) -> float:
    """Return when a host's running cell ends, so that what happens next stands first."""
    running = _running(host, status.cells)
    return running.remaining.high if running is not None and running.remaining is not None else float("inf")


def _running(host: HostStatus, cells: Sequence[CellStatus]) -> CellStatus | None:
    return next((cell for cell in cells if cell.host == host.name and cell.state == "running"), None)


def _table(  # each is a part of what is shown
    hosts: Sequence[HostStatus],
    status: Status,
    marks: Mapping[CellState, str],
    now: dt.datetime,
    last_lines: Mapping[str, str],
    *,
    wide: bool,
) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=True, header_style="bold")
    table.add_column("host", no_wrap=True, max_width=16, overflow="ellipsis")
    table.add_column("done", no_wrap=True, justify="right")
    table.add_column("cell", no_wrap=True, overflow="ellipsis", ratio=2)
    table.add_column("phase", no_wrap=True, width=9, overflow="ellipsis")
    table.add_column("ran", no_wrap=True, justify="right", width=7)
    table.add_column("ends", no_wrap=True, width=5)
    table.add_column("left", no_wrap=True, width=11, overflow="ellipsis")
    if wide:
        table.add_column("last line", no_wrap=True, overflow="ellipsis", ratio=3)
    for host in hosts:
        mine = [cell for cell in status.cells if cell.host == host.name and cell.state != "impossible"]
        done = f"{sum(1 for cell in mine if cell.state in DONE)}/{len(mine)}"
        running = _running(host, mine)
        left = shown_seconds(host.remaining) or ("?" if host.unknown else "")
        line = last_lines.get(host.name, "")
        name = f"{_mark(host, marks)} {escape(host.name)}"
        if running is None:
            kind = kind_of(host)
            waits = [cell.reason for cell in mine if cell.state == "blocked"]
            said = host.detail or host.blocked or (waits[0] if len(waits) > host.waiting else "")
            row = [name, done, escape(f"{kind}: {said}" if said else kind), "", "", "", left]
        else:
            lost = "lost: " if host.state == "unreachable" else ""
            row = [
                name, done, escape(f"{lost}{short(running)}"), escape(running.phase or ""),
                _ran(running.elapsed_seconds or 0.0), _end(running, now), left,
            ]  # fmt: skip
        table.add_row(*row, *([f"[dim]{escape(line)}[/]"] if wide else []))
        if line and not wide:
            table.add_row("", "", f"[dim]{escape(line)}[/]", "", "", "", "")
    return table


def _mark(host: HostStatus, marks: Mapping[CellState, str]) -> str:
    states: Mapping[str, CellState] = {
        "lost": "blocked", "running": "running", "busy": "running", "waiting": "planned", "blocked": "blocked",
        "idle": "planned", "done": "valid",
    }  # fmt: skip
    return marks[states[kind_of(host)]]


def short(cell: CellStatus) -> str:
    """Return a cell's name in few letters, without its system: "resnet50 Of perf"."""
    return " ".join((cell.benchmark, _SHORT.get(cell.scenario, cell.scenario), _SHORT.get(cell.mode, cell.mode)))


def _ran(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _end(cell: CellStatus, now: dt.datetime) -> str:
    if cell.remaining is None:
        return "?"
    if not cell.remaining.high:
        return "late"
    return (now + dt.timedelta(seconds=cell.remaining.high)).strftime("%H:%M")


def _folded(hosts: Sequence[HostStatus], console: Console) -> str:
    kinds = [kind_of(host) for host in hosts]
    told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in _ORDER if kind in kinds)
    dots = "…" if speaks_utf(console) else "..."
    return f"{dots} {len(hosts)} more hosts: {told}"
