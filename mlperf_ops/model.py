"""The words of the product as frozen data: cell, spec, result. Those of the plan are in `mlperf_ops.plan_model`.

These classes are the schema of spec.json and result.json (docs/reference/files.md). This module is shipped to hosts:
standard library only, and a change here makes every cell run again. Durations and sizes carry their unit in the name.
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

SCENARIOS: tuple[Scenario, ...] = (
    "SingleStream",
    "MultiStream",
    "Server",
    "Offline",
    "Interactive",
)
COMPLIANCE_TESTS: tuple[ComplianceTest, ...] = get_args(ComplianceTest)


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
