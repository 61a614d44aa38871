"""The walk over a submission tree that changes meanwhile."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlperf_ops.checker import walk
from mlperf_ops.checker.tree import Tree


def test_a_file_that_goes_away_between_listing_and_look_is_unreadable_and_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gone.txt", "stays.txt"):
        (tmp_path / name).write_text("text")
    listed = os.scandir

    @contextlib.contextmanager
    def then_removed(path: str) -> Iterator[list[os.DirEntry[str]]]:
        with listed(path) as entries:
            found = list(entries)
        (tmp_path / "gone.txt").unlink()
        yield found

    monkeypatch.setattr(os, "scandir", then_removed)
    tree = Tree(tmp_path)
    walk._walk(tree, None, {}, stamps=True)
    assert tree.unreadable == {"gone.txt": "No such file or directory"}
    assert tree.folders[""].files == {"stays.txt": 4}
