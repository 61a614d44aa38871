"""A derived folder is compared and swapped as a whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from mlperf_ops import tree
from mlperf_ops.errors import ToolError
from mlperf_ops.files import sha256_file
from tests.support.attempts import snapshot

FILES = {PurePosixPath("a/one.txt"): b"one\n", PurePosixPath("a/b/two.txt"): b"two\n"}


def test_a_folder_holds_exactly_what_was_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "submission"
    tree.replace(folder, FILES)
    assert snapshot(folder) == {"a/one.txt": b"one\n", "a/b/two.txt": b"two\n"}
    assert tree.is_current(folder, FILES)
    tree.replace(folder, {PurePosixPath("other.txt"): b"x"})
    assert snapshot(tmp_path) == {"submission/other.txt": b"x"}


def _file_instead(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"a file")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "changed byte": lambda folder: (folder / "a/one.txt").write_bytes(b"0ne\n"),
    "missing file": lambda folder: (folder / "a/one.txt").rename(folder.parent / "elsewhere"),
    "extra file": lambda folder: (folder / "a/extra.txt").write_bytes(b""),
    "empty folder": lambda folder: os.makedirs(folder / "empty"),
    "link": lambda folder: os.symlink("one.txt", folder / "a/link"),
    "file instead of folder": _file_instead,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_difference_is_seen(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "submission"
    tree.replace(folder, FILES)
    DAMAGE[damage](folder)
    assert not tree.is_current(folder, FILES)


def test_a_copy_is_not_a_link_so_that_tools_cannot_reach_the_raw_file(tmp_path: Path) -> None:
    raw = tmp_path / "raw.txt"
    raw.write_bytes(b"raw\n")
    files = {PurePosixPath("log.txt"): raw}
    tree.replace(tmp_path / "submission", files)
    assert tree.is_current(tmp_path / "submission", files)
    with (tmp_path / "submission/log.txt").open("r+b") as stream:
        stream.write(b"RAW")
    assert raw.read_bytes() == b"raw\n"


def test_when_a_file_to_copy_is_gone_the_old_tree_stays(tmp_path: Path) -> None:
    folder = tmp_path / "submission"
    tree.replace(folder, FILES)
    with pytest.raises(ToolError, match="cannot write"):
        tree.replace(folder, {**FILES, PurePosixPath("c.txt"): tmp_path / "absent"})
    assert tree.is_current(folder, FILES)
    assert [path.name for path in tmp_path.iterdir()] == ["submission"]


def test_a_crash_between_the_two_renames_is_put_right(tmp_path: Path) -> None:
    folder = tmp_path / "submission"
    tree.replace(folder, FILES)
    folder.rename(tmp_path / ".submission.old")
    (tmp_path / ".submission.new").mkdir()
    tree.recover(folder)
    assert tree.is_current(folder, FILES)
    assert [path.name for path in tmp_path.iterdir()] == ["submission"]


def test_a_crash_after_the_swap_leaves_only_rests_to_remove(tmp_path: Path) -> None:
    folder = tmp_path / "submission"
    tree.replace(folder, FILES)
    shutil.copytree(folder, tmp_path / ".submission.old")
    tree.replace(folder, {PurePosixPath("new.txt"): b"new"})
    assert snapshot(tmp_path) == {"submission/new.txt": b"new"}


def test_a_foreign_file_in_the_place_of_the_tree_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "submission").write_bytes(b"mine")
    with pytest.raises(ToolError, match="is not a folder"):
        tree.replace(tmp_path / "submission", FILES)
    assert snapshot(tmp_path) == {"submission": b"mine"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(ToolError, match="Permission denied"):
        tree.replace(tmp_path / "submission", FILES)


def test_keeping_a_log_costs_no_second_copy_and_is_done_once(tmp_path: Path) -> None:
    raw = tmp_path / "raw.json"
    raw.write_bytes(b"[]")
    digest = sha256_file(raw)
    kept = tmp_path / "full_logs/deep/log.json"
    assert tree.keep(raw, kept, digest)
    assert kept.samefile(raw)
    assert not tree.keep(raw, kept, digest)
    kept.unlink()
    kept.write_bytes(b"[]")  # a copy is as good
    assert not tree.keep(raw, kept, digest)
    kept.write_bytes(b"[1]")
    assert tree.keep(raw, kept, digest)
    assert kept.read_bytes() == b"[]"
