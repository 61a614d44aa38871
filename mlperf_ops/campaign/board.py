"""All that is known of a watched campaign at one moment, and what changed since the moment before. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection as Names
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from mlperf_ops.campaign.answers import HostAnswer
from mlperf_ops.campaign.durations import shown_one, shown_seconds
from mlperf_ops.campaign.model import DONE, TO_COME, CellState, CellStatus, Play, Status
from mlperf_ops.campaign.summary import Asked, status_of
from mlperf_ops.campaign.wire import Back, Heard, Lost, News, Phase, Said
from mlperf_ops.collected import Collection, Earlier
from mlperf_ops.files import Json
from mlperf_ops.plan_model import Plan
from mlperf_ops.wording import plural

EventKind: TypeAlias = Literal["started", "phase", "ended", "changed", "lost", "back", "new", "output", "play", "done"]
"""started, phase and ended of a cell; changed: its state did, without a run; lost and back: a host; new: one that a
newer plan has; output: a line of the running cell's log; play: one has begun or ended; done: nothing is left to do."""

_NAMED_MOST = 3
_VERDICTS: frozenset[CellState] = frozenset({"valid", "simulated", "invalid", "failed", "tainted"})


@dataclass(frozen=True, slots=True)
class Event:
    """One change. `mlperf-ops watch --json` prints one per line.

    Attributes:
        at: When the controller knew, with time zone.
        host: Whom it concerns; "" for the whole campaign.
        cell: Its key; "" where it concerns none.
        state: Of the cell, afterwards.
        text: The phase, the reasons of a verdict, why a host is lost, a line of a log.
        file: The log that an output line is of.
    """

    at: str
    kind: EventKind
    host: str = ""
    cell: str = ""
    state: CellState | Literal[""] = ""
    text: str = ""
    file: str = ""

    @property
    def line(self) -> str:
        """The event for people."""
        clock = self.at[11:19]
        where = self.cell.partition("/")[2] or self.cell
        told = f": {self.text}" if self.text else ""
        body = {
            "started": f"started {where}{told}",
            "phase": f"{where} is {self.text}",
            "ended": f"ended {where} {self.state.upper()}{told}",
            "changed": f"{where} is {self.state}{told}",
            "lost": f"host lost{told}",
            "back": "host back",
            "new": f"host new{told}",
            "output": f"| {self.text}",
        }.get(self.kind, self.text)
        return f"{clock} {self.host or 'campaign'}: {body}"


@dataclass(frozen=True, slots=True)
class Remembered(HostAnswer):
    """A host's answer that works out a cell's identity once, because a screen asks for it every second."""

    identities: dict[int, str | None] = field(default_factory=dict)  # by id() of a request of the plan, which stays

    def spec_sha256(self, request: Mapping[str, Json]) -> str | None:
        """Return it as the answer does."""
        if id(request) not in self.identities:
            self.identities[id(request)] = HostAnswer.spec_sha256(self, request)
        return self.identities[id(request)]


@dataclass(slots=True)
class Files:
    """The controller's part: what `look` reads without asking a host."""

    plan: Plan
    collection: Collection
    obstacles: dict[str, str]
    play: Play | None
    lacking: Mapping[tuple[str, str], str] = field(default_factory=dict)  # cells of a smoke run without their inputs
    waiting: Mapping[tuple[str, str], str] = field(default_factory=dict)  # cells that wait for a shared thing


@dataclass(slots=True)
class Board:
    """What is known now.

    Attributes:
        answers: Of each host its last word, and when it came (time.monotonic()).
        phases: Phase of the running cell, where it is newer than the answer.
        lost: Why a host does not answer.
        last_lines: Of each host, of the running cell's log.
    """

    files: Files
    results: str
    inventory: str
    flags: tuple[str, ...] = ()
    answers: dict[str, tuple[HostAnswer, float]] = field(default_factory=dict)
    phases: dict[tuple[str, str], str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    last_lines: dict[str, str] = field(default_factory=dict)
    _identities: dict[str, dict[int, str | None]] = field(default_factory=dict)

    def read_again(self, files: Files) -> None:
        """Take what the controller's files say now."""
        self.files = files
        self._identities = {}

    def take(self, news: News, now: float) -> None:
        """Note what a host said."""
        if isinstance(news, Heard):
            self.answers[news.host] = (news.answer, now)
            self._identities.pop(news.host, None)
            self.phases = {place: word for place, word in self.phases.items() if place[0] != news.host}
            if not any(one.alive for one in news.answer.begun):
                self.last_lines.pop(news.host, None)
        elif isinstance(news, Phase):
            self.phases[news.host, news.key] = news.phase
        elif isinstance(news, Said):
            self.last_lines[news.host] = next((line for line in reversed(news.lines) if line.strip()), "")
        elif isinstance(news, Lost):
            self.lost[news.host] = news.why
        else:
            self.lost.pop(news.host, None)

    def status(self, now: float) -> Status:
        """Return where the campaign stands, by the rules of `mlperf-ops status`."""
        files = self.files
        collected = known_attempts(files.plan, files.collection.earlier)
        answers = {
            name: self._aged(name, answer, now - at, collected.get(name, frozenset()))
            for name, (answer, at) in self.answers.items()
        }
        return status_of(
            files.plan,
            self.results,
            files.collection,
            inventory=self.inventory,
            asked=Asked(answers, self.lost),
            obstacles=files.obstacles,
            waiting=files.waiting,
            lacking=files.lacking,
            play=files.play,
            flags=self.flags,
        )

    def _aged(self, host: str, answer: HostAnswer, seconds: float, collected: Names[str]) -> HostAnswer:
        return Remembered(
            answer.provision,
            answer.measures,
            tuple(one for one in answer.ended if one.path not in collected),
            tuple(
                replace(
                    one,
                    elapsed_seconds=one.elapsed_seconds + seconds,
                    phase=self.phases.get((host, one.key), one.phase) if one.alive else one.phase,
                )
                for one in answer.begun
            ),
            answer.home,
            self._identities.setdefault(host, {}),
        )


def known_attempts(plan: Plan, earlier: Sequence[Earlier]) -> dict[str, set[str]]:
    """Return the attempts that the controller has, by host: their folders below mlperf_home."""
    known: dict[str, set[str]] = {}
    for one in earlier:
        known.setdefault(one.host, set()).add(f"runs/{plan.run_id}/{one.spec.cell.system}/{one.cell.path}")
    return known


# --- what changed -----------------------------------------------------------------------------------------------------


def events(old: Status, new: Status, at: dt.datetime, *, first_heard: Names[str] = ()) -> Iterator[Event]:
    """Yield what differs between two moments, the ends before the beginnings.

    Args:
        old: The earlier moment.
        new: The later one.
        at: Its time.
        first_heard: Hosts that have answered for the first time: what had ended there before is no news.
    """
    clock = at.isoformat(timespec="milliseconds")
    if old.play != new.play:
        ended = _play_ended(old.play, new) if old.play else ""
        begun = f"a play is at work: {new.play.command}" if new.play else ""
        yield Event(clock, "play", text="; ".join(text for text in (ended, begun) if text))
    before = {(cell.host, cell.key): cell for cell in old.cells}
    begun_now: list[Event] = []
    for cell in new.cells:
        was = before.get((cell.host, cell.key))
        if was is None or (was.state, was.attempt) == (cell.state, cell.attempt):
            if was is not None and cell.state == "running" and was.phase != cell.phase:
                yield Event(clock, "phase", cell.host, cell.key, cell.state, cell.phase or "")
            continue
        if cell.state == "running":
            begun_now.append(Event(clock, "started", cell.host, cell.key, cell.state, _begin(cell)))
        elif cell.host in first_heard:
            continue
        elif cell.state in _VERDICTS and (was.attempt != cell.attempt or was.state == "running"):
            told = "it ran, as all that a smoke run asks" if new.smoke and cell.state == "valid" else cell.reason
            yield Event(clock, "ended", cell.host, cell.key, cell.state, told)
        elif was.state != cell.state:
            yield Event(clock, "changed", cell.host, cell.key, cell.state, cell.reason)
    yield from begun_now


def _play_ended(play: Play, new: Status) -> str:
    """Say what is left of a campaign whose play has ended; one of which cells still run was cut off."""
    told = [f"the play has ended: {play.command}"]
    running = [cell for cell in new.cells if cell.state == "running"]
    if running:
        names = ", ".join(f"{cell.key} on {cell.host}" for cell in running[:_NAMED_MOST])
        more = f" and {len(running) - _NAMED_MOST} more" if len(running) > _NAMED_MOST else ""
        told.append(f"it was cut off, and without it {names}{more} go{'es' if len(running) == 1 else ''} on")
    left = sum(1 for cell in new.cells if cell.state in TO_COME) - len(running)
    if left:
        told.append(f"{plural(left, 'cell')} {'is' if left == 1 else 'are'} left to run")
    if (running or left) and new.play is None:
        command = next((one.command for one in new.next if one.command.startswith("mlperf-ops run ")), "")
        told.append(f"to go on: {command}" if command else "")
    return "; ".join(text for text in told if text)


def _begin(cell: CellStatus) -> str:
    told = [cell.attempt or "", cell.phase or ""]
    if cell.elapsed_seconds is not None and cell.elapsed_seconds >= 2:  # noqa: PLR2004  # seconds: it had begun before
        told.append(f"{shown_one(round(cell.elapsed_seconds))} ago")
    if cell.expected is not None:
        told.append(f"takes {shown_seconds(cell.expected)}")
    return ", ".join(text for text in told if text)


def is_done(status: Status) -> bool:
    """Tell whether nobody works on the campaign and nothing of it is left to do."""
    return status.play is None and all(cell.state in DONE or cell.state == "impossible" for cell in status.cells)


def done(status: Status, at: dt.datetime) -> Event:
    """Return the last event of a campaign of which nothing is left to do."""
    count = sum(1 for cell in status.cells if cell.state in DONE)
    return Event(at.isoformat(timespec="milliseconds"), "done", text=f"nothing is left to do, {count} cells are done")


def newcomer(host: str, at: dt.datetime) -> Event:
    """Return what is told of a host that a newer plan has added: nobody logs in to it before watch starts again."""
    text = "in the plan; start watch again to follow it live, else its results are seen when they have come back"
    return Event(at.isoformat(timespec="milliseconds"), "new", host, text=text)


def spoken(news: News, at: dt.datetime, *, output: bool) -> Iterator[Event]:
    """Yield the events that need no comparison: a host is lost or back, and lines of logs where they are wanted."""
    clock = at.isoformat(timespec="milliseconds")
    if isinstance(news, Lost):
        yield Event(clock, "lost", news.host, text=news.why)
    elif isinstance(news, Back):
        yield Event(clock, "back", news.host)
    elif isinstance(news, Said) and output:
        for line in news.lines:
            yield Event(clock, "output", news.host, news.key, "running", line, news.file)
