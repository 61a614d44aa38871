"""The inventory contract: the `mlperf_*` variables of a host as frozen pydantic models."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, JsonValue, Tag, model_validator

from mlperf_ops.files import Json
from mlperf_ops.lab_energy import UnofficialEnergy
from mlperf_ops.lab_model import LabModel
from mlperf_ops.model import Division, RunStyle, Scenario
from mlperf_ops.patterns import AbsolutePath, Channels, CpuList, Name, OneLine, PathName, RemotePath, Sha256
from mlperf_ops.plan_model import OnConflict
from mlperf_ops.tuning import BenchmarkTuning, Tuning

PREFIX = "mlperf_"

Count: TypeAlias = Annotated[int, Field(ge=0)]
SMOKE_COUNT = 8
"""Queries of each cell, and samples of the data set, in a smoke run: a batch of a stream scenario, and seconds."""

AtLeastOne: TypeAlias = Annotated[int, Field(ge=1)]


class BackendOptions(LabModel):
    """Session options; what is not set is left to the implementation's defaults. 0: what the cores feed."""

    streams: Count | None = None
    intra_op_threads: Count | None = None
    inter_op_threads: Count | None = None
    execution_mode: Literal["sequential", "parallel"] | None = None
    graph_optimization: Literal["disable", "basic", "extended", "all"] | None = None
    allow_spinning: bool | None = None
    max_batch: AtLeastOne | None = None
    batch_timeout_us: Count | None = None
    provider: str | None = None
    device: str | None = None


class BackendConfig(BackendOptions):
    """Options for all scenarios, and what is different in single ones."""

    SingleStream: BackendOptions | None = None
    MultiStream: BackendOptions | None = None
    Server: BackendOptions | None = None
    Offline: BackendOptions | None = None
    Interactive: BackendOptions | None = None

    def options(self, scenario: str) -> dict[str, Json]:
        """Return the options that are set for a scenario."""
        common = self.model_dump(include=set(BackendOptions.model_fields), exclude_none=True)
        own = getattr(self, scenario)
        return common | ({} if own is None else own.model_dump(exclude_none=True))


EntryMode: TypeAlias = Literal["accuracy", "performance", "compliance"]
"""What to run of a benchmark; `compliance` stands for the tests that `BenchmarkEntry.compliance` decides on."""


class BenchmarkEntry(LabModel):
    """One item of mlperf_benchmarks."""

    benchmark: str
    scenarios: str | tuple[str, ...] = "all"  # "all", "required" or names
    modes: tuple[EntryMode, ...] = ("accuracy", "performance", "compliance")
    # None: the round's tests where the division demands them, or where modes names compliance; true: the round's;
    # names: these; false: none.
    compliance: bool | tuple[str, ...] | None = None
    compliance_min_duration_ms: Count | None = None  # of the tests alone; a longer run is a steadier one
    implementation: str = "harness"
    framework: str | None = None
    dataset: str | None = None
    sample_count: AtLeastOne | None = None  # samples to use of the data set, from the first on
    backend: BackendConfig = BackendConfig()
    extra_args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    cmd_prefix: str | None = None  # None: mlperf_cmd_prefix
    cpu_affinity: CpuList | None = None
    tuning: BenchmarkTuning = BenchmarkTuning()  # over that of the host
    warmup_seconds: Annotated[float, Field(ge=0)] = 1.0
    run_style: RunStyle | None = None
    division: Division | None = None  # None: mlperf_division
    adjust_targets: bool | tuple[Scenario, ...] | None = None  # of all scenarios or of these; None: that of the host
    also_as: tuple[str, ...] = ()  # benchmarks with a lower accuracy target that the same runs stand for
    scenarios_from: dict[Scenario, Scenario] = Field(default_factory=dict)  # scenario in the tree -> the one that runs

    def wants_compliance(self, *, demanded: bool) -> bool:
        """Return whether compliance tests are to be planned, given whether the division demands them."""
        if "compliance" not in self.modes or self.compliance is False or self.compliance == ():
            return False
        return demanded or self.compliance is not None or "modes" in self.model_fields_set


class ComponentOverride(LabModel):
    """What the inventory says of a component: the user's own files, or another source."""

    path: AbsolutePath | None = None
    label_file: str | None = None
    version: str | None = None
    sha256: Sha256 | None = None
    url: str | None = None


Targets: TypeAlias = dict[str, dict[str, dict[str, JsonValue]]]
"""benchmark -> scenario -> user.conf key -> value."""


class QueryCounts(LabModel):
    """Queries of a style test cell per scenario; a scenario that is left out has the round's default."""

    SingleStream: AtLeastOne | None = None
    MultiStream: AtLeastOne | None = None
    Server: AtLeastOne | None = None
    Offline: AtLeastOne | None = None
    Interactive: AtLeastOne | None = None


TestQueryCount: TypeAlias = Annotated[
    Annotated[AtLeastOne, Tag("number")] | Annotated[QueryCounts, Tag("mapping")],
    Discriminator(lambda value: "mapping" if isinstance(value, (Mapping, QueryCounts)) else "number"),
]


class SharedThing(LabModel):
    """Which modes need a shared thing, and which host of the inventory keeps its lease; None: the controller itself."""

    modes: Annotated[tuple[EntryMode, ...], Field(min_length=1)]
    owner: str | None = None


Shared: TypeAlias = Annotated[
    Annotated[tuple[EntryMode, ...], Field(min_length=1), Tag("modes")] | Annotated[SharedThing, Tag("mapping")],
    Discriminator(lambda value: "mapping" if isinstance(value, (Mapping, SharedThing)) else "modes"),
]


def _quoted(value: object) -> object:
    """Refuse a number where YAML would take 1.10 for 1.1 and 0123 for 83."""
    if isinstance(value, (int, float)):
        raise ValueError(  # noqa: TRY004  # pydantic wants a ValueError
            f'expected text in quotes such as "{value}", as YAML may read a number otherwise, found {value}'
        )
    return value


def _flag(value: object) -> object:
    """PTDaemon's own word for it stands for true."""
    return {"-D": True, "": False}.get(value, value) if isinstance(value, str) else value


Port: TypeAlias = Annotated[int, Field(ge=1, le=65535)]
Quoted: TypeAlias = Annotated[OneLine, BeforeValidator(_quoted)]


class PowerAnalyzer(LabModel):
    """One physical power analyzer, as PTDaemon on its director is told of it, and what a submission says of it."""

    director: str  # a host of group power_directors
    device_type: int | str  # PTDaemon's number, or the meter's name
    device_port: OneLine  # /dev/ttyUSB0, /dev/usbtmc0, an IP address, a serial number or a GPIB address
    interface_flag: Literal["", "-g", "-n", "-y", "-U"] = ""
    network_port: Port = 8888  # PTDaemon's, on the director's loopback
    listen_port: Port = 4950  # of the measuring server, for the SUTs
    channel: Channels | None = None  # of all its SUTs, where they do not have their own
    gpib_board: Count | None = None
    dc_flag: Annotated[bool | None, BeforeValidator(_flag)] = None  # None: as the device type says
    vendor: OneLine = "Yokogawa"
    model: OneLine | None = None
    serial_number: Quoted | None = None
    firmware: Quoted | None = None
    calibration_date: date | None = None
    wiring: OneLine | None = None
    notes: str = ""


class PowerAnalyzerUse(LabModel):
    """The analyzer that measures a SUT, and the channel where it is not the analyzer's own."""

    name: str
    channel: Channels | None = None


class PowerSupply(LabModel):
    """One power supply by its nameplate."""

    name: OneLine
    watts: Annotated[float, Field(gt=0)]


class PowerSupplies(LabModel):
    """The power supplies of a system, and how many of them it needs to run: the nameplate of its design power."""

    supplies: Annotated[tuple[PowerSupply, ...], Field(min_length=1)]
    needed: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _are_enough(self) -> PowerSupplies:
        if self.needed > len(self.supplies):
            raise ValueError(f"needed is {self.needed}, and there are {len(self.supplies)} supplies")
        return self


def _uses(value: object) -> object:
    """A name, or one mapping, stands for a list of one."""
    items = value if isinstance(value, (list, tuple)) else [value]
    return [{"name": item} if isinstance(item, str) else item for item in items]


class HostStateLimits(LabModel):
    """What taints a result beside a changed tuned knob, throttling and a reboot; None: it does not.

    The meaning of each limit is that of `mlperf_ops.harness.host_drift.Limits`.
    """

    sample_seconds: Annotated[float, Field(gt=0)] = 10.0
    temperature_max_celsius: float | None = None
    foreign_cpu_percent_max: Annotated[float, Field(ge=0, le=100)] | None = None
    load_before_max: Annotated[float, Field(ge=0)] | None = None
    swap_out_max_mib: Annotated[float, Field(ge=0)] | None = None
    clock_offset_max_ms: Annotated[float, Field(gt=0)] | None = None


class HostVars(LabModel):
    """All variables of the contract, as one host sees them."""

    model_config = ConfigDict(alias_generator=lambda name: PREFIX + name)

    round: str
    division: Division
    submitter: PathName
    system_type: str
    home: RemotePath
    benchmarks: tuple[BenchmarkEntry, ...]
    run_style: RunStyle = "test"
    on_conflict: OnConflict = "refuse"  # two different results for one place: name them, or let the best count
    run_id: PathName | None = None
    smoke: bool = False  # run every cell for seconds, in a results folder of its own, to see that it would run
    only: str | tuple[str, ...] = ()  # cells to run now, see mlperf_ops.only; the plan stays whole
    cmd_prefix: str = ""  # words before the command line of every cell; that of a benchmark stands in its place
    launcher: Literal["auto", "systemd", "session"] = "auto"  # how a host starts cells; auto: a unit where it can
    retries: Annotated[int, Field(ge=0, le=10)] = 1  # of a cell within a play, after a reboot, a kill or a crash
    # Whether an INVALID performance cell runs again with a better target, instead of ending there.
    adjust_targets: bool = False
    system: PathName | None = None
    system_description: dict[str, JsonValue] = Field(default_factory=dict)
    targets: Targets = Field(default_factory=dict)
    measured_targets: Targets = Field(default_factory=dict)
    components: dict[str, ComponentOverride] = Field(default_factory=dict)
    test_query_count: TestQueryCount | None = None
    min_duration_ms: Count | None = None
    mirror: str | None = None
    inference_checkout: str | None = None
    power_checkout: str | None = None
    become: bool = True  # whether roles may become root; without, they do what they can and list the rest
    tuning_profile: str | None = None  # a platform of the catalogue; None: nothing is tuned
    tuning: Tuning = Tuning()  # single settings, over those of the profile
    host_state: HostStateLimits = HostStateLimits()
    unofficial_energy: UnofficialEnergy = UnofficialEnergy()  # read beside performance cells; nothing by default
    # What only one cell of the lab may use at a time, such as a power analyzer: its name, and the modes that need it.
    shared: dict[PathName, Shared] = Field(default_factory=dict)
    power_analyzers: dict[Name, PowerAnalyzer] = Field(default_factory=dict)  # of the whole lab
    # What measures this SUT; its lease is taken by each performance cell (mlperf_ops.power).
    power_analyzer: Annotated[tuple[PowerAnalyzerUse, ...], BeforeValidator(_uses)] = ()
    power_supplies: PowerSupplies | None = None  # by their nameplates: the system's design power, since v6.1

    def query_count(self, scenario: Scenario) -> int | None:
        """Return the queries of a style test cell, None for the round's default."""
        if self.smoke:
            return SMOKE_COUNT
        counts = self.test_query_count
        if isinstance(counts, QueryCounts):
            found: int | None = getattr(counts, scenario)
            return found
        return counts
