"""`mlperf-ops mirror`: mistakes are sentences, and what hosts run is known from their facts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.commands.mirror import _targets, app
from mlperf_ops.errors import MlperfOpsError
from mlperf_ops.files import write_json
from mlperf_ops.mirror.fetch import wanted_by
from mlperf_ops.mirror.wheels import Target
from mlperf_ops.plan_model import Component, Plan, PlannedHost
from mlperf_ops.typed import dump


def plan() -> Plan:
    own = Component("imagenet", "dataset", "2012", None, "the user's own files", "/data/imagenet")
    fetched = Component("imagenet-20", "dataset", "3.3.4", None, "package foolbox 3.3.4", None)
    host = PlannedHost("h1", "h1", "/home/lab", "edge", {}, ("imagenet", "imagenet-20"), "harness-v6.1.txt")
    return Plan("v6.1", "open", "example", "run", "test", "inventory", (host,), (), (own, fetched), ())


def facts(run: Path, host: str, python: str, machine: str) -> None:
    values = {"python_version": {"value": python}, "architecture": {"value": machine}}
    write_json(run / "hosts" / host / "facts.json", {"values": values})


def test_the_users_own_files_are_said_to_stay_and_the_rest_is_wanted() -> None:
    wanted = wanted_by(plan(), load_catalogue(), Path("locks"), (Target((3, 11), "x86_64", 28),))
    assert [one.name for one in wanted.components] == ["imagenet-20"]
    assert [str(one.path) for one in wanted.locks] == ["locks/harness-v6.1.txt"]
    assert [one.name for one in wanted.checkouts] == ["mlperf-inference"]
    assert wanted.not_covered == ("imagenet: the user's own files at /data/imagenet on the hosts stay there",)


def test_what_is_not_asked_for_is_what_the_facts_say(tmp_path: Path) -> None:
    facts(tmp_path, "h1", "3.12.4", "aarch64")
    facts(tmp_path, "h2", "3.11.2", "aarch64")
    (tmp_path / "hosts" / "h3").mkdir()
    (tmp_path / "hosts" / "h3" / "facts.json").write_text("half")
    assert [str(one) for one in _targets(tmp_path, [], [], "2.28")] == [
        "Python 3.11 on aarch64",
        "Python 3.12 on aarch64",
    ]
    assert [str(one) for one in _targets(tmp_path, ["3.10"], ["x86_64"], "2.28")] == ["Python 3.10 on x86_64"]
    everything = _targets(tmp_path / "none", [], ["x86_64"], "2.28")
    assert [one.python for one in everything] == [(3, 10), (3, 11), (3, 12), (3, 13)]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["fetch", "m"], 2, "give one of --plan and --inventory"),
        (["fetch", "m", "--plan", "nowhere.json"], 2, "there is no plan at nowhere.json"),
        (["fetch", "m", "--inventory", "nowhere"], 2, "there is no inventory at nowhere"),
        (
            ["fetch", "m", "--plan", "plan.json", "--python-version", "2.7"],
            2,
            "--python-version 2.7: expected a version",
        ),
        (["fetch", "m", "--plan", "plan.json", "--glibc", "new"], 2, "--glibc new: expected a version such as 2.28"),
        (["verify", "nowhere"], 2, "nowhere is no mirror: it has no mirror.json"),
        (["serve", "nowhere"], 2, "nowhere is no mirror"),
        (["export", "nowhere", "x.tar"], 2, "nowhere is no mirror"),
        (["import", "nowhere.tar", "m"], 2, "there is no file nowhere.tar"),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "plan.json", dump(plan()))
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, MlperfOpsError), done.output
    assert (done.exception.exit_code, sentence in str(done.exception)) == (code, True), str(done.exception)


def test_verify_says_by_its_exit_code_what_it_found(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    write_json(mirror / "mirror.json", {"schema": 1, "files": [], "not_covered": []})
    assert CliRunner().invoke(app, ["verify", str(mirror)]).exit_code == 0
    (mirror / "foreign").write_text("")
    done = CliRunner().invoke(app, ["verify", str(mirror), "--json"])
    answer: Any = json.loads(done.stdout)
    assert (done.exit_code, answer["faults"]) == (1, {"foreign": "foreign"})
