"""Follow a campaign until somebody or its end ends it: files of the controller, words of the hosts, one board."""

from __future__ import annotations

import datetime as dt
import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.campaign.access import Reach
from mlperf_ops.campaign.ask import LOCAL
from mlperf_ops.campaign.board import Board, Event, Files, done, events, is_done, known_attempts, newcomer, spoken
from mlperf_ops.campaign.link import Links
from mlperf_ops.campaign.model import Status
from mlperf_ops.campaign.obstacles import obstacles
from mlperf_ops.campaign.read import flags_of, plan_and_play
from mlperf_ops.campaign.waiting import FOLDER, waiting
from mlperf_ops.campaign.wire import Conversation, Heard, News, Said
from mlperf_ops.collected import read_collection
from mlperf_ops.errors import ResultError
from mlperf_ops.runlock import is_alive, read_owner
from mlperf_ops.smoke_files import without_inputs

_LOOK_SECONDS = 1.0  # at the controller's files, for what may have changed
_LEAST_SHARE = 20  # reading them again takes at most a twentieth of the time
_LOCAL_SECONDS = 10.0  # between two moments without news, where the controller itself may be measuring
_TOGETHER_SECONDS = 0.2  # news that come together are one moment


@dataclass(frozen=True, slots=True)
class Moment:
    """The campaign at one time.

    Attributes:
        status: As `mlperf-ops status` tells it.
        events: What changed since the moment before.
        last_lines: Of the running cells' logs, by host.
    """

    status: Status
    events: tuple[Event, ...]
    last_lines: dict[str, str]


def watch(
    run: Path,
    inventory: str | None,
    reached: Reach,
    *,
    timeout_seconds: float,
    given: Path | None = None,
    output: bool = False,
) -> Iterator[Moment]:
    """Yield a moment at each change and about every second, until nothing is left to do.

    Args:
        run: The results folder.
        inventory: As the user wrote it.
        reached: How the hosts are reached.
        timeout_seconds: To log in to a host.
        given: The results folder as the user wrote it; None: by default.
        output: Lines of logs are events, too.

    Raises:
        ResultError: The plan cannot be read.
    """
    files = _files(run)
    known = known_attempts(files.plan, files.collection.earlier)
    conversations = {
        host.name: Conversation(host.name, host.home, files.plan.run_id, sorted(known.get(host.name, ())), whole=output)
        for host in files.plan.hosts
    }
    board = Board(
        files,
        str(run),
        inventory or files.plan.inventory,
        flags_of(run, inventory or files.plan.inventory, given),
    )
    # Where the controller measures itself, every look of ours is a part of what is measured.
    is_local = any(one.connection == LOCAL for one in reached.access.values())
    with Links(reached, conversations, timeout_seconds) as links:
        yield from _moments(run, board, links, output=output, pause_seconds=_LOCAL_SECONDS if is_local else 1.0)


def _moments(run: Path, board: Board, links: Links, *, output: bool, pause_seconds: float) -> Iterator[Moment]:
    old = board.status(time.monotonic())
    yield Moment(old, (), {})
    read_at, stamp, cost = time.monotonic(), _stamp(run), 0.0
    due = time.monotonic()
    asked = {host.name for host in board.files.plan.hosts}
    known = set(asked)
    while True:
        told: list[Event] = []
        first_heard: set[str] = set()
        changed = False
        for news in _together(links, min(_LOOK_SECONDS, max(0.0, due - time.monotonic()))):
            told += spoken(news, dt.datetime.now().astimezone(), output=output)
            if isinstance(news, Heard) and news.host not in board.answers:
                first_heard.add(news.host)
            board.take(news, time.monotonic())
            changed = changed or not isinstance(news, Said)
        now = time.monotonic()
        if now - read_at >= max(_LOOK_SECONDS, _LEAST_SHARE * cost) and (seen := _stamp(run)) != stamp:
            files = _files(run, board.files)
            read_at, stamp, cost = now, seen, time.monotonic() - now
            board.read_again(files)
            changed = True
            clock = dt.datetime.now().astimezone()
            told += [newcomer(host.name, clock) for host in files.plan.hosts if host.name not in known]
            known |= {host.name for host in files.plan.hosts}
        if not changed and not told and now < due:
            continue
        if changed or now >= due:
            status = board.status(now)
            told = [*told, *events(old, status, dt.datetime.now().astimezone(), first_heard=first_heard)]
            old, due = status, now + pause_seconds
        at_end = is_done(old) and all(host.state != "not asked" for host in old.hosts if host.name in asked)
        if at_end:
            told.append(done(old, dt.datetime.now().astimezone()))
        yield Moment(old, tuple(told), dict(board.last_lines))
        if at_end:
            return


def _together(links: Links, seconds: float) -> Iterator[News]:
    """Yield what comes within some seconds, and what comes at once with it."""
    try:
        yield links.news.get(timeout=max(seconds, 0.01))
        deadline = time.monotonic() + _TOGETHER_SECONDS
        while True:
            yield links.news.get(timeout=max(deadline - time.monotonic(), 0.0))
    except queue.Empty:
        return


def _stamp(run: Path) -> tuple[object, ...]:
    """Return what differs when the controller's files do."""
    notes = (path for pattern in ("hosts/*/cells.json", f"{FOLDER}/*.json") for path in run.glob(pattern))
    paths = [*sorted(notes), *sorted(path for path in run.iterdir() if path.is_file())]
    told: list[object] = []
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            continue
        told.append((str(path), found.st_mtime_ns, found.st_size, found.st_ino))
    owner = read_owner(run)  # a play that was killed leaves its file behind
    return (*told, owner is not None and is_alive(owner))


def _files(run: Path, before: Files | None = None) -> Files:
    """Read the controller's files; while one is being replaced the plan of before stays."""
    try:
        plan, play = plan_and_play(run)
    except ResultError:
        if before is None:
            raise
        plan, play = before.plan, before.play
    keeps = obstacles(run, play_goes_on=play is not None)
    return Files(plan, read_collection(run), keeps, play, without_inputs(run, plan), waiting(run))
