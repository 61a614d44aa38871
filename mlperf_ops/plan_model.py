"""The words of a plan as frozen data: what will run where, why each other thing will not, and what was collected.

These classes are the schema of plan.json and cells.json (docs/reference/files.md). Hosts do not get them: a change here
makes no cell run again. Durations and sizes carry their unit in the name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mlperf_ops.files import Json, sha256_json
from mlperf_ops.model import SCHEMA, Cell, Division, RunStyle, Scenario, Verdict
from mlperf_ops.typed import UNSET

Estimate = Literal["rule", "target", "history", "prior"]
OnConflict = Literal["refuse", "best"]

SMOKE_SUFFIX = "-smoke"
_YES = frozenset({"true", "t", "yes", "y", "on", "1"})


def run_name(run_id: str, *, smoke: object) -> str:
    """Return the run id that results go to: a smoke run (`mlperf_smoke`) has one of its own beside the real one.

    Args:
        run_id: Of the inventory.
        smoke: Value of mlperf_smoke, which the command line gives as text.
    """
    return run_id + SMOKE_SUFFIX if str(smoke).strip().lower() in _YES else run_id


# --- plan.json: what will run where, and why each other thing will not ------------------------------


@dataclass(frozen=True, slots=True)
class SampleGuess:
    """What a duration rests on where nobody knows how many samples the user's data set has.

    The duration's own `low` is then that of next to no samples, and its `high` that of `count`.
    """

    dataset: str  # component
    count: int  # taken for it: what the round's own has
    shortest: float  # seconds of so many samples, at least
    beside: float  # seconds that are no matter of samples, at most


@dataclass(frozen=True, slots=True)
class Seconds:
    """An expected duration and where it comes from.

    rule: the round and the run style fix it; target: computed with a speed that the inventory states, given or
    measured; history: an earlier run of the cell on its host; prior: published runs of others; None: a sum.
    """

    low: float
    high: float
    why: str
    source: Estimate | None = field(default=None, metadata=UNSET)
    guess: SampleGuess | None = field(default=None, metadata=UNSET)


@dataclass(frozen=True, slots=True)
class Filing:
    """A further place of the submission that a cell's run stands for, because the inventory says so."""

    benchmark: str  # the place's own name; its directory
    official_benchmark: str
    scenario: Scenario


@dataclass(frozen=True, slots=True)
class Adjustable:
    """The target of a cell that may be another one when its run is INVALID: see `mlperf_ops.adjusting`."""

    key: str  # of user.conf: "target_qps", or "target_latency" in ms
    basis: str  # what the inventory says of it
    target: float  # as the cell's user.conf has it


@dataclass(frozen=True, slots=True)
class AdjustedTarget:
    """The target that a cell uses in place of the inventory's: see `mlperf_ops.adjusting`."""

    key: str  # of user.conf: "target_qps", or "target_latency" in ms
    own: float  # the inventory's, or what the plan takes where it says nothing
    value: float
    attempt: str  # folder below mlperf_home of the attempt that was INVALID


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """A cell of the plan; `request` is its spec without what only the host knows."""

    cell: Cell
    host: str
    official_benchmark: str
    status: Literal["planned", "impossible"]
    reason: str | None  # why it is impossible
    notes: tuple[str, ...]  # warnings, such as a missing target
    expected: Seconds | None
    request: dict[str, Json] | None  # None when impossible
    division: Division | None = None  # None: that of the plan
    also: tuple[Filing, ...] = ()
    holds: tuple[str, ...] = field(default=(), metadata=UNSET)  # shared things that no other cell may use meanwhile
    adjustable: Adjustable | None = field(default=None, metadata=UNSET)  # None: its target stays as it is
    adjusted: AdjustedTarget | None = field(default=None, metadata=UNSET)  # None: it uses the inventory's target

    @property
    def request_sha256(self) -> str | None:
        """Identity of the request; `result.json` repeats it."""
        return None if self.request is None else sha256_json(self.request)


@dataclass(frozen=True, slots=True)
class PlannedHost:
    """A SUT of the plan."""

    name: str  # inventory_hostname
    system: str
    home: str
    system_type: str
    system_description: dict[str, Json]  # the user's own fields of systems/<id>.json
    components: tuple[str, ...]
    requirements: str  # name of the Python lock for the harness, "" when none is needed
    tuning: dict[str, Json] = field(default_factory=dict)  # settings of mlperf_ops.tuning; {}: nothing is tuned
    host_state: dict[str, Json] = field(default_factory=dict)  # what taints a result: harness.host_drift.Limits
    order: tuple[str, ...] = field(default=(), metadata=UNSET)  # cell keys as they run; (): as the plan lists them
    unofficial_energy: tuple[dict[str, Json], ...] = field(default=(), metadata=UNSET)  # harness.energy.SourceSettings
    power_supplies: dict[str, Json] | None = field(default=None, metadata=UNSET)  # mlperf_power_supplies


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that the plan itself rules out, so that the verdict can say "expected"."""

    rule: str  # rule id of the checker
    benchmark: str | None  # None: every benchmark
    because: str


@dataclass(frozen=True, slots=True)
class Component:
    """A pinned or user-given input as the plan uses it."""

    name: str
    kind: str
    version: str
    sha256: str | None  # of the prepared file or folder; None until a host has read the user's own path
    source: str  # how it comes here, in words
    path: str | None  # the user's own path on the host


@dataclass(frozen=True, slots=True)
class SharedOwner:
    """Which host keeps the lease of a shared thing."""

    thing: str
    host: str  # inventory_hostname


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole plan of a lab for a round; equal inventories and catalogues give equal plans."""

    round: str
    division: Division
    submitter: str
    run_id: str
    run_style: RunStyle
    inventory: str
    hosts: tuple[PlannedHost, ...]
    cells: tuple[PlannedCell, ...]
    components: tuple[Component, ...]
    limits: tuple[Limit, ...]
    on_conflict: OnConflict = "refuse"  # what becomes of two different results for one place
    owners: tuple[SharedOwner, ...] = field(default=(), metadata=UNSET)  # of shared things; others: the controller
    smoke: bool = field(default=False, metadata=UNSET)  # only shows that every cell would run: nothing of it counts
    power: dict[str, Json] | None = field(default=None, metadata=UNSET)  # mlperf_ops.power.inventory.PowerLab
    schema: int = SCHEMA

    def division_of(self, planned: PlannedCell) -> Division:
        """Return the division that a cell's result goes to."""
        return planned.division or self.division

    @property
    def divisions(self) -> tuple[Division, ...]:
        """The divisions of all cells, in the order of the plan; that of the plan when there are no cells."""
        return tuple(dict.fromkeys(self.division_of(cell) for cell in self.cells)) or (self.division,)

    @property
    def divisions_text(self) -> str:
        """The divisions in words: "closed division", "closed and open divisions"."""
        return f"{' and '.join(self.divisions)} division{'' if len(self.divisions) == 1 else 's'}"


# --- cells.json: which attempt stands for each cell of a host -----------------------------------------


@dataclass(frozen=True, slots=True)
class CollectedCell:
    """A cell's result of a host, as the controller holds it."""

    key: str
    spec_sha256: str
    request_sha256: str
    attempt: str  # "attempt_1"
    path: str  # folder below results/<run>/hosts/<host>/
    verdict: Verdict
    simulated: bool


@dataclass(frozen=True, slots=True)
class CollectedHost:
    """hosts/<host>/cells.json."""

    host: str
    system: str
    cells: tuple[CollectedCell, ...]
    schema: int = SCHEMA
