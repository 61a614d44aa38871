"""`mlperf-ops components`: what a plan needs, prepared or told apart from the user's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.commands.components import command, default_cache
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import write_json
from mlperf_ops.plan_model import Component, Plan, PlannedHost
from mlperf_ops.typed import dump

_WHEEL = "foolbox-3.3.4-py3-none-any.whl"


def plan_of(folder: Path, *components: Component) -> Path:
    """Write a plan whose host h1 needs all of these and h2 none."""
    hosts = [
        PlannedHost(name, name, "/home/lab", "edge", {}, needs, "")
        for name, needs in (("h1", tuple(one.name for one in components)), ("h2", ()))
    ]
    plan = Plan("v6.1", "open", "example", "run", "test", "inventory", tuple(hosts), (), components, ())
    path = folder / "plan.json"
    write_json(path, dump(plan))
    return path


def called(capsys: pytest.CaptureFixture[str], **options: Any) -> Any:  # noqa: ANN401  # any option; any JSON
    command(as_json=True, **options)
    return json.loads(capsys.readouterr().out)


def test_the_users_own_files_are_listed_and_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = Component("imagenet", "dataset", "2012", None, "the user's own files", "/data/imagenet")
    answer = called(capsys, plan=plan_of(tmp_path, own), cache=tmp_path / "cache")
    (one,) = answer["components"]
    assert (one["state"], one["path"]) == ("the user's own", "/data/imagenet")
    assert not (tmp_path / "cache").exists()


def test_a_host_without_needs_gets_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = Component("imagenet", "dataset", "2012", None, "the user's own files", "/data/imagenet")
    assert called(capsys, plan=plan_of(tmp_path, own), host="h2", cache=tmp_path)["components"] == []


def test_a_mirror_without_the_file_names_it(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    with pytest.raises(Exception, match=f"lacks {_WHEEL} of component 'imagenet-20'"):
        command(name=["imagenet-20"], mirror=str(mirror), cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "nothing to do"),
        ({"plan": Path("nowhere/plan.json")}, "there is no plan at nowhere/plan.json"),
        ({"name": ["imagnet-20"]}, "unknown component 'imagnet-20'"),
        ({"checker": "v6.2"}, "unknown round 'v6.2'"),
        ({"name": ["imagenet-20"], "mirror": "nowhere"}, "mlperf_mirror nowhere is not a folder"),
    ],
)
def test_a_mistake_is_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        command(**options)


def test_names_outside_the_plan_are_refused(tmp_path: Path) -> None:
    own = Component("imagenet", "dataset", "2012", None, "the user's own files", "/data/imagenet")
    path = plan_of(tmp_path, own)
    with pytest.raises(ConfigError, match="unknown component of the plan 'resnet50'"):
        command(plan=path, name=["resnet50"])
    with pytest.raises(ConfigError, match="unknown host of the plan 'h3'"):
        command(plan=path, host="h3")


def test_another_version_than_the_catalogues_is_refused(tmp_path: Path) -> None:
    other = Component("imagenet-20", "dataset", "9.9", None, "package foolbox 9.9", None)
    with pytest.raises(ConfigError, match=r"only the catalogue's own version .* \(put another one on the host"):
        command(plan=plan_of(tmp_path, other))


def test_the_cache_is_where_caches_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "mlperf-ops"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_cache() == Path.home() / ".cache" / "mlperf-ops"
