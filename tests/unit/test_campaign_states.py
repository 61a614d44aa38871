"""The states of cells, out of a plan, collected files and the words of hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.campaign.answers import read_answer
from mlperf_ops.campaign.durations import left_of, total
from mlperf_ops.campaign.obstacles import obstacles
from mlperf_ops.campaign.states import states
from mlperf_ops.files import Json, JsonObject, write_json
from mlperf_ops.harness.failures import KILLED, REBOOTED
from mlperf_ops.plan_model import Seconds
from mlperf_ops.typed import dump
from tests.support.campaigns import begun, lab, on_host, says, state_of
from tests.support.earlier import cell, leave_attempt, leave_host, plan, taint


@pytest.mark.parametrize(
    ("how", "state", "reason"),
    [
        ({}, "valid", ""),
        ({"simulated": True}, "simulated", ""),
        ({"verdict": "invalid"}, "invalid", "the run was too short"),
        ({"verdict": "failed"}, "failed", "the run was too short"),
    ],
)
def test_a_collected_attempt_has_the_state_of_its_verdict(
    tmp_path: Path, how: dict[str, object], state: str, reason: str
) -> None:
    made = plan()
    leave_host(tmp_path, "a", leave_attempt(tmp_path, cell(made, "Offline"), **how))  # type: ignore[arg-type]
    assert state_of(made, tmp_path, "Offline") == (state, reason)
    assert state_of(made, tmp_path, "Server") == ("planned", "")


def test_a_result_whose_host_drifted_is_tainted(tmp_path: Path) -> None:
    made = plan()
    leave_host(tmp_path, "a", taint(tmp_path, "a", leave_attempt(tmp_path, cell(made, "Offline")), "it was hot"))
    assert state_of(made, tmp_path, "Offline") == ("tainted", "it was hot")


def test_a_result_of_another_request_is_stale_and_says_what_changed(tmp_path: Path) -> None:
    leave_host(tmp_path, "a", leave_attempt(tmp_path, cell(plan(), "Server")))
    made = plan(targets={"efficientnet-lite0": {"Server": {"target_qps": 50}}})
    assert state_of(made, tmp_path, "Server") == ("stale", "changed since: loadgen.expect, loadgen.user_conf")


def test_what_the_plan_excludes_is_impossible_and_has_no_duration(tmp_path: Path) -> None:
    made = plan(benchmarks=[{"benchmark": "efficientnet-lite0"}, {"benchmark": "resnet50"}])
    found = [one for one in states(made, ()) if one.benchmark == "resnet50"]
    assert {one.state for one in found} == {"impossible"}
    assert all(one.reason and one.expected is None for one in found)


def test_a_running_cell_has_phase_elapsed_and_what_is_left(tmp_path: Path) -> None:
    made = plan(targets={"efficientnet-lite0": {"Server": {"target_qps": 10}}})
    (server,) = (
        one for one in states(made, (), answers={"a": says(begun(cell(made, "Server")))}) if one.scenario == "Server"
    )
    assert (server.state, server.phase, server.elapsed_seconds) == ("running", "measuring", 20.0)
    assert server.expected is not None
    assert server.remaining is not None
    assert (server.expected.low, server.remaining.low) == (71.0, 51.0)


def test_a_running_cell_of_an_earlier_plan_says_that_it_will_run_again() -> None:
    made = plan()
    answers = {"a": says(begun(cell(made, "Offline"), request_sha256="0" * 64))}
    (one,) = (one for one in states(made, (), answers=answers) if one.scenario == "Offline")
    assert (one.state, one.reason) == ("running", "it answers an earlier plan and will run again")


def test_an_attempt_that_vanished_is_failed_until_a_later_one_has_ended(tmp_path: Path) -> None:
    made = plan()
    lost = begun(cell(made, "Offline"), alive=False)
    assert state_of(made, tmp_path, "Offline", answers={"a": says(lost)}) == ("failed", KILLED)
    rebooted = replace(lost, rebooted=True)
    assert state_of(made, tmp_path, "Offline", answers={"a": says(rebooted)}) == ("failed", REBOOTED)
    in_unit = replace(lost, unit="mlperf-x.service")
    assert "journalctl -u mlperf-x.service" in state_of(made, tmp_path, "Offline", answers={"a": says(in_unit)})[1]
    later = on_host(tmp_path, cell(made, "Offline"), attempt="attempt_2", verdict="invalid")
    assert state_of(made, tmp_path, "Offline", answers={"a": says(lost, later)})[0] == "invalid"
    other_plan = replace(lost, request_sha256="0" * 64)
    assert state_of(made, tmp_path, "Offline", answers={"a": says(other_plan)})[0] == "planned"


def test_what_only_the_host_has_counts_and_a_good_one_stands_before_a_later_bad_one(tmp_path: Path) -> None:
    made = plan()
    good = on_host(tmp_path, cell(made, "Offline"))
    bad = on_host(tmp_path, cell(made, "Offline"), attempt="attempt_2", verdict="invalid")
    found = states(made, (), answers={"a": says(good, bad)})
    (one,) = (one for one in found if one.scenario == "Offline")
    assert (one.state, one.attempt, one.path) == ("valid", "attempt_1", None)
    assert one.on_host == good.path


def test_attempts_stand_by_their_numbers_although_the_clock_went_back_between_them(tmp_path: Path) -> None:
    one = on_host(tmp_path, lab(1).cells[0], verdict="failed")
    folder, _, _ = one.path.rpartition("/")
    times = {"attempt_1": "2026-11-29T12:00:00+00:00", "attempt_2": "2026-11-28T12:00:00+00:00"}
    told: Any = [
        {"path": f"{folder}/{name}", "result": {**dump(one.result), "started_at": at}} for name, at in times.items()
    ]
    assert [found.attempt for found in read_answer({"attempts": told}).ended] == ["attempt_1", "attempt_2"]


def test_a_host_with_other_packages_makes_its_results_stale(tmp_path: Path) -> None:
    made = plan()
    planned = cell(made, "Offline")
    leave_host(tmp_path, "a", leave_attempt(tmp_path, planned))
    assert planned.request is not None
    parts: list[Mapping[str, Json]] = [planned.request["model"], planned.request["dataset"]]  # type: ignore[list-item]
    components: JsonObject = {
        str(one["component"]): {"path": f"/srv/mlperf/store/{one['component']}", "sha256": one["sha256"]}
        for one in parts
    }
    provision: JsonObject = {
        "python": {"version": "3.11", "packages": {"numpy": "3.0"}},
        "harness": {"sha256": "f" * 64},
        "components": components,
    }
    state, reason = state_of(made, tmp_path, "Offline", answers={"a": says(provision=provision)})
    assert (state, reason) == ("stale", "changed on the host since: packages or harness")


def test_an_obstacle_blocks_what_is_missing_and_nothing_that_is_there(tmp_path: Path) -> None:
    made = plan()
    leave_host(tmp_path, "a", leave_attempt(tmp_path, cell(made, "Offline")))
    assert state_of(made, tmp_path, "Offline", obstacles={"a": "no route"}) == ("valid", "")
    assert state_of(made, tmp_path, "Server", obstacles={"a": "no route"}) == ("blocked", "no route")


def test_obstacles_are_those_of_the_preflight_and_of_the_last_play(tmp_path: Path) -> None:
    assert obstacles(tmp_path) == {}
    write_json(tmp_path / "dropped.json", {"schema": 1, "hosts": {"b": {"task": "Provision", "message": "disk full"}}})
    finding = {"severity": "blocks", "message": "it does not answer", "remedy": "is it on?"}
    write_json(tmp_path / "preflight.json", {"schema": 1, "hosts": {"c": {"state": "blocked", "findings": [finding]}}})
    assert obstacles(tmp_path) == {
        "b": "it dropped out at 'Provision': disk full",
        "c": "the preflight left it out: it does not answer (is it on?)",
    }
    assert "b" not in obstacles(tmp_path, play_goes_on=True)


def test_what_is_left_is_never_negative_and_unknown_parts_are_not_summed() -> None:
    assert left_of(Seconds(10, 20, "x"), 15) == Seconds(0.0, 5, "x")
    assert left_of(Seconds(10, 20, "x"), 25) == Seconds(0.0, 0.0, "longer than expected")
    assert left_of(None, 25) is None
    assert total([Seconds(1, 2, ""), None, Seconds(3, 4, "")]) == Seconds(4, 6, "sum of its cells")
    assert total([None]) is None
