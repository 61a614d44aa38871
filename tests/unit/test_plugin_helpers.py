"""What the action plugins share: plain values, run folders, and answers of the command."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleActionFail

from mlperf_ops.files import sha256_json
from mlperf_ops.model import Cell
from tests.support.plugins import plugin

controller = plugin("plugin_utils.controller")


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


def test_a_progress_line_takes_no_guess_for_an_expectation() -> None:
    progress = plugin("plugin_utils.progress")
    guess = {"dataset": "imagenet", "count": 50_000, "shortest": 900.0, "beside": 31.0}
    known, guessed = ({"expected": {"low": 1.0, "high": 27531.0, **more}} for more in ({}, {"guess": guess}))
    assert progress.expected(known) == "1 to 27531 s"
    assert progress.so_far(4.0, known) == "4 s of 1 to 27531 s"
    assert progress.expected(guessed) == "a duration that the size of your imagenet decides"
    assert progress.so_far(4.0, guessed) == "4 s"


def test_a_cell_of_a_smoke_run_runs_and_is_not_called_valid(capsys: pytest.CaptureFixture[str]) -> None:
    progress = plugin("plugin_utils.progress")
    ended = {"state": "ended", "verdict": "valid", "reasons": [], "elapsed_seconds": 3.0, "summary": "66 ms p90"}
    for smoke, word in ((True, "runs"), (False, "valid")):
        assert progress.Tally(smoke=smoke).note("sut1  1/2  x", "sut1/x", ended) == "valid"
        assert f"sut1  1/2  x   {word}  66 ms p90  (3 s)" in capsys.readouterr().out
