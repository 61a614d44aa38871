"""Which cells of a host a play runs, in which order, and what changes that on the way."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from tests.support.plugins import plugin

turns = plugin("plugin_utils.turns")


def _cell(scenario: str, target: int = 1) -> dict[str, Any]:
    parts = {"system": "sut1", "benchmark": "resnet50", "scenario": scenario, "mode": "performance"}
    return {"cell": parts, "request": {"target": target}}


_NAMES = ("SingleStream", "MultiStream", "Server", "Offline")
_CELLS = tuple(_cell(name) for name in _NAMES)


def _turns(*states: str, wanted: tuple[str, ...] = (), retries: int = 1) -> Any:  # noqa: ANN401  # turns.Turns
    told = [{"state": state} for state in states]
    return turns.Turns("sut1", list(_CELLS[: len(states)]), told, wanted, retries)


def _order(of: Any) -> list[str]:  # noqa: ANN401
    return [key.split("/")[2] for key in of.keys]


def test_cells_run_in_the_plan_s_order_but_the_running_one_comes_first() -> None:
    some = _turns("needed", "good", "running", "lacking")
    assert _order(some) == ["Server", "SingleStream"]
    first = some.turn()
    assert (first.place, first.title) == ("1/2", "sut1  1/2  resnet50 Server performance")
    assert (first.at, first.key, first.state["state"]) == (2, "sut1/resnet50/Server/performance", "running")
    some.over()
    assert (some.turn().place, _order(some)) == ("2/2", ["SingleStream"])
    some.over()
    assert some.turn() is None


def test_what_is_not_wanted_is_left_out_and_named() -> None:
    some = _turns("needed", "good", "needed", "lacking", wanted=("resnet50/SingleStream",))
    assert _order(some) == ["SingleStream"]
    assert [key.split("/")[2] for key in some.left_out("good")] == ["Server", "Offline"]
    assert [key.split("/")[2] for key in some.left_out("good", "lacking")] == ["Server"]


def test_a_cell_that_runs_again_keeps_its_turn_and_has_one_retry_less() -> None:
    some = _turns("running", "needed", retries=2)
    assert some.turn().retries == 2
    some.again()
    again = some.turn()
    assert (again.at, again.place, again.retries, again.state) == (0, "1/2", 1, {"state": "needed"})
    some.over()
    assert some.turn().retries == 2


def test_what_the_host_runs_has_its_turn_first_where_it_still_has_to_come() -> None:
    some = _turns("needed", "good", "needed", "needed")
    assert some.running() is None
    some.states = [{"state": state} for state in ("needed", "good", "needed", "running")]
    assert some.running() == 3
    assert some.put_first(3)
    assert _order(some) == ["Offline", "SingleStream", "Server"]
    assert not some.put_first(1)
    assert _order(some) == ["Offline", "SingleStream", "Server"]


def test_a_new_plan_changes_its_cells_and_only_these_are_asked_for() -> None:
    some = _turns("needed", "needed")
    new = [_cell("MultiStream"), _cell("SingleStream", 2), _cell("Offline", 2)]
    assert some.plan_anew(new) == [0]
    assert [cell["request"]["target"] for cell in some.cells] == [2, 1]


@pytest.mark.parametrize(
    ("changed", "order"),
    [
        ({0: "needed"}, ["SingleStream", "Server"]),
        ({0: "good"}, ["Server"]),
        ({0: "needed", 1: "needed"}, ["SingleStream", "Server", "MultiStream"]),
        ({0: "needed", 3: "needed"}, ["SingleStream", "Server"]),
    ],
    ids=["again", "good already", "one that was good", "one that is not wanted"],
)
def test_cells_with_a_new_target_have_a_turn_unless_they_are_good(changed: dict[int, str], order: list[str]) -> None:
    stream, rest = "resnet50/*Stream", "resnet50/Server"
    some = _turns("needed", "good", "needed", "needed", wanted=(stream, rest))
    some.go_on({at: {"state": state} for at, state in changed.items()})
    assert _order(some) == order
    if changed[0] == "needed":
        assert some.turn().retries == 0


def test_a_cell_that_joins_has_all_its_retries() -> None:
    some = _turns("needed", "good", retries=3)
    some.go_on({0: {"state": "needed"}, 1: {"state": "needed"}})
    assert (some.turn().retries, some.turn().place) == (2, "1/2")
    some.over()
    assert (some.turn().at, some.turn().retries) == (1, 3)


@pytest.mark.parametrize(("kind", "again"), [("host_rebooted", True), ("crash", True), ("no_dataset", False)])
def test_only_what_may_be_no_fault_of_the_cell_is_tried_again(kind: str, again: bool) -> None:  # noqa: FBT001
    assert turns.may_not_come_again({"kind": kind}) is again
    assert not turns.may_not_come_again({"verdict": "valid"})


def test_retries_are_a_whole_number() -> None:
    assert [turns.retries_of(given) for given in (0, "3", " 2 ")] == [0, 3, 2]
    with pytest.raises(AnsibleActionFail, match=r"^retries: expected a whole number from 0, not '-1'"):
        turns.retries_of(-1)
