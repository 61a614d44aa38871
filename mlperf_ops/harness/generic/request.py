"""What one LoadGen process of `mlperf-ops loadgen-onnx` is asked for: request.json. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from mlperf_ops.model import SCHEMA

GenericScenario = Literal["SingleStream", "MultiStream", "Server", "Offline"]
Runner = Literal["inline", "threads", "threads+replication", "processes"]

SCENARIOS: tuple[GenericScenario, ...] = get_args(GenericScenario)
RUNNERS: tuple[Runner, ...] = get_args(Runner)
SHARED_MEMORY_RUNNER = "processes"

REQUEST = "request.json"
DEFAULT_SAMPLES = 100
DEFAULT_DURATION_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class GenericRequest:
    """One model in one scenario. None leaves a value to LoadGen, to the runtime or to a measurement at warm-up."""

    model: str  # absolute path
    scenario: GenericScenario
    runner: Runner = "inline"
    concurrency: int | None = None  # threads or processes; None: as many as the process has CPUs
    provider: str = "CPUExecutionProvider"
    intra_op_threads: int | None = None  # 0: the runtime's default; None: that, or the CPUs shared out among sessions
    inter_op_threads: int | None = None
    execution_mode: Literal["sequential", "parallel"] = "sequential"
    batch: int = 1  # most samples in one inference
    samples: int | None = None  # samples in the library; None: as many as the files hold, or DEFAULT_SAMPLES
    seed: int = 0
    int_max: int | None = None  # largest generated integer
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)  # input, or symbolic dimension -> sizes
    files: dict[str, str] = field(default_factory=dict)  # input -> .npy file
    expected_qps: float | None = None  # Server, Offline: target_qps; streams: one query per 1 / expected_qps
    target_latency_ms: float | None = None  # streams: expected latency; Server: the bound
    duration_seconds: float | None = None
    min_queries: int | None = None
    max_queries: int | None = None
    user_conf: str | None = None  # text of the user's own user.conf
    user_conf_path: str = ""  # for messages
    schema: int = SCHEMA
