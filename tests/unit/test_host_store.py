"""What a host holds: the same digests as the package, cheap to verify, whole or absent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mlperf_ops
from mlperf_ops.files import pretty_json, sha256_path, sha256_tree
from tests.support.plugins import plugin

host_python, host_store = plugin("module_utils.host_python"), plugin("module_utils.host_store")
bundles = plugin("plugin_utils.bundles")
HostError, Ledger = host_store.HostError, host_store.Ledger
PACKAGE = Path(mlperf_ops.__file__).parent


def folder_of_two(where: Path) -> Path:
    (where / "inner").mkdir(parents=True)
    (where / "b.txt").write_text("two")
    (where / "inner" / "a.txt").write_text("one")
    return where


def test_digests_are_those_of_the_package(tmp_path: Path) -> None:
    folder = folder_of_two(tmp_path / "data")
    assert host_store.sha256_path(folder) == sha256_tree(folder)
    assert host_store.sha256_path(folder / "b.txt") == sha256_path(folder / "b.txt")
    assert bundles.tree_sha256(bundles.folder_files(folder)) == sha256_tree(folder)
    assert host_store.pretty_json({"b": 1, "a": [1.5, None]}) == pretty_json({"b": 1, "a": [1.5, None]})


def test_what_python_leaves_behind_is_no_content(tmp_path: Path) -> None:
    folder = folder_of_two(tmp_path / "data")
    before = host_store.sha256_path(folder)
    (folder / "inner" / "__pycache__").mkdir()
    (folder / "inner" / "__pycache__" / "a.pyc").write_bytes(b"x")
    assert host_store.sha256_path(folder) == before


def test_the_ledger_reads_again_only_what_was_touched(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("one")
    ledger = Ledger(tmp_path)
    first = ledger.digest(path)
    ledger.save()
    stat = path.stat()
    path.write_text("two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert Ledger(tmp_path).digest(path) == first, "same size, same time, same file: trusted"
    os.utime(path)
    assert Ledger(tmp_path).digest(path) == sha256_path(path) != first


def test_a_damaged_ledger_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "store.json").write_text("{ half")
    (tmp_path / "f").write_text("x")
    assert Ledger(tmp_path).digest(tmp_path / "f") == sha256_path(tmp_path / "f")


def test_an_archive_with_another_digest_leaves_nothing(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    bundles.write_tar(archive, bundles.folder_files(folder_of_two(tmp_path / "data")))
    target = tmp_path / "store" / "0123456789ab"
    with pytest.raises(HostError, match=r"arrived with sha256 .*, expected 00"):
        host_store.install(archive, target, "", "00")
    assert list((tmp_path / "store").iterdir()) == []
    host_store.install(archive, target, "", sha256_tree(tmp_path / "data"))
    assert (target / "inner" / "a.txt").read_text() == "one"


def test_equal_content_gives_equal_archives(tmp_path: Path) -> None:
    folder = folder_of_two(tmp_path / "data")
    bundles.write_tar(tmp_path / "1.tar", bundles.folder_files(folder))
    os.utime(folder / "b.txt", (1, 1))
    bundles.write_tar(tmp_path / "2.tar", reversed(bundles.folder_files(folder)))
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()


def test_a_home_below_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match=r"mlperf_home .* cannot be made: .*file is not a folder \(set mlperf_home"):
        host_store.require_usable(tmp_path / "file" / "home", 1)


def test_too_little_space_is_one_sentence_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"has \d+ MiB free, \d+ MiB are needed \(free some space"):
        host_store.require_usable(tmp_path / "home", 1 << 60)
    assert list(tmp_path.iterdir()) == []


def test_a_relative_home_is_refused() -> None:
    with pytest.raises(HostError, match="'mlperf' is not an absolute path"):
        host_store.expand("mlperf")


def test_two_plays_do_not_provision_one_home_at_once(tmp_path: Path) -> None:
    with (
        host_store.held(tmp_path),
        pytest.raises(HostError, match="another play is provisioning"),
        host_store.held(tmp_path),
    ):
        pass


def test_an_interpreter_that_is_too_old_is_named(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\necho "3.8.10 x86_64 False"\n')
    old.chmod(0o755)
    with pytest.raises(HostError, match=r"Python 3.10 or newer .* found: .*python3 3.8.10 \(install a newer python3"):
        host_python.find(str(old))
    with pytest.raises(HostError, match="found: '/nowhere/python3' does not work"):
        host_python.find("/nowhere/python3")


def test_other_locks_and_interpreters_are_other_environments() -> None:
    one = host_python.Interpreter("/usr/bin/python3", "3.11.2", "x86_64")
    newer = host_python.Interpreter("/usr/bin/python3", "3.12.1", "x86_64")
    assert len({one.digest("lock"), one.digest("other"), newer.digest("lock")}) == 3


def test_the_shipped_code_runs_on_the_standard_library_alone(tmp_path: Path) -> None:
    """The agent answers on a host that has nothing installed but Python."""
    for name, path in bundles.harness_files(PACKAGE):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    done = subprocess.run(
        [sys.executable, "-S", "-m", "mlperf_ops.harness.agent", "poll", "--home", str(tmp_path)],
        input='{"path": "runs/none"}',
        env={"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert '"state": "vanished"' in done.stdout, done.stderr


def test_what_a_lock_pins_is_found_among_package_files(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("numpy==2.0 ; python_version >= '3.11' \\\n    --hash=sha256:00\nruamel-yaml==0.1 \\\n")
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for name in ("numpy-2.0-cp311-cp311-linux_x86_64.whl", "numpy-1.0-py3-none-any.whl", "ruamel.yaml-0.1.tar.gz"):
        (mirror / name).write_text("")
    files = {name for name, _ in bundles.installer_files(lock, mirror) if name.startswith("mirror/")}
    assert files == {"mirror/numpy-2.0-cp311-cp311-linux_x86_64.whl", "mirror/ruamel.yaml-0.1.tar.gz"}
