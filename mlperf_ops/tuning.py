"""How a host is tuned: the settings as a frozen model, and which of them hold for a host and for a cell. Pure.

What is not set is not touched. A profile of the catalogue comes first, then `mlperf_tuning` of the host, then `tuning`
of the benchmark, then that of the scenario; a later `null` takes a setting back. What the settings mean in files and
tools of a host is the business of `plugins/module_utils/tuning_*.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, TypeAlias, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import Self

from mlperf_ops.errors import ConfigError
from mlperf_ops.expected import sentence_of
from mlperf_ops.files import Json
from mlperf_ops.model import Confinement
from mlperf_ops.patterns import CpuList, NodeList, SysctlName, Word

FrequencyKhz: TypeAlias = Literal["hardware_min", "hardware_max"] | Annotated[int, Field(ge=1)]
Positive: TypeAlias = Annotated[int, Field(ge=1)]
Count: TypeAlias = Annotated[int, Field(ge=0)]

# Writing these is an act, not a state: there is nothing to read back or to restore.
_ACTS = {"vm.drop_caches": "drop_caches", "vm.compact_memory": "hugepages"}


class TuningModel(BaseModel):
    """Frozen, and no unknown keys. Numbers may come as text, and `off` of YAML is false."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class HugePages(TuningModel):
    """Huge pages of one size."""

    size_kib: Positive
    pages: Count
    node: Count | None = None  # None: spread over all NUMA nodes by the kernel


class Clocks(TuningModel):
    """Application clocks of a GPU, in MHz."""

    memory: Positive
    graphics: Positive


class ClockRange(TuningModel):
    """Locked graphics clocks of a GPU, in MHz."""

    min: Positive
    max: Positive


class Numactl(TuningModel):
    """Words for numactl(8), put before the command of a cell: `membind: "0"` is --membind=0."""

    cpunodebind: NodeList | None = None
    physcpubind: CpuList | None = None
    membind: NodeList | None = None
    interleave: NodeList | None = None
    preferred: Count | None = None
    localalloc: bool | None = None

    @model_validator(mode="after")
    def _one_policy(self) -> Self:
        names = ("membind", "interleave", "preferred", "localalloc")
        # Not by truth: node 0 is a node.
        policies = [name for name in names if getattr(self, name) is not None and getattr(self, name) is not False]
        if len(policies) > 1:
            raise ValueError(f"expected one memory policy, found {' and '.join(policies)}")
        return self

    def words(self) -> list[str]:
        """Return the command's words."""
        given = self.model_dump(exclude_none=True)
        options = [
            f"--{name}" if value is True else f"--{name}={value}" for name, value in given.items() if value is not False
        ]
        return ["numactl", *options] if options else []


class Tuning(TuningModel):
    """Settings of a host. Every one is optional; what is not set is neither read nor changed."""

    # CPU
    governor: Word | None = None
    min_frequency_khz: FrequencyKhz | None = None
    max_frequency_khz: FrequencyKhz | None = None
    turbo: bool | None = None  # frequencies above the nominal one
    energy_preference: Word | None = None  # EPP: performance, balance_performance, balance_power, power or 0-255
    cstate_max_latency_us: Count | None = None  # idle states with a longer exit latency are disabled
    cstates_disabled: tuple[str, ...] | None = None  # idle states by name, such as C6
    smt: bool | None = None
    # memory and kernel
    numa_balancing: bool | None = None
    thp_enabled: Literal["always", "madvise", "never"] | None = None
    thp_defrag: Literal["always", "defer", "defer+madvise", "madvise", "never"] | None = None
    hugepages: tuple[HugePages, ...] | None = None
    sysctls: dict[SysctlName, str | int | None] | None = None
    nmi_watchdog: bool | None = None
    swap: bool | None = None  # false: all areas off; true: those of /etc/fstab
    drop_caches: Literal[1, 2, 3] | None = None  # before each cell: 1 page cache, 2 dentries and inodes, 3 both
    # interrupts
    irqbalance: bool | None = None  # whether the daemon runs
    irq_cpus: CpuList | None = None  # where all interrupts go that can be moved
    # pinning of the cell's process
    numactl: Numactl | None = None
    taskset: CpuList | None = None
    memory_max_mib: Annotated[int, Field(ge=64)] | None = None  # of the cell's unit; more ends it
    # GPUs
    gpu_persistence: bool | None = None
    gpu_power_limit_w: Annotated[float, Field(gt=0)] | None = None
    gpu_application_clocks_mhz: Clocks | None = None
    gpu_locked_clocks_mhz: ClockRange | None = None
    gpu_deterministic_clock_mhz: Positive | None = None  # AMD: performance determinism
    # boards
    nvpmodel_mode: Count | None = None  # Jetson: number of a power mode in /etc/nvpmodel.conf

    @model_validator(mode="after")
    def _possible(self) -> Self:
        low, high = self.min_frequency_khz, self.max_frequency_khz
        if isinstance(low, int) and isinstance(high, int) and low > high:
            raise ValueError(f"min_frequency_khz {low} is above max_frequency_khz {high}")
        clocks = self.gpu_locked_clocks_mhz
        if clocks is not None and clocks.min > clocks.max:
            raise ValueError(f"gpu_locked_clocks_mhz: min {clocks.min} is above max {clocks.max}")
        for name in self.sysctls or {}:
            dotted = name.replace("/", ".")
            if dotted in _ACTS:
                raise ValueError(f"sysctl {name} is an act, not a state; use {_ACTS[dotted]}")
        sizes = [(pages.size_kib, pages.node) for pages in self.hugepages or ()]
        for size, node in sizes:
            if sizes.count((size, node)) > 1 or (node is not None and (size, None) in sizes):
                raise ValueError(f"hugepages of {size} KiB are given twice for the same node")
        return self


class BenchmarkTuning(Tuning):
    """Settings for the cells of a benchmark, and what is different in single scenarios."""

    SingleStream: Tuning | None = None
    MultiStream: Tuning | None = None
    Server: Tuning | None = None
    Offline: Tuning | None = None
    Interactive: Tuning | None = None


_PINNING = ("numactl", "taskset", "memory_max_mib")  # of the cell's own processes: no state of the host


class Resolved(TuningModel):
    """The settings that hold for a host or for a cell."""

    tuning: Tuning

    @property
    def profile(self) -> dict[str, Json]:
        """What the host has to be like; {} when nothing is asked."""
        given = self.tuning.model_dump(mode="json", exclude_none=True, exclude=set(_PINNING))
        return {name: value for name, value in given.items() if value != {}}

    @property
    def prefix(self) -> list[str]:
        """The words before the cell's command."""
        words = [] if self.tuning.numactl is None else self.tuning.numactl.words()
        return [*words, *(["taskset", "-c", self.tuning.taskset] if self.tuning.taskset else [])]

    def confinement(self, cpu_affinity: str | None) -> Confinement:
        """Return what a unit keeps the cell to: never less than what the words before its command ask for."""
        numactl = self.tuning.numactl or Numactl()
        lists = (numactl.physcpubind, self.tuning.taskset, cpu_affinity)
        return Confinement(
            cpus=tuple(dict.fromkeys(one for one in lists if one)),
            cpu_nodes=_nodes(numactl.cpunodebind),
            memory_nodes=_nodes(numactl.membind),
            memory_max_mib=self.tuning.memory_max_mib,
        )


def _nodes(given: str | None) -> str:
    return "" if given in {None, "all"} else str(given)


def resolve(*layers: Tuning | None, where: str) -> Resolved:
    """Lay settings over each other, the most general first.

    Sysctls are merged by name, everything else is replaced whole. What a layer gives as null is not asked for.

    Args:
        layers: Settings; None for no layer.
        where: File, line and key for the error message.

    Raises:
        ConfigError: Each layer is right, but together they contradict each other.
    """
    given: dict[str, object] = {}
    sysctls: dict[str, str | int | None] = {}
    for layer in layers:
        if layer is None:
            continue
        for name in sorted(layer.model_fields_set & set(Tuning.model_fields)):
            value = getattr(layer, name)
            if name != "sysctls":
                given[name] = value
            elif value is None:
                sysctls = {}
            else:
                sysctls |= cast("dict[str, str | int | None]", value)
    kept = {name: value for name, value in sorted(sysctls.items()) if value is not None}
    try:
        return Resolved(tuning=Tuning.model_validate({**given, "sysctls": kept or None}))
    except ValidationError as error:
        told = sentence_of(error.errors(include_url=False)[:1])
        hint = "the profile's settings are shown by mlperf-ops catalogue show <profile>"
        raise ConfigError(f"{where}: together with the profile, {told}", hint=hint) from error


def for_scenario(tuning: BenchmarkTuning, scenario: str) -> Iterator[Tuning | None]:
    """Return the layers of a benchmark for one of its scenarios."""
    yield tuning
    yield getattr(tuning, scenario)


def model_at(model: type[TuningModel], key_path: Sequence[str | int]) -> type[TuningModel]:
    """Return the model that describes a place inside settings, to name the keys that are valid there."""
    for part in key_path:
        field = model.model_fields.get(str(part))
        model = model if field is None else next(_models(field.annotation), model)
    return model


def _models(hint: object) -> Iterator[type[TuningModel]]:
    if isinstance(hint, type) and issubclass(hint, TuningModel):
        yield hint
    for inner in get_args(hint):
        yield from _models(inner)
