"""A mirror: what goes into it, what is found when it is damaged, and what a stick brings."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mlperf_ops.catalogue import ComponentEntry, GitSource, load_catalogue
from mlperf_ops.checkout import MIRROR_CHECKOUTS, obtain, pack_name
from mlperf_ops.errors import ConfigError, ToolError
from mlperf_ops.files import sha256_file, write_json
from mlperf_ops.mirror import server, wheels
from mlperf_ops.mirror.archive import export, import_
from mlperf_ops.mirror.fetch import LockFor, Wanted, fetch
from mlperf_ops.mirror.manifest import Manifest, MirrorFile, read, verify, write
from mlperf_ops.mirror.wheels import Pin, Target
from tests.support.wheels import component, write_wheel

NEEDED = "tools/submission"
ONE = {"tiny/weights.bin": b"weights"}
OLD, NEW = Target((3, 10), "x86_64", 28), Target((3, 12), "aarch64", 28)


def silent(_: str) -> None:
    """Say nothing."""


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Point pip at a folder of the test instead of this machine's sources."""
    source = tmp_path / "index"
    source.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in (("CONFIG_FILE", os.devnull), ("NO_INDEX", "1"), ("FIND_LINKS", str(source))):
        monkeypatch.setenv(f"PIP_{name}", value)
    return source


def lock_of(path: Path, *pins: tuple[Path, str]) -> Path:
    """Write a lock of wheels and their markers."""
    lines = []
    for wheel, marker in pins:
        name, version = wheel.name.split("-")[:2]
        lines.append(
            f"{name}=={version}{f' ; {marker}' if marker else ''} \\\n    --hash=sha256:{sha256_file(wheel)}\n"
        )
    path.write_text("# a lock\n" + "".join(lines))
    return path


def filled(folder: Path, **files: bytes) -> Path:
    """Make a mirror of given files."""
    rows = []
    for name, raw in files.items():
        path = folder / "packages" / f"{name}.whl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        row = MirrorFile(f"packages/{name}.whl", sha256_file(path), len(raw), "wheel", name, "1.0", "MIT", ("hosts",))
        rows.append(row)
    write(folder, Manifest(tuple(rows)))
    return folder


# --- locks and targets ------------------------------------------------------------------------------------------------


def test_markers_are_judged_for_the_hosts_python_and_not_for_ours(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    hash_ = f"--hash=sha256:{'0' * 64}"
    lock.write_text(
        f"numpy==2.2 ; python_full_version < '3.11' \\\n    {hash_}\n"
        f"numpy==2.5 ; python_full_version >= '3.11' \\\n    {hash_}\n"
        f"arm-only==1 ; platform_machine == 'aarch64' \\\n    {hash_}\n"
    )
    pins = wheels.read_lock(lock)
    assert [f"{pin.name} {pin.version}" for pin in pins if OLD.wants(pin)] == ["numpy 2.2"]
    assert [f"{pin.name} {pin.version}" for pin in pins if NEW.wants(pin)] == ["numpy 2.5", "arm-only 1"]


@pytest.mark.parametrize("line", ["numpy>=2 --hash=sha256:" + "0" * 64, "numpy==2.0", "-r other.txt"])
def test_a_lock_that_pins_nothing_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(line + "\n")
    with pytest.raises(ConfigError, match=r"lock.txt: expected 'name==version' with hashes, found"):
        wheels.read_lock(lock)


@pytest.mark.parametrize(
    ("file", "target", "fit"),
    [
        ("numpy-2.0-cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", OLD, True),
        ("numpy-2.0-cp310-cp310-manylinux_2_34_x86_64.whl", OLD, False),  # a newer glibc than the hosts have
        ("numpy-2.0-cp312-cp312-manylinux_2_17_x86_64.whl", OLD, False),
        ("numpy-2.0-cp38-abi3-manylinux_2_17_aarch64.whl", NEW, True),
        ("numpy-2.0-py3-none-any.whl", NEW, True),
        ("numpy-2.1-py3-none-any.whl", NEW, False),
        ("numpy-2.0.tar.gz", NEW, False),
    ],
)
def test_a_wheel_fits_by_python_abi_machine_and_glibc(file: str, target: Target, fit: bool) -> None:  # noqa: FBT001
    assert wheels.fits(file, Pin("numpy", "2.0", "", frozenset()), target) is fit


# --- fetch ------------------------------------------------------------------------------------------------------------


def test_a_fetch_brings_what_each_python_needs_and_a_second_one_asks_nobody(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, old = write_wheel(index, "both", ONE), write_wheel(index, "old", ONE)
    lock = lock_of(tmp_path / "lock.txt", (both, ""), (old, "python_version < '3.11'"))
    wanted = Wanted(
        locks=(LockFor(lock, "hosts", (OLD, NEW)),), components=(component(write_wheel(index, "tiny", ONE), ONE),)
    )
    did = fetch(tmp_path / "mirror", wanted, silent)
    assert sorted(did.added) == [f"packages/{name}-1.0-py3-none-any.whl" for name in ("both", "old", "tiny")]
    rows = read(tmp_path / "mirror").by_name()
    assert rows["packages/both-1.0-py3-none-any.whl"].purpose == (
        "hosts, Python 3.10 on x86_64",
        "hosts, Python 3.12 on aarch64",
    )
    assert rows["packages/old-1.0-py3-none-any.whl"].purpose == ("hosts, Python 3.10 on x86_64",)
    assert (rows["packages/tiny-1.0-py3-none-any.whl"].kind, did.lacking) == ("component", [])
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    before = (tmp_path / "mirror" / "mirror.json").read_bytes()
    again = fetch(tmp_path / "mirror", wanted, silent)
    assert (again.added, again.kept) == ([], 3)
    assert (tmp_path / "mirror" / "mirror.json").read_bytes() == before
    assert verify(tmp_path / "mirror").faults == {}


def test_a_damaged_file_is_fetched_again(index: Path, tmp_path: Path) -> None:
    lock = lock_of(tmp_path / "lock.txt", (write_wheel(index, "both", ONE), ""))
    wanted = Wanted(locks=(LockFor(lock, "hosts", (OLD,)),))
    fetch(tmp_path / "mirror", wanted, silent)
    held = tmp_path / "mirror" / "packages" / "both-1.0-py3-none-any.whl"
    flip(held)
    assert verify(tmp_path / "mirror").faults == {"packages/both-1.0-py3-none-any.whl": "damaged"}
    assert fetch(tmp_path / "mirror", wanted, silent).added == ["packages/both-1.0-py3-none-any.whl"]
    assert verify(tmp_path / "mirror").faults == {}


def test_a_wheel_that_no_index_has_is_named_and_the_others_are_kept(index: Path, tmp_path: Path) -> None:
    both = write_wheel(index, "both", ONE)
    gone = write_wheel(tmp_path / "elsewhere", "gone", ONE)
    lock = lock_of(tmp_path / "lock.txt", (gone, ""), (both, ""))
    did = fetch(tmp_path / "mirror", Wanted(locks=(LockFor(lock, "hosts", (OLD,)),)), silent)
    assert did.lacking == ["gone 1.0 has no wheel for Python 3.10 on x86_64 with glibc 2.28 or older"]
    assert did.added == ["packages/both-1.0-py3-none-any.whl"]
    assert read(tmp_path / "mirror").not_covered == tuple(did.lacking)


def test_another_file_than_the_locks_is_refused_and_not_kept(index: Path, tmp_path: Path) -> None:
    lock = lock_of(tmp_path / "lock.txt", (write_wheel(index, "both", ONE), ""))
    write_wheel(index, "both", {"both/other.bin": b"other"})
    with pytest.raises(ToolError, match=r"pip cannot download the wheels for Python 3.10 on x86_64: ERROR: .*HASHES"):
        fetch(tmp_path / "mirror", Wanted(locks=(LockFor(lock, "hosts", (OLD,)),)), silent)
    assert [path.name for path in (tmp_path / "mirror").rglob("*.whl")] == []


def test_an_index_that_cannot_be_reached_is_one_sentence(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = lock_of(tmp_path / "lock.txt", (write_wheel(index, "both", ONE), ""))
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(ToolError, match=r"the package source cannot be reached \(check the network and pip's"):
        fetch(tmp_path / "mirror", Wanted(locks=(LockFor(lock, "hosts", (OLD,)),)), silent)
    assert verify_empty(tmp_path / "mirror")


def verify_empty(folder: Path) -> bool:
    return [path.name for path in folder.rglob("*") if path.name not in {".lock", "mirror.json"}] == []


# --- verify, export, import -------------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    """Change one byte, and neither size nor time of modification."""
    stat = path.stat()
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(bytes(raw))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_verify_names_what_is_damaged_missing_and_foreign(tmp_path: Path) -> None:
    mirror = filled(tmp_path / "mirror", a=b"aaaa", b=b"bbbb", c=b"cccc")
    assert verify(mirror).faults == {}
    flip(mirror / "packages" / "a.whl")
    (mirror / "packages" / "b.whl").unlink()
    (mirror / "packages" / "evil.whl").write_bytes(b"x")
    (mirror / "link").symlink_to("/etc")
    assert verify(mirror).faults == {
        "link": "foreign",
        "packages/a.whl": "damaged",
        "packages/b.whl": "missing",
        "packages/evil.whl": "foreign",
    }


def test_a_folder_that_is_no_mirror_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is no mirror: it has no mirror.json \(fill it with"):
        verify(tmp_path)


def test_a_manifest_that_leads_outside_is_refused(tmp_path: Path) -> None:
    mirror = filled(tmp_path / "mirror", a=b"aaaa")
    manifest = read(mirror)
    write(mirror, replace(manifest, files=(replace(manifest.files[0], name="../outside"),)))
    with pytest.raises(ConfigError, match=r"unexpected file name '../outside'"):
        read(mirror)


def test_a_stick_carries_a_mirror_and_joins_it_with_another(tmp_path: Path) -> None:
    export(filled(tmp_path / "one", a=b"aaaa", b=b"bbbb"), tmp_path / "one.tar")
    target = filled(tmp_path / "two", b=b"bbbb", c=b"cccc")
    did = import_(tmp_path / "one.tar", target)
    assert (did.added, did.already) == (("packages/a.whl",), 1)
    assert [one.name for one in read(target).files] == [f"packages/{name}.whl" for name in "abc"]
    assert verify(target).faults == {}


def test_a_damaged_mirror_is_not_exported(tmp_path: Path) -> None:
    mirror = filled(tmp_path / "one", a=b"aaaa")
    flip(mirror / "packages" / "a.whl")
    with pytest.raises(ToolError, match=r"packages/a.whl of the mirror .* is damaged"):
        export(mirror, tmp_path / "one.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one"]


@pytest.mark.parametrize("where", ["middle", "cut"])
def test_a_damaged_stick_brings_nothing(tmp_path: Path, where: str) -> None:
    archive = tmp_path / "one.tar"
    export(filled(tmp_path / "one", a=b"a" * 5000, b=b"b" * 5000), archive)
    raw = bytearray(archive.read_bytes())
    if where == "middle":
        raw[raw.index(b"b" * 600) + 300] ^= 1
    archive.write_bytes(bytes(raw if where == "middle" else raw[: raw.index(b"b" * 600) + 300]))
    with pytest.raises((ToolError, ConfigError), match=r"damaged|cut off|lacks"):
        import_(archive, tmp_path / "two")
    assert verify_empty(tmp_path / "two")


def test_a_good_file_is_never_replaced_by_another(tmp_path: Path) -> None:
    export(filled(tmp_path / "one", a=b"aaaa", b=b"bbbb"), tmp_path / "one.tar")
    target = filled(tmp_path / "two", a=b"AAAA")
    with pytest.raises(ToolError, match=r"packages/a.whl is in the mirror .* already, with other bytes"):
        import_(tmp_path / "one.tar", target)
    assert (target / "packages" / "a.whl").read_bytes() == b"AAAA"
    assert not (target / "packages" / "b.whl").exists()


@pytest.mark.parametrize("listed", [True, False])
def test_an_archive_cannot_write_outside(tmp_path: Path, *, listed: bool) -> None:
    archive = tmp_path / "evil.tar"
    row = {
        "name": "../outside", "sha256": hashlib.sha256(b"x").hexdigest(), "size_bytes": 1, "kind": "wheel",
        "package": "p", "version": "1", "license": "MIT", "purpose": ["hosts"],
    }  # fmt: skip
    manifest = json.dumps({"schema": 1, "files": [row] if listed else [], "not_covered": []}).encode()
    with tarfile.open(archive, "w") as tar:
        for name, raw in (("mirror.json", manifest), ("../outside", b"x")):
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    with pytest.raises(ConfigError, match=r"unexpected file name '../outside'"):
        import_(archive, tmp_path / "in" / "mirror")
    assert not (tmp_path / "in" / "outside").exists()


def test_a_file_that_is_no_archive_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_text("no tar" * 500)
    with pytest.raises(ConfigError, match="is no mirror that was exported"):
        import_(tmp_path / "x.tar", tmp_path / "mirror")


# --- the pack of a commit ---------------------------------------------------------------------------------------------


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> tuple[Path, Callable[[str], ComponentEntry]]:
    folder = tmp_path / "origin" / "inference"
    (folder / NEEDED).mkdir(parents=True)
    (folder / NEEDED / "main.py").write_text("print('checker')\n")
    (folder / "large.bin").write_bytes(os.urandom(100_000))
    git(folder, "init", "--quiet")
    for message in ("first", "second"):
        (folder / NEEDED / "version").write_text(message)
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", message)

    def entry(url: str) -> ComponentEntry:
        commit = git(folder, "rev-parse", "HEAD")
        source = GitSource(type="git", repository="example/inference", url=url, commit=commit)
        return load_catalogue().component("mlperf-inference").model_copy(update={"source": source})

    return folder, entry


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize("given", [True, False])
def test_a_commit_travels_without_what_the_checker_does_not_need(
    origin: tuple[Path, Callable[[str], ComponentEntry]], tmp_path: Path, *, given: bool
) -> None:
    folder, entry = origin
    component_ = entry("file:///nowhere" if given else f"file://{folder}")
    source = component_.source
    assert isinstance(source, GitSource)
    mirror = tmp_path / "mirror"
    fetch(mirror, Wanted(checkouts=(component_,), checkout=str(folder) if given else ""), silent)
    pack = mirror / MIRROR_CHECKOUTS / pack_name(source)
    assert pack.stat().st_size < 10_000
    head = git(folder, "rev-parse", "HEAD")
    shutil.rmtree(folder)
    found = obtain(component_, tmp_path / "cache", mirror=mirror)
    assert (found.note, found.fetched) == ("", True)
    assert found.path is not None
    assert git(found.path, "rev-parse", "HEAD") == head
    assert (found.path / NEEDED / "version").read_text() == "second"
    assert git(found.path, "status", "--porcelain") == ""
    made = server.make_server(mirror, "127.0.0.1", 0)
    with made:
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        url = f"http://127.0.0.1:{made.server_address[1]}"
        served = obtain(component_, tmp_path / "other", mirror=url)
        made.shutdown()
    assert served.path is not None, served.note
    assert git(served.path, "rev-parse", "HEAD") == head
    flip(pack)
    shutil.rmtree(tmp_path / "cache")
    assert obtain(component_, tmp_path / "cache", mirror=mirror).path is None


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_commit_that_cannot_be_had_is_said_and_does_not_stop_the_rest(tmp_path: Path) -> None:
    source = GitSource(type="git", repository="e/i", url="file:///nowhere", commit="0" * 40)
    component_ = load_catalogue().component("mlperf-inference").model_copy(update={"source": source})
    fetch(tmp_path / "mirror", Wanted(checkouts=(component_,)), silent)
    (sentence,) = read(tmp_path / "mirror").not_covered
    assert "official checker could not be fetched" in sentence


def test_a_manifest_of_another_schema_names_the_key(tmp_path: Path) -> None:
    write_json(tmp_path / "mirror.json", {"schema": 1, "files": [], "not_coverd": []})
    with pytest.raises(Exception, match="not_coverd"):
        read(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("verb", ["export", "import"])
def test_a_disk_that_is_full_is_one_sentence_and_nothing_is_left_on_it(tmp_path: Path, verb: str) -> None:
    mirror = filled(tmp_path / "one", a=os.urandom(1 << 20), b=os.urandom(3 << 20))
    export(mirror, tmp_path / "one.tar")
    small = tmp_path / "small"
    small.mkdir()
    target = small / ("one.tar" if verb == "export" else "mirror")
    argv = [
        sys.executable,
        "-m",
        "mlperf_ops",
        "mirror",
        verb,
        str(mirror if verb == "export" else tmp_path / "one.tar"),
    ]
    shell = 'mount -t tmpfs -o size=3m none "$0" && { "$@"; echo "code $?"; find "$0" -type f; }'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", shell, str(small), *argv, str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(r"error: (no space is left for|the mirror .* cannot be written: No space left)", done.stderr)
    assert [line for line in done.stdout.splitlines() if not line.endswith(".lock")] == ["code 5"]
