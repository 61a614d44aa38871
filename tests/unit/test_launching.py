"""How a host starts cells, what a unit says of its end, and the cause of an attempt without a result."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mlperf_ops.errors import ToolError
from mlperf_ops.files import JsonObject, write_json
from mlperf_ops.harness import cgroup, confined, launching, supervisor, unit_end, vanished
from mlperf_ops.harness.attempt_files import ENVIRONMENT, UNIT_END
from mlperf_ops.harness.cpus import format_cpu_list
from mlperf_ops.harness.launching import Facts, why_no_unit
from mlperf_ops.harness.unit_end import UnitEnd
from mlperf_ops.model import Confinement
from mlperf_ops.typed import dump
from tests.support.images import make_images
from tests.support.specs import make_spec

_ROOT = Facts(systemd=True, systemd_run=True, uid=0)
_USER = Facts(systemd=True, systemd_run=True, uid=1000)
_NONE = Facts(systemd=False, systemd_run=True, uid=0)


@pytest.mark.parametrize(
    ("launcher", "found", "may_become", "refused", "why"),
    [
        ("auto", _ROOT, False, "", ""),
        ("auto", _USER, True, "", ""),
        ("systemd", _USER, True, "", ""),
        ("auto", _USER, False, "", "only root may start units, and mlperf_become is false"),
        ("auto", _NONE, True, "", "systemd is not PID 1 on this host"),
        ("auto", Facts(systemd=True, systemd_run=False, uid=0), True, "", "this host has no systemd-run"),
        ("auto", _USER, True, "sudo: a password is required", "sudo: a password is required"),
        ("session", _ROOT, True, "", "mlperf_launcher is session"),
    ],
)
def test_a_host_starts_cells_in_units_where_it_can(
    launcher: str,
    found: Facts,
    may_become: bool,  # noqa: FBT001  # pytest passes it by name
    refused: str,
    why: str,
) -> None:
    assert why_no_unit(launcher, found, may_become=may_become, refused=refused) == why


def test_units_that_are_asked_for_and_cannot_be_had_are_refused_in_a_sentence() -> None:
    with pytest.raises(ToolError, match=r"cannot run in systemd units here.*systemd is not PID 1 on this host") as told:
        why_no_unit("systemd", _NONE, may_become=True)
    assert "mlperf_launcher: auto" in str(told.value.hint)


def test_a_session_says_which_limits_it_does_not_keep() -> None:
    assert launching.in_session("why", Confinement())["not_offered"] == []
    told = launching.in_session("why", Confinement(cpus=("0",), memory_max_mib=100))
    assert told["not_offered"] == [
        "memory_max_mib 100: not enforced outside of a unit",
        "cpuset: none outside of a unit; the processes bind themselves",
    ]


def test_a_unit_is_named_by_run_cell_and_attempt_and_by_no_other(tmp_path: Path) -> None:
    spec = make_spec(make_images(tmp_path / "images", 1), None)
    one = launching.unit_name("my+lab", spec, tmp_path / "attempt_12")
    cell = spec.cell
    assert one.startswith(f"mlperf-my_lab-{cell.benchmark}-{cell.scenario}-{cell.mode}-12-")
    assert one.endswith(".service")
    assert one != launching.unit_name("my+lab", spec, tmp_path / "other" / "attempt_12")
    assert len(launching.unit_name("x" * 300, spec, tmp_path / "attempt_1")) < 256


def test_an_attempt_is_given_up_or_begun_and_never_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_spec(make_images(tmp_path / "images", 1), None)
    monkeypatch.setenv("MY_CELLS_NEED", "this")
    monkeypatch.setenv("SSH_CONNECTION", "1.2.3.4")
    begun, given_up = tmp_path / "attempt_1", tmp_path / "attempt_2"
    for attempt in (begun, given_up):
        attempt.mkdir()
        unit = launching.prepare_unit("lab", spec, attempt, ["python"], 1000)
        assert (attempt / ENVIRONMENT).stat().st_mode & 0o777 == 0o600
        assert unit["argv"] == ["python", "--environment", str(attempt / ENVIRONMENT)]
        assert "this" not in json.dumps(unit)
    monkeypatch.delenv("MY_CELLS_NEED")
    monkeypatch.delenv("SSH_CONNECTION")
    launching.take_environment(begun / ENVIRONMENT)
    assert os.environ["MY_CELLS_NEED"] == "this"
    assert "SSH_CONNECTION" not in os.environ
    launching.abandon(begun)
    assert list(begun.iterdir()) == []
    launching.abandon(given_up)
    assert not given_up.exists()
    with pytest.raises(ToolError, match="given up before its unit began"):
        launching.take_environment(given_up / ENVIRONMENT)


def test_systemctl_show_tells_whether_a_unit_is_over_and_how() -> None:
    running = "LoadState=loaded\nActiveState=active\nResult=success\nExecMainCode=0\nExecMainStatus=0\n"
    assert unit_end.parse_show(running) == (False, None)
    killed = "LoadState=loaded\nActiveState=failed\nResult=oom-kill\nExecMainCode=2\nExecMainStatus=9\n"
    over, end = unit_end.parse_show(killed)
    assert over
    assert end == UnitEnd("oom-kill", "killed", "9")
    assert end.for_memory
    gone = "LoadState=not-found\nActiveState=inactive\nResult=success\nExecMainCode=0\nExecMainStatus=0\n"
    assert unit_end.parse_show(gone) == (True, None)


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        (UnitEnd("signal", "killed", "KILL"), "its main process was ended by SIGKILL"),
        (UnitEnd("signal", "killed", "9"), "its main process was ended by signal 9"),
        (UnitEnd("core-dump", "dumped", "SEGV"), "its main process was ended by SIGSEGV with a core dump"),
        (UnitEnd("exit-code", "exited", "1"), "its main process ended with exit code 1"),
        (UnitEnd("timeout", "killed", "KILL"), "it did not stop in time and was killed"),
        (UnitEnd("resources"), "systemd says: resources"),
    ],
)
def test_the_end_of_a_unit_is_told_in_words(end: UnitEnd, sentence: str) -> None:
    assert end.sentence == sentence


def test_the_cause_of_an_attempt_without_result_is_what_its_unit_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vanished, "kernel_words", lambda _pids: "")
    monkeypatch.setattr(vanished, "oom_kills", lambda: 7)
    state: JsonObject = {"boot_id": "b", "pid": 1, "oom_kills": 7}
    told = vanished.cause(state, tmp_path, "b", UnitEnd("signal", "killed", "KILL"))
    assert (told.kind, told.message) == (
        "killed",
        "the cell's processes were killed (no reboot): its main process was ended by SIGKILL",
    )
    told = vanished.cause(state, tmp_path, "b", UnitEnd("signal", "killed", "KILL", 1, 300 << 20))
    assert told.kind == "out_of_memory"
    assert "overrunning the unit's memory limit (MemoryMax, 300 MiB)" in told.message
    assert "raise memory_max_mib" in told.hint
    told = vanished.cause(state, tmp_path, "b", UnitEnd("oom-kill", "killed", "KILL", 0, 300 << 20))
    assert (told.kind, told.message) == ("out_of_memory", "the kernel's out-of-memory killer ended it")
    assert vanished.cause(state, tmp_path, "other", UnitEnd("signal")).kind == "host_rebooted"
    assert vanished.with_journal(told, {"unit": "u.service"}).endswith("; journalctl -u u.service")
    assert vanished.with_journal(told, {}) == told.hint


def test_the_end_of_a_unit_is_noted_only_where_there_is_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["unit_end", str(tmp_path)])
    for name, value in {"SERVICE_RESULT": "signal", "EXIT_CODE": "killed", "EXIT_STATUS": "TERM"}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "result.json").touch()
    assert unit_end.main() == 0
    assert not (tmp_path / UNIT_END).exists()
    (tmp_path / "result.json").unlink()
    assert unit_end.main() == 0
    assert "no result in" in capsys.readouterr().out
    noted = unit_end.await_end(tmp_path, "none.service")
    assert noted is not None
    assert (noted.result, noted.code, noted.status) == ("signal", "killed", "TERM")


def test_memory_groups_of_both_versions_are_read(tmp_path: Path) -> None:
    membership = tmp_path / "proc/self/cgroup"
    membership.parent.mkdir(parents=True)
    membership.write_text("0::/mlperf.slice/a.service/.control\n")
    assert cgroup.own(tmp_path) is None
    group = tmp_path / "sys/fs/cgroup/mlperf.slice/a.service"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("1048576\n")
    (group / "memory.events").write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert cgroup.own(tmp_path) == cgroup.MemoryGroup(1 << 20, 2)
    (group / "memory.max").write_text("max\n")
    assert cgroup.own(tmp_path) == cgroup.MemoryGroup(None, 2)
    membership.write_text("4:cpuset:/x\n3:memory:/mlperf.slice/a.service\n0::/x\n")
    old = tmp_path / "sys/fs/cgroup/memory/mlperf.slice/a.service"
    old.mkdir(parents=True)
    (old / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (old / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    assert cgroup.own(tmp_path) == cgroup.MemoryGroup(None, 1)


def test_a_limit_that_did_not_take_hold_is_told() -> None:
    have = format_cpu_list(frozenset(os.sched_getaffinity(0)))
    most = str(1 << 62)
    told = confined.read_back(
        {"by": "systemd", "properties": {"AllowedCPUs": "4095", "MemoryMax": most}, "not_offered": ["x"]}
    )
    assert told["cpus"] == have
    assert told["not_offered"] == [
        "x",
        f"AllowedCPUs 4095: set, and the unit may use {have} all the same",
        *([f"MemoryMax {int(most) >> 20} MiB: set, and the unit's group has no such limit"]
          if told["memory_limit_bytes"] is None else []),
    ]  # fmt: skip
    assert confined.read_back({"by": "session"}) == {"by": "session"}


def test_settling_waits_for_the_unit_to_have_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_spec(make_images(tmp_path / "images", 1), None)
    attempt = tmp_path / "attempt_1"
    attempt.mkdir()
    write_json(attempt / "spec.json", dump(spec))
    launcher: JsonObject = {"by": "systemd", "unit": "u.service", "not_offered": []}
    state: JsonObject = {"boot_id": supervisor.boot_id(), "pid": 1, "start_ticks": 1, "launcher": launcher}
    write_json(attempt / "state.json", state)
    asked: list[str] = []

    def ask(unit: str) -> tuple[bool, UnitEnd | None]:
        asked.append(unit)
        write_json(attempt / UNIT_END, {"result": "oom-kill", "code": "killed", "status": "KILL",
                                        "oom_kills": 1, "memory_max_bytes": 100 << 20})  # fmt: skip
        return False, None

    monkeypatch.setattr(unit_end, "_ask", ask)
    monkeypatch.setattr(vanished, "kernel_words", lambda _pids: "")
    supervisor.settle(attempt)
    result = json.loads((attempt / "result.json").read_text())
    assert asked == ["u.service"]
    assert result["failure"]["kind"] == "out_of_memory"
    assert "journalctl -u u.service" in result["failure"]["hint"]
    assert result["effective"]["launcher"] == launcher
    assert not (attempt / UNIT_END).exists()
