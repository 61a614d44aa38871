"""What a host and its inputs are remembered by: equal until somebody touches anything."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from mlperf_ops.files import sha256_json
from tests.support.plugins import plugin

host_fingerprint, host_store = plugin("module_utils.host_fingerprint"), plugin("module_utils.host_store")
host_unchanged, inputs = plugin("modules.host_unchanged"), plugin("plugin_utils.inputs")
Machine = plugin("module_utils.tuning_knob").Machine
Doubt = host_fingerprint.Doubt

_ATTEMPT = "runs/lab/a/efficientnet-lite0/Offline/accuracy/0123456789ab/attempt_1"
_CELL = {"system": "a", "benchmark": "efficientnet-lite0", "scenario": "Offline", "mode": "accuracy"}


class Home:
    """A provisioned home with one result, and what the controller says of the host."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "mlperf"
        self.root = folder / "root"
        self.write("harness/0123456789ab/agent.py", "agent")
        self.write("store/model/0123456789ab/model.onnx", "model")
        self.write(f"{_ATTEMPT}/result.json", "{}")
        self.write("state/time_sync.json", "{}")
        places = {name: self.path / name for name in ("harness/0123456789ab", "store/model/0123456789ab/model.onnx")}
        harness, model = (str(place) for place in places.values())
        provision = {
            "python": {"path": "/usr/bin/python3"},
            "harness": {"path": harness},
            "components": {"model": {"path": model}},
        }
        self.write("state/provision.json", json.dumps(provision))
        ledger = host_store.Ledger(self.path)
        for place in places.values():
            ledger.digest(place)
        ledger.save()
        self.parameters: dict[str, Any] = {
            "home": str(self.path),
            "run_id": "lab",
            "settings": {},
            "folders": [],
            "keeps_clock": False,
            "clock_limit_ms": 0,
        }

    def write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)

    def read(self, **changes: object) -> dict[str, str]:
        asked = host_fingerprint.Asked({**self.parameters, **changes})
        found: dict[str, str] = host_fingerprint.fingerprint(asked, Machine(str(self.root)))
        return found

    def different(self, before: dict[str, str]) -> set[str]:
        now = self.read()
        return {name for name in {*before, *now} if before.get(name) != now.get(name)}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_host_that_nobody_touches_is_the_same(home: Home) -> None:
    before = home.read()
    assert home.different(before) == set()
    home.write("state/time_sync.json", '{"offset_ms": 1}')  # a look writes it, and changes nothing
    home.write(f"state/{host_fingerprint.STAMP}", "{}")
    assert home.different(before) == set()


def test_a_result_and_a_state_file_are_parts_of_it(home: Home) -> None:
    before = home.read()
    home.write(f"{_ATTEMPT}/result.json", "{ }")
    assert home.different(before) == {"results"}
    home.write("state/host_packages.json", '{"files": {}, "folders": {}}')
    assert home.different(before) == {"results", "state"}
    os.chmod(home.path, 0o700)
    assert home.different(before) == {"results", "state", "folders"}


def test_what_nothing_refers_to_any_more_does_not_matter(home: Home) -> None:
    before = home.read()
    home.write("store/old/0123456789ab/model.onnx", "old")
    ledger = host_store.Ledger(home.path)
    ledger.digest(home.path / "store/old/0123456789ab")
    ledger.save()
    home.write("store/old/0123456789ab/model.onnx", "older")
    assert home.different(before) == {"state"}
    ledger.digest(home.path / "store/model/0123456789ab")  # of the folder around the file, read while it was damaged
    ledger.save()
    home.write("store/model/0123456789ab/other", "gone again")
    assert home.different(before) == {"state"}


def flip(home: Home) -> None:
    path = home.path / "store/model/0123456789ab/model.onnx"
    times = path.stat()
    path.write_text("modem")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def another_harness(home: Home) -> None:
    state = json.loads((home.path / "state/provision.json").read_text())
    state["harness"]["path"] = str(home.path / "harness" / "ba9876543210")
    home.write("state/provision.json", json.dumps(state))


def another_boot(home: Home) -> None:
    text = (home.path / "state/store.json").read_text()
    home.write("state/store.json", text.replace(host_store.boot_id(), "an earlier boot"))


_DOUBTS: dict[str, tuple[Callable[[Home], object], str]] = {
    "a byte with its time put back": (flip, "model.onnx was touched since it was read"),
    "a harness that is not there": (another_harness, "ba9876543210 has not been read in this boot"),
    "what was read before the boot": (another_boot, "was touched since it was read"),
    "a damaged file": (lambda home: home.write("state/provision.json", "{"), "a file of this host is damaged"),
    "no measurement of the clock": (lambda home: (home.path / "state/time_sync.json").unlink(), "there is no .*time_s"),
    "no provision": (lambda home: (home.path / "state/provision.json").unlink(), "provision.json: No such file"),
}


@pytest.mark.parametrize("name", _DOUBTS)
def test_what_is_not_as_the_roles_leave_it_is_a_doubt_in_one_sentence(home: Home, name: str) -> None:
    deed, sentence = _DOUBTS[name]
    home.read()
    deed(home)
    with pytest.raises(Doubt, match=sentence):
        home.read()


def test_tuning_that_the_host_does_not_have_is_a_doubt(home: Home) -> None:
    with pytest.raises(Doubt, match="not tuned to what the plan says"):
        home.read(settings={"governor": "performance"})


def test_a_stamp_is_of_one_run_and_of_its_inputs(home: Home) -> None:
    asked = host_fingerprint.Asked(home.parameters)
    with pytest.raises(Doubt, match="not been complete"):
        host_unchanged.compare(asked, {"plan": "1"})
    host_unchanged.remember(asked, {"plan": "1"})
    host_unchanged.compare(asked, {"plan": "1"})
    with pytest.raises(Doubt, match=r"not as it was: plan$"):
        host_unchanged.compare(asked, {"plan": "2"})
    other = host_fingerprint.Asked({**home.parameters, "run_id": "other"})
    with pytest.raises(Doubt, match="not been complete"):
        host_unchanged.compare(other, {"plan": "1"})
    host_unchanged.remember(other, {"plan": "2"})
    host_unchanged.compare(asked, {"plan": "1"})  # each run has its own
    home.write(f"state/{host_fingerprint.STAMP}", "{")
    with pytest.raises(Doubt, match="not been complete"):
        host_unchanged.compare(asked, {"plan": "1"})


def test_what_changed_after_the_roles_looked_is_not_remembered(home: Home) -> None:
    passwd = os.stat("/etc/passwd").st_ctime_ns
    os.utime(home.path / "state/time_sync.json", ns=(passwd - 1, passwd - 1))
    with pytest.raises(Doubt, match="was changed while the play was running"):
        host_unchanged.remember(host_fingerprint.Asked(home.parameters), {})


class Run:
    """A run's folder with one collected cell, its plan, and the host's variables."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.folder = folder / "hosts" / "a"
        self.host: dict[str, Any] = {"name": "a", "components": ["model"], "requirements": "harness-v6.1.txt"}
        request = {"argv": ["python"]}
        self.plan: dict[str, Any] = {
            "run_id": "lab",
            "round": "v6.1",
            "components": [{"name": "model", "sha256": "1"}, {"name": "other", "sha256": "2"}],
            "cells": [{"cell": _CELL, "host": "a", "status": "planned", "request": request}],
        }
        self.variables: dict[str, Any] = {"mlperf_home": "~/mlperf", "time_sync_manage": True, "ansible_user": "ops"}
        self.result: dict[str, Any] = {"verdict": "valid", "tainted": []}
        self.cell = {"key": "a/efficientnet-lite0/Offline/accuracy", "path": "x", "verdict": "valid"}
        self.cell["request_sha256"] = sha256_json(request)
        self.write()

    def write(self) -> None:
        (self.folder / "x").mkdir(parents=True, exist_ok=True)
        (self.folder / "cells.json").write_text(json.dumps({"cells": [self.cell]}))
        (self.folder / "x" / "result.json").write_text(json.dumps(self.result))
        for name in ("facts.json", "x/manifest.json"):
            (self.folder / name).write_text("{}")

    def given(self, **changes: object) -> dict[str, str]:
        variables = {"hostvars": {"a": {**self.variables, **changes}}}
        found: dict[str, str] = inputs.given(self.plan, self.host, variables)
        return found


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_inputs_are_the_plan_the_variables_and_the_code(run: Run) -> None:
    before = run.given()
    assert set(before) == {"plan", "variables", "code"}
    assert run.given(ansible_user="root", host_unchanged_trust=False) == before
    for name in ("mlperf_home", "time_sync_manage", "host_packages_extra", "loadgen_run_keep_going"):
        assert {**run.given(**{name: "other"}), "variables": ""} == {**before, "variables": ""} != before
        assert run.given(**{name: "other"}) != before
    run.plan["components"][1]["sha256"] = "3"  # of other hosts
    run.host["order"] = [run.cell["key"]]  # follows from what other hosts do
    assert run.given() == before
    run.plan["components"][0]["sha256"] = "3"
    assert run.given()["plan"] != before["plan"]
    changed = run.given()["plan"]
    run.plan["cells"][0]["request"] = {"argv": ["other"]}
    assert run.given()["plan"] not in {changed, before["plan"]}


def test_what_was_collected_has_to_be_there_whole(run: Run) -> None:
    before = inputs.collected(run.path, "a")
    (run.folder / "facts.json").write_text('{"values": {}}')
    assert inputs.collected(run.path, "a") != before
    run.write()
    (run.folder / "x" / "result.json").write_text('{"verdict": "invalid"}')
    assert inputs.collected(run.path, "a") != before
    for name in ("facts.json", "x/manifest.json", "cells.json"):
        run.write()
        (run.folder / name).unlink()
        with pytest.raises(AnsibleActionFail, match="json"):
            inputs.collected(run.path, "a")


def test_a_host_is_complete_when_every_planned_cell_has_a_good_result_of_its_request(run: Run) -> None:
    key = run.cell["key"]
    assert inputs.lacking(run.plan, run.path, "a") == ""
    run.result["tainted"] = ["governor of policy0 changed"]
    run.write()
    assert inputs.lacking(run.plan, run.path, "a") == key
    run.result["tainted"] = []
    run.cell["request_sha256"] = "0"
    run.write()
    assert inputs.lacking(run.plan, run.path, "a") == key
    run.plan["cells"][0]["status"] = "blocked"
    assert inputs.lacking(run.plan, run.path, "a") == ""
