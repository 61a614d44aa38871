"""What a play brings as soon as a cell has ended, and which attempt cells.json names then."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlperf_ops.files import sha256_bytes
from tests.support.plugins import plugin

early = plugin("plugin_utils.early")

_KEY = "sut1/b/Offline/accuracy"
_FOLDER = "runs/r/sut1/b/Offline/accuracy/0123"


class Host:
    """A host on this machine with attempts, and the copies of a play."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.here = folder / "results" / "r" / "hosts" / "sut1"
        self.copies = self.play()

    def play(self) -> Any:  # noqa: ANN401  # EarlyCopies, which mypy knows under another name
        action = SimpleNamespace(_connection=SimpleNamespace(transport="local", become=None))
        host = {"name": "sut1", "system": "sut1"}
        return early.EarlyCopies(action, str(self.home), self.here.parents[1], {"run_id": "r"}, host)

    def ends(self, number: int, verdict: str = "valid", *, large_bytes: int = 10, **changes: object) -> str:
        """Let an attempt end on the host, and the play bring it."""
        path = f"{_FOLDER}/attempt_{number}"
        folder = self.home / path
        folder.mkdir(parents=True)
        log = b"x" * large_bytes
        (folder / "mlperf_log_accuracy.json").write_bytes(log)
        listed = {"mlperf_log_accuracy.json": sha256_bytes(log)}
        (folder / "manifest.json").write_text(json.dumps({"schema": 1, "files": listed}))
        system, benchmark, scenario, mode = _KEY.split("/")
        result = {
            "cell": {"system": system, "benchmark": benchmark, "scenario": scenario, "mode": mode},
            "spec_sha256": "5" * 64,
            "request_sha256": "4" * 64,
            "verdict": verdict,
            "simulated": False,
            **changes,
        }
        (folder / "result.json").write_text(json.dumps(result))
        self.copies.bring(_KEY, path)
        return path

    def named(self) -> list[tuple[str, str]]:
        path = self.here / "cells.json"
        cells = json.loads(path.read_text())["cells"] if path.exists() else []
        return [(cell["attempt"], cell["verdict"]) for cell in cells]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_each_cell_is_named_as_it_ends(host: Host) -> None:
    host.ends(1, "failed")
    assert host.named() == [("attempt_1", "failed")]
    host.ends(2, "invalid")
    assert host.named() == [("attempt_2", "invalid")]
    host.ends(3)
    assert host.named() == [("attempt_3", "valid")]
    assert (host.here / "b/Offline/accuracy/0123/attempt_3/mlperf_log_accuracy.json").is_file()


def test_a_tainted_attempt_stands_only_where_no_other_does(host: Host) -> None:
    host.ends(1, tainted=["the governor changed"])
    assert host.named() == [("attempt_1", "valid")]
    host.ends(2, "invalid")
    host.ends(3, tainted=["the governor changed"])
    assert host.named() == [("attempt_2", "invalid")]
    assert (host.here / "b/Offline/accuracy/0123/attempt_3").is_dir()
    host.ends(4, spec_sha256="6" * 64, tainted=["the governor changed"])  # what the plan asks now
    assert host.named() == [("attempt_4", "valid")]


def test_a_large_attempt_is_named_when_it_is_whole(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early.assemble, "SMALL_BYTES", 2000)
    host.ends(1, large_bytes=5000)
    place = host.here / "b/Offline/accuracy/0123"
    assert host.named() == []
    assert sorted(path.name for path in (place / ".attempt_1.partial").iterdir()) == ["manifest.json", "result.json"]
    host.copies.bring_rest()
    assert host.named() == [("attempt_1", "valid")]
    assert [path.name for path in place.iterdir()] == ["attempt_1"]
    host.copies.bring_rest()  # nothing is left


def test_a_copy_that_fails_is_told_and_fails_no_cell(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(early.display, "display", lambda text, **_: said.append(text))
    host.copies.bring(_KEY, f"{_FOLDER}/attempt_9")
    host.copies.bring(_KEY, "runs/other/sut1/b/Offline/accuracy/0123/attempt_1")
    assert len(said) == 2
    assert "attempt_9 is not on the host any more" in said[0]
    assert "unexpected folder" in said[1]
    assert host.named() == []
