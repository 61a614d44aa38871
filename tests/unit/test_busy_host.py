"""How a cell waits for its host while that measures a cell of another run: a real shell and the kernel's real locks."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from tests.support.plugins import plugin

busy = plugin("plugin_utils.busy")


class Here:
    """An action whose host is this machine."""

    def _low_level_execute_command(self, command: str, in_data: bytes, **_: object) -> dict[str, Any]:
        done = subprocess.run(command.split(), input=in_data, capture_output=True, check=True)
        return {"stdout": done.stdout.decode()}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(busy.time, "sleep", slept.append)
    return slept


def test_it_waits_until_the_lock_is_free_and_names_who_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").mkdir()
    slept: list[float] = []
    with (tmp_path / "runs" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"sut1/bert/Offline/accuracy (pid {os.getpid()})\n")
        lock.flush()

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 3:
                fcntl.flock(lock, fcntl.LOCK_UN)  # the file keeps its words

        monkeypatch.setattr(busy.time, "sleep", sleep)
        busy.until_free(Here(), "sut2  1/4", str(tmp_path), lambda: None, lost_seconds=60)
    assert slept == [10.0] * 4
    told = " ".join(capsys.readouterr().out.split())
    assert told.count(f"another run measures sut1/bert/Offline/accuracy (pid {os.getpid()}) on this host") == 1
    assert told.startswith("sut2 1/4 waits, since 0 s")


@pytest.mark.parametrize("there", [False, True])
def test_a_host_that_measures_nothing_is_free_at_once(tmp_path: Path, pauses: list[float], there: bool) -> None:  # noqa: FBT001
    if there:
        (tmp_path / "runs").mkdir()
        (tmp_path / "runs" / ".lock").write_text("sut1/bert/Offline/accuracy (pid 1)\n")
    busy.until_free(Here(), "sut2  1/4", str(tmp_path), lambda: None, lost_seconds=60)
    assert pauses == [10.0]


def test_a_play_that_has_ended_does_not_wait(tmp_path: Path) -> None:
    def ended() -> None:
        raise AnsibleActionFail("the play that wanted this has ended")

    with pytest.raises(AnsibleActionFail, match="has ended"):
        busy.until_free(Here(), "sut2  1/4", str(tmp_path), ended, lost_seconds=60)
