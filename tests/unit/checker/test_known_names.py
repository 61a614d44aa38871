"""Names that an earlier walk found: believed of folders that have not changed since, and of no others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from mlperf_ops.checker import settled
from mlperf_ops.checker.settled import keeps_times
from mlperf_ops.checker.walk import read_tree
from tests.support.small_disks import small_disk

MOUNTS = """22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:26 / {folder} rw - {kind} server:/export rw
31 22 0:27 / /elsewhere rw shared:1 - vfat /dev/sdb rw
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settled, "keeps_times", lambda _: True)
    # The times of a test are seconds apart at most; one says what happens then.
    monkeypatch.setattr(settled, "TOO_YOUNG_NS", 0)
    folder = tmp_path / "tree"
    for name in ("closed/a/results", "closed/b"):
        (folder / name).mkdir(parents=True)
        (folder / name / "x.txt").write_text(name)
    return folder


def read_again(root: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]) -> set[str]:
    """Read, change and read again, as if for the first time; return the folders whose names were read for that."""
    before = read_tree(root, stamps=True).folders
    latest_ns, probe = max(path.stat().st_ctime_ns for path in (root, *root.rglob("*"))), root.parent / "probe"
    while not probe.exists() or probe.stat().st_ctime_ns <= latest_ns:  # until the file system's clock has gone on
        probe.write_text("x")
    change(root)
    seen: set[str] = set()
    scandir = os.scandir

    def noted(place: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        seen.add(place)
        return scandir(place)

    monkeypatch.setattr(os, "scandir", noted)
    tree = read_tree(root, stamps=True, known=before)
    monkeypatch.undo()
    plain = read_tree(root, stamps=True)
    assert {place: (one.folders, one.files, one.odd, one.states) for place, one in tree.folders.items()} == {
        place: (one.folders, one.files, one.odd, one.states) for place, one in plain.folders.items()
    }
    assert (tree.links, tree.unreadable) == (plain.links, plain.unreadable)
    return {os.path.relpath(place, root) for place in seen}


def keeping_times(change: Callable[[Path], object]) -> Callable[[Path], object]:
    """Return a change after which every folder has the time of modification that it had before."""

    def changed(root: Path) -> None:
        folders = [path for path in (root, *root.rglob("*")) if path.is_dir()]
        times = [(path, path.stat()) for path in folders]
        change(root)
        for path, status in times:
            if path.is_dir():
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return changed


def test_names_of_folders_that_did_not_change_are_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_again(root, monkeypatch, lambda _: None) == set()


def test_an_edit_in_place_is_seen(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def edit(root: Path) -> None:
        (root / "closed/b/x.txt").write_text("closed/c")  # as long as before

    assert read_again(root, monkeypatch, edit) == {"closed/b"}


@pytest.mark.parametrize("keep", [lambda change: change, keeping_times])
@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "closed/b/new.txt").write_text("x"),
        lambda root: (root / "closed/b/x.txt").unlink(),
        lambda root: (root / "closed/b/x.txt").rename(root / "closed/b/y.txt"),
        lambda root: (root / "closed/b/new").mkdir(),
        lambda root: (root / "closed/b/new").symlink_to("x.txt"),
        lambda root: ((root / "closed/b/x.txt").unlink(), (root / "closed/b/x.txt").symlink_to("../a/results/x.txt")),
        lambda root: ((root / "closed/b/x.txt").unlink(), (root / "closed/b/x.txt").mkdir()),
    ],
)
def test_names_of_a_folder_that_changed_are_read_again(
    change: Callable[[Path], object],
    keep: Callable[[Callable[[Path], object]], Callable[[Path], object]],
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "closed/b" in read_again(root, monkeypatch, keep(change))


def test_a_folder_in_place_of_another_one_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(root: Path) -> None:
        (root / "closed/b").rename(root.parent / "b")
        (root / "closed/b").mkdir()
        (root / "closed/b/z.txt").write_text("z")

    assert {"closed", "closed/b"} <= read_again(root, monkeypatch, replace)


def test_a_folder_with_a_link_is_read_every_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "closed/b/link").symlink_to("x.txt")
    assert read_again(root, monkeypatch, lambda _: None) == {"closed/b"}


def test_a_folder_that_has_just_changed_is_read_the_next_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settled, "TOO_YOUNG_NS", 3600 * 10**9)
    assert not any(one.own for one in read_tree(root, stamps=True).folders.values())
    assert all(one.young for one in read_tree(root, stamps=True).folders.values() if one.files)


@pytest.mark.parametrize(
    ("folder", "kind", "expected"),
    [("/else", "nfs4", True), ("TREE", "nfs4", False), ("TREE", "xfs", True), ("TREE", "fuse.sshfs", False)],
)
def test_times_are_believed_on_known_file_systems_only(
    folder: str, kind: str, expected: object, tmp_path: Path
) -> None:
    place = tmp_path / "with space"
    place.mkdir()
    shown = str(place).replace(" ", "\\040") if folder == "TREE" else folder
    (tmp_path / "mounts").write_text(MOUNTS.format(folder=shown, kind=kind))
    assert keeps_times(place, tmp_path / "mounts") is expected
    assert keeps_times(place, tmp_path / "none") is False


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_the_times_of_what_is_mounted_in_the_tree_are_not_believed(root: Path) -> None:
    with small_disk(root / "closed/b", 1):
        (root / "closed/b/x.txt").write_text("x")
        states = {location: bool(one.own) for location, one in read_tree(root, stamps=True).folders.items()}
    assert states == {"": True, "closed": True, "closed/a": True, "closed/a/results": True, "closed/b": False}
