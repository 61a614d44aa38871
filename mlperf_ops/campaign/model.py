"""The words of a campaign: the state of a cell, of a host and of the whole. `mlperf-ops status --json` is `Status`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from mlperf_ops.model import Mode, RunStyle, Scenario
from mlperf_ops.plan_model import Seconds

CellState: TypeAlias = Literal[
    "valid",
    "simulated",
    "running",
    "planned",
    "blocked",
    "stale",
    "tainted",
    "invalid",
    "failed",
    "impossible",
]
"""How a cell stands.

valid: a valid result answers this very request, and its host did not drift; simulated: the same of a stand-in, which is
never packed; running: a host measures it now; planned: nothing is there yet; blocked: the same, and something keeps its
host from running it; stale: there are results, of another request; tainted: valid, but the host drifted meanwhile;
invalid and failed: what the last attempt came to; impossible: the plan itself says why it cannot run.
"""

CELL_STATES: tuple[CellState, ...] = get_args(CellState)
DONE: frozenset[CellState] = frozenset({"valid", "simulated"})
"""Nothing is left to do."""
TO_COME: frozenset[CellState] = frozenset({"running", "planned", "stale", "tainted", "invalid", "failed"})
"""What the next run of the plan runs; a blocked cell waits for somebody, an impossible one for another plan."""

HostState: TypeAlias = Literal["not asked", "idle", "running", "busy", "unreachable", "unknown"]
"""not asked: only the controller's files speak for it; running: it measures a cell of this run; busy: one of another
run; unknown: it answered, but not with what was asked."""


@dataclass(frozen=True, slots=True)
class CellStatus:
    """A planned cell and how it stands.

    Attributes:
        reason: Why it is not valid, on what it is blocked, what changed, or why it is planned again; "" for nothing.
        attempt: The attempt that the state speaks of, such as "attempt_1"; None where there is none.
        path: Its folder below results/<run>/hosts/<host>; None while the controller has no copy.
        on_host: Its folder below mlperf_home, where the host was asked.
        expected: Duration of the run that is still to come, or goes on; None when nothing is, or nobody knows.
        remaining: What of it is left; as `expected` until the cell runs.
        phase: Of a running cell: loading, warmup, measuring, scoring.
        elapsed_seconds: Of a running cell, by its host's clock.
        ended_at: When `attempt` had ended, by its host's clock; ISO 8601 in UTC.
        notes: The plan's warnings, of cells that are still to come.
    """

    key: str
    host: str
    system: str
    benchmark: str
    scenario: Scenario
    mode: Mode
    state: CellState
    reason: str = ""
    attempt: str | None = None
    path: str | None = None
    on_host: str | None = None
    expected: Seconds | None = None
    remaining: Seconds | None = None
    phase: str | None = None
    elapsed_seconds: float | None = None
    ended_at: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostStatus:
    """A host of the plan.

    Attributes:
        detail: What it measures, or why it cannot be reached; "" where there is nothing to say.
        blocked: What keeps it out of the run, "" when nothing does.
        to_come: Cells that the next run runs, or that run now.
        remaining: How long these take, one after another, and what they wait for; None when nothing is to come or no
            duration is known.
        unknown: Cells of them whose duration nobody knows yet; `remaining` is without these.
        waiting: Blocked cells, but those that only wait for a shared thing; `remaining` is without these as well.
    """

    name: str
    system: str
    state: HostState
    detail: str
    blocked: str
    to_come: int
    remaining: Seconds | None
    unknown: int
    waiting: int


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """The host that finishes last, and its cells in order; one of another host that these wait for is "HOST: KEY"."""

    host: str
    cells: tuple[str, ...]
    remaining: Seconds


@dataclass(frozen=True, slots=True)
class Play:
    """The process that owns the results folder now, since when: ISO 8601 in UTC; None: nobody knows."""

    pid: int
    command: str
    since: str | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """What to do next: a command that can be copied, and why."""

    command: str
    why: str


@dataclass(frozen=True, slots=True)
class Status:
    """Where a campaign stands.

    Attributes:
        results: The results folder.
        asked: The hosts were asked; otherwise only the controller's files speak.
        play: Who works on it now; None: nobody does.
        remaining: Until the last host has finished, hosts working in parallel; None when nothing is to come.
        unknown: Cells to come, of all hosts, whose duration nobody knows yet.
        problems: Files that could not be read, one sentence each.
        smoke: It only shows whether every cell would run; `valid` then says that a cell ran.
    """

    run_id: str
    results: str
    inventory: str
    round: str
    run_style: RunStyle
    asked: bool
    play: Play | None
    hosts: tuple[HostStatus, ...]
    cells: tuple[CellStatus, ...]
    remaining: Seconds | None
    unknown: int
    critical_path: CriticalPath | None
    next: tuple[Action, ...]
    problems: tuple[str, ...] = ()
    smoke: bool = False
    schema: int = field(default=1)
