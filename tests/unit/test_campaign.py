"""The states of cells and what follows from them, out of a plan, collected files and the words of hosts."""

from __future__ import annotations

import datetime as dt
import io
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mlperf_ops.campaign.answers import Begun, Ended, HostAnswer, read_answer
from mlperf_ops.campaign.durations import left_of, total
from mlperf_ops.campaign.model import Play, Status
from mlperf_ops.campaign.obstacles import obstacles
from mlperf_ops.campaign.read import find_run
from mlperf_ops.campaign.show import show
from mlperf_ops.campaign.states import states
from mlperf_ops.campaign.summary import Asked, status_of
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.collected import Collection, read_collection
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json, JsonObject, read_json, write_json
from mlperf_ops.harness.failures import KILLED, REBOOTED
from mlperf_ops.model import Result
from mlperf_ops.plan import make_plan
from mlperf_ops.plan_model import Plan, PlannedCell, Seconds
from mlperf_ops.runlock import hold
from mlperf_ops.typed import dump, load
from tests.support.earlier import cell, leave_attempt, leave_host, plan, taint

NOW = dt.datetime(2026, 11, 27, 14, 0, tzinfo=dt.timezone.utc)
PLAY = Play(4711, "ansible-playbook run-inference.yml -i lab")


def lab(hosts: int, **more: Json) -> Plan:
    """Plan several hosts, each with two benchmarks' worth of cells in all scenarios and modes."""
    variables: dict[str, Json] = {
        "mlperf_round": "v6.1",
        "mlperf_division": "open",
        "mlperf_submitter": "Example",
        "mlperf_home": "/srv/mlperf",
        "mlperf_system_type": "edge",
        "mlperf_run_style": "valid",
        "mlperf_targets": {"efficientnet-lite0": {"Offline": {"target_qps": 100}}},
        "mlperf_benchmarks": [{"benchmark": "efficientnet-lite0"}],
        **{f"mlperf_{key}": value for key, value in more.items()},
    }
    names = [f"sut{number}" for number in range(1, hosts + 1)]
    return make_plan(dict.fromkeys(names, variables), load_catalogue(), "lab", lambda _host, _path, _value: "")[0]


def begun(planned: PlannedCell, **changes: object) -> Begun:
    made = Begun(
        key=planned.cell.key,
        path=f"runs/lab/{planned.cell.key}/0123456789ab/attempt_1",
        attempt="attempt_1",
        alive=True,
        phase="measuring",
        elapsed_seconds=20.0,
        request_sha256=planned.request_sha256,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # fields of Begun


def says(*parts: Begun | Ended, provision: JsonObject | None = None, measures: str = "") -> HostAnswer:
    return HostAnswer(
        provision=provision,
        measures=measures or next((one.key for one in parts if isinstance(one, Begun) and one.alive), ""),
        ended=tuple(one for one in parts if isinstance(one, Ended)),
        begun=tuple(one for one in parts if isinstance(one, Begun)),
    )


def on_host(run: Path, planned: PlannedCell, **how: object) -> Ended:
    """Return an attempt that ended on a host, made as collected ones are, but elsewhere."""
    held = leave_attempt(run / "elsewhere", planned, **how)  # type: ignore[arg-type]  # its options
    path = run / "elsewhere/hosts" / planned.host / held.path / "result.json"
    return Ended(
        held.key, f"runs/lab/{planned.cell.system}/{held.path}", held.attempt, load(Result, read_json(path), "")
    )


def state_of(made: Plan, run: Path, scenario: str, **more: object) -> tuple[str, str]:
    found = states(made, read_collection(run).earlier, **more)  # type: ignore[arg-type]  # its options
    one = next(one for one in found if one.scenario == scenario)
    return one.state, one.reason


# --- states -----------------------------------------------------------------------------------------------------------


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


# --- durations --------------------------------------------------------------------------------------------------------


def test_what_is_left_is_never_negative_and_unknown_parts_are_not_summed() -> None:
    assert left_of(Seconds(10, 20, "x"), 15) == Seconds(0.0, 5, "x")
    assert left_of(Seconds(10, 20, "x"), 25) == Seconds(0.0, 0.0, "longer than expected")
    assert left_of(None, 25) is None
    assert total([Seconds(1, 2, ""), None, Seconds(3, 4, "")]) == Seconds(4, 6, "sum of its cells")
    assert total([None]) is None


# --- the whole --------------------------------------------------------------------------------------------------------


def whole(made: Plan, run: Path | None = None, **more: object) -> Status:
    collection = Collection((), ()) if run is None else read_collection(run)
    return status_of(made, "results/lab", collection, inventory="inventory/lab", **more)  # type: ignore[arg-type]


def commands(status: Status) -> list[str]:
    return [action.command for action in status.next]


def test_the_host_that_finishes_last_is_the_critical_path(tmp_path: Path) -> None:
    made = lab(2)
    offline = next(one for one in made.cells if one.cell.scenario == "Offline" and one.cell.mode == "performance")
    leave_host(tmp_path, "sut1", leave_attempt(tmp_path, offline))
    status = whole(made, tmp_path)
    assert status.critical_path is not None
    assert status.critical_path.host == "sut2"
    assert len(status.critical_path.cells) == 8
    first, second = status.hosts
    assert first.remaining is not None
    assert second.remaining is not None
    assert first.remaining.high < second.remaining.high
    assert status.remaining is not None
    assert status.remaining.high == second.remaining.high
    assert first.to_come == 7


def _meter(made: Plan) -> Plan:
    """Let the performance cells of both hosts hold one analyzer, 100 to 120 s each; the others take 10 s."""
    cells = []
    for one in made.cells:
        held = one.cell.mode == "performance"
        expected = Seconds(100, 120, "x") if held else Seconds(10, 10, "x")
        cells.append(replace(one, expected=expected, holds=("wt310",) if held else ()))
    return replace(made, cells=tuple(cells))


def test_hosts_that_share_an_analyzer_wait_for_each_other_until_the_end() -> None:
    made = _meter(lab(2))
    measured = sum(1 for one in made.cells if one.holds)
    status = whole(made)
    assert status.remaining is not None
    assert status.remaining.low >= 100 * measured
    assert status.remaining.high >= 120 * measured
    assert all(host.remaining is not None and host.remaining.low <= host.remaining.high for host in status.hosts)
    alone = sum(one.expected.high for one in made.cells if one.host == "sut1" and one.expected is not None)
    assert status.remaining.high > alone
    path = status.critical_path
    assert path is not None
    assert path.remaining.high == status.remaining.high
    other = {"sut1": "sut2", "sut2": "sut1"}[path.host]
    assert any(cell.startswith(f"{other}: ") for cell in path.cells)
    assert any(not cell.startswith(f"{other}: ") for cell in path.cells)


def test_a_range_has_its_ends_in_order_where_longer_cells_change_who_queues_first() -> None:
    """With the longest durations sut1 is first at the analyzer, and through earlier than with the shortest."""
    made = lab(2)
    times = {("sut1", 0): (10, 20), ("sut1", 1): (50, 50), ("sut2", 0): (5, 30), ("sut2", 1): (100, 100)}
    by_host = {name: [one for one in made.cells if one.host == name][:2] for name in ("sut1", "sut2")}
    cells = [
        replace(one, expected=Seconds(*times[name, turn], "x"), holds=("wt310",) if turn else ())
        for name, mine in by_host.items()
        for turn, one in enumerate(mine)
    ]
    hosts = tuple(replace(host, order=tuple(one.cell.key for one in by_host[host.name])) for host in made.hosts)
    first = whole(replace(made, cells=tuple(cells), hosts=hosts)).hosts[0].remaining
    assert first is not None
    assert (first.low, first.high) == (70.0, 155.0)


def test_a_cell_that_waits_for_a_shared_thing_is_blocked_and_still_counts() -> None:
    made = _meter(lab(2))
    waits = next(one for one in made.cells if one.host == "sut2" and one.holds)
    runs = next(one for one in made.cells if one.host == "sut1" and one.holds)
    queue = {("sut2", waits.cell.key): "it waits for wt310, which sut1 holds"}
    status = whole(made, asked=Asked({"sut1": says(begun(runs)), "sut2": says()}), waiting=queue, play=PLAY)
    blocked = next(cell for cell in status.cells if cell.state == "blocked")
    assert (blocked.key, blocked.host) == (waits.cell.key, "sut2")
    assert (status.hosts[1].to_come, status.hosts[1].waiting) == (8, 0)
    whole_time = whole(made).remaining
    assert status.remaining is not None
    assert whole_time is not None
    assert whole_time.high - 60 < status.remaining.high < whole_time.high


def test_the_running_cell_comes_first_on_the_critical_path() -> None:
    made = lab(1)
    last = made.cells[-1]
    status = whole(made, asked=Asked({"sut1": says(begun(last))}), play=PLAY)
    assert status.critical_path is not None
    assert status.critical_path.cells[0] == last.cell.key
    assert (status.hosts[0].state, status.hosts[0].detail) == ("running", last.cell.key)


def test_a_cell_that_had_its_turn_in_this_play_is_left_to_the_next(tmp_path: Path) -> None:
    made = lab(1)
    bad = on_host(tmp_path, made.cells[0], verdict="invalid")
    during = whole(made, asked=Asked({"sut1": says(bad)}), play=PLAY)
    after = whole(made, asked=Asked({"sut1": says(bad)}))
    assert (during.hosts[0].to_come, after.hosts[0].to_come) == (7, 8)


def test_a_cell_that_ended_in_this_play_is_left_to_the_next_although_its_copy_is_here(tmp_path: Path) -> None:
    made = lab(1)
    leave_host(tmp_path, "sut1", leave_attempt(tmp_path, made.cells[0], verdict="invalid"))
    ended_at = whole(made, tmp_path).cells[0].ended_at
    assert ended_at is not None
    earlier, later = (replace(PLAY, since=f"{year}{ended_at[4:]}") for year in (1999, 2999))
    assert whole(made, tmp_path, play=earlier).hosts[0].to_come == 7
    assert whole(made, tmp_path, play=later).hosts[0].to_come == 8
    assert whole(made, tmp_path).hosts[0].to_come == 8


def test_an_unreachable_host_is_a_state_of_its_row() -> None:
    made = lab(3)
    status = whole(made, asked=Asked({"sut1": says(), "sut3": says()}, {"sut2": "no route to it"}))
    assert [host.state for host in status.hosts] == ["idle", "unreachable", "idle"]
    assert {one.state for one in status.cells if one.host == "sut2"} == {"blocked"}
    assert {one.state for one in status.cells if one.host != "sut2"} == {"planned"}
    assert status.hosts[1].waiting == 8
    assert commands(status)[0] == "mlperf-ops doctor -i inventory/lab --limit sut2"


def test_a_host_that_answers_now_is_not_kept_out_by_what_an_earlier_play_said() -> None:
    made = lab(1)
    status = whole(made, asked=Asked({"sut1": says()}), obstacles={"sut1": "it dropped out"})
    assert {one.state for one in status.cells} == {"planned"}
    assert {one.state for one in whole(made, obstacles={"sut1": "it dropped out"}).cells} == {"blocked"}


def test_a_host_that_measures_for_another_run_is_busy_and_blocks_its_cells() -> None:
    made = lab(1)
    status = whole(made, asked=Asked({"sut1": says(measures="sut1/bert/Offline/accuracy")}))
    assert status.hosts[0].state == "busy"
    assert status.cells[0].reason == "it measures sut1/bert/Offline/accuracy of another run"


def test_a_cell_of_this_run_that_has_just_ended_blocks_nothing_while_the_lock_still_names_it(tmp_path: Path) -> None:
    made = lab(1)
    ended = on_host(tmp_path, made.cells[0])
    status = whole(made, asked=Asked({"sut1": says(ended, measures=made.cells[0].cell.key)}))
    assert status.hosts[0].state == "idle"
    assert {one.state for one in status.cells[1:]} == {"planned"}


def test_of_several_runs_a_smoke_run_is_not_meant_and_the_one_at_work_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("lab", "lab-smoke"):
        write_json(tmp_path / "results" / name / "plan.json", {})
    assert find_run(None, None) == Path("results/lab")
    write_json(tmp_path / "results/other/plan.json", {})
    with pytest.raises(ConfigError, match="holds several runs: lab, other"):
        find_run(None, None)
    with hold(tmp_path / "results/lab-smoke"):
        assert find_run(None, None) == Path("results/lab-smoke")


def test_next_actions_are_commands_for_what_is_seen(tmp_path: Path) -> None:
    made = lab(1)
    assert commands(whole(made)) == ["mlperf-ops run -i inventory/lab"]
    assert commands(whole(made, play=PLAY)) == ["mlperf-ops status -i inventory/lab --live"]
    leave_host(tmp_path, "sut1", leave_attempt(tmp_path, made.cells[0], verdict="failed"))
    assert commands(whole(made, tmp_path)) == [
        f"mlperf-ops logs -i inventory/lab {made.cells[0].cell.key}",
        "mlperf-ops run -i inventory/lab",
    ]
    leave_host(tmp_path, "sut1", *(leave_attempt(tmp_path, one) for one in made.cells))
    done = whole(made, tmp_path)
    assert commands(done) == ["mlperf-ops aggregate results/lab --missing"]
    assert (done.remaining, done.critical_path) == (None, None)


def test_the_words_that_find_the_run_are_in_the_commands_that_look_at_it() -> None:
    status = whole(lab(1), play=PLAY, flags=("--results", "/srv/run"))
    assert commands(status) == ["mlperf-ops status -i inventory/lab --results /srv/run --live"]


# --- for people -------------------------------------------------------------------------------------------------------


def shown(status: Status, *, width: int = 120, encoding: str = "utf-8", every_cell: bool = False) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    console = Console(file=stream, width=width, soft_wrap=True, highlight=False)
    show(status, console, now=NOW, every_cell=every_cell)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


def test_three_hosts_make_a_matrix_with_a_legend_and_what_is_left(tmp_path: Path) -> None:
    made = lab(3)
    leave_host(tmp_path, "sut1", *(leave_attempt(tmp_path, one) for one in made.cells if one.host == "sut1"))
    running = next(one for one in made.cells if one.host == "sut2")
    text = shown(whole(made, tmp_path, asked=Asked({"sut2": says(begun(running))}, {"sut3": "no route"}), play=PLAY))
    rows = [line.split() for line in text.splitlines() if line.startswith("sut")]
    assert rows[0] == ["sut1", "efficientnet-lite0", "✔✔", "✔✔", "✔✔", "✔✔", "done"]
    assert rows[1][2] == "▶·"
    assert rows[2][2:] == ["⊘⊘", "⊘⊘", "⊘⊘", "⊘⊘", "no", "answer"]
    assert "a mark is a cell, in this order: accuracy, performance" in text
    assert "✔ valid  ▶ running  · planned  ⊘ blocked" in text
    assert "⊘ sut3: no answer: no route" in text
    assert re.search(r"left: .* of measuring, .*ready .*14:.*; without 8 blocked cells", text)
    assert "critical path: sut2" in text


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_line_of_the_matrix_is_wider_than_the_terminal(width: int) -> None:
    made = lab(32)
    answers = {host.name: says() for host in made.hosts if host.name != "sut7"}
    text = shown(whole(made, asked=Asked(answers, {"sut7": "no route to it"})), width=width)
    rows = [line for line in text.splitlines() if re.match(r"sut\d+ .*··|sut\d+ .*⊘⊘", line)]
    assert len(rows) == 32
    assert max(len(row.rstrip()) for row in rows) <= width
    assert all(row.count("··") + row.count("⊘⊘") == 4 for row in rows)


def test_a_pipe_without_such_letters_gets_others() -> None:
    text = shown(whole(lab(1)), encoding="ascii")
    assert ". planned" in text


def test_each_cell_can_have_a_line_of_its_own(tmp_path: Path) -> None:
    made = lab(2)
    leave_host(tmp_path, "sut1", leave_attempt(tmp_path, made.cells[0], verdict="invalid"))
    lines = [line for line in shown(whole(made, tmp_path), every_cell=True, width=1000).splitlines() if "sut" in line]
    cells = [line for line in lines if re.match(r"\S sut\d/", line)]
    assert len(cells) == len(made.cells)
    assert cells[0].startswith(f"! {made.cells[0].cell.key}  invalid")
    assert cells[0].endswith("the run was too short")


def test_equal_reasons_are_told_once(tmp_path: Path) -> None:
    made = lab(1)
    leave_host(tmp_path, "sut1", *(leave_attempt(tmp_path, one, verdict="invalid") for one in made.cells))
    text = shown(whole(made, tmp_path))
    assert text.count("the run was too short") == 1
    assert f"! {made.cells[0].cell.key} and 7 more: the run was too short" in text


def test_the_json_has_the_form_of_its_schema(tmp_path: Path) -> None:
    made = lab(1)
    status = whole(made, asked=Asked({"sut1": says(begun(made.cells[0]))}), play=PLAY)
    assert load(Status, dump(status), "status") == status
