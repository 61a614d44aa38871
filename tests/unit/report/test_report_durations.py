"""Plan and time: what was expected beside what it took, and the schedule as a plot."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.files import read_json, write_json
from mlperf_ops.plan_model import Plan, PlannedCell, Seconds
from mlperf_ops.report import durations, gantt, html, markdown
from mlperf_ops.report.evidence import Run
from mlperf_ops.report.gather import read_run
from mlperf_ops.typed import dump
from tests.support.earlier import leave_attempt, leave_host
from tests.support.earlier import plan as make_plan


def plan_of(*parts: tuple[str, tuple[float, float] | None], holds: tuple[str, ...] = ()) -> Plan:
    """Plan one cell of each scenario on host a, with given durations."""
    made = make_plan()

    def one(scenario: str, seconds: tuple[float, float] | None) -> PlannedCell:
        planned = next(cell for cell in made.cells if cell.cell.scenario == scenario)
        expected = None if seconds is None else Seconds(*seconds, f"{scenario} <b>at</b> 5 per second", "target")
        return replace(planned, expected=expected, holds=holds)

    return replace(made, cells=tuple(one(*part) for part in parts))


def run_of(folder: Path, made: Plan, **took: float) -> Run:
    """Leave results of some scenarios, one after another, and read the run."""
    write_json(folder / "plan.json", dump(made))
    cells = [
        leave_attempt(
            folder,
            next(one for one in made.cells if one.cell.scenario == scenario),
            elapsed_seconds=seconds,
            started_at=f"2026-11-22T1{turn}:00:00Z",
        )
        for turn, (scenario, seconds) in enumerate(took.items())
    ]
    leave_host(folder, "a", *cells)
    for cell in cells:
        write_json(folder / "hosts/a" / cell.path / "manifest.json", {"schema": 1, "files": {}})
    return read_run(folder, load_catalogue())


def words(drawn: str) -> list[str]:
    return ["".join(text.itertext()).strip() for text in ET.fromstring(drawn).iter() if text.tag == "text"]  # noqa: S314  # our own plot


def test_each_cell_is_compared_with_its_range_and_the_whole_in_one_sentence(tmp_path: Path) -> None:
    made = plan_of(("SingleStream", (100, 120)), ("Server", (100, 120)), ("Offline", (50, 150)), ("MultiStream", None))
    run = run_of(tmp_path, made, SingleStream=132.0, Server=90.0, Offline=100.0, MultiStream=5.0)
    found = durations.durations(run)
    assert [(one.expected, one.measured, one.error, one.word, one.source) for one in found.predictions] == [
        ("1 min 40 s to 2 min", "2 min 12 s", "+20 %", "10 % longer than the longest expected", "target"),
        ("1 min 40 s to 2 min", "1 min 30 s", "-18 %", "10 % shorter than the shortest expected", "target"),
        ("50 s to 2 min 30 s", "1 min 40 s", "+0 %", "as expected", "target"),
    ]
    assert found.summary == (
        "1 of 3 cells took as long as the plan expected; in all 5 min 22 s, expected 4 min 10 s to 6 min 30 s; "
        "the middle of a cell's range is off by 18 % (median)"
    )
    assert found.left_out == 1


@pytest.mark.parametrize("change", [{"verdict": "failed"}, {"request_sha256": "0" * 64}])
def test_a_run_that_failed_or_was_of_another_plan_is_no_measure(tmp_path: Path, change: dict[str, str]) -> None:
    made = plan_of(("Offline", (50, 150)))
    run = run_of(tmp_path, made, Offline=100.0)
    path = tmp_path / "hosts/a/cells.json"
    cells = read_json(path)["cells"]
    assert isinstance(cells, list)
    (cell,) = cells
    assert isinstance(cell, dict)
    write_json(path, {**read_json(path), "cells": [{**cell, **change}]})
    result = tmp_path / "hosts/a" / str(cell["path"]) / "result.json"
    write_json(result, {**read_json(result), **change})
    assert durations.summary(run)
    assert durations.summary(read_run(tmp_path, load_catalogue())) == ""


def test_the_plot_has_a_lane_for_the_host_what_ran_and_each_shared_thing(tmp_path: Path) -> None:
    made = plan_of(("Offline", (50, 150)), ("Server", (500, 600)), holds=("meter1",))
    found = durations.durations(run_of(tmp_path, made, Offline=100.0))
    told = words(found.plot)
    assert {"a", "ran", "meter1", "Server performance", "minutes since the start"} <= set(told)
    assert found.shared == ("meter1",)
    planned = durations.durations(run_of(tmp_path / "before", made))
    assert "ran" not in words(planned.plot)
    assert (planned.predictions, planned.summary) == ((), "")


def test_pauses_of_days_do_not_squeeze_the_plot(tmp_path: Path) -> None:
    made = plan_of(("Offline", (50, 150)), ("Server", (500, 600)))
    found = durations.durations(run_of(tmp_path, made, Offline=100.0, Server=550.0))  # an hour lies between
    assert found.packed
    assert "hours since the start" not in words(found.plot)


def test_a_plan_without_durations_has_no_section(tmp_path: Path) -> None:
    run = run_of(tmp_path, plan_of(("Offline", None)))
    assert durations.durations(run).plot == ""
    assert 'id="durations"' not in html.verdict_page(run)


def test_the_page_and_the_markdown_show_it_with_untrusted_text_escaped(tmp_path: Path) -> None:
    run = run_of(tmp_path, plan_of(("Offline", (50, 150)), holds=("meter1",)), Offline=100.0)
    page = html.verdict_page(run)
    assert 'href="#durations"' in page
    assert "Offline &lt;b&gt;at&lt;/b&gt; 5 per second" in page
    assert "Durations: 1 of 1 cell took as long as the plan expected" in markdown.verdict_markdown(run)
    assert html.verdict_page(run) == page


def test_the_longest_name_that_fits_is_written() -> None:
    def drawn(seconds: float) -> list[str]:
        names = ("net SingleStream performance", "SingleStream", "SS")
        bars = (gantt.Stretch(names, 0, seconds, "performance"), gantt.Stretch("", seconds, 1000 - seconds, "test"))
        return words(gantt.gantt_plot("g", "label", [gantt.Lane("a host with a very long name", bars)]))

    assert "net SingleStream performance" in drawn(900)
    assert "SingleStream" in drawn(200)
    assert "SS" in drawn(40)
    assert not {"SS", "SingleStream"} & set(drawn(1))
    assert "a host with a very lo…" in drawn(1)


def test_equal_lanes_give_equal_bytes() -> None:
    lane = gantt.Lane("a", (gantt.Stretch("x", 0, 10, "performance", certain=5, waited=3),))
    assert gantt.gantt_plot("g", "l", [lane]) == gantt.gantt_plot("g", "l", [lane])
    other = gantt.Lane("a", (dataclasses.replace(lane.stretches[0], certain=6),))
    assert gantt.gantt_plot("g", "l", [lane]) != gantt.gantt_plot("g", "l", [other])
