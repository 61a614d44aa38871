"""A temporary folder that is full, gone or refused is a sentence that names it, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest

from mlperf_ops.errors import ToolError
from mlperf_ops.scratch import raise_if_disk_full, scratch_folder


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary ones are made."""
    folder = tmp_path / "room"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def linked(link: Path, target: Path) -> Path:
    link.symlink_to(target)
    return link


def test_a_scratch_folder_has_no_link_in_its_path_and_is_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "link").symlink_to("room")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "link"))
    with scratch_folder("mlperf-ops-test-") as scratch:
        assert scratch.is_dir()
        assert scratch.parent == (tmp_path / "room").resolve()
        assert scratch.name.startswith("mlperf-ops-test-")
    assert not scratch.exists()


def test_a_temporary_folder_that_cannot_be_used_is_named_with_the_reason_and_a_way_out(room: Path) -> None:
    room.rmdir()
    with pytest.raises(ToolError) as caught, scratch_folder():
        pass
    assert caught.value.message == f"cannot use the temporary folder {room}: No such file or directory"
    assert caught.value.hint == "TMPDIR can name another folder"


def test_what_is_no_fault_of_the_disk_is_not_told_as_one(room: Path) -> None:
    with pytest.raises(OSError, match="Input/output error"), scratch_folder():
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    assert list(room.iterdir()) == []


def test_where_there_is_no_temporary_folder_at_all_those_that_were_tried_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "none")])
    with pytest.raises(ToolError, match=r"cannot write temporary files: .*/none") as caught, scratch_folder():
        pass
    assert caught.value.hint == "TMPDIR can name another folder"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_refuses_while_the_folder_is_in_use_is_a_sentence_too(room: Path, number: int) -> None:
    reason = os.strerror(number)
    with pytest.raises(ToolError) as unnamed, scratch_folder():
        raise OSError(number, reason)  # as a write says it
    with pytest.raises(ToolError) as named, scratch_folder() as scratch:
        raise OSError(number, reason, "/elsewhere/log", None, str(scratch / "log"))  # as a link says it
    assert unnamed.value.message == named.value.message == f"cannot use the temporary folder {room}: {reason}"
    assert list(room.iterdir()) == []


def test_a_file_elsewhere_is_not_the_temporary_folders_fault(room: Path, tmp_path: Path) -> None:
    away = tmp_path / "away"
    with pytest.raises(ToolError) as direct, scratch_folder():
        list(away.iterdir())
    with pytest.raises(ToolError) as shown, scratch_folder() as scratch:
        linked(scratch / "log", away).read_text()
    assert str(direct.value) == str(shown.value) == f"cannot read {away}: No such file or directory"
    assert list(room.iterdir()) == []


def test_a_program_that_met_a_full_disk_is_told_of_and_any_other_is_not(room: Path) -> None:
    raise_if_disk_full("KeyError: 'status'")
    with pytest.raises(ToolError, match=f"cannot use the temporary folder {room}: No space left"), scratch_folder():
        raise_if_disk_full("OSError: [Errno 28] No space left on device: 'out/verify_accuracy.txt'")
