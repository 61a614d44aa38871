"""What follows from the states of cells: the critical path, who waits for whom, what to do next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlperf_ops.campaign.read import find_run
from mlperf_ops.campaign.summary import Asked
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import write_json
from mlperf_ops.plan_model import Plan, Seconds
from mlperf_ops.runlock import hold
from tests.support.campaigns import PLAY, begun, commands, lab, on_host, says, whole
from tests.support.earlier import leave_attempt, leave_host


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
