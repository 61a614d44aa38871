"""What a host holds: the same digests as the package, cheap to verify, whole or absent."""

from __future__ import annotations

import ast
import json
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


def change_silently(path: Path, text: str) -> None:
    """Change a file's content as a rotten disk does: neither size nor any time changes."""
    path.write_text(text)
    ledger = json.loads(ledger_of(path).read_text())
    ledger["entries"][str(path)]["signature"] = host_store.signature(path)
    ledger_of(path).write_text(json.dumps(ledger))


def ledger_of(path: Path) -> Path:
    return path.parent / "state" / "store.json"


def remembered(path: Path, text: str) -> str:
    """Write a file and have a ledger read it."""
    path.write_text(text)
    ledger = Ledger(path.parent)
    first: str = ledger.digest(path)
    ledger.save()
    return first


def test_a_change_is_found_even_when_its_time_was_set_back(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    first = remembered(path, "one")
    stat = path.stat()
    assert Ledger(tmp_path).digest(path) == first
    path.write_text("two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert Ledger(tmp_path).digest(path) == sha256_path(path) != first


def test_what_no_time_tells_is_found_by_a_full_read_and_after_a_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    first = remembered(path, "one")
    change_silently(path, "two")
    assert Ledger(tmp_path).digest(path) == first, "nothing tells, so it is trusted"
    full = Ledger(tmp_path, full=True)
    assert full.digest(path) == sha256_path(path) != first
    monkeypatch.setattr(host_store, "boot_id", lambda: "after the next boot")
    assert Ledger(tmp_path).digest(path) == sha256_path(path)


def test_a_full_ledger_reads_once(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    remembered(path, "one")
    ledger = Ledger(tmp_path, full=True)
    first = ledger.digest(path)
    times = path.stat()
    path.write_text("two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    ledger._entries[str(path)]["signature"] = host_store.signature(path)
    assert ledger.digest(path) == first


def test_the_file_of_a_folder_that_changed_is_named(tmp_path: Path) -> None:
    archive, source = tmp_path / "a.tar", folder_of_two(tmp_path / "data")
    bundles.write_tar(archive, bundles.folder_files(source))
    digest = sha256_tree(source)
    target = tmp_path / "store" / digest[:12]
    host_store.install(archive, target, "", digest)
    assert host_store.faults_of(target, digest) == {}
    (target / "inner" / "a.txt").write_text("0ne")
    (target / "new").write_text("")
    (target / "b.txt").unlink()
    assert host_store.faults_of(target, digest) == {"b.txt": "missing", "inner/a.txt": "damaged", "new": "foreign"}
    host_store.listing_path(target).unlink()
    assert host_store.faults_of(target, digest) == {"": "damaged"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_that_is_full_in_the_middle_leaves_nothing_half_made(tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    for number in range(6):
        (source / str(number)).write_bytes(os.urandom(1 << 20))
    bundles.write_tar(tmp_path / "a.tar", bundles.folder_files(source))
    small = tmp_path / "small"
    small.mkdir()
    program = (
        "import os, pathlib, sys\n"
        "from ansible_collections.mlperf_ops.lab.plugins.module_utils import host_store\n"
        f"home = pathlib.Path({str(small)!r})\n"
        "try:\n"
        f"    host_store.install(pathlib.Path({str(tmp_path / 'a.tar')!r}), home / 'store' / 'x' / 'ab', '', '00')\n"
        "except host_store.HostError as error:\n"
        "    print(error)\n"
        "print(sorted(p.name for p in home.rglob('*')))\n"
    )
    mount = 'mount -t tmpfs -o size=4m none "$0" && exec "$1" -c "$2"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount, str(small), sys.executable, program],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent / "collections")},
        capture_output=True,
        text=True,
        check=False,
    )
    sentence, left = done.stdout.splitlines()
    assert sentence.endswith("ab: the disk is full (free some space or set mlperf_home to a larger disk)"), done.stderr
    assert left == "['store', 'x']"


def test_an_environment_with_a_changed_byte_is_no_longer_good(tmp_path: Path) -> None:
    environment = tmp_path / "python" / "abc"
    package = environment / "lib" / "python3.11" / "site-packages" / "tiny"
    package.mkdir(parents=True)
    (environment / "bin").mkdir()
    (environment / "bin" / "python").symlink_to(sys.executable)
    (package / "__init__.py").write_text("x = 1\n")
    listing = host_python._listing(environment)
    (environment / "files.sha256").write_text(host_store.listing_text(listing))
    marker = {"schema": 2, "packages": {}, "files_sha256": host_store.listing_sha256(listing), "lock_sha256": "l"}
    host_python.marker_path(environment).write_text(pretty_json(marker))
    assert host_python.is_whole(environment)
    assert host_python.damage(environment) == {}
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "later.pyc").write_bytes(b"compiled later")
    assert host_python.damage(environment) == {}
    (package / "__init__.py").write_text("x = 2\n")
    (package / "sitecustomize.py").write_text("")
    assert host_python.damage(environment) == {
        "lib/python3.11/site-packages/tiny/__init__.py": "damaged",
        "lib/python3.11/site-packages/tiny/sitecustomize.py": "foreign",
    }
    (environment / "files.sha256").write_text("")
    assert host_python.damage(environment) == {"files.sha256": "damaged"}


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


def test_all_of_the_package_that_the_shipped_code_imports_is_shipped() -> None:
    """Also what only a certain cell imports. Classes of the plan stay here: a change there makes no cell stale."""
    files = dict(bundles.harness_files(PACKAGE))
    shipped = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in files}
    wanted = set()
    for path in files.values():
        for node in ast.walk(ast.parse(path.read_text())) if path.suffix == ".py" else ():
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mlperf_ops"):
                wanted |= {f"{node.module}.{one.name}" for one in node.names} | {node.module}
    modules = {name for name in wanted if (PACKAGE.parent / str(name).replace(".", "/")).with_suffix(".py").is_file()}
    assert {"mlperf_ops.model", "mlperf_ops.harness.agent"} <= shipped
    assert "mlperf_ops.model" in modules
    assert modules <= shipped
    assert "mlperf_ops.plan_model" not in shipped


def test_what_a_lock_pins_is_found_among_package_files(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("numpy==2.0 ; python_version >= '3.11' \\\n    --hash=sha256:00\nruamel-yaml==0.1 \\\n")
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for name in ("numpy-2.0-cp311-cp311-linux_x86_64.whl", "numpy-1.0-py3-none-any.whl", "ruamel.yaml-0.1.tar.gz"):
        (mirror / name).write_text("")
    files = {name for name, _ in bundles.installer_files(lock, mirror) if name.startswith("mirror/")}
    assert files == {"mirror/numpy-2.0-cp311-cp311-linux_x86_64.whl", "mirror/ruamel.yaml-0.1.tar.gz"}
    with_tag = {name for name, _ in bundles.installer_files(lock, mirror, "cp312", "x86_64") if "mirror/" in name}
    assert with_tag == {"mirror/ruamel.yaml-0.1.tar.gz"}
