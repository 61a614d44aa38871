"""What decides on a host: when everything is read, what is in use, and what is done once per play."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from ansible import constants

from mlperf_ops.files import pretty_json, sha256_text
from tests.support.plugins import plugin

host_care = plugin("module_utils.host_care")
host_store = plugin("module_utils.host_store")
host_provision = plugin("module_utils.host_provision")
mirror_host = plugin("module_utils.mirror_host")
once = plugin("plugin_utils.once")
CELL = {"path": "run/s/b/Offline/performance", "request_sha256": "r1"}


def components_host(home: Path) -> object:
    parameters = {
        "home": str(home), "components": [], "staged": {}, "lock_sha256": "", "harness_sha256": "0" * 64, "python": "",
        "mirror_url": "", "read": "auto", "run_id": "mine", "cells": [CELL], "tolerant": False, "lacking": {},
    }  # fmt: skip
    return host_provision.Host(parameters)


def result(home: Path, **changes: object) -> None:
    path = home / "runs" / CELL["path"] / "abc" / "attempt_1" / "result.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"verdict": "valid", "request_sha256": "r1", "tainted": [], **changes}))


@pytest.mark.parametrize(
    ("changes", "full"),
    [
        (None, True),
        ({}, False),
        ({"verdict": "invalid"}, True),
        ({"tainted": ["the host was rebooted"]}, True),
        ({"request_sha256": "r2"}, True),
    ],
)
def test_everything_is_read_when_a_cell_will_run(
    tmp_path: Path, changes: dict[str, object] | None, *, full: bool
) -> None:
    if changes is not None:
        result(tmp_path, **changes)
    assert components_host(tmp_path).full is full  # type: ignore[attr-defined]


def part(home: Path, kind: str, name: str, digest: str) -> Path:
    folder = home / kind / name / digest if kind == "store" else home / kind / digest
    folder.mkdir(parents=True)
    (folder / "f").write_text("x")
    return folder


def provisioned(home: Path, store: Path, python: Path, harness: Path) -> None:
    state = {
        "python": {"path": str(python / "bin" / "python")},
        "harness": {"path": str(harness)},
        "components": {"m": {"path": str(store / "f")}},
    }
    (home / "state").mkdir(exist_ok=True)
    (home / "state" / "provision.json").write_text(pretty_json(state))


def test_in_use_is_what_was_provisioned_and_what_a_plan_refers_to(tmp_path: Path) -> None:
    used = [part(tmp_path, "store", "m", "a" * 12), part(tmp_path, "python", "", "b" * 12)]
    used.append(part(tmp_path, "harness", "", "c" * 12))
    provisioned(tmp_path, *used)
    part(tmp_path, "store", "planned", "d" * 12)
    part(tmp_path, "store", "unpinned", "e" * 12)
    locked = part(tmp_path, "python", "", "f" * 12)
    (locked / "installed.json").write_text(pretty_json({"lock_sha256": "lock"}))
    part(tmp_path, "store", "old", "0" * 12)
    keep = host_care.Keep({"sha256s": ["d" * 64], "names": ["unpinned"], "lock_sha256s": ["lock"]})
    assert [one.name for one in host_care.unused(tmp_path, keep)] == ["old"]
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "precious").write_text("x")
    (tmp_path / "store" / "m" / ".tmp.x").mkdir()
    host_care.remove(tmp_path, host_care.unused(tmp_path, keep))
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["m", "planned", "unpinned"]
    assert (tmp_path / "runs" / "precious").is_file()
    assert not (tmp_path / "store" / "m" / ".tmp.x").exists()


def test_a_damaged_state_file_stops_the_cleaning(tmp_path: Path) -> None:
    part(tmp_path, "store", "m", "a" * 12)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "provision.json").write_text("{ half")
    with pytest.raises(host_store.HostError, match=r"provision.json is damaged \(run the provision playbook first\)"):
        host_care.unused(tmp_path, host_care.Keep({}))


def test_nothing_is_removed_while_a_cell_runs(tmp_path: Path) -> None:
    import fcntl  # noqa: PLC0415  # only here

    folder = part(tmp_path, "store", "old", "0" * 12)
    lock = tmp_path / "runs" / ".lock"
    lock.parent.mkdir()
    with lock.open("w") as stream:
        stream.write("s/b/Offline/performance (pid 7)")
        stream.flush()
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(host_store.HostError, match=r"a cell runs on this host: s/b/Offline/performance \(pid 7\)"):
            host_care.remove(tmp_path, host_care.parts(tmp_path))
    assert folder.is_dir()


def test_what_all_hosts_of_a_play_share_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    made = []

    def write(path: Path) -> None:
        made.append(path)
        path.write_text("x" * 1000)

    threads = [threading.Thread(target=once.archive, args=("harness.1", write)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    asked = []
    for _ in range(3):
        assert once.answer(["components"], lambda: asked.append(1) or {"a": 1}) == {"a": 1}  # type: ignore[func-returns-value]
    assert len(asked) == 1


def test_a_failure_is_not_kept_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, os.strerror(28))

    with pytest.raises(OSError, match="No space left"):
        once.archive("a", fail)
    assert [path.name for path in (tmp_path / "mlperf-ops").iterdir()] == ["a.tar.lock"]


def test_an_ordinary_user_is_told_how_to_serve_a_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    row = {"name": "packages/a.whl", "sha256": sha256_text("a"), "size_bytes": 1}
    manifest = pretty_json({"schema": 1, "files": [row], "not_covered": []})
    path = tmp_path / "mirror"
    parameters = {"path": str(path), "address": "127.0.0.1", "port": 8000, "manifest": manifest, "server": "print()\n"}
    host = mirror_host.MirrorHost(parameters)
    assert host.missing() == ["packages/a.whl"]
    (path / "packages").mkdir(parents=True)
    (path / "packages" / "a.whl").write_text("a")
    (path / "somebody's").write_text("keep")
    host.write()
    assert (host.missing(), host.differing()) == ([], [])
    (sentence,) = host.could_not()
    assert "the mirror is not served (that needs root); start it with: " in sentence
    assert sentence.endswith(f"{path}_server.py {path} --address 127.0.0.1 --port 8000")
    host.revert()
    assert [one.name for one in tmp_path.rglob("*")] == ["mirror", "somebody's"]
