"""One archive of a tree: only what passes, nothing that must not leave, equal bytes; and what a reviewer finds out."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.checker import check_tree
from mlperf_ops.cli import main
from mlperf_ops.errors import ConfigError, SubmissionError, ToolError
from mlperf_ops.files import read_json, sha256_file, write_json
from mlperf_ops.pack import beside, pack_tree, tainted_results
from mlperf_ops.pack_manifest import PAGE
from mlperf_ops.secret_forms import machine_paths, scan
from mlperf_ops.verify_pack import VerifyReport, verify
from tests.support.attempts import RealLogs, snapshot
from tests.support.power_trees import measure
from tests.support.secret_samples import SECRETS
from tests.support.submission_trees import TreeUnderTest, good_tree, short_tree

CATALOGUE = load_catalogue()
ROUND = CATALOGUE.round("v6.1")
RESULT = "node1/efficientnet-lite0/Offline"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, real_logs: RealLogs) -> TreeUnderTest:
    return good_tree(tmp_path_factory.mktemp("good") / "tree", real_logs)


@pytest.fixture
def tree(made: TreeUnderTest, tmp_path: Path) -> TreeUnderTest:
    shutil.copytree(made.root, tmp_path / "tree")
    return TreeUnderTest(tmp_path / "tree", made.division, made.benchmark)


def packed(tree: TreeUnderTest, *allowed: str) -> Path:
    output = tree.root.parent / "out" / "example.tar.gz"
    pack_tree(tree.root, ROUND, output, allow_tainted=allowed)
    return output


def verified(pack: Path, folder: Path) -> VerifyReport:
    folder.mkdir()
    return verify(pack, folder, CATALOGUE)


# --- pack ------------------------------------------------------------------------------------------------------------


def test_equal_trees_give_equal_bytes_whatever_time_owner_and_order_say(tree: TreeUnderTest, tmp_path: Path) -> None:
    first = packed(tree).read_bytes()
    other = tmp_path / "other"
    for path in sorted(tree.root.rglob("*"), reverse=True):
        if path.is_file():
            target = other / path.relative_to(tree.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
            target.chmod(0o600)
            os.utime(target, (1, 1))
    second = tmp_path / "second.tar.gz"
    report = pack_tree(other, ROUND, second)
    assert second.read_bytes() == first
    assert report.changed
    inode = second.stat().st_ino
    assert not pack_tree(other, ROUND, second).changed
    assert second.stat().st_ino == inode


def test_a_header_says_nothing_but_name_and_size(tree: TreeUnderTest) -> None:
    pack = packed(tree)
    raw = pack.read_bytes()
    assert raw[3:8] == bytes(5)  # flags (no file name) and time of the gzip header
    with tarfile.open(pack) as tar:
        members = tar.getmembers()
    assert {(one.uid, one.gid, one.uname, one.gname, one.mtime, one.mode) for one in members} == {
        (0, 0, "", "", 0, 0o644)
    }
    names = [one.name for one in members]
    assert names[0] == PAGE
    assert names[1:] == sorted(names[1:])


def test_the_digests_are_inside_and_beside_and_sha256sum_agrees(tree: TreeUnderTest, tmp_path: Path) -> None:
    pack = packed(tree)
    manifest = read_json(beside(pack))
    assert manifest["sha256"] == sha256_file(pack)
    assert manifest["round"] == "v6.1"
    folder = tmp_path / "opened"
    folder.mkdir()
    subprocess.run(["tar", "-xzf", pack, "-C", folder], check=True)
    files = {name: sha256_file(folder / name) for name in snapshot(folder)}
    assert manifest["files"] == files
    command = f"grep -E '^[0-9a-f]{{64}}  ' {PAGE} | sha256sum --check --quiet"
    assert subprocess.run(["sh", "-c", command], cwd=folder, check=False).returncode == 0
    (folder / "open/TEST-ONLY/src/README.md").write_text("other")
    assert subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, check=False).returncode == 1


def test_what_the_round_rejects_is_not_packed(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = short_tree(tmp_path / "tree", real_logs)
    with pytest.raises(
        SubmissionError, match=r"nothing was packed: the check of v6\.1 rejects the tree, \d+ findings: "
    ) as caught:
        packed(tree)
    assert caught.value.hint is not None
    assert f"'mlperf-ops check {tree.root} --round v6.1' explains each" in caught.value.hint
    assert "no option packs what the round rejects" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_what_a_stand_in_made_is_not_packed(tree: TreeUnderTest) -> None:
    tree.edit_json(tree.result("Offline") / "measurements.json", {"simulated": True})
    with pytest.raises(SubmissionError, match=r"simulated at .*says that it is simulated"):
        packed(tree)


def test_power_that_a_stand_in_measured_is_not_packed(tree: TreeUnderTest) -> None:
    server = measure(tree) / "power/server.json"
    server.write_text(server.read_text().replace("version=1.11.1-", "version=1.11.1-SIMULATED-"))
    with pytest.raises(
        SubmissionError, match=r"1 finding: .*simulated at .*server\.json: the readings were made by a stand-in"
    ):
        packed(tree)


def test_a_tainted_result_is_packed_only_when_it_is_allowed_by_name(tree: TreeUnderTest) -> None:
    with (tree.result("Offline") / "README.md").open("a") as stream:
        stream.write("- Tainted (performance): governor changed from performance to powersave\n")
    with pytest.raises(SubmissionError, match="nothing was packed: 1 tainted result: ") as caught:
        packed(tree)
    assert f"{RESULT}: Tainted (performance): governor changed" in str(caught.value)
    assert caught.value.hint is not None
    assert f"--allow-tainted {RESULT}" in caught.value.hint
    with pytest.raises(ConfigError, match="unknown result 'node1/efficientnet-lite0/Ofline'") as wrong:
        packed(tree, "node1/efficientnet-lite0/Ofline")
    assert f"did you mean '{RESULT}'?" in str(wrong.value)
    pack = packed(tree, RESULT)
    assert read_json(beside(pack))["tainted"] == [RESULT]
    assert verified(pack, tree.root.parent / "content").tainted == (RESULT,)


def test_a_taint_is_seen_although_its_page_was_written_anew(tree: TreeUnderTest) -> None:
    written = [{"path": f"open/TEST-ONLY/results/{RESULT}", "tainted": ["the governor changed"]}]
    write_json(tree.root.parent / "report/aggregate.json", {"tree": tree.root.name, "written": written})
    with pytest.raises(SubmissionError, match=f"1 tainted result: {RESULT}: Tainted: the governor changed"):
        packed(tree)
    assert read_json(beside(packed(tree, RESULT)))["tainted"] == [RESULT]
    write_json(tree.root.parent / "report/aggregate.json", {"tree": "another", "written": written})
    assert read_json(beside(packed(tree)))["tainted"] == []


def test_of_two_results_of_one_name_each_is_allowed_by_its_folder(tree: TreeUnderTest) -> None:
    with (tree.result("Offline") / "README.md").open("a") as stream:
        stream.write("- Tainted (performance): governor changed\n")
    assert read_json(beside(packed(tree, f"open/TEST-ONLY/results/{RESULT}")))["tainted"] == [RESULT]
    shutil.copytree(tree.root / "open/TEST-ONLY", tree.root / "open/TEST-TOO")
    for path in (tree.root / "open/TEST-TOO/systems").glob("*.json"):
        tree.edit_json(path, {"submitter": "TEST-TOO"})
    places = [f"open/{name}/results/{RESULT}" for name in ("TEST-ONLY", "TEST-TOO")]
    report = check_tree(tree.root, ROUND)
    assert {one.location for one in report.results} >= set(places)
    assert tainted_results(report, tree.root, ROUND, places) == tuple(places)
    with pytest.raises(SubmissionError, match=f"1 tainted result: {places[1]}"):
        tainted_results(report, tree.root, ROUND, places[:1])
    with pytest.raises(ConfigError, match=f"unknown result '{RESULT}'"):
        tainted_results(report, tree.root, ROUND, (RESULT,))


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_plain_file_is_not_packed(tree: TreeUnderTest, kind: str) -> None:
    place = tree.submitter / "src" / "odd"
    if kind == "link":
        place.symlink_to("README.md")
    else:
        os.mkfifo(place)
    with pytest.raises(SubmissionError):
        packed(tree)


@pytest.mark.parametrize("name", ["a\x1bb", "a\\b", "caf\udce9", "tab\tname"])
def test_a_name_that_could_not_be_unpacked_is_not_packed(tree: TreeUnderTest, name: str) -> None:
    (tree.submitter / "src" / name).write_text("x\n")
    with pytest.raises(SubmissionError, match="the name is no plain text") as caught:
        packed(tree)
    assert str(caught.value).isprintable()


def test_a_key_that_was_escaped_into_json_stops_the_pack(tree: TreeUnderTest) -> None:
    (tree.submitter / "src/notes.json").write_text(json.dumps({"key": SECRETS["private key"]}))
    with pytest.raises(SubmissionError, match=r"src/notes\.json:1: private key"):
        packed(tree)


@pytest.mark.parametrize("kind", sorted(SECRETS))
def test_a_secret_stops_the_pack_and_is_not_repeated(tree: TreeUnderTest, kind: str) -> None:
    (tree.submitter / "src/notes.md").write_text(f"first line\n{SECRETS[kind]}\n")
    with pytest.raises(SubmissionError) as caught:
        packed(tree)
    assert f"src/notes.md:2: {kind}" in str(caught.value)
    assert SECRETS[kind] not in str(caught.value)
    assert not (tree.root.parent / "out/example.tar.gz").exists()


@pytest.mark.parametrize("name", ["run.py", "Makefile.power", "kernel.cu", "image.bin", "long.md"])
def test_every_file_is_searched_also_those_that_the_check_leaves_out(tree: TreeUnderTest, name: str) -> None:
    filler = "x = 1\n" * ((1 << 18) if name == "long.md" else 1)
    (tree.submitter / "src" / name).write_text(f"{filler}{SECRETS['GitHub token']}\n")
    assert check_tree(tree.root, ROUND, processes=1).verdict == "submittable"
    with pytest.raises(SubmissionError, match=rf"src/{name}:\d+: GitHub token"):
        packed(tree)


def test_a_path_of_this_machine_stops_the_pack(tree: TreeUnderTest) -> None:
    (tree.submitter / "src/notes.md").write_text(f"see {tree.root.resolve()}/open\n")
    with pytest.raises(SubmissionError, match=r"src/notes.md:1: path of this machine"):
        packed(tree)


def test_innocent_text_is_no_leak(tmp_path: Path) -> None:
    lines = [
        "-----BEGIN CERTIFICATE-----", "hf_model", "AKIA", "https://example.org/a@b", "https://user@host/x",
        "/srv/root/x", "a/root/b", "nvapi-", "sha256 " + "a" * 64, "https://h:${TOKEN}@x", "$ANSIBLE_VAULT is a header",
    ]  # fmt: skip
    (tmp_path / "notes.md").write_text("\n".join(lines))
    assert list(scan(tmp_path, ["notes.md"], ["/root/"])) == []


def test_a_secret_across_two_blocks_is_found_once_with_its_line(tmp_path: Path) -> None:
    size = 1 << 20
    text = b"x\n" * (size // 2 - 10) + b"  " + SECRETS["GitHub token"].encode() + b"\n" + b"y\n" * 600_000
    (tmp_path / "log").write_bytes(text)
    (leak,) = scan(tmp_path, ["log"], [])
    assert leak.line == size // 2 - 9


def test_the_root_folder_is_no_path_to_look_for() -> None:
    assert all(len(path) > 5 for path in machine_paths(Path("/")))


# --- verify ----------------------------------------------------------------------------------------------------------


def test_an_untouched_pack_is_good(tree: TreeUnderTest, tmp_path: Path) -> None:
    report = verified(packed(tree), tmp_path / "x")
    assert report.good
    assert report.round == "v6.1"
    assert report.check is not None
    assert len(report.check.results) == 4


def rewrite(pack: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Write a pack anew with other content, as somebody would who wants to hide a change."""
    with tarfile.open(pack) as tar:
        files = {one.name: tar.extractfile(one).read() for one in tar.getmembers()}  # type: ignore[union-attr]
    change(files)
    with tarfile.open(pack, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return pack


def test_a_changed_a_missing_and_an_added_file_are_named(tree: TreeUnderTest, tmp_path: Path) -> None:
    name = f"open/TEST-ONLY/results/{RESULT}/user.conf"

    def change(files: dict[str, bytes]) -> None:
        files[name] += b"\n"
        del files["open/TEST-ONLY/src/README.md"]
        files["open/TEST-ONLY/src/more.md"] = b"more"

    pack = packed(tree)
    before = read_json(beside(pack))
    report = verified(rewrite(pack, change), tmp_path / "x")
    assert not report.good
    listed: Any = before["files"]
    odd = {one.file: (one.expected, one.found) for one in report.differences}
    assert odd[pack.name] == (before["sha256"], sha256_file(pack))
    assert odd[name] == (listed[name], sha256_file(tmp_path / "x" / name))
    assert odd["open/TEST-ONLY/src/README.md"] == (listed["open/TEST-ONLY/src/README.md"], "no file")
    assert odd["open/TEST-ONLY/src/more.md"] == ("no file", sha256_file(tmp_path / "x/open/TEST-ONLY/src/more.md"))
    assert {(one.what, one.file) for one in report.differences} == {
        ("changed", "example.tar.gz"),
        ("changed", name),
        ("missing", "open/TEST-ONLY/src/README.md"),
        ("added", "open/TEST-ONLY/src/more.md"),
    }


def test_a_manifest_that_was_changed_with_the_files_is_found_by_the_one_beside(
    tree: TreeUnderTest, tmp_path: Path
) -> None:
    pack = packed(tree)
    name = f"open/TEST-ONLY/results/{RESULT}/user.conf"
    old = read_json(beside(pack))["files"][name]  # type: ignore[index,call-overload]

    def change(files: dict[str, bytes]) -> None:
        import hashlib  # noqa: PLC0415

        files[name] += b"\n"
        new = hashlib.sha256(files[name]).hexdigest()
        files[PAGE] = files[PAGE].replace(str(old).encode(), new.encode())

    report = verified(rewrite(pack, change), tmp_path / "x")
    assert {one.file for one in report.differences} == {"example.tar.gz", PAGE, name}


def test_any_flipped_byte_is_noticed(tree: TreeUnderTest, tmp_path: Path) -> None:
    pack = packed(tree)
    raw = bytearray(pack.read_bytes())
    for index, place in enumerate((len(raw) // 3, len(raw) // 2, len(raw) - 3)):
        broken = bytearray(raw)
        broken[place] ^= 0x10
        copy = tmp_path / f"copy{index}" / pack.name
        copy.parent.mkdir()
        copy.write_bytes(broken)
        shutil.copyfile(beside(pack), beside(copy))
        report = verified(copy, tmp_path / f"x{index}")
        assert not report.good
        assert report.differences[0].what == "changed"
        assert any(one.what == "damaged" for one in report.differences)


def hostile(path: Path, *members: tarfile.TarInfo) -> Path:
    with gzip.open(path, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size) if member.isreg() else None)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, target, 1 if kind == tarfile.REGTYPE else 0
    return made


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ([member("../evil")], "leads out of the pack"),
        ([member("/etc/evil")], "leads out of the pack"),
        ([member("a/../../evil")], "leads out of the pack"),
        ([member("a\nb")], "leads out of the pack"),
        ([member("link", tarfile.SYMTYPE, "/etc/passwd"), member("link/x")], "is a symbolic link"),
        ([member("hard", tarfile.LNKTYPE, "/etc/passwd")], "is a hard link"),
        ([member("dev", tarfile.CHRTYPE)], "is a device or a pipe"),
        ([member("pipe", tarfile.FIFOTYPE)], "is a device or a pipe"),
        ([member("twice"), member("twice")], "holds twice twice"),
        ([member("closed/x")], f"has no {PAGE}"),
    ],
)
def test_an_archive_that_is_not_safe_is_refused_before_anything_is_written_outside(
    tmp_path: Path, members: list[tarfile.TarInfo], sentence: str
) -> None:
    folder = tmp_path / "deep/x"
    folder.parent.mkdir()
    with pytest.raises(SubmissionError) as caught:
        verified(hostile(tmp_path / "deep/evil.tar.gz", *members), folder)
    assert sentence in str(caught.value)
    assert not list(tmp_path.glob("evil")) + list((tmp_path / "deep").glob("evil"))


@pytest.mark.parametrize("content", [b"", b"not gzip", gzip.compress(b"not tar", mtime=0)])
def test_what_is_no_archive_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    pack = tmp_path / "a.tar.gz"
    pack.write_bytes(content)
    report = verified(pack, tmp_path / "x")
    assert [one.what for one in report.differences] == ["damaged"]
    assert not report.good


@contextlib.contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Let the system refuse to write more into any file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_folder_that_takes_no_more_says_nothing_of_the_pack(tree: TreeUnderTest, tmp_path: Path) -> None:
    pack = packed(tree)
    folder = tmp_path / "x"
    with pytest.raises(ToolError) as caught, files_of_at_most(100):
        verified(pack, folder)
    assert caught.value.message == f"cannot unpack into {folder}: File too large"
    assert caught.value.hint == "--extract can name another folder, with room"
    assert verified(pack, tmp_path / "y").good


def test_a_folder_in_which_none_can_be_made_says_nothing_of_the_pack(
    tree: TreeUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    pack = packed(tree)
    folder = tmp_path / "x"
    folder.mkdir()
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(ToolError, match=f"cannot unpack into {folder}: No space left on device"):
        verify(pack, folder, CATALOGUE)


def test_a_temporary_folder_that_cannot_be_used_says_nothing_of_the_pack(
    tree: TreeUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = packed(tree)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(pack)])
    shown = capsys.readouterr()
    assert (ended.value.code, shown.out) == (5, "")
    assert f"cannot use the temporary folder {tmp_path / 'gone'}: No such file or directory" in shown.err


def test_an_archive_that_the_system_cannot_read_on_is_still_the_packs_fault(tmp_path: Path) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        long = member("closed/long")
        long.size = 1 << 20
        tar.addfile(long, io.BytesIO(bytes(long.size)))
    pack = tmp_path / "a.tar.gz"
    pack.write_bytes(gzip.compress(raw.getvalue()[: 1 << 19], mtime=0) + b"no gzip")  # an OSError, in mid-file
    report = verified(pack, tmp_path / "x")
    assert [one.what for one in report.differences] == ["damaged"]
    assert "Not a gzipped file" in report.differences[0].message


@pytest.mark.parametrize("names", [("a", "a/b"), ("a", "a/b/c"), ("a/b", "a"), ("a", "b" * 300)])
def test_a_pack_whose_names_cannot_all_be_files_is_no_good_one(tmp_path: Path, names: tuple[str, str]) -> None:
    report = verified(hostile(tmp_path / "a.tar.gz", *map(member, names)), tmp_path / "x")
    assert [one.what for one in report.differences] == ["damaged"]


def mlperf_ops(*words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "mlperf_ops", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_the_two_verbs_as_people_call_them(tree: TreeUnderTest, tmp_path: Path) -> None:
    pack = tmp_path / "example-v6.1.tar.gz"
    done = mlperf_ops("pack", tree.root, "--round", "v6.1", "--output", pack)
    assert done.returncode == 0, done.stderr
    assert f"{pack} changed" in done.stdout
    rows = dict(line.split("\t") for line in done.stdout.splitlines() if "\t" in line)
    assert rows["what"] == "value"
    assert (rows["file"], rows["sha256"]) == (str(pack), sha256_file(pack))
    assert int(rows["size (bytes)"]) == pack.stat().st_size
    assert rows["verify"] == f"mlperf-ops verify {pack}"
    done = mlperf_ops("verify", pack)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == f"{pack} is what was packed, and nobody objects to its content"
    told = dict(line.split("\t") for line in done.stdout.splitlines() if "\t" in line)
    assert told["verified"].endswith(f"files of {pack}")
    assert told["against"] == f"the sha256 that {PAGE} inside of it lists; {pack.name}.manifest.json beside it"
    assert told["content"] == "submittable by the rules of v6.1, 4 results"
    done = mlperf_ops("verify", pack, "--json", "--extract", tmp_path / "kept")
    told = json.loads(done.stdout)
    assert (told["good"], told["round"], told["differences"]) == (True, "v6.1", [])
    assert (tmp_path / "kept" / PAGE).is_file()
    done = mlperf_ops("verify", pack, "--round", "v6.0")
    assert done.returncode == 2
    assert "was packed for round v6.1, and --round is v6.0" in done.stderr
    rewrite(pack, lambda files: files.update({"closed/x": b""}))
    done = mlperf_ops("verify", pack)
    assert done.returncode == 1
    assert "is NOT what was packed" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["pack", "{tree}", "--round", "v6.1", "--output", "{out}/x.zip"], 2, "expected a name that ends with .tar.gz"),
        (["pack", "{tree}", "--round", "v6.1", "--output", "{tree}/x.tar.gz"], 2, "is inside of the tree"),
        (["pack", "{tree}", "--round", "v6", "--output", "{out}/x.tar.gz"], 2, "unknown round 'v6'"),
        (["pack", "{out}/none", "--round", "v6.1", "--output", "{out}/x.tar.gz"], 4, "is not a folder"),
        (["verify", "{out}/none.tar.gz"], 4, "there is no pack"),
        (["verify", "{out}/none.tar.gz", "--extract", "{tree}"], 2, "exists already"),
        (["verify", "{out}/none.tar.gz", "--extract", "/dev/null/x"], 5, "cannot make the folder /dev/null/x: Not a"),
    ],
)
def test_bad_input_is_one_sentence(
    tree: TreeUnderTest, tmp_path: Path, words: list[str], code: int, sentence: str
) -> None:
    done = mlperf_ops(*(word.format(tree=tree.root, out=tmp_path) for word in words))
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert sentence in done.stderr
