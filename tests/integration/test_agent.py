"""What a controller asks a host: the real agent, real runs, one JSON object in and one out."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.files import sha256_json, write_json
from mlperf_ops.harness.supervisor import running_since, settle
from mlperf_ops.model import Result, Spec
from mlperf_ops.typed import load
from tests.support.images import make_images, write_colour_model
from tests.support.specs import make_spec, provision_of, request_of

pytestmark = pytest.mark.integration


class Host:
    """A home folder with one cell to run."""

    def __init__(self, folder: Path, **changes: Any) -> None:  # noqa: ANN401  # fields of Spec
        self.home = folder / "home"
        images = make_images(folder / "imagenet", 6)
        self.spec: Spec = make_spec(images, write_colour_model(folder / "m.onnx"), **changes)
        self.provision = provision_of(self.spec, sys.executable)
        write_json(self.home / "state" / "provision.json", self.provision)
        self.limits: dict[str, Any] = {}
        request = request_of(self.spec)
        self.cell: dict[str, Any] = {
            "key": self.spec.cell.key,
            "request": request,
            "request_sha256": sha256_json(request),
        }

    def ask(self, verb: str, question: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, "-m", "mlperf_ops.harness.agent", verb, "--home", str(self.home)],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)

    def status(self) -> dict[str, Any]:
        code, answer = self.ask("status", {"run_id": "r", "cells": [self.cell]})
        assert code == 0, answer
        state: dict[str, Any] = answer["cells"][0]
        return state

    def start(self) -> dict[str, Any]:
        code, answer = self.ask("start", {"run_id": "r", "cell": self.cell, "host_state": self.limits})
        assert code == 0, answer
        return answer

    def wait(self, path: str) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            answer = self.ask("poll", {"path": path})[1]
            if answer["state"] != "running":
                return answer
            time.sleep(0.1)
        raise AssertionError("the cell did not end")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def busy_host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path, scenario="SingleStream", accuracy=False, queries=10_000_000)
    yield made
    for state in made.home.rglob("state.json"):
        with contextlib.suppress(ProcessLookupError, ValueError):  # a test damages one
            os.kill(json.loads(state.read_text())["pid"], signal.SIGTERM)
    for child in made.home.rglob("attempt_*/child"):  # of a supervisor that was killed; others take theirs along
        with contextlib.suppress(ProcessLookupError, FileNotFoundError, IndexError):
            os.killpg(int(child.read_text().split()[0]), signal.SIGKILL)


def test_a_cell_is_needed_then_runs_then_is_good_and_stays_good(host: Host) -> None:
    assert host.status()["state"] == "needed"
    started = host.start()
    ended = host.wait(started["path"])
    assert (ended["state"], ended["verdict"], ended["summary"]) == ("ended", "valid", "acc 100.000%")
    after = host.status()
    assert (after["state"], after["path"]) == ("good", started["path"])


@pytest.mark.parametrize(
    "change",
    [
        lambda provision: provision["components"]["resnet50"].update(sha256="b" * 64),
        lambda provision: provision["python"]["packages"].update(onnxruntime="2"),
        lambda provision: provision["harness"].update(sha256="f" * 64),
    ],
    ids=["model digest", "package version", "harness code"],
)
def test_a_change_on_the_host_makes_the_cell_needed_again(host: Host, change: Any) -> None:  # noqa: ANN401
    host.wait(host.start()["path"])
    assert host.status()["state"] == "good"
    change(host.provision)
    write_json(host.home / "state" / "provision.json", host.provision)
    assert host.status()["state"] == "needed"


def test_a_measurement_that_the_controller_rejected_is_needed_again_and_stays(host: Host) -> None:
    first = host.start()
    host.wait(first["path"])
    rejected = {"rejected": [first["path"]]}
    state = host.ask("status", {"run_id": "r", "cells": [host.cell], **rejected})[1]["cells"][0]
    assert (state["state"], state["verdict"], state["attempt"]) == ("needed", "valid", "attempt_1")
    again = host.ask("start", {"run_id": "r", "cell": host.cell, **rejected})[1]
    assert (again["state"], again["attempt"]) == ("started", "attempt_2")
    host.wait(again["path"])
    state = host.ask("status", {"run_id": "r", "cells": [host.cell], **rejected})[1]["cells"][0]
    assert (state["state"], state["attempt"]) == ("good", "attempt_2")
    assert (host.home / first["path"] / "result.json").is_file()


def test_a_changed_request_is_needed_and_the_old_result_stays(host: Host) -> None:
    first = host.start()
    host.wait(first["path"])
    host.cell["request"]["argv"] = (*host.cell["request"]["argv"],)  # the same argv is the same cell
    assert host.status()["state"] == "good"
    host.cell["request"]["warmup_seconds"] = 0.07
    assert host.status()["state"] == "needed"
    assert (host.home / first["path"] / "result.json").is_file()


def test_a_running_cell_is_attached_to_and_never_started_twice(busy_host: Host) -> None:
    started = busy_host.start()
    state = busy_host.status()
    assert (state["state"], state["path"]) == ("running", started["path"])
    code, answer = busy_host.ask("start", {"run_id": "r", "cell": busy_host.cell})  # as a second controller may
    assert (code, answer["state"], answer["path"]) == (0, "running", started["path"])
    other = {**busy_host.cell, "request": {**busy_host.cell["request"], "warmup_seconds": 0.07}}
    code, answer = busy_host.ask("start", {"run_id": "r", "cell": other})
    assert code == 6
    assert "this host already runs sut/resnet50/SingleStream/performance" in answer["error"]
    running = busy_host.ask("poll", {"path": started["path"]})[1]
    assert running["state"] == "running"
    assert running["elapsed_seconds"] >= 0


def test_a_run_that_died_without_a_result_is_needed_again(busy_host: Host) -> None:
    started = busy_host.start()
    state = json.loads((busy_host.home / started["path"] / "state.json").read_text())
    child = int(Path(f"/proc/{state['pid']}/task/{state['pid']}/children").read_text().split()[0])
    os.kill(state["pid"], signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
    await_end(state["pid"])
    told = busy_host.ask("poll", {"path": started["path"]})[1]
    assert (told["state"], told["verdict"], told["kind"]) == ("ended", "failed", "killed")
    assert told["reasons"][0].startswith("the cell's processes were killed (no reboot)")
    result = load(Result, json.loads((busy_host.home / started["path"] / "result.json").read_text()), "result.json")
    assert result.failure is not None
    assert busy_host.status()["state"] == "needed"
    again = busy_host.start()
    assert again["path"] != started["path"]


def await_end(pid: int) -> None:
    """Wait until a process is gone."""
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)


def kill_supervisor(host: Host, path: str) -> tuple[int, int]:
    """Kill the supervisor alone, once its child measures; return both process ids."""
    state = json.loads((host.home / path / "state.json").read_text())
    note = host.home / path / "child"
    deadline = time.monotonic() + 20
    while not note.is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    child = int(note.read_text().split()[0])
    os.kill(state["pid"], signal.SIGKILL)
    await_end(state["pid"])
    return state["pid"], child


def test_what_a_killed_supervisor_left_running_is_ended_before_the_next_attempt(busy_host: Host) -> None:
    started = busy_host.start()
    _, child = kill_supervisor(busy_host, started["path"])
    assert Path(f"/proc/{child}").exists(), "the child ended by itself, so this test shows nothing"
    again = busy_host.start()
    assert again["path"] != started["path"]
    await_end(child)
    assert not Path(f"/proc/{child}").exists()


def test_a_run_of_another_boot_failed_because_the_host_rebooted(busy_host: Host) -> None:
    started = busy_host.start()
    _, child = kill_supervisor(busy_host, started["path"])
    os.kill(child, signal.SIGKILL)
    file = busy_host.home / started["path"] / "state.json"
    write_json(file, {**json.loads(file.read_text()), "boot_id": "of another boot"})
    told = busy_host.ask("poll", {"path": started["path"]})[1]
    assert (told["verdict"], told["kind"]) == ("failed", "host_rebooted")
    assert told["reasons"][0].startswith("the host rebooted or lost power during the cell (up since 20")


def test_the_kernels_own_words_name_the_cause_with_a_simulated_kernel_log(
    busy_host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = busy_host.start()
    pid, child = kill_supervisor(busy_host, started["path"])
    words = f"Out of memory: Killed process {pid} (python3) total-vm:9000kB, anon-rss:8000kB"
    said = f"echo 'Out of memory: Killed process 4194305 (other)'; echo '{words}'"
    for name in ("journalctl", "dmesg"):
        (tmp_path / name).write_text(f"#!/bin/sh\n{said}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    told = busy_host.ask("poll", {"path": started["path"]})[1]
    assert (told["verdict"], told["kind"]) == ("failed", "out_of_memory")
    assert told["reasons"] == [f"the kernel's out-of-memory killer ended it: {words}"]
    await_end(child)


def test_looking_alone_writes_nothing(busy_host: Host) -> None:
    started = busy_host.start()
    _, child = kill_supervisor(busy_host, started["path"])
    busy_host.ask("status", {"run_id": "r", "cells": [busy_host.cell], "read_only": True})
    assert not (busy_host.home / started["path"] / "result.json").exists()
    assert Path(f"/proc/{child}").exists()
    busy_host.status()
    assert (busy_host.home / started["path"] / "result.json").is_file()


def tune_a_simulated_knob(host: Host, folder: Path) -> Path:
    """Let tuning have set a knob that is a plain file."""
    knob = folder / "policy0" / "scaling_governor"
    knob.parent.mkdir()
    knob.write_text("performance\n")
    knobs = {"governor.policy0": {"path": str(knob), "value": "performance"}}
    write_json(host.home / "state" / "tuning.json", {"schema": 1, "settings": {}, "skipped": {}, "knobs": knobs})
    return knob


def test_a_knob_that_changes_while_a_cell_runs_taints_it_with_a_simulated_knob(busy_host: Host, tmp_path: Path) -> None:
    knob = tune_a_simulated_knob(busy_host, tmp_path)
    busy_host.limits = {"sample_seconds": 0.1}
    started = busy_host.start()
    time.sleep(0.5)
    knob.write_text("powersave\n")
    time.sleep(0.5)
    knob.write_text("performance\n")  # put back before the end: the samples saw it
    state = json.loads((busy_host.home / started["path"] / "state.json").read_text())
    os.kill(state["pid"], signal.SIGTERM)
    ended = busy_host.wait(started["path"])
    sentence = "governor of policy0 changed from performance to powersave during the cell"
    assert (ended["verdict"], ended["tainted"]) == ("failed", [sentence])


def test_a_tainted_result_stays_and_is_replaced_by_an_untainted_one_with_a_simulated_knob(
    host: Host, tmp_path: Path
) -> None:
    knob = tune_a_simulated_knob(host, tmp_path)
    knob.write_text("powersave\n")
    tainted = host.start()
    ended = host.wait(tainted["path"])
    sentence = "before the cell, governor of policy0 is powersave, tuning had set performance"
    assert (ended["verdict"], ended["tainted"]) == ("valid", [sentence])
    state = host.status()
    assert (state["state"], state["verdict"], state["path"]) == ("needed", "valid", tainted["path"])
    assert state["reasons"] == [f"tainted: {sentence}"]
    knob.write_text("performance\n")
    again = host.start()
    assert host.wait(again["path"])["tainted"] == []
    state = host.status()
    assert (state["state"], state["path"]) == ("good", again["path"])
    assert (host.home / tainted["path"] / "result.json").is_file()


def test_an_invalid_result_stands_before_a_tainted_one(host: Host) -> None:
    first = host.start()
    host.wait(first["path"])
    second = host.start()
    host.wait(second["path"])
    for path, change in ((first, {"verdict": "invalid", "reasons": ["x"]}), (second, {"tainted": ["hot"]})):
        file = host.home / path["path"] / "result.json"
        write_json(file, {**json.loads(file.read_text()), **change})
    state = host.status()
    assert (state["state"], state["verdict"], state["path"]) == ("needed", "invalid", first["path"])


def test_a_result_of_an_older_version_knows_no_taint_and_is_good(host: Host) -> None:
    started = host.start()
    host.wait(started["path"])
    file = host.home / started["path"] / "result.json"
    old = json.loads(file.read_text())
    del old["tainted"]
    write_json(file, old)
    assert host.status()["state"] == "good"
    assert load(Result, old, "result.json").tainted == ()


def test_limits_come_with_the_question_and_are_no_part_of_the_spec(host: Host) -> None:
    host.limits = {"foreign_cpu_percent_max": 0.0, "load_before_max": 0.0}
    started = host.start()
    tainted = host.wait(started["path"])["tainted"]
    assert any("more than load_before_max 0" in sentence for sentence in tainted)
    state = json.loads((host.home / started["path"] / "host_state.json").read_text())
    assert state["limits"]["load_before_max"] == 0.0
    assert state["tainted"] == tainted
    manifest = json.loads((host.home / started["path"] / "manifest.json").read_text())
    assert "host_state.json" in manifest["files"]
    host.limits = {}
    assert host.status()["spec_sha256"] == started["spec_sha256"]


def test_a_limit_that_nobody_knows_is_one_sentence(host: Host) -> None:
    host.limits = {"temperature_max": 95}
    code, answer = host.ask("start", {"run_id": "r", "cell": host.cell, "host_state": host.limits})
    assert code != 0
    assert "unknown key 'temperature_max'" in answer["error"]


def test_the_state_of_a_host_names_what_is_not_as_tuned_with_a_simulated_knob(host: Host, tmp_path: Path) -> None:
    knob = tune_a_simulated_knob(host, tmp_path)
    code, answer = host.ask("state", {})
    assert (code, answer["tuned_knobs"], answer["drifted"]) == (0, 1, [])
    knob.write_text("powersave\n")
    assert host.ask("state", {})[1]["drifted"] == ["governor of policy0 is powersave, tuning had set performance"]


def test_a_component_that_the_host_lacks_is_one_sentence(host: Host) -> None:
    del host.provision["components"]["resnet50"]
    write_json(host.home / "state" / "provision.json", host.provision)
    code, answer = host.ask("status", {"run_id": "r", "cells": [host.cell]})
    assert code == 3
    assert answer == {
        "error": "this host does not hold the model 'resnet50'",
        "hint": "the provision playbook brings it, or says why it cannot",
    }


def test_a_pinned_digest_must_be_the_hosts(host: Host) -> None:
    host.cell["request"]["model"]["sha256"] = "c" * 64
    code, answer = host.ask("status", {"run_id": "r", "cells": [host.cell]})
    assert code == 3
    assert "the plan pins cccc" in answer["error"]


@pytest.mark.parametrize("seconds", [-86400, 86400], ids=["forward", "back"])
def test_a_clock_that_jumps_makes_a_cell_neither_vanish_nor_last_less_than_nothing_with_a_moved_file_time(
    busy_host: Host, seconds: int
) -> None:
    """Hosts of a lab share the kernel's clock, so what it wrote is moved instead of the clock."""
    started = busy_host.start()
    state = busy_host.home / started["path"] / "state.json"
    moved = state.stat().st_mtime + seconds
    os.utime(state, (moved, moved))
    told = busy_host.ask("poll", {"path": started["path"]})[1]
    assert told["state"] == "running"
    assert told["elapsed_seconds"] >= 0
    assert busy_host.status()["state"] == "running"
    os.kill(json.loads(state.read_text())["pid"], signal.SIGTERM)
    ended = busy_host.wait(started["path"])
    result = json.loads((busy_host.home / started["path"] / "result.json").read_text())
    assert (ended["verdict"], ended["kind"]) == ("failed", "interrupted")
    assert 0 < result["elapsed_seconds"] < 600  # by the clock that does not jump


def test_what_a_killed_supervisor_left_is_ended_before_a_cell_of_another_run_starts(busy_host: Host) -> None:
    """In a process session nobody else ends the child, and its lock went with the supervisor."""
    orphaned = busy_host.home / busy_host.start()["path"]
    child = _child_of(orphaned)
    os.kill(json.loads((orphaned / "state.json").read_text())["pid"], signal.SIGKILL)
    code, answer = busy_host.ask("start", {"run_id": "another", "cell": busy_host.cell, "host_state": {}})
    assert (code, answer["state"]) == (0, "started"), answer
    assert running_since(child) is None
    result = json.loads((orphaned / "result.json").read_text())
    assert (result["verdict"], result["failure"]["kind"]) == ("failed", "killed")


def test_a_damaged_file_of_another_run_keeps_no_cell_from_starting(busy_host: Host) -> None:
    old = busy_host.home / "runs/old/sut1/b/Offline/performance/0123456789ab/attempt_1"
    old.mkdir(parents=True)
    (old / "state.json").write_text("{")
    assert busy_host.start()["state"] == "started"


def test_a_unit_that_is_asked_for_again_after_its_host_was_busy_is_no_lost_cell(host: Host) -> None:
    """The first answer was lost with the connection, and the attempt is gone: nothing was measured there."""
    question = {"key": host.spec.cell.key, "path": "runs/r/x/attempt_1", "unit": "mlperf-x.service"}
    code, answer = host.ask("started", question)
    assert code == 6
    assert "ran another cell" in answer["error"]


def test_of_two_controllers_that_find_a_vanished_cell_one_writes_its_result(busy_host: Host) -> None:
    vanished = busy_host.home / busy_host.start()["path"]
    _child_of(vanished)
    with (vanished / "state.json").open("r+") as first:
        fcntl.flock(first, fcntl.LOCK_EX)  # another controller settles it
        os.kill(json.loads(first.read())["pid"], signal.SIGKILL)
        with ThreadPoolExecutor(1) as pool:
            second = pool.submit(busy_host.ask, "poll", {"path": str(vanished.relative_to(busy_host.home))})
            time.sleep(1.0)
            assert not second.done()
            settle(vanished)
            of_first = (vanished / "result.json").read_bytes()
            fcntl.flock(first, fcntl.LOCK_UN)
            told = second.result(timeout=60)[1]
    assert (told["state"], told["kind"]) == ("ended", "killed")
    assert (vanished / "result.json").read_bytes() == of_first


def _child_of(attempt: Path) -> int:
    deadline = time.monotonic() + 60
    while not (attempt / "child").is_file() or not (text := (attempt / "child").read_text()):
        assert time.monotonic() < deadline, "nothing measures"
        time.sleep(0.05)
    return int(text.split()[0])
