"""What the play makes of an INVALID cell whose target may be adjusted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from tests.support.plugins import plugin

adjusted, progress = plugin("plugin_utils.adjusted"), plugin("plugin_utils.progress")
next_target = adjusted.next_target
_PLANNED = {"adjustable": {"key": "target_qps", "basis": "given 400", "target": 400.0}}
_INVALID = {"verdict": "invalid", "tainted": [], "target": {"key": "target_qps", "value": 200.0, "why": ""}}


def test_the_suggestion_of_the_host_is_taken() -> None:
    assert next_target(_PLANNED, _INVALID) == 200.0


@pytest.mark.parametrize(
    ("planned", "answer"),
    [
        ({}, _INVALID),
        (_PLANNED, {**_INVALID, "verdict": "valid"}),
        (_PLANNED, {**_INVALID, "verdict": "failed", "target": None}),
        (_PLANNED, {**_INVALID, "target": None}),
    ],
)
def test_nothing_is_said_where_nothing_may_be_adjusted(planned: dict[str, Any], answer: dict[str, Any]) -> None:
    assert next_target(planned, answer) == ""


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({**_INVALID, "tainted": ["it throttled"]}, "drifted"),
        ({**_INVALID, "target": {"key": None, "value": None, "why": "no lower rate helps"}}, "no lower rate helps"),
        ({**_INVALID, "target": {"key": "target_qps", "value": 400.0, "why": ""}}, "no better target"),
    ],
)
def test_a_cell_that_stays_as_it_is_says_why(answer: dict[str, Any], why: str) -> None:
    assert why in str(next_target(_PLANNED, answer))


class Play:
    """A play whose making of plans is watched; `fails` says why no plan can be made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: str = "") -> None:
        self.tally, self.brought, self.planned, self._fails = progress.Tally(), list[str](), list[float](), fails
        monkeypatch.setattr(adjusted, "plan_again", self._plan_again)
        copies = SimpleNamespace(bring=lambda _, path: self.brought.append(path))
        self.targets = adjusted.Targets(Path("results"), {}, copies, self.tally)

    def _plan_again(self, *arguments: object) -> None:
        if self._fails:
            raise AnsibleActionFail(self._fails)
        self.planned.append(arguments[-1])  # type: ignore[arg-type]  # a number

    def adjusts(self, **changes: object) -> bool:
        cell = {"system": "sut1", "benchmark": "b", "scenario": "Offline", "mode": "performance"}
        answer = {**_INVALID, "reasons": ["too short"], **changes}
        return bool(self.targets.adjust("sut1  1/1  x", {**_PLANNED, "cell": cell}, "runs/a", answer))


def test_an_adjusted_cell_is_planned_again_and_what_it_ran_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play = Play(monkeypatch)
    assert play.adjusts()
    assert (play.planned, play.brought) == ([200.0], ["runs/a"])
    assert play.tally.adjusted == ["sut1/b/Offline/performance: target_qps 200 instead of 400: too short"]
    told = "sut1  1/1  x   invalid: too short; it runs again with target_qps 200 instead of 400"
    assert told in " ".join(capsys.readouterr().out.split("\n"))


@pytest.mark.parametrize(
    ("fails", "changes", "said"),
    [
        ("no disk", {}, "its target is not adjusted: no disk"),
        ("", {"tainted": ["it throttled"]}, "its target is not adjusted: its host drifted"),
        ("", {"verdict": "valid"}, ""),
    ],
)
def test_where_no_plan_comes_of_it_the_cell_ends_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fails: str, changes: dict[str, Any], said: str
) -> None:
    play = Play(monkeypatch, fails)
    assert not play.adjusts(**changes)
    assert (play.planned, play.tally.adjusted) == ([], [])
    told = capsys.readouterr()
    assert said in told.out + told.err
    assert bool(told.out + told.err) is bool(said)


@pytest.mark.parametrize(
    ("planned", "state", "missed"),
    [
        (_PLANNED, {"state": "needed", "verdict": "invalid"}, True),
        ({}, {"state": "needed", "verdict": "invalid"}, False),
        (_PLANNED, {"state": "needed", "verdict": "failed"}, False),
        (_PLANNED, {"state": "running", "verdict": None}, False),
        (_PLANNED, {"state": "needed"}, False),
    ],
)
def test_an_invalid_attempt_of_an_earlier_play_is_looked_at_before_the_cell_runs(
    planned: dict[str, Any],
    state: dict[str, Any],
    missed: bool,  # noqa: FBT001  # of a case
) -> None:
    assert adjusted.was_missed(planned, state) is missed
