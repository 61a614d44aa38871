"""Power measurements below a folder: where they are, and what each says in the numbers that MLCommons publishes.

The formulas of power are those of `power_metrics`, the performance is that of the checker: both as the official
submission checker computes them. Efficiency is its `avg_power_efficiency`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker.metrics import number, result_metric
from mlperf_ops.errors import ConfigError, ResultError
from mlperf_ops.files import Json
from mlperf_ops.loadgen_log import DETAIL_LOG, read_detail
from mlperf_ops.model import SCENARIOS, Scenario
from mlperf_ops.power_check import FOLDERS, is_measurement
from mlperf_ops.power_metrics import power_metric

_FOLDER = "performance"
_MILLI = 1000
_SAMPLES_PER_QUERY: dict[Scenario, int] = {"SingleStream": 1, "MultiStream": 8}


@dataclass(frozen=True, slots=True)
class Place:
    """A power measurement.

    Attributes:
        folder: Holds power/, ranging/ and run_1/.
        location: The same, relative to the folder that was searched; "." for itself.
        scenario: By the folder above; None where it is not in the layout of a submission.
        benchmark: Likewise.
    """

    folder: Path
    location: str
    scenario: Scenario | None
    benchmark: str | None


@dataclass(frozen=True, slots=True)
class MeasuredPower:
    """What a measurement says.

    Attributes:
        scenario: Of the result; None when unknown.
        average_watts: Mean of the readings that count.
        value: The published figure, in `unit`.
        unit: "Watts", or "millijoules" per query for SingleStream and MultiStream.
        duration_s: Of the run that counts.
        readings: How many readings count.
        energy_joules: Average power times duration.
        performance: The published figure; None when unknown.
        performance_unit: Its unit.
        efficiency: Performance per watt, or samples per joule for SingleStream and MultiStream.
        efficiency_unit: Its unit.
        problem: Why a figure is missing; None when all are there.
    """

    scenario: Scenario | None
    average_watts: float | None = None
    value: float | None = None
    unit: str | None = None
    duration_s: float = 0.0
    readings: int = 0
    energy_joules: float | None = None
    performance: float | None = None
    performance_unit: str | None = None
    efficiency: float | None = None
    efficiency_unit: str | None = None
    problem: str | None = None


def find_measurements(directory: Path, divisions: tuple[str, ...]) -> tuple[Place, ...]:
    """Return the power measurements at or below a folder, by location.

    Args:
        directory: A performance folder, an attempt, a results folder or a submission tree.
        divisions: Names of the folders of a submission tree, of which only results are searched.

    Raises:
        ConfigError: There is no such folder, or no measurement in it; says what was expected.
    """
    if not directory.is_dir():
        raise ConfigError(f"{directory} is no folder", hint="name a performance folder, an attempt or a tree")
    found = tuple(sorted(_walk(directory, divisions), key=lambda place: place.location))
    if not found:
        inside = directory.name in FOLDERS and is_measurement(directory.resolve().parent)
        raise ConfigError(
            f"{directory} holds no power measurement: expected folders power/, ranging/ and run_1/ side by side",
            hint=f"did you mean '{directory.parent}'?" if inside else None,
        )
    return found


def _walk(directory: Path, divisions: tuple[str, ...]) -> Iterator[Place]:
    roots = [directory / name for name in divisions if (directory / name).is_dir()]
    tops = [path for root in roots for path in root.glob("*/results")] if roots else [directory]
    for top in tops:
        for at, folders, _ in os.walk(top):
            folder = Path(at)
            if is_measurement(folder):
                folders.clear()
                yield _place(folder, directory)
            folders[:] = [name for name in folders if not name.startswith(".")]


def _place(folder: Path, directory: Path) -> Place:
    whole = folder.resolve()
    above = (whole.parent.name, whole.parent.parent.name) if whole.name == _FOLDER else ("", "")
    scenario = next((name for name in SCENARIOS if name.casefold() == above[0].casefold()), None)
    return Place(folder, folder.relative_to(directory).as_posix(), scenario, above[1] if scenario else None)


def measured_power(place: Place, round_: Round) -> MeasuredPower:
    """Compute the figures of a measurement; what is wrong with its files becomes `problem`."""
    log = place.folder / "run_1" / DETAIL_LOG
    try:
        values = read_detail(log, frozenset(round_.loadgen_fields_read) | {"effective_scenario"}).values
        begin, end = values.get("power_begin"), values.get("power_end")
        measured = _scenario(values.get("effective_scenario"))
        # LoadGen runs Server for an Interactive result: only the folder tells.
        scenario = place.scenario or measured
        if scenario is None or not isinstance(begin, str) or not isinstance(end, str):
            return MeasuredPower(scenario, problem=f"{log} does not state the scenario, power_begin and power_end")
        count = number(values.get("result_query_count"))
        power = power_metric(
            place.folder / "run_1/spl.txt", begin, end, scenario, None if count is None else int(count), measured
        )
    except (ResultError, OverflowError) as error:
        return MeasuredPower(place.scenario, problem=str(error))
    performance, unit = _performance(place, values, round_, scenario, measured)
    efficiency = per = None
    if scenario in _SAMPLES_PER_QUERY:
        per = "samples/J"
        efficiency = _SAMPLES_PER_QUERY[scenario] * _MILLI / power.value if power.value else None
    elif performance is not None and power.average_watts:
        efficiency, per = performance / power.average_watts, f"{unit}/W"
    return MeasuredPower(
        scenario=scenario,
        average_watts=power.average_watts,
        value=power.value,
        unit=round_.power_units[scenario],
        duration_s=power.duration_s,
        readings=power.readings,
        energy_joules=None if power.average_watts is None else power.average_watts * power.duration_s,
        performance=performance,
        performance_unit=unit,
        efficiency=efficiency,
        efficiency_unit=per,
        problem=power.problem,
    )


def _scenario(text: Json) -> Scenario | None:
    return next((name for name in SCENARIOS if name == text), None)


def _performance(
    place: Place, values: dict[str, Json], round_: Round, scenario: Scenario, measured: Scenario | None
) -> tuple[float | None, str | None]:
    """Return the published performance and its unit; of a benchmark that the round lacks by the scenario alone."""
    if measured is None or measured not in round_.result_field:
        return None, None
    model = None if place.benchmark is None else round_.official_name(place.benchmark)
    if model is not None:
        metric = result_metric(values, round_, round_.models[model], scenario, measured)
        return (None, None) if metric is None else (metric.value, metric.unit)
    if measured != scenario:
        return None, None
    unit = round_.units_default[scenario]
    value = number(values.get(round_.result_field[scenario]))
    return (value / 1e6 if value is not None and scenario in _SAMPLES_PER_QUERY else value), unit
