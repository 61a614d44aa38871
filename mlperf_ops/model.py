"""The words of the product as frozen data: cell, spec, result, plan.

These classes are the schema of plan.json, spec.json, result.json and cells.json (docs/reference/files.md).
This module is shipped to hosts: standard library only. Durations and sizes carry their unit in the name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from mlperf_ops.files import Json, sha256_json
from mlperf_ops.typed import UNSET, dump

SCHEMA = 1

Scenario = Literal["SingleStream", "MultiStream", "Server", "Offline", "Interactive"]
Division = Literal["closed", "open", "network"]
RunStyle = Literal["test", "fast", "valid"]
ComplianceTest = Literal["TEST01", "TEST04", "TEST06", "TEST07", "TEST08", "TEST09"]
Mode = Literal["accuracy", "performance", "TEST01", "TEST04", "TEST06", "TEST07", "TEST08", "TEST09"]
Verdict = Literal["valid", "invalid", "failed"]
Estimate = Literal["rule", "target", "history", "prior"]
OnConflict = Literal["refuse", "best"]

SCENARIOS: tuple[Scenario, ...] = (
    "SingleStream",
    "MultiStream",
    "Server",
    "Offline",
    "Interactive",
)
COMPLIANCE_TESTS: tuple[ComplianceTest, ...] = get_args(ComplianceTest)


SMOKE_SUFFIX = "-smoke"
_YES = frozenset({"true", "t", "yes", "y", "on", "1"})


def run_name(run_id: str, *, smoke: object) -> str:
    """Return the run id that results go to: a smoke run (`mlperf_smoke`) has one of its own beside the real one.

    Args:
        run_id: Of the inventory.
        smoke: Value of mlperf_smoke, which the command line gives as text.
    """
    return run_id + SMOKE_SUFFIX if str(smoke).strip().lower() in _YES else run_id


@dataclass(frozen=True, slots=True)
class Cell:
    """One (system, benchmark, scenario, mode): the unit that is planned, run, shown and repeated."""

    system: str
    benchmark: str
    scenario: Scenario
    mode: Mode

    @property
    def key(self) -> str:
        """The cell's name on every screen and in every file."""
        return f"{self.system}/{self.benchmark}/{self.scenario}/{self.mode}"


# --- spec.json: exactly what a host runs ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LoadgenRequest:
    """What LoadGen is asked for, and what its detail log has to show."""

    conf_model: str  # model name that LoadGen's embedded mlperf.conf knows, such as "resnet50"
    scenario: Literal["SingleStream", "MultiStream", "Server", "Offline"]
    mode: Literal["AccuracyOnly", "PerformanceOnly"]
    user_conf: str  # the file's whole text
    expect: dict[str, Json]  # detail-log key -> value; any other value fails the cell
    audit_conf: str = field(default="", metadata=UNSET)  # audit.config of a compliance test, its whole text


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """The model file and how to talk to it."""

    component: str
    path: str  # absolute, on the host
    sha256: str
    format: str  # "onnx"
    input_name: str
    input_layout: Literal["NCHW", "NHWC"]
    output_name: str
    output_kind: Literal["logits", "class_index"]
    label_offset: int = 0  # subtracted from the model's class index (TensorFlow's 1001-class models: 1)


@dataclass(frozen=True, slots=True)
class DatasetRequest:
    """The samples and their labels."""

    component: str
    path: str  # absolute folder on the host
    sha256: str  # of the folder, or of the label file where the folder is the user's own
    label_file: str  # "<file name> <class index>" a line, relative to path or absolute
    total_count: int | None  # samples to use; None = all lines of the label file
    preprocess: dict[str, Json]  # parameters of mlperf_ops.harness.preprocess


@dataclass(frozen=True, slots=True)
class BackendRequest:
    """The runtime and its session options; None leaves the runtime's own default.

    `streams: 0` stands for as many streams of `intra_op_threads` as the allowed cores feed, and `intra_op_threads: 0`
    for all allowed cores, shared by the streams. The harness resolves both when it runs, and `Result.effective` says
    what they became.
    """

    name: str  # "onnxruntime"
    device: str = "cpu"
    provider: str = "CPUExecutionProvider"
    intra_op_threads: int | None = None
    inter_op_threads: int | None = None
    execution_mode: Literal["sequential", "parallel"] = "sequential"
    graph_optimization: Literal["disable", "basic", "extended", "all"] = "all"
    allow_spinning: bool | None = None  # intra-op threads wait busily: quicker on an idle host, harmful on a shared one
    streams: int = 1  # inference streams: sessions driven in parallel
    max_batch: int = 1  # largest batch, for Offline and Server
    batch_timeout_us: int = 0  # Server: longest wait for a batch to fill


@dataclass(frozen=True, slots=True)
class AccuracyRequest:
    """How the accuracy log is scored."""

    metric: str  # name in the round's accuracy_regex, such as "acc"
    minimum: float | None  # the round's target
    maximum: float | None
    gate: bool  # closed and network: missing the target makes the cell invalid


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a cell's processes are kept to in a systemd unit, beside the words of argv that bind them."""

    cpus: tuple[str, ...] = ()  # Linux CPU lists; the unit may use the CPUs of all of them
    cpu_nodes: str = ""  # NUMA nodes whose CPUs it may use, too
    memory_nodes: str = ""  # NUMA nodes that its memory comes from
    memory_max_mib: int | None = None


@dataclass(frozen=True, slots=True)
class PowerRequest:
    """How a cell's power is measured: by ranging, whose own settings these are, and then by the cell itself."""

    instance: str  # of the director's server: analyzers and their channels
    ranging_conf: str  # user.conf of ranging, its whole text
    ranging_expect: dict[str, Json]  # as LoadgenRequest.expect


@dataclass(frozen=True, slots=True)
class Spec:
    """Everything that decides a cell's result. Its sha256 is the cell's identity on a host."""

    cell: Cell
    official_benchmark: str
    round: str
    division: Division
    run_style: RunStyle
    implementation: str  # name in the catalogue
    simulated: bool  # an oracle or other stand-in takes part: never packed
    argv: tuple[str, ...]
    env: dict[str, str]
    loadgen: LoadgenRequest
    model: ModelRequest | None
    dataset: DatasetRequest
    task: str  # "image_classification"
    backend: BackendRequest
    accuracy: AccuracyRequest
    cpu_affinity: str | None  # Linux CPU list such as "0-7,16"
    warmup_seconds: float
    packages: dict[str, str]  # name -> version of what the process imports, and the harness's own digest
    host_profile: dict[str, Json] = field(default_factory=dict)  # tuning that a result depends on
    confinement: Confinement = field(default=Confinement(), metadata=UNSET)
    smoke: bool = field(default=False, metadata=UNSET)  # of a smoke run: equals no spec of a real one
    power: PowerRequest | None = field(default=None, metadata=UNSET)  # None: not measured
    schema: int = SCHEMA

    @property
    def sha256(self) -> str:
        """Identity of the spec: equal specs, and only these, have equal digests."""
        return sha256_json(dump(self))


# --- result.json: what a host says of one attempt --------------------------------------------------


@dataclass(frozen=True, slots=True)
class LoadgenOutcome:
    """Figures out of LoadGen's own logs, with LoadGen's key names."""

    validity: Literal["VALID", "INVALID"] | None  # None for accuracy mode
    fields: dict[str, Json]  # selected detail-log keys, first value of each
    errors: tuple[str, ...]
    warnings: int


@dataclass(frozen=True, slots=True)
class AccuracyOutcome:
    """Score of an accuracy run."""

    metric: str
    value: float
    unit: str  # "%" or ""
    met: bool | None  # None: the round states no target
    sample_count: int
    full_log_sha256: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no result."""

    kind: str  # "wrong_tensor", "out_of_memory", "settings_mismatch", "crash", …
    message: str
    hint: str
    last_lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """Written last and whole: an attempt without it never happened."""

    cell: Cell
    spec_sha256: str
    request_sha256: str
    verdict: Verdict
    reasons: tuple[str, ...]  # why it is not valid, one sentence each
    simulated: bool
    started_at: str  # RFC 3339, UTC
    elapsed_seconds: float
    loadgen: LoadgenOutcome | None
    accuracy: AccuracyOutcome | None
    failure: Failure | None
    effective: dict[str, Json]  # what really ran: provider, precision, threads, affinity, batches, versions, digests
    tainted: tuple[str, ...] = ()  # how the host drifted meanwhile, one sentence each; such a result is not good
    schema: int = SCHEMA


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
