"""How a play waits beside a cell on another host: progress lines, a lost connection, and a play that is over."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure

from tests.support.plugins import plugin

watch = plugin("plugin_utils.watch")
_CELL = {"expected": {"low": 100.0, "high": 200.0}}


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now, self.pauses = 1000.0, list[float]()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class Host:
    """A host over a connection that gives prepared answers; None: it is lost at this look."""

    def __init__(self, answers: Iterable[str | None]) -> None:
        self._answers = iter(answers)
        self.commands: list[str] = []
        self.resets, self.beats = 0, list[str]()
        self._connection = SimpleNamespace(transport="ssh", reset=self._reset)

    def _reset(self) -> None:
        self.resets += 1

    def _low_level_execute_command(self, command: str) -> dict[str, Any]:
        self.commands.append(command)
        answer = next(self._answers)
        if answer is None:
            raise AnsibleConnectionFailure("unreachable")
        return {"stdout": answer}

    def watched(self, lost_seconds: float = 600.0) -> Any:  # noqa: ANN401  # watch.Watch
        return watch.Watch(self, "/home/m", lost_seconds, lambda: None, self.beats.append)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watch, "time", clock)
    return clock


def test_each_phase_is_shown_and_then_a_line_at_a_tenth_of_what_is_expected(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    host = Host(["running", "running loading", *["running measuring"] * 12, "ended"])
    host.watched().until_end("sut1  1/1  x", "runs/a", _CELL)
    said = [line.split("   ")[1] for line in capsys.readouterr().out.splitlines()]
    assert said == [
        "loading  2 s of 100 to 200 s",
        "measuring  4 s of 100 to 200 s",
        "measuring  24 s of 100 to 200 s",
    ]
    assert set(clock.pauses) == {2.0}
    assert host.beats == ["sut1  1/1  x"] * 15
    assert "/home/m/runs/a" in host.commands[0]


@pytest.mark.parametrize("answer", ["ended", "gone", ""])
def test_an_attempt_that_does_not_run_is_not_waited_for(clock: Clock, answer: str) -> None:
    Host([answer]).watched().until_end("x", "runs/a", _CELL)
    assert clock.pauses == []


def test_a_long_cell_is_looked_at_seldom_by_a_host_that_waits_itself(clock: Clock) -> None:
    host = Host(["running x", "ended"])
    host.watched().until_end("x", "runs/a", _CELL, elapsed_before=120.0)
    assert clock.pauses == [12]
    assert host.commands[0] == watch.looks.script(watch.Path("/home/m/runs/a"), 12, 3)


def test_a_lost_connection_is_looked_over_and_said(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    host = Host(["running x", None, None, "running x", None, "ended"])
    host.watched(lost_seconds=3.0).until_end("x", "runs/a", _CELL)
    phases = [line.split("   ")[1].split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    assert phases == ["x", "no answer", "x", "no answer"]
    assert host.resets == 3


def test_a_host_that_is_silent_for_too_long_is_left(clock: Clock) -> None:
    host = Host(["running x", None, None, None, "ended"])
    with pytest.raises(AnsibleConnectionFailure, match="the host has not answered for 4 s while it ran a cell"):
        host.watched(lost_seconds=4.0).until_end("x", "runs/a", _CELL)


def test_a_worker_of_a_play_that_is_over_does_not_wait_on(clock: Clock) -> None:
    def over() -> None:
        raise AnsibleActionFail("the play that wanted this has ended")

    host = Host(["running x"])
    with pytest.raises(AnsibleActionFail, match="has ended"):
        watch.Watch(host, "/home/m", 600.0, over, host.beats.append).until_end("x", "runs/a", _CELL)
    assert host.commands == []


def test_the_last_words_of_a_process_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Host(["one\n\x1b[31mtwo\n"]).watched().show_last_lines("runs/it's")
    assert capsys.readouterr().out == "    one\n     [31mtwo\n"
