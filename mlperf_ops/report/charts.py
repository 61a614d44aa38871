"""From a run to its plots: which lines, bars and stretches, with the tables that go with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlperf_ops.model import SCENARIOS
from mlperf_ops.report import figures, plots
from mlperf_ops.report.evidence import CellRun, Run
from mlperf_ops.report.rows import accuracy_target
from mlperf_ops.wording import number, one_line, percent

_PERCENTILES = (50.0, 90.0, 95.0, 97.0, 99.0, 99.9)
_FULL_PERCENT = 100.0
_BARS_STACKED = 10


@dataclass(frozen=True, slots=True)
class LatencyPanel:
    """Latency percentiles of a scenario: plot and table (system, then ms per percentile, then the maximum)."""

    scenario: str
    of: str
    plot: str
    heading: tuple[str, ...]
    table: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class BenchmarkCharts:
    """All plots of a benchmark; an empty text where there is nothing to draw.

    Attributes:
        derived: How the derived throughputs were derived.
        stacked: Throughput and accuracy are together as high as a latency panel.
    """

    name: str
    latency: tuple[LatencyPanel, ...]
    throughput: str
    derived: tuple[str, ...]
    accuracy: str
    stacked: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """What ran when on a host."""

    host: str
    plot: str


def benchmark_charts(run: Run) -> tuple[BenchmarkCharts, ...]:
    """Draw latency, throughput and accuracy of every benchmark."""
    grouped: dict[str, list[CellRun]] = {}
    for cell in run.cells:
        if cell.result is not None and cell.result.loadgen is not None:
            grouped.setdefault(cell.cell.benchmark, []).append(cell)
    drawn = (_charts(run, name, cells, index) for index, (name, cells) in enumerate(grouped.items()))
    return tuple(one for one in drawn if one.latency or one.throughput or one.accuracy)


def _charts(run: Run, name: str, cells: Sequence[CellRun], index: int) -> BenchmarkCharts:
    bars, derived = _throughput(run, cells)
    accuracy = list(_accuracy(cells))
    per_cent = all(cell.result.accuracy.unit == "%" for cell in cells if cell.result and cell.result.accuracy)
    return BenchmarkCharts(
        name=one_line(name),
        latency=tuple(_latency(run, cells, f"b{index}")),
        throughput=plots.bar_plot(f"b{index}t", "Throughput", "per second", bars) if bars else "",
        derived=derived,
        stacked=len(bars) + len(accuracy) <= _BARS_STACKED,
        accuracy=plots.bar_plot(
            f"b{index}a",
            "Accuracy against target",
            "%" if per_cent else "score",
            accuracy,
            full=_FULL_PERCENT if per_cent else None,
        )
        if accuracy
        else "",
    )


def _scenario_order(cell: CellRun) -> int:
    return SCENARIOS.index(cell.cell.scenario)


def _latency(run: Run, cells: Sequence[CellRun], prefix: str) -> Iterator[LatencyPanel]:
    for scenario in figures.LATENCY_SCENARIOS:
        lines = [
            plots.Line(one_line(cell.cell.system), found)
            for cell in cells
            if cell.cell.scenario == scenario and (found := figures.latencies(cell, run.round)) is not None
        ]
        if lines:
            limits = any(line.latencies.limit_ms for line in lines)
            heading = ("System", *(f"p{p:g}" for p in _PERCENTILES), "max", *(("limit",) if limits else ()))
            yield LatencyPanel(
                scenario=scenario,
                of=lines[0].latencies.of,
                plot=plots.latency_plot(f"{prefix}{scenario}", scenario, lines),
                heading=heading,
                table=tuple(_percentile_row(line, limits=limits) for line in lines),
            )


def _percentile_row(line: plots.Line, *, limits: bool) -> tuple[str, ...]:
    found = [line.latencies.at(percentile) for percentile in _PERCENTILES]
    found.append(line.latencies.maximum_ms)
    if limits:
        found.append(line.latencies.limit_ms)
    return (line.name, *("" if value is None else number(value) for value in found))


def _throughput(run: Run, cells: Sequence[CellRun]) -> tuple[list[plots.Bar], tuple[str, ...]]:
    several = len({cell.cell.system for cell in cells}) > 1
    bars: list[plots.Bar] = []
    derived: list[str] = []
    for cell in sorted(cells, key=_scenario_order):
        found = figures.throughput(cell, run.round)
        if found is None:
            continue
        name = f"{cell.cell.scenario}, {found.unit}" + (f", {one_line(cell.cell.system)}" if several else "")
        bars.append(plots.Bar(name + (" (derived)" if found.derived else ""), found.value, number(found.value),
                              light=bool(found.derived)))  # fmt: skip
        if found.derived:
            derived.append(f"{cell.cell.scenario}: {found.derived}")
    return bars, tuple(dict.fromkeys(derived))


def _accuracy(cells: Sequence[CellRun]) -> Iterator[plots.Bar]:
    several = len({cell.cell.system for cell in cells}) > 1
    for cell in sorted(cells, key=_scenario_order):
        if cell.result is None or cell.result.accuracy is None or cell.spec is None:
            continue
        outcome, request = cell.result.accuracy, cell.spec.accuracy
        target = accuracy_target(request).replace(">=", "≥").replace("<=", "≤")
        name = f"{cell.cell.scenario}, {one_line(outcome.metric)}" + (f", {target}" if target else "")
        yield plots.Bar(
            name + (f", {one_line(cell.cell.system)}" if several else ""),
            outcome.value,
            percent(outcome.value) + (f" {one_line(outcome.unit)}" if outcome.unit else ""),
            target=request.minimum if request.minimum is not None else request.maximum,
            bad=outcome.met is False and request.gate,
        )


def timelines(run: Run) -> tuple[Timeline, ...]:
    """Draw what ran when, host by host on one scale, so that hosts can be compared."""
    spans: dict[str, list[tuple[CellRun, figures.Span]]] = {}
    for cell in run.cells:
        found = figures.span(cell.result) if cell.result is not None else None
        if found is not None:
            spans.setdefault(cell.host, []).append((cell, found))
    every = [span for cells in spans.values() for _, span in cells]
    if not every:
        return ()
    first, last = min(span.start for span in every), max(figures.end_of(span) for span in every)
    total = (last - first).total_seconds()
    drawn: list[Timeline] = []
    for index, (host, cells) in enumerate(spans.items()):
        several = len({cell.cell.benchmark for cell, _ in cells}) > 1
        stretches = [
            plots.Stretch(
                name=(f"{one_line(cell.cell.benchmark)} " if several else "")
                + f"{cell.cell.scenario} {cell.cell.mode}",
                start=(span.start - first).total_seconds(),
                seconds=span.seconds,
                measured=span.measured,
                accuracy=cell.cell.mode == "accuracy",
                bad=cell.state == "failed",
            )
            for cell, span in sorted(cells, key=lambda pair: pair[1].start)
        ]
        drawn.append(
            Timeline(
                one_line(host), plots.timeline_plot(f"h{index}", f"What ran when on {one_line(host)}", stretches, total)
            )
        )
    return tuple(drawn)
