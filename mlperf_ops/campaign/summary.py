"""From the states of cells to the whole: hosts, how long they still take, the critical path, what to do next. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mlperf_ops.campaign.ahead import Ahead, look_ahead
from mlperf_ops.campaign.answers import HostAnswer
from mlperf_ops.campaign.model import (
    DONE,
    TO_COME,
    Action,
    CellStatus,
    HostState,
    HostStatus,
    Play,
    Status,
)
from mlperf_ops.campaign.states import states
from mlperf_ops.collected import Collection
from mlperf_ops.plan_model import Plan, PlannedHost, Seconds

_PROGRAM = "mlperf-ops"


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking the hosts: an answer, or a sentence why there is none, by host."""

    answers: Mapping[str, HostAnswer] = field(default_factory=dict)
    unreachable: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)  # it answered, but nothing that could be used


def status_of(  # noqa: PLR0913  # each speaks of another thing, by name
    plan: Plan,
    results: str,
    collection: Collection,
    *,
    inventory: str,
    asked: Asked | None = None,
    obstacles: Mapping[str, str] | None = None,
    waiting: Mapping[tuple[str, str], str] | None = None,
    lacking: Mapping[tuple[str, str], str] | None = None,
    play: Play | None = None,
    flags: Sequence[str] = (),
) -> Status:
    """Return where a campaign stands.

    Args:
        plan: The plan.
        results: The results folder, for the commands.
        collection: The collected attempts.
        inventory: As the user writes it, for the commands.
        asked: What the hosts say; None: nobody asked them.
        obstacles: What keeps a host from running cells, as the controller's files tell.
        waiting: Cells that wait for a shared thing, by host and key.
        lacking: Cells of a smoke run whose inputs are not there, by host and key.
        play: Who works on the folder now.
        flags: Further words that commands which look at the run need.
    """
    heard = asked or Asked()
    keeps = {**(obstacles or {}), **{name: f"no answer: {why}" for name, why in heard.unreachable.items()}}
    # A host that was asked now and answered is no longer what kept it out of an earlier play.
    keeps = {name: why for name, why in keeps.items() if name not in heard.answers}
    busy = _busy(plan, heard)
    keeps |= {name: f"it measures {other} of another run" for name, other in busy.items()}
    waits = {**(lacking or {}), **(waiting or {})}
    cells = states(plan, collection.earlier, answers=heard.answers, obstacles=keeps, waiting=waits)
    ahead = look_ahead(plan, cells, play, frozenset(waiting or {}))
    hosts = tuple(
        _host(host, cells, heard, keeps.get(host.name, ""), busy.get(host.name, ""), ahead) for host in plan.hosts
    )
    return Status(
        run_id=plan.run_id,
        results=results,
        inventory=inventory,
        round=plan.round,
        run_style=plan.run_style,
        asked=asked is not None,
        play=play,
        hosts=hosts,
        cells=cells,
        remaining=_longest([host.remaining for host in hosts if host.remaining is not None]),
        unknown=sum(host.unknown for host in hosts),
        critical_path=ahead.path,
        next=tuple(
            _actions(
                ("-i", inventory, *flags), cells, hosts, results, asked=asked is not None, play=play, smoke=plan.smoke
            )
        ),
        problems=collection.problems,
        smoke=plan.smoke,
    )


def _busy(plan: Plan, heard: Asked) -> dict[str, str]:
    """Name the cell of another run that a host measures now."""
    mine = {(name, one.key) for name, answer in heard.answers.items() for one in answer.begun if one.alive}
    # For a moment the lock still names a cell of ours that has its result already.
    mine |= {(name, one.key) for name, answer in heard.answers.items() for one in answer.ended}
    names = {host.name for host in plan.hosts}
    return {
        name: answer.measures
        for name, answer in heard.answers.items()
        if name in names and answer.measures and (name, answer.measures) not in mine
    }


def _host(  # each speaks of another thing
    host: PlannedHost,
    cells: Sequence[CellStatus],
    heard: Asked,
    blocked: str,
    busy: str,
    ahead: Ahead,
) -> HostStatus:
    mine = ahead.cells[host.name]
    running = [cell for cell in mine if cell.state == "running"]
    state: HostState = "not asked"
    detail = ""
    if host.name in heard.unreachable:
        state, detail = "unreachable", heard.unreachable[host.name]
    elif host.name in heard.unknown:
        state, detail = "unknown", heard.unknown[host.name]
    elif host.name in heard.answers:
        state = "running" if running else "busy" if busy else "idle"
        detail = running[0].key if running else busy
    return HostStatus(
        name=host.name,
        system=host.system,
        state=state,
        detail=detail,
        blocked=blocked,
        to_come=len(mine),
        remaining=ahead.remaining[host.name],
        unknown=sum(1 for cell in mine if cell.remaining is None),
        waiting=sum(1 for cell in cells if cell.host == host.name and cell.state == "blocked" and cell not in mine),
    )


def _longest(parts: Sequence[Seconds]) -> Seconds | None:
    """Hosts work in parallel: the last one decides, at both ends of the range."""
    if not parts:
        return None
    return Seconds(max(part.low for part in parts), max(part.high for part in parts), "the host that finishes last")


# --- what to do next --------------------------------------------------------------------------------------------------


def _actions(  # the parts of a status that is not whole yet
    given: Sequence[str],
    cells: Sequence[CellStatus],
    hosts: Sequence[HostStatus],
    results: str,
    *,
    asked: bool,
    play: Play | None,
    smoke: bool,
) -> Iterator[Action]:
    """Yield what somebody who looks at this should do, the most urgent first."""

    def command(*words: str) -> str:
        return shlex.join([_PROGRAM, *words])

    inventory = given[:2]
    out = [host.name for host in hosts if host.blocked or host.state in {"unreachable", "unknown"}]
    if out:
        why = f"{_count(len(out), 'host')} {'does' if len(out) == 1 else 'do'} not take part"
        yield Action(command("doctor", *inventory, "--limit", ",".join(out)), f"{why}: what is wrong, and the remedy")
    if play is not None and not asked:
        yield Action(command("status", *given, "--live"), "a play goes on: ask the hosts what they measure")
    running = next((cell for cell in cells if cell.state == "running"), None)
    if running is not None:
        yield Action(command("logs", *given, *_named(running, cells), "--follow"), "read along")
    for state, why in (("failed", "why it failed"), ("invalid", "why it is invalid")):
        found = [cell for cell in cells if cell.state == state]
        if found:
            here = [] if found[0].path else ["--live"]
            more = f"; the first of {len(found)}" if len(found) > 1 else ""
            yield Action(command("logs", *given, *here, *_named(found[0], cells)), f"{why}{more}")
    ahead = [cell for cell in cells if cell.state in TO_COME]
    if smoke and play is None:
        yield from _after_smoke(inventory, cells, results)
        return
    if ahead and play is None:
        word = "waits for the running cell, and runs" if running is not None else "runs"
        yield Action(command("run", *inventory), f"{word} what is missing: {_count(len(ahead), 'cell')}")
    if not ahead and play is None and any(cell.state in DONE for cell in cells):
        yield Action(command("aggregate", results, "--missing"), "all that can run has run: what the submission lacks")


def _after_smoke(inventory: Sequence[str], cells: Sequence[CellStatus], results: str) -> Iterator[Action]:
    """Yield what follows a smoke run: what it has shown, the rest of it, and only then the real run."""
    if any(cell.state not in {"planned", "impossible"} for cell in cells):
        why = "whether every cell would run, and what is missing"
        yield Action(shlex.join([_PROGRAM, "smoke", results]), why)
    left = [cell for cell in cells if cell.state not in DONE and cell.state != "impossible"]
    if left:
        why = f"runs what the smoke run lacks: {_count(len(left), 'cell')}"
        yield Action(shlex.join([_PROGRAM, "run", *inventory, "--smoke"]), why)
    elif cells:
        yield Action(shlex.join([_PROGRAM, "run", *inventory]), "every cell ran: the real run")


def _named(cell: CellStatus, cells: Sequence[CellStatus]) -> list[str]:
    """Return how a command names a cell; where several hosts measure it, with its host."""
    several = sum(1 for one in cells if one.key == cell.key) > 1
    return [*(["--host", cell.host] if several else []), cell.key]


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
