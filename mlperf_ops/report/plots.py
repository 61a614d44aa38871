"""The report's plots. Each is drawn from plain numbers; what a plot leaves out stands in the table beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlperf_ops.report import svg
from mlperf_ops.report.figures import Latencies
from mlperf_ops.wording import duration, number

# Okabe-Ito: told apart by colour-blind readers and in grey.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_INK, _MUTED, _LIGHT, _LIMIT = "#1c2430", "#5c6675", "#c9d0da", "#b3261e"
_DERIVED = "#a9cbe3"
_ACCURACY, _PERFORMANCE, _AROUND, _BAD = "#7c6bb3", "#0072b2", "#bcd7ea", "#b3261e"
_WIDTH_INCHES = 4.9
_LIMIT_SHOWN_WITHIN = 4.0
_ROOM_LEFT, _ROOM_RIGHT = 0.13, 0.06  # of the axis, for the first label beside the scale
_LOG_FROM_RATIO = 25.0
_BAR_INCHES = 0.46
_NAME_CHARACTERS = 46


@dataclass(frozen=True, slots=True)
class Line:
    """Latency percentiles of one system."""

    name: str
    latencies: Latencies


@dataclass(frozen=True, slots=True)
class Bar:
    """A named figure; `target` is a bound, `light` draws it as derived."""

    name: str
    value: float
    text: str
    light: bool = False
    target: float | None = None
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Stretch:
    """When something ran, in seconds since the first start; `measured` is LoadGen's own part."""

    name: str
    start: float
    seconds: float
    measured: tuple[float, float] | None
    accuracy: bool
    bad: bool


@dataclass(frozen=True, slots=True)
class Phase:
    """LoadGen's own measurement in one of the two runs of a power measurement, in seconds since the first reading."""

    name: str
    begin: float
    end: float
    average_watts: float | None


def tail_position(percentile: float) -> float:
    """Place a percentile on an axis on which 90, 99 and 99.9 are equally far apart.

    Raises:
        ValueError: The percentile is not below 100.
    """
    import math  # noqa: PLC0415

    if not 0 <= percentile < 100:  # noqa: PLR2004
        raise ValueError(f"{percentile} is not a percentile below 100")
    return -math.log10(1 - percentile / 100)


def latency_plot(name: str, scenario: str, lines: Sequence[Line]) -> str:
    """Draw latency over percentile, one line per system, with the round's limit."""
    return svg.draw(
        name, (_WIDTH_INCHES, 2.9), lambda figure: _latency(figure, lines), f"Latency percentiles, {scenario}"
    )


def _latency(figure: Any, lines: Sequence[Line]) -> None:  # noqa: ANN401  # matplotlib is imported late
    axes = figure.subplots()
    values = [value for line in lines for _, value in line.latencies.points]
    top, bottom = max(values) or 1.0, min(values)
    logarithmic = bottom > 0 and top / bottom > _LOG_FROM_RATIO
    many = len(lines) > len(_COLOURS)
    for index, line in enumerate(lines):
        percents, found = zip(*line.latencies.points, strict=True)
        colour = _LIGHT if many else _COLOURS[index]
        axes.plot([tail_position(p) for p in percents], found, color=colour, linewidth=1.8, marker="o", markersize=3.5)
    if many or len(lines) == 1:
        _label_points(axes, max(lines, key=lambda line: line.latencies.points[-1][1]), many=many)
    else:
        figure.legend(
            axes.get_lines(), [_short(line.name) for line in lines], loc="outside upper left", frameon=False,
            fontsize=8, ncols=3, handlelength=1.4, columnspacing=1.4,
        )  # fmt: skip
    ticks = sorted({percent for line in lines for percent, _ in line.latencies.points})
    shown = [percent for percent in ticks if percent != 97] if len(ticks) > 5 else ticks  # noqa: PLR2004  # room for the words
    axes.set_xticks([tail_position(p) for p in shown], [f"p{p:g}" for p in shown])
    first, last = tail_position(ticks[0]), tail_position(ticks[-1])
    if first < last:
        axes.set_xlim(first - _ROOM_LEFT * (last - first), last + _ROOM_RIGHT * (last - first))
    axes.grid(visible=True, axis="both")
    axes.set_ylabel("ms" + (", logarithmic" if logarithmic else ""))
    if logarithmic:
        axes.set_yscale("log")
        axes.set_ylim(bottom / 1.6, top * 2.2)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter("")
    else:
        axes.set_ylim(0, top * 1.22)
    _limit(axes, lines, top, logarithmic=logarithmic)


def _label_points(axes: Any, line: Line, *, many: bool) -> None:  # noqa: ANN401
    points = line.latencies.points
    if many:
        axes.annotate(_short(line.name), (tail_position(points[-1][0]), points[-1][1]), ha="right", va="bottom",
                      xytext=(0, 4), textcoords="offset points", fontsize=8)  # fmt: skip
        return
    wanted = {50.0, 90.0, 99.0, 99.9}
    for percent, value in points:
        if percent in wanted:
            inside = percent != points[-1][0]  # to the left: the line may rise through the text
            axes.annotate(number(value), (tail_position(percent), value), ha="center", va="bottom",
                          xytext=(-8 if inside else 0, 5), textcoords="offset points", fontsize=8)  # fmt: skip


def _limit(axes: Any, lines: Sequence[Line], top: float, *, logarithmic: bool) -> None:  # noqa: ANN401
    """Draw the round's limit, its name beside the plot where no line can cross it."""
    limits = {(line.latencies.limit_ms, line.latencies.limit_percentile) for line in lines if line.latencies.limit_ms}
    for limit, percentile in sorted((float(limit), percentile) for limit, percentile in limits if limit):
        if limit > top * _LIMIT_SHOWN_WITHIN and not logarithmic:
            axes.text(1.0, 1.0, f"limit {limit:g} ms at p{percentile:g}: above this scale", transform=axes.transAxes,
                      ha="right", va="top", color=_LIMIT, fontsize=8)  # fmt: skip
            continue
        low, high = axes.get_ylim()
        axes.set_ylim(low, max(high, limit * (1.8 if logarithmic else 1.14)))
        axes.axhline(limit, color=_LIMIT, linewidth=1.2, linestyle=(0, (5, 3)))
        axes.annotate(f"limit\n{limit:g} ms\nat p{percentile:g}", (1, limit), xycoords=("axes fraction", "data"),
                      xytext=(4, 0), textcoords="offset points", va="center", color=_LIMIT, fontsize=8)  # fmt: skip


def bar_plot(name: str, label: str, unit: str, bars: Sequence[Bar], *, full: float | None = None) -> str:
    """Draw horizontal bars with their names above and their figures at the end.

    Args:
        name: Prefix of ids.
        label: What the plot shows.
        unit: Unit of the axis.
        bars: From top to bottom.
        full: End of the axis, such as 100 for percent; None: after the longest bar.
    """
    height = _BAR_INCHES * len(bars) + 0.5
    return svg.draw(name, (_WIDTH_INCHES, height), lambda figure: _bars(figure, unit, bars, full), label)


def _bars(figure: Any, unit: str, bars: Sequence[Bar], full: float | None) -> None:  # noqa: ANN401
    axes = figure.subplots()
    longest = max(max(bar.value, bar.target or 0) for bar in bars) or 1.0
    end = full if full is not None and longest <= full else longest * 1.0
    for row, bar in enumerate(bars):
        colour = _BAD if bar.bad else _DERIVED if bar.light else _PERFORMANCE
        axes.barh(row, bar.value, height=0.42, color=colour)
        axes.annotate(_short(bar.name), (0, row - 0.24), xytext=(0, 2), textcoords="offset points", va="bottom",
                      ha="left", fontsize=8.5, color=_MUTED)  # fmt: skip
        axes.annotate(bar.text, (bar.value, row), xytext=(4, 0), textcoords="offset points", va="center", ha="left",
                      fontsize=8.5)  # fmt: skip
        if bar.target is not None:
            axes.plot([bar.target, bar.target], [row - 0.3, row + 0.3], color=_LIMIT, linewidth=2.2)
    axes.set_xlim(0, end * 1.2)
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= end * 1.001])
    axes.set_ylim(len(bars) - 0.55, -0.78)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x")
    axes.set_xlabel(unit)


def timeline_plot(name: str, label: str, stretches: Sequence[Stretch], total_seconds: float) -> str:
    """Draw what ran when: a row per cell, LoadGen's own measurement dark, what is around it light."""
    height = 0.34 * len(stretches) + 0.5
    return svg.draw(name, (9.6, height), lambda figure: _timeline(figure, stretches, total_seconds), label)


def _timeline(figure: Any, stretches: Sequence[Stretch], total_seconds: float) -> None:  # noqa: ANN401
    axes = figure.subplots()
    scale, unit = time_unit(total_seconds)
    for row, one in enumerate(stretches):
        dark = _ACCURACY if one.accuracy else _PERFORMANCE
        plain = dark if one.accuracy else _AROUND
        axes.barh(row, one.seconds / scale, left=one.start / scale, height=0.56, color=_BAD if one.bad else plain)
        if one.measured is not None and not one.bad:
            offset, seconds = one.measured
            axes.barh(row, seconds / scale, left=(one.start + offset) / scale, height=0.56, color=dark)
        axes.annotate(duration(one.seconds), ((one.start + one.seconds) / scale, row), xytext=(4, 0),
                      textcoords="offset points", va="center", fontsize=8, color=_MUTED)  # fmt: skip
    axes.set_yticks(range(len(stretches)), [_short(one.name) for one in stretches])
    axes.set_ylim(len(stretches) - 0.4, -0.6)
    axes.set_xlim(0, total_seconds / scale * 1.09 or 1)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x")
    axes.set_xlabel(f"{unit} since the first start")


def power_plot(name: str, label: str, lines: Sequence[Sequence[tuple[float, float]]], phases: Sequence[Phase]) -> str:
    """Draw watts over seconds: a line per run, what LoadGen measured shaded, its average across it."""
    return svg.draw(name, (9.6, 2.7), lambda figure: _power(figure, lines, phases), label)


def _power(figure: Any, lines: Sequence[Sequence[tuple[float, float]]], phases: Sequence[Phase]) -> None:  # noqa: ANN401
    axes = figure.subplots()
    drawn = [line for line in lines if line]
    last = max(line[-1][0] for line in drawn)
    scale, unit = time_unit(last)
    top = max(watts for line in drawn for _, watts in line) or 1.0
    for phase in phases:
        counts = phase.name == "testing"
        axes.axvspan(phase.begin / scale, phase.end / scale, color=_AROUND if counts else _LIGHT, alpha=0.45, lw=0)
        average = "" if phase.average_watts is None else f", {number(phase.average_watts)} W on average"
        axes.annotate(f"{phase.name}{average}", (phase.begin / scale, top * 1.1), xytext=(3, 0),
                      textcoords="offset points", fontsize=8.5, color=_INK, va="bottom")  # fmt: skip
    for line in drawn:
        axes.plot([at / scale for at, _ in line], [watts for _, watts in line], color=_PERFORMANCE, linewidth=1.2)
    for phase in phases:
        if phase.average_watts is not None:
            axes.plot([phase.begin / scale, phase.end / scale], [phase.average_watts] * 2, color=_LIMIT, linewidth=1.2,
                      linestyle=(0, (5, 3)))  # fmt: skip
    axes.set_ylim(0, top * 1.3)
    axes.set_xlim(0, last / scale or 1)
    axes.set_ylabel("W")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.grid(visible=True, axis="y")
    axes.set_xlabel(f"{unit} since the first reading")


def time_unit(total_seconds: float) -> tuple[float, str]:
    """Return the seconds and the name of the unit that suits a time axis."""
    if total_seconds > 3 * 3600:
        return 3600.0, "hours"
    return (60.0, "minutes") if total_seconds > 5 * 60 else (1.0, "seconds")


def _short(name: str) -> str:
    return name if len(name) <= _NAME_CHARACTERS else f"{name[: _NAME_CHARACTERS - 1]}…"
