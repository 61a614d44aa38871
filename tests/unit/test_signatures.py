"""Signatures of files by what the kernel says of them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.support.plugins import plugin

signature = plugin("plugin_utils.signatures").signature


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kept" / "below").mkdir(parents=True)
    (tmp_path / "kept" / "below" / "log").write_text("12.5")
    (tmp_path / "kept" / "plan.json").write_text("{}")
    return tmp_path / "kept"


def _write(folder: Path) -> None:
    path = folder / "below" / "log"
    before = path.stat()
    path.write_text("12.6")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # the time of change stays behind


def _replace(folder: Path) -> None:
    (folder / "new").write_text("12.5")
    (folder / "new").replace(folder / "below" / "log")


@pytest.mark.parametrize(
    "change",
    [
        _write,
        _replace,
        lambda folder: (folder / "below" / "log").chmod(0o600),
        lambda folder: (folder / "below" / "log").unlink(),
        lambda folder: (folder / "empty").mkdir(),
        lambda folder: (folder / "plan.json").rename(folder / "plan"),
        lambda folder: (folder / "link").symlink_to("plan.json"),
    ],
)
def test_every_change_is_another_signature(folder: Path, change: object) -> None:
    before = signature([folder])
    assert signature([folder]) == before
    time.sleep(0.02)  # coarser than the clock of the file system
    change(folder)  # type: ignore[operator]  # a function
    assert signature([folder]).digest != before.digest


def test_what_is_left_out_does_not_count(folder: Path) -> None:
    left_out = [folder / "below", folder / "owner.json"]
    before = signature([folder], left_out)
    _write(folder)
    (folder / "owner.json").write_text("{}")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "module.pyc").write_text("")
    assert signature([folder], left_out) == before


def test_the_newest_is_when_a_file_was_last_written(folder: Path) -> None:
    began_ns = time.time_ns()
    assert signature([folder]).newest_ns < began_ns
    time.sleep(0.02)
    (folder / "more").hardlink_to(folder / "plan.json")
    assert signature([folder]).newest_ns < began_ns
    (folder / "plan.json").write_text("{}")
    assert signature([folder]).newest_ns > began_ns


def test_a_file_and_what_does_not_exist_have_signatures(folder: Path) -> None:
    absent = signature([folder / "none"])
    assert absent.newest_ns == 0
    (folder / "none").write_text("")
    assert signature([folder / "none"]).digest != absent.digest
