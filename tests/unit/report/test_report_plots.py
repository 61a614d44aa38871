"""Plots: same bytes for the same numbers, names as they are, scales that show what matters."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from mlperf_ops.report import plots
from mlperf_ops.report.figures import Latencies

PERCENTS = (50.0, 90.0, 95.0, 97.0, 99.0, 99.9)


def line(
    name: str = "node1", *, limit: float | None = None, values: tuple[float, ...] = (5, 6, 7, 8, 9, 12)
) -> plots.Line:
    return plots.Line(name, Latencies("sample", tuple(zip(PERCENTS, values, strict=True)), 12.0, limit, 99.0))


def words(drawn: str) -> list[str]:
    """Texts of a plot, which has to be well-formed."""
    return ["".join(text.itertext()).strip() for text in ET.fromstring(drawn).iter() if text.tag == "text"]  # noqa: S314  # our own plot


def test_the_same_numbers_give_the_same_bytes_and_others_do_not() -> None:
    first = plots.latency_plot("a", "Server", [line(limit=15.0)])
    assert first == plots.latency_plot("a", "Server", [line(limit=15.0)])
    assert first != plots.latency_plot("a", "Server", [line(limit=16.0)])


def test_bytes_do_not_depend_on_the_process() -> None:
    code = (
        "from mlperf_ops.report import plots; import hashlib; "
        "print(hashlib.sha256(plots.bar_plot('x', 'l', '%', [plots.Bar('a', 1.0, '1')]).encode()).hexdigest())"
    )
    argv = [sys.executable, "-c", code]
    digests = {subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout for _ in range(2)}
    assert len(digests) == 1


def test_a_step_of_the_axis_is_a_tenth_of_the_requests() -> None:
    at = [plots.tail_position(percent) for percent in (90.0, 99.0, 99.9)]
    assert at == pytest.approx([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="below 100"):
        plots.tail_position(100.0)


def test_a_limit_in_reach_is_drawn_and_one_far_above_is_told() -> None:
    assert "at p99" in words(plots.latency_plot("a", "Server", [line(limit=15.0)]))
    far = words(plots.latency_plot("a", "Server", [line(limit=150.0)]))
    assert "limit 150 ms at p99: above this scale" in far


def test_a_long_tail_gets_a_logarithmic_scale() -> None:
    drawn = words(plots.latency_plot("a", "Server", [line(values=(0.001, 0.002, 0.003, 0.01, 1.0, 20.0))]))
    assert "ms, logarithmic" in drawn


@pytest.mark.parametrize("values", [(0.0,) * 6, (5.0,) * 6])
def test_flat_latencies_can_be_drawn(values: tuple[float, ...]) -> None:
    assert "p99.9" in words(plots.latency_plot("a", "Server", [line(values=values, limit=15.0)]))


@pytest.mark.parametrize(
    "values", [(24.31, 71, 80, 88, 101, 120), (1.031, 2, 20, 60, 161, 220), (12345, 12346, 12347, 12348, 12349, 12350)]
)
def test_no_label_lies_on_the_axis(values: tuple[float, ...]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  # slow
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(4.9, 2.9), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    plots._latency(figure, [line(values=values)])
    canvas.draw()
    (axes,) = figure.axes
    labels = [text.get_window_extent() for text in axes.texts]
    assert len(labels) == 4
    assert all(box.x0 > axes.bbox.x0 + 2 and box.x1 < figure.bbox.x1 for box in labels)


def test_names_are_shown_as_they_are() -> None:
    nasty = '<b>$x_1$ & "n" 计算节点'
    drawn = plots.latency_plot("a", "Server", [line(nasty), line("other")])
    assert nasty in words(drawn)
    assert "<b>" not in drawn


def test_many_systems_are_one_bundle_with_the_slowest_named() -> None:
    lines = [line(f"node{n}", values=(5, 6, 7, 8, 9, 10 + n)) for n in range(24)]
    drawn = words(plots.latency_plot("a", "Server", lines))
    assert "node23" in drawn
    assert "node1" not in drawn


def test_a_bar_carries_its_figure_and_its_target() -> None:
    plain = plots.bar_plot("a", "Accuracy", "%", [plots.Bar("acc", 80.0, "80 %")], full=100.0)
    with_target = plots.bar_plot("a", "Accuracy", "%", [plots.Bar("acc", 80.0, "80 %", target=75.7)], full=100.0)
    assert {"acc", "80 %", "100", "%"} <= set(words(plain))
    assert plain != with_target
    assert plots.bar_plot("a", "Accuracy", "%", [plots.Bar("acc", 0.0, "0 %")])


def test_a_timeline_counts_in_the_unit_that_fits() -> None:
    for seconds, unit in ((30.0, "seconds"), (1800.0, "minutes"), (36000.0, "hours")):
        stretch = plots.Stretch("Offline performance", 0.0, seconds, (1.0, seconds - 2), accuracy=False, bad=False)
        assert f"{unit} since the first start" in words(plots.timeline_plot("a", "x", [stretch], seconds))


def test_importing_the_report_does_not_import_matplotlib() -> None:
    code = "import sys, mlperf_ops.report, mlperf_ops.report.html; print('matplotlib' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    assert told == "False\n"
