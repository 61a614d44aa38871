"""Targets that runs adjust with the inventory's permission: which, when, and what the plan makes of them."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from mlperf_ops.adjusted_files import add, read_adjusted, review_file, write_review
from mlperf_ops.adjusting import AdjustedTargets, Adjustment, Held, in_use, merged
from mlperf_ops.campaign.answers import Ended, HostAnswer
from mlperf_ops.campaign.show import show
from mlperf_ops.campaign.states import states
from mlperf_ops.campaign.summary import status_of
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.collected import read_collection
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json
from mlperf_ops.harness.better_target import Step, better_target
from mlperf_ops.outlook import outlook
from mlperf_ops.plan import make_plan
from mlperf_ops.plan_model import Plan, PlannedCell
from tests.support.earlier import leave_attempt, leave_host

CATALOGUE = load_catalogue()
_NAME = "efficientnet-lite0"
_MS = 1_000_000
_TARGETS: Json = {_NAME: {"SingleStream": {"target_latency_ms": 1000, "min_query_count": 200}}}


def adjustment(**changes: Any) -> Adjustment:  # noqa: ANN401  # fields of several types
    given = {
        "benchmark": _NAME,
        "scenario": "SingleStream",
        "run_style": "valid",
        "key": "target_latency",
        "basis": "given 1000",
        "was": 1000.0,
        "value": 4.1,
        "attempt": "runs/lab/a/attempt_1",
        "reason": "too short",
        "date": "2026-11-28T15:00:00+00:00",
    }
    return Adjustment(**{**given, **changes})


def variables(**changes: Json) -> dict[str, Json]:
    given: dict[str, Json] = {
        "round": "v6.1",
        "submitter": "Example",
        "home": "/srv/mlperf",
        "system_type": "edge",
        "run_style": "valid",
        "benchmarks": [{"benchmark": _NAME}],
        "division": "open",
        "adjust_targets": True,
        "targets": _TARGETS,
    }
    return {f"mlperf_{name}": value for name, value in {**given, **changes}.items()}


def planned(*adjustments: Adjustment, **changes: Json) -> tuple[Plan, tuple[str, ...]]:
    adjusted = {"a": AdjustedTargets("a", adjustments)} if adjustments else {}
    return make_plan({"a": variables(**changes)}, CATALOGUE, "inventory/lab", lambda *_: "", adjusted=adjusted)


def cell(plan: Plan, end: str) -> PlannedCell:
    return next(one for one in plan.cells if one.cell.key.endswith(end))


def target(plan: Plan, end: str) -> str:
    request: Any = cell(plan, end).request
    return str(request["loadgen"]["user_conf"]).splitlines()[0].partition(" = ")[2]


@pytest.mark.parametrize(
    ("scenario", "fields", "errors", "found"),
    [
        (
            "SingleStream",
            {"result_min_duration_met": False, "effective_target_qps": 1.0, "result_mean_latency_ns": 4.19 * _MS},
            (),
            Step("target_latency", 4.1),
        ),
        (
            "Offline",
            {"result_min_duration_met": False, "effective_target_qps": 10.0, "result_samples_per_second": 231.0},
            (),
            Step("target_qps", 240.0),
        ),
        (
            "Server",
            {
                "result_perf_constraints_met": False,
                "effective_target_qps": 210.0,
                "effective_target_latency_ns": 15 * _MS,
                "result_99.00_percentile_latency_ns": 17.2 * _MS,
            },
            (),
            Step("target_qps", 180.0),
        ),
        (
            "Server",
            {
                "result_perf_constraints_met": False,
                "effective_target_qps": 210.0,
                "effective_target_latency_ns": 15 * _MS,
                "result_99.00_percentile_latency_ns": 40 * _MS,
                "result_min_latency_ns": 16 * _MS,
            },
            (),
            "no lower rate helps: even the quickest query was over the limit",
        ),
        ("Server", {"early_stopping_met": False, "effective_target_qps": 100.0}, (), Step("target_qps", 95.0)),
        ("SingleStream", {"early_stopping_met": False}, (), "its target is not what it missed"),
        (  # a cap of the user's own ended it
            "SingleStream",
            {"result_min_duration_met": False, "effective_target_qps": 1.0, "result_mean_latency_ns": 4.19 * _MS},
            ("Ending early: Max query count reached.",),
            "no better target follows from its log",
        ),
    ],
)
def test_the_next_target_is_the_one_that_the_verdict_suggests(
    scenario: Any,  # noqa: ANN401  # a literal
    fields: dict[str, Json],
    errors: tuple[str, ...],
    found: Step | str,
) -> None:
    assert better_target(scenario, fields, errors) == found


def test_an_adjustment_is_used_by_performance_and_compliance_and_told() -> None:
    before, _ = planned(benchmarks=[{"benchmark": _NAME, "compliance": True}])
    after, remarks = planned(adjustment(), benchmarks=[{"benchmark": _NAME, "compliance": True}])
    changed = {
        one.cell.mode for one, other in zip(after.cells, before.cells, strict=True) if one.request != other.request
    }
    assert changed == {"performance", "TEST01", "TEST04"}
    assert target(after, "SingleStream/performance") == "4.1"
    assert target(after, "SingleStream/accuracy") == "1000"
    told = f"a: {_NAME} SingleStream: target_latency is 4.1 instead of 1000, as mlperf_adjust_targets allows"
    assert any(one.startswith(told) for one in remarks)
    assert not any("instead of" in note for one in after.cells for note in one.notes), "told once, not for each cell"
    assert in_use(after, {"a": AdjustedTargets("a", (adjustment(),))}) == {"a": (Held(adjustment(), 1000.0),)}


def test_without_permission_nothing_changes() -> None:
    plain, _ = planned(adjust_targets=False)
    assert planned(adjustment(), adjust_targets=False) == planned(adjust_targets=False)
    assert all(one.adjustable is None for one in plain.cells)
    allowed, _ = planned()
    assert [one.request for one in allowed.cells] == [one.request for one in plain.cells]


@pytest.mark.parametrize(
    ("entry", "host", "scenarios"),
    [
        ({}, True, {"SingleStream", "MultiStream", "Server", "Offline"}),
        ({"adjust_targets": False}, True, set()),
        ({"adjust_targets": True}, False, {"SingleStream", "MultiStream", "Server", "Offline"}),
        ({"adjust_targets": ["Server"]}, False, {"Server"}),
    ],
)
def test_permission_is_that_of_the_benchmark_before_that_of_the_host(
    entry: dict[str, Json], host: Json, scenarios: set[str]
) -> None:
    made, _ = planned(benchmarks=[{"benchmark": _NAME, **entry}], adjust_targets=host)
    assert {one.cell.scenario for one in made.cells if one.adjustable} == scenarios
    assert {one.cell.mode for one in made.cells if one.adjustable} <= {"performance"}


def test_a_later_word_of_the_user_wins_and_so_does_the_last_of_several_adjustments() -> None:
    own: Json = {_NAME: {"SingleStream": {"target_latency_ms": 2000}}}
    assert target(planned(adjustment(), targets=own)[0], "SingleStream/performance") == "2000"
    twice, _ = planned(adjustment(), adjustment(was=4.1, value=3.0))
    assert target(twice, "SingleStream/performance") == "3.0"
    assert target(planned(adjustment(run_style="test"))[0], "SingleStream/performance") == "1000"


@pytest.mark.parametrize("style", ["test", "fast"])
def test_a_target_that_the_run_style_does_not_take_as_it_is_stays(style: str) -> None:
    made, _ = planned(run_style=style)
    assert cell(made, "SingleStream/performance").adjustable is None


def test_the_file_to_review_gives_the_very_same_plan_when_it_is_pasted(tmp_path: Path) -> None:
    inventory, run = tmp_path / "lab", tmp_path / "results"
    inventory.mkdir()
    add(run, "a", adjustment())
    adjusted = read_adjusted(run)
    made, _ = planned(*adjusted["a"].adjustments)
    path = write_review(inventory, made, adjusted, {"a": variables()}, CATALOGUE)
    assert path == review_file(inventory) == tmp_path / "lab.adjusted_targets.yml"
    held = yaml.safe_load(path.read_text())["a"]
    assert held["mlperf_targets"][_NAME]["SingleStream"] == {"min_query_count": 200, "target_latency": 4.1}
    (origin,) = held["origin"]
    assert (origin["attempt"], origin["was"], origin["now"]) == ("runs/lab/a/attempt_1", 1000.0, 4.1)
    pasted, _ = planned(targets=held["mlperf_targets"])
    assert cell(pasted, "SingleStream/performance").request == cell(made, "SingleStream/performance").request

    path.write_text("mine\n")
    with pytest.raises(ConfigError, match="was not written by mlperf-ops"):
        write_review(inventory, made, adjusted, {"a": variables()}, CATALOGUE)


def test_after_several_steps_all_that_is_told_names_the_users_own_target(tmp_path: Path) -> None:
    steps = (adjustment(), adjustment(was=4.1, value=3.5, attempt="runs/lab/a/attempt_2"))
    made, remarks = planned(*steps)
    told = "target_latency is 3.5 instead of 1000, as mlperf_adjust_targets allows: attempt_2 of"
    assert any(told in one and " with 4.1 was INVALID" in one for one in remarks)
    adjusted = cell(made, "SingleStream/performance").adjusted
    assert adjusted is not None
    assert (adjusted.own, adjusted.value, adjusted.attempt) == (1000.0, 3.5, "runs/lab/a/attempt_2")
    inventory = tmp_path / "lab"
    inventory.mkdir()
    path = write_review(inventory, made, {"a": AdjustedTargets("a", steps)}, {"a": variables()}, CATALOGUE)
    assert path is not None
    (origin,) = yaml.safe_load(path.read_text())["a"]["origin"]
    assert (origin["was"], origin["now"], origin["attempt"]) == (1000.0, 3.5, "runs/lab/a/attempt_2")


def test_a_cell_that_runs_again_with_another_target_is_planned_and_not_stale(tmp_path: Path) -> None:
    entries: Json = [{"benchmark": _NAME, "compliance": True}]
    before, _ = planned(benchmarks=entries)
    ends = ("SingleStream/performance", "SingleStream/TEST01")
    held = [leave_attempt(tmp_path, cell(before, end), verdict="invalid") for end in ends]
    leave_host(tmp_path, "a", *held)
    cause = adjustment(attempt=f"runs/lab/a/{held[0].path}")
    after, _ = planned(cause, benchmarks=entries)
    collection = read_collection(tmp_path)
    found = {one.key.partition("/")[2]: one for one in states(after, collection.earlier)}
    again = found[f"{_NAME}/{ends[0]}"]
    told = "again, with target_latency 4.1 instead of 1000: attempt_1 was invalid: the run was too short"
    assert (again.state, again.reason) == ("planned", told)
    # While a host is watched, its earlier steps come after the attempt that was collected.
    earlier_step = Ended(again.key, "runs/lab/a/earlier/attempt_1", "attempt_1", collection.earlier[0].result)
    answer = HostAnswer(provision=None, measures="", ended=(earlier_step,), begun=())
    (watched,) = (one for one in states(after, collection.earlier, answers={"a": answer}) if one.key == again.key)
    assert (watched.state, watched.reason) == ("planned", told)
    # No attempt of the test suggested anything: it answers another target.
    audit = found[f"{_NAME}/{ends[1]}"]
    expected = "changed since: its target was adjusted, target_latency 4.1 instead of 1000"
    assert (audit.state, audit.reason) == ("stale", expected)
    assert {one.reason for one in outlook(after, collection.earlier) if one.status == "missing"} == {"", told}
    screen = io.StringIO()
    status = status_of(after, "results/lab", collection, inventory="lab")
    show(status, Console(file=screen, width=200), now=dt.datetime.now().astimezone())
    assert told in screen.getvalue()

    # What else the user changed meanwhile makes the attempt one of another request.
    other, _ = planned(cause, benchmarks=[{"benchmark": _NAME, "compliance": True, "warmup_seconds": 3}])
    (changed,) = (one for one in states(other, collection.earlier) if one.key.endswith(ends[0]))
    assert (changed.state, changed.reason.partition(", ")[0]) == ("stale", "changed since: loadgen.expect")


def test_an_alias_of_the_benchmark_keeps_its_keys() -> None:
    targets = {"resnet": {"Offline": {"target_qps": 10, "min_query_count": 30}}}
    one = adjustment(benchmark="resnet50", scenario="Offline", key="target_qps", value=200.0)
    assert merged(targets, (one,), CATALOGUE) == {"resnet": {"Offline": {"min_query_count": 30, "target_qps": 200.0}}}
