"""What the action plugins share: plain values, run folders, answers of the command, and distrust of archives."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from ansible.errors import AnsibleActionFail

from mlperf_ops.files import sha256_json
from mlperf_ops.model import Cell
from tests.support.plugins import plugin

controller = plugin("plugin_utils.controller")
results_fetch = plugin("action.results_fetch")


class TaggedText(str):  # noqa: SLOT000  # stands for ansible-core's own subclasses
    """Text of a subclass, as ansible-core 2.19 hands out."""


def test_values_become_plain_json() -> None:
    value = {TaggedText("a"): (TaggedText("b"), True, 1, 2.5, None)}
    plain = controller.plain(value)
    assert plain == {"a": ["b", True, 1, 2.5, None]}
    assert [type(item) for item in plain["a"]] == [str, bool, int, float, type(None)]


def test_the_run_folder_is_named_by_the_suts_not_by_the_controller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inventory = tmp_path / "inventory" / "lab"
    inventory.mkdir(parents=True)
    variables = {
        "ansible_inventory_sources": [str(inventory)],
        "groups": {"sut": ["sut1"]},
        "hostvars": {"sut1": {"mlperf_run_id": "autumn"}},
    }
    assert controller.run_folder("", variables) == tmp_path / "results" / "autumn"
    variables["hostvars"] = {"sut1": {}}
    assert controller.run_folder("", variables) == tmp_path / "results" / "lab"
    assert controller.run_folder("elsewhere/x", variables) == tmp_path / "elsewhere" / "x"


def test_cells_are_named_and_asked_for_as_in_the_package() -> None:
    cell = {"system": "s", "benchmark": "b", "scenario": "Offline", "mode": "accuracy"}
    assert controller.cell_key(cell) == Cell("s", "b", "Offline", "accuracy").key
    planned = {"cell": cell, "host": "h", "status": "planned", "request": {"x": 1}}
    others = [{**planned, "status": "impossible"}, {**planned, "host": "other"}]
    plan = {"run_id": "r", "cells": [planned, *others]}
    (own,) = controller.planned_cells(plan, "h")
    second = {**planned, "cell": {**cell, "mode": "performance"}}
    assert controller.in_turn([planned, second], {"name": "h"}) == [planned, second]
    assert controller.in_turn([planned, second], {"order": ["s/b/Offline/performance"]}) == [second, planned]
    assert controller.question(plan, [own]) == {
        "run_id": "r",
        "cells": [{"key": "s/b/Offline/accuracy", "request": {"x": 1}, "request_sha256": sha256_json({"x": 1})}],
    }


def test_an_error_of_the_command_is_its_sentence_and_hint() -> None:
    with pytest.raises(AnsibleActionFail, match=r"^no such thing \(try another\)"):
        controller.Answer(["check"], 2, '{"error": "no such thing", "hint": "try another"}', "")
    with pytest.raises(AnsibleActionFail, match="'mlperf-ops check' failed: line 2; line 3; line 4"):
        controller.Answer(["check"], 1, "", "line 1\nline 2\nline 3\nline 4\n")
    assert controller.Answer(["check"], 1, '{"verdict": "demonstration"}', "").data["verdict"] == "demonstration"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../outside", tarfile.REGTYPE),
        ("/etc/passwd", tarfile.REGTYPE),
        ("link", tarfile.SYMTYPE),
        ("dev", tarfile.CHRTYPE),
    ],
)
def test_an_archive_of_a_host_cannot_write_elsewhere(tmp_path: Path, name: str, kind: bytes) -> None:
    archive = tmp_path / "attempts.tar"
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo(name)
        member.type = kind
        member.linkname = "/etc"
        member.size = 1 if kind == tarfile.REGTYPE else 0
        tar.addfile(member, io.BytesIO(b"x"))
    target = tmp_path / "in" / "scratch"
    target.mkdir(parents=True)
    with pytest.raises(AnsibleActionFail, match="the host sent an unexpected entry"):
        results_fetch._unpack(archive, target)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["attempts.tar", "in", "scratch"]
