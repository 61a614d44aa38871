"""Verifying a compliance test needs temporary files; a folder that takes none is a sentence and no verdict.

The logs hold one answer, and the checkouts are STAND-INS: scripts with the official one's place, which fail.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path

import pytest

from mlperf_ops.compliance.model import Options, Request, Runs
from mlperf_ops.compliance.official import run_official
from mlperf_ops.compliance.sampled import judge_scores
from mlperf_ops.errors import ToolError
from mlperf_ops.harness.accuracy_log import ACCURACY_LOG
from tests.support.submission_trees import round_v61

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    for run in ("test", "accuracy"):
        (tmp_path / run).mkdir()
        (tmp_path / run / ACCURACY_LOG).write_text(json.dumps([{"seq_id": 0, "qsl_idx": 0, "data": "00"}]))
    runs = Runs(tmp_path / "test", accuracy=tmp_path / "accuracy")
    return Request("TEST01", round_v61(), "resnet50", "Offline", runs, Options(score=lambda _: "accuracy=76.46%"))


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary ones are made."""
    (tmp_path / "room").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "room"))
    return tmp_path / "room"


def checkout(folder: Path, program: str) -> Path:
    script = folder / "compliance/TEST01/run_verification.py"
    script.parent.mkdir(parents=True)
    script.write_text(program)
    return folder


def sentence(room: Path, reason: str) -> str:
    return f"cannot use the temporary folder {room}: {reason} (TMPDIR can name another folder)"


def test_scores_need_a_folder_for_the_baseline(request_: Request, tmp_path: Path, room: Path) -> None:
    judge_scores(request_, tmp_path / "accuracy")
    room.rmdir()
    with pytest.raises(ToolError) as caught:
        judge_scores(request_, tmp_path / "accuracy")
    assert str(caught.value) == sentence(room, "No such file or directory")


def test_a_disk_that_fills_up_under_the_baseline_is_a_sentence(
    request_: Request, tmp_path: Path, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Path) -> int:
        raise FULL

    monkeypatch.setattr("mlperf_ops.compliance.sampled.write_baseline", full)
    with pytest.raises(ToolError) as caught:
        judge_scores(request_, tmp_path / "accuracy")
    assert str(caught.value) == sentence(room, "No space left on device")


def test_the_official_script_needs_a_folder_of_its_own(request_: Request, tmp_path: Path, room: Path) -> None:
    room.rmdir()
    with pytest.raises(ToolError) as caught:
        run_official(request_, checkout(tmp_path / "inference", ""))
    assert str(caught.value) == sentence(room, "No such file or directory")


def test_links_that_the_disk_refuses_are_a_sentence(
    request_: Request, tmp_path: Path, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(link: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target), None, str(link))

    monkeypatch.setattr(Path, "symlink_to", full)
    with pytest.raises(ToolError) as caught:
        run_official(request_, checkout(tmp_path / "inference", ""))
    assert str(caught.value) == sentence(room, "No space left on device")


def test_an_official_script_that_met_a_full_disk_has_not_said_that_the_test_failed(
    request_: Request, tmp_path: Path, room: Path
) -> None:
    program = "import errno, os\nraise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))"
    with pytest.raises(ToolError) as caught:
        run_official(request_, checkout(tmp_path / "inference", program))
    assert str(caught.value) == sentence(room, "No space left on device")
