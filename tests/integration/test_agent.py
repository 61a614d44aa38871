"""What a controller asks a host: the real agent, real runs, one JSON object in and one out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.files import sha256_json, write_json
from mlperf_ops.model import Spec
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
        code, answer = self.ask("start", {"run_id": "r", "cell": self.cell})
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
        try:
            os.kill(json.loads(state.read_text())["pid"], signal.SIGTERM)
        except ProcessLookupError:
            continue


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
    code, answer = busy_host.ask("start", {"run_id": "r", "cell": busy_host.cell})
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
    deadline = time.monotonic() + 10
    while Path(f"/proc/{state['pid']}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert busy_host.ask("poll", {"path": started["path"]})[1]["state"] == "vanished"
    assert busy_host.status()["state"] == "needed"
    again = busy_host.start()
    assert again["path"] != started["path"]


def test_a_component_that_the_host_lacks_is_one_sentence(host: Host) -> None:
    del host.provision["components"]["resnet50"]
    write_json(host.home / "state" / "provision.json", host.provision)
    code, answer = host.ask("status", {"run_id": "r", "cells": [host.cell]})
    assert code == 3
    assert answer == {
        "error": "this host does not hold the model 'resnet50'",
        "hint": "run the provision playbook first",
    }


def test_a_pinned_digest_must_be_the_hosts(host: Host) -> None:
    host.cell["request"]["model"]["sha256"] = "c" * 64
    code, answer = host.ask("status", {"run_id": "r", "cells": [host.cell]})
    assert code == 3
    assert "the plan pins cccc" in answer["error"]
