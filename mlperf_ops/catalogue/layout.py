"""Where a round's files are and which must exist."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from mlperf_ops.catalogue.base import CatalogueModel
from mlperf_ops.model import Scenario

_PLACES = ("division", "submitter", "system", "benchmark", "scenario")


def _known_places(template: str) -> str:
    try:
        template.format_map(dict.fromkeys(_PLACES, "x"))
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(f"malformed path; the places are {', '.join(f'{{{place}}}' for place in _PLACES)}") from error
    return template


PathTemplate: TypeAlias = Annotated[str, AfterValidator(_known_places)]
FileNames: TypeAlias = tuple[str, ...]


class Layout(CatalogueModel):
    """Paths below the submission root, with {division}, {submitter}, {system}, {benchmark} and {scenario}."""

    scenario_dir: PathTemplate
    perf_detail: PathTemplate
    perf_summary: PathTemplate
    acc_detail: PathTemplate
    accuracy_txt: PathTemplate
    accuracy_json: PathTemplate
    power_dir: PathTemplate
    measurements_dir: PathTemplate = Field(description="Folder of user.conf, README.md and the measurements.")
    measurements: PathTemplate
    measurements_also: tuple[PathTemplate, ...] = Field(
        default=(), description="Patterns of further names of the measurements in that folder; the first match counts."
    )
    compliance_dir: PathTemplate = Field(description="Folder that holds the TESTxx folders.")
    system_json: PathTemplate
    nameplate_power: PathTemplate | None = None
    src_dir: PathTemplate
    private_id: PathTemplate
    calibration_any_of: tuple[PathTemplate, ...]
    model_mapping: PathTemplate


class FileSet(CatalogueModel):
    """Files of one folder. A file that is in no list is an extra one."""

    required: FileNames
    optional: FileNames = ()
    with_power_also: FileNames = ()
    with_power_also_glob: FileNames = ()


class RequiredFiles(CatalogueModel):
    """File sets of a result's folders."""

    performance: FileSet
    ranging: FileSet
    accuracy: FileSet
    power: FileSet
    measurements_dir: FileSet


class ComplianceFiles(CatalogueModel):
    """Files of a compliance test, below TESTxx/."""

    files: FileNames
    folders: dict[str, FileNames] = Field(default_factory=dict)
    folders_if_nondeterministic: dict[str, FileNames] = Field(
        default_factory=dict, description="Instead of `folders`, where verify_accuracy.txt does not say TEST PASS."
    )
    whole_accuracy_log: bool = Field(default=False, description="Its accuracy log is handed in without truncation.")
    mean_output_tokens: dict[str, tuple[float, float]] = Field(
        default_factory=dict, description="Benchmark -> allowed [low, high] mean output length."
    )


class SystemDescription(CatalogueModel):
    """Fields of systems/<system>.json."""

    required: FileNames
    non_empty: FileNames
    required_power_not_enforced: FileNames
    required_network: FileNames
    network_sut_name_substring: str
    integer_fields_used_by_report: FileNames


EndpointsField: TypeAlias = Literal[
    "effective_scenario",
    "effective_sample_index_rng_seed",
    "effective_schedule_rng_seed",
    "effective_min_duration_ms",
    "result_99.00_percentile_latency_ns",
    "result_90.00_percentile_latency_ns",
    "result_first_token_99.00_percentile_latency_ns",
    "result_time_per_output_token_99.00_percentile_ns",
    "result_mean_latency_ns",
    "result_completed_samples_per_sec",
    "result_completed_tokens_per_second",
    "generated_query_count",
    "generated_query_duration",
    "num_errors",
    "mean_output_tokens",
    "qsl_reported_total_count",
]
"""LoadGen's key of what a result of MLPerf Endpoints states."""


class Endpoints(CatalogueModel):
    """Endpoints submissions: a result with neither detail log."""

    allowed_models: FileNames = ()
    files: dict[str, Annotated[FileNames, Field(min_length=1)]] = Field(
        default_factory=dict, description="Kind of file -> its names; the first that is there counts."
    )
    compliance: dict[str, str] = Field(default_factory=dict)
    result_field: dict[str, str] = Field(default_factory=dict)
    further_scenarios: dict[str, Scenario] = Field(
        default_factory=dict,
        description="Further name of a scenario, in settings and of open folders -> scenario.",
    )
    exported: dict[EndpointsField, FileNames] = Field(
        default_factory=dict, description="LoadGen's key -> paths in the exported JSON; the first that is there counts."
    )
    settings: dict[EndpointsField, FileNames] = Field(
        default_factory=dict, description="LoadGen's key -> paths in the settings, for what the JSON does not state."
    )
    accuracy_compared: FileNames = Field(
        default=(), description="Benchmarks whose score the official checker compares with the target."
    )
