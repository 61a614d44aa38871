"""Power in the report: the meter's readings over time with both runs, and efficiency next to performance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlperf_ops.power_check import (
    Measurement,
    check_measurement,
    measurement_of,
    read_measurement,
    simulated_files,
)
from mlperf_ops.power_check.model import Reading
from mlperf_ops.power_results import MeasuredPower, Place, measured_power
from mlperf_ops.report import plots
from mlperf_ops.report.evidence import CellRun, Run
from mlperf_ops.wording import duration, number, one_line

_MOST_POINTS = 1200


@dataclass(frozen=True, slots=True)
class PowerPanel:
    """A measured cell: its plot, its figures, and what is wrong with the measurement.

    Attributes:
        name: System, benchmark and scenario.
        anchor: Of the cell.
        plot: Power over time; "" where there are no readings.
        figures: Name and value.
        problems: What rejects the measurement, and advice.
    """

    name: str
    anchor: str
    plot: str
    figures: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]

    def value(self, name: str) -> str:
        """Return a figure by its name; "-" where the measurement has none of it."""
        return dict(self.figures).get(name, "-")


def power_panels(run: Run) -> tuple[PowerPanel, ...]:
    """Return a panel for each cell with a power measurement."""
    measured = [(cell, place) for cell in run.cells if (place := place_of(run, cell)) is not None]
    return tuple(_panel(run, cell, place, index) for index, (cell, place) in enumerate(measured))


def place_of(run: Run, cell: CellRun | None) -> Place | None:
    """Return the power measurement of a performance cell; None when it has none."""
    if cell is None or cell.folder is None or cell.cell.mode != "performance":
        return None
    folder = measurement_of(run.folder / cell.folder)
    if folder is None:
        return None
    return Place(folder, one_line(cell.cell.key), cell.cell.scenario, cell.official_benchmark)


def power_note(run: Run, cell: CellRun | None) -> Iterator[str]:
    """Yield what belongs beside the performance of a cell with power: watts or millijoules, and efficiency."""
    place = place_of(run, cell)
    if place is None:
        return
    found = measured_power(place, run.round)
    if found.problem is not None:
        yield f"power: {one_line(found.problem)}"
        return
    texts = [text for _, text in _figures(found)[:3]]
    yield f"power: {', '.join(dict.fromkeys(texts))}"
    if simulated_files(place.folder):
        yield "power: simulated, no meter was read"


def _figures(found: MeasuredPower) -> list[tuple[str, str]]:
    """Return what a reader compares: the published figure, efficiency, average power, then the rest."""
    pairs = [
        ("Power, as published", found.value, f"{found.unit}" + (" per query" if found.unit == "millijoules" else "")),
        ("Efficiency", found.efficiency, found.efficiency_unit),
        ("Average power", found.average_watts, "Watts"),
        ("Performance", found.performance, found.performance_unit),
        ("Energy of the run", found.energy_joules, "J"),
    ]
    shown = [(name, f"{number(value)} {unit}") for name, value, unit in pairs if value is not None]
    return [*shown, ("Readings in the run", f"{found.readings} in {duration(found.duration_s)}")]


def _panel(run: Run, cell: CellRun, place: Place, index: int) -> PowerPanel:
    measured = read_measurement(place.folder)
    found = measured_power(place, run.round)
    problems = [found.problem] if found.problem is not None else []
    problems += [f"{one.message} ({one.file})" for one in check_measurement(measured, run.round)]
    one = cell.cell
    name = one_line(f"{one.system}, {one.benchmark}, {one.scenario}")
    return PowerPanel(
        name=name,
        anchor=cell.anchor,
        plot=_plot(f"p{index}", f"Power over time, {name}", measured),
        figures=tuple(_figures(found)) if found.problem is None else (),
        problems=tuple(one_line(problem) for problem in problems),
    )


def _plot(name: str, label: str, measured: Measurement) -> str:
    readings = sorted((one.time_s, one.watts) for run in (measured.ranging, measured.testing) for one in run.readings)
    if not readings:
        return ""
    first = readings[0][0]
    phases = [
        plots.Phase(word, run.begin_s - first, run.end_s - first, run.average_watts)
        for word, run in (("ranging", measured.ranging), ("testing", measured.testing))
        if run.begin_s is not None and run.end_s is not None
    ]
    lines = [
        [(one.time_s - first, one.watts) for one in _thinned(run.readings)]
        for run in (measured.ranging, measured.testing)
    ]
    return plots.power_plot(name, label, lines, phases)


def _thinned(readings: Sequence[Reading]) -> Sequence[Reading]:
    """Return readings enough for a plot; a run of hours has thousands."""
    return readings[:: max(1, -(-len(readings) // _MOST_POINTS))]
