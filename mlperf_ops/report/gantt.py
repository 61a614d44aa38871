"""The Gantt plot: a lane for each host as planned, what really ran below it, and a lane for each shared thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from mlperf_ops.report import svg
from mlperf_ops.report.plots import time_unit

Kind: TypeAlias = Literal["performance", "accuracy", "test", "held", "failed"]

COLOURS: Mapping[Kind, tuple[str, str]] = {
    "performance": ("#0072b2", "#bcd7ea"),
    "accuracy": ("#7c6bb3", "#d9d3ec"),
    "test": ("#009e73", "#b9e2d5"),
    "held": ("#8a94a3", "#8a94a3"),
    "failed": ("#b3261e", "#b3261e"),
}
"""What is sure to take so long, and what may be added to it."""
_MUTED, _INK = "#5c6675", "#1c2430"
_WIDTH_INCHES, _PLOT_INCHES = 9.6, 8.2
_CHARACTER_INCHES = 0.072  # of the labels, at their size and a little more
_LANE_INCHES, _THIN_INCHES, _FRAME_INCHES = 0.34, 0.2, 0.55
_NAME_CHARACTERS = 22


@dataclass(frozen=True, slots=True)
class Stretch:
    """Something that takes its time.

    Attributes:
        names: What it is, the longest name first; the first that fits is written.
        start: Seconds since the start.
        seconds: How long it takes at most.
        kind: Decides about the colour.
        certain: How long it takes at least; None: as long as that.
        waited: Seconds that the lane waited for it.
    """

    names: tuple[str, ...] | str
    start: float
    seconds: float
    kind: Kind
    certain: float | None = None
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class Lane:
    """A row; a thin one belongs to the row above."""

    name: str
    stretches: tuple[Stretch, ...]
    thin: bool = False


def gantt_plot(name: str, label: str, lanes: Sequence[Lane]) -> str:
    """Draw lanes from top to bottom on one scale."""
    height = sum(_THIN_INCHES if lane.thin else _LANE_INCHES for lane in lanes) + _FRAME_INCHES
    return svg.draw(name, (_WIDTH_INCHES, height), lambda figure: _paint(figure, lanes), label)


def _paint(figure: Any, lanes: Sequence[Lane]) -> None:  # noqa: ANN401  # matplotlib is imported late
    axes = figure.subplots()
    total = max((one.start + one.seconds for lane in lanes for one in lane.stretches), default=0.0) or 1.0
    scale, unit = time_unit(total)
    ticks: list[float] = []
    top = 0.0
    for lane in lanes:
        thickness = _THIN_INCHES if lane.thin else _LANE_INCHES
        middle = top + thickness / 2
        for one in lane.stretches:
            _bar(axes, one, middle, thickness * (0.6 if lane.thin else 0.72), scale, total)
        ticks.append(middle)
        top += thickness
    axes.set_yticks(ticks, [_short(lane.name) for lane in lanes])
    for text, lane in zip(axes.get_yticklabels(), lanes, strict=True):
        text.set(fontsize=7.5 if lane.thin else 9, color=_MUTED if lane.thin else _INK)
    axes.set_ylim(top + 0.04, -0.04)
    axes.set_xlim(0, total / scale * 1.01)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x")
    axes.set_xlabel(f"{unit} since the start")


def _bar(axes: Any, one: Stretch, middle: float, height: float, scale: float, total: float) -> None:  # noqa: ANN401
    dark, light = COLOURS[one.kind]
    certain = one.seconds if one.certain is None else min(one.certain, one.seconds)
    edge = {"edgecolor": "white", "linewidth": 0.6}  # neighbours of one colour stay two
    axes.barh(middle, one.seconds / scale, left=one.start / scale, height=height, color=light, **edge)
    axes.barh(middle, certain / scale, left=one.start / scale, height=height, color=dark, **edge)
    if one.waited:
        axes.plot([(one.start - one.waited) / scale, one.start / scale], [middle, middle], color=_MUTED,
                  linewidth=1.0, linestyle=(0, (1, 2)))  # fmt: skip
    names = (one.names,) if isinstance(one.names, str) else one.names
    # White text in the dark part where that is the larger one, else dark text over the whole.
    on_dark = certain > one.seconds / 2
    part = certain if on_dark else one.seconds
    room = part / total * _PLOT_INCHES
    name = next((name for name in names if name and len(name) * _CHARACTER_INCHES < room), "")
    if name:
        axes.annotate(name, ((one.start + part / 2) / scale, middle), ha="center", va="center", fontsize=7,
                      color="white" if on_dark else _INK)  # fmt: skip


def _short(name: str) -> str:
    return name if len(name) <= _NAME_CHARACTERS else f"{name[: _NAME_CHARACTERS - 1]}…"
