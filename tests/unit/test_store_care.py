"""The controller's store: what it holds, which byte is wrong, and what may go."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlperf_ops.catalogue import ComponentEntry, load_catalogue
from mlperf_ops.commands.store import app
from mlperf_ops.errors import BusyError, ConfigError
from mlperf_ops.files import write_json
from mlperf_ops.plan_model import Component, Plan
from mlperf_ops.store import LOCK, Prepared, prepare
from mlperf_ops.store_care import Part, parts, read_plans, remove, used_by, verify
from mlperf_ops.typed import dump
from tests.support.wheels import component, write_wheel

ONE = {"tiny/weights.bin": b"weights"}
IMAGES = {"pics/a_3.jpg": b"first", "pics/b_12.jpg": b"second"}
LABELLED = {
    "with": "labelled_file_names",
    "options": {"pattern": r"_(?P<label>\d+)\.jpg$", "label_file": "val_map.txt"},
}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def held(tmp_path: Path, cache: Path) -> tuple[Prepared, Prepared]:
    """Two components in the cache: one file, and a folder of three."""
    mirror = tmp_path / "mirror"
    tiny: ComponentEntry = component(write_wheel(mirror, "tiny", ONE), ONE)
    wheel = write_wheel(mirror, "pics", IMAGES)
    pics = component(wheel, IMAGES, kind="dataset", convert=LABELLED, sample_count=2, label_file="val_map.txt")
    return prepare(tiny, cache, mirror=mirror), prepare(pics, cache, mirror=mirror)


def plan_with(results: Path, run: str, *components: Component) -> None:
    plan = Plan("v6.1", "open", "example", run, "test", "inventory", (), (), components, ())
    write_json(results / run / "plan.json", dump(plan))


def planned(prepared: Prepared, *, pinned: bool = True) -> Component:
    return Component(prepared.name, "model", "1.0", prepared.sha256 if pinned else None, "package", None)


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[0] ^= 1
    path.write_bytes(bytes(raw))


def faults(cache: Path) -> list[tuple[str, str, str]]:
    catalogue = load_catalogue()
    return [(one.name, one.file, one.what) for part in parts(cache) for one in verify(part, catalogue)]


def test_one_corrupted_byte_is_found_and_its_file_named(held: tuple[Prepared, Prepared], cache: Path) -> None:
    assert faults(cache) == []
    flip(held[0].path)
    flip(held[1].path / "b_12.jpg")
    assert faults(cache) == [("pics", "b_12.jpg", "damaged"), ("tiny", "weights.bin", "damaged")]


def test_a_file_too_many_or_too_few_is_named(held: tuple[Prepared, Prepared], cache: Path) -> None:
    (held[1].path / "a_3.jpg").unlink()
    (held[1].path / "c_1.jpg").write_text("")
    assert faults(cache) == [("pics", "a_3.jpg", "missing"), ("pics", "c_1.jpg", "foreign")]


def test_a_plan_keeps_what_it_pins_and_all_of_what_it_does_not(
    held: tuple[Prepared, Prepared], cache: Path, tmp_path: Path
) -> None:
    plan_with(tmp_path / "results", "one", planned(held[0]))
    plan_with(tmp_path / "results", "two", planned(held[0]), planned(held[1], pinned=False))
    catalogue, plans = load_catalogue(), read_plans(tmp_path / "results")
    assert {part.name: used_by(part, plans, catalogue) for part in parts(cache)} == {
        "tiny": ["one", "two"],
        "pics": ["two"],
    }
    other = Part("component", "tiny", "0" * 12, cache, 0)
    assert used_by(other, plans, catalogue) == []


def test_what_is_being_prepared_is_not_removed(held: tuple[Prepared, Prepared], cache: Path) -> None:
    from filelock import FileLock  # noqa: PLC0415  # only here

    (part,) = [one for one in parts(cache) if one.name == "tiny"]
    with FileLock(cache / "tiny" / LOCK), pytest.raises(BusyError, match="component 'tiny' is being prepared"):
        remove(cache, [part])
    assert part.path.is_dir()


def test_the_command_lists_verifies_and_cleans(
    held: tuple[Prepared, Prepared], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan_with(tmp_path / "results", "one", planned(held[0]))
    (cache / "pics" / ".new.dead").mkdir()
    run = CliRunner()

    def call(*words: str) -> tuple[int, dict[str, object]]:
        done = run.invoke(app, [*words, "--cache", str(cache), "--json"])
        return done.exit_code, json.loads(done.stdout)

    code, listed = call("ls")
    assert code == 0
    rows = {row["name"]: row for row in listed["stores"]}  # type: ignore[attr-defined]  # a list of objects
    assert (rows["tiny"]["used_by"], rows["tiny"]["size_bytes"]) == (["one"], len(b"weights"))
    flip(held[1].path / "a_3.jpg")
    code, verified = call("verify")
    assert (code, verified["faults"][0]["file"]) == (1, "a_3.jpg")  # type: ignore[index]
    code, dry = call("gc", "--dry-run")
    assert (code, [row["name"] for row in dry["removed"]]) == (0, ["pics"])  # type: ignore[attr-defined]
    assert held[1].path.is_dir()
    assert call("gc")[0] == 0
    assert sorted(os.listdir(cache / "pics")) == [LOCK] or os.listdir(cache / "pics") == []
    assert held[0].path.is_file()
    assert call("verify")[0] == 0


def test_without_any_plan_nothing_is_removed(held: tuple[Prepared, Prepared], cache: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["gc", "--cache", str(cache), "--results", str(tmp_path / "none")])
    assert isinstance(done.exception, ConfigError)
    assert "so everything would be removed" in str(done.exception)
    assert len(parts(cache)) == 2
