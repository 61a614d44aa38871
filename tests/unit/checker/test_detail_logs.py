"""Logs of one run that is filed several times, and logs that only look like it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlperf_ops.checker import detail_logs
from mlperf_ops.checker.detail_logs import DetailLogs, have_same_content
from mlperf_ops.checker.walk import read_tree
from mlperf_ops.loadgen_log import DetailLog, read_detail

KEYS = frozenset({"effective_scenario"})


def line(scenario: str) -> str:
    return f':::MLLOG {{"key": "effective_scenario", "value": "{scenario}", "metadata": {{}}}}\n'


def reader(root: Path, **contents: str) -> DetailLogs:
    for name, text in contents.items():
        (root / name).mkdir()
        (root / name / "log.txt").write_text(text)
    return DetailLogs(read_tree(root), KEYS)


def test_equal_logs_are_read_once_and_keep_their_own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(path: str, keys: frozenset[str], *, count_warnings: bool) -> DetailLog:
        read.append(path)
        return read_detail(path, keys, count_warnings=count_warnings)

    monkeypatch.setattr(detail_logs, "read_detail", counted)
    logs = reader(tmp_path, a=line("Offline"), b=line("Offline"))
    first, second = logs.read("a/log.txt"), logs.read("b/log.txt")
    assert (first.location, second.location) == ("a/log.txt", "b/log.txt")
    assert first.log == second.log
    assert read == [str(tmp_path / "a/log.txt")]


def test_a_log_of_the_same_size_is_another_one(tmp_path: Path) -> None:
    logs = reader(tmp_path, a=line("Offline"), b=line("Onffile"))
    found = [logs.read(f"{name}/log.txt").log for name in "ab"]
    assert [log.values["effective_scenario"] for log in found if log is not None] == ["Offline", "Onffile"]


def test_of_equal_damaged_logs_each_is_told(tmp_path: Path) -> None:
    logs = reader(tmp_path, a="damaged\n", b="damaged\n")
    for name in "ab":
        file = logs.read(f"{name}/log.txt")
        assert file.log is None
        assert file.problem is not None
        assert file.problem.startswith("log.txt:1: not a LoadGen message")


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    assert not reader(tmp_path).read("a/log.txt").exists


def test_the_content_is_compared_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detail_logs, "_HEAD_BYTES", 2)
    monkeypatch.setattr(detail_logs, "_BLOCK_BYTES", 4)
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"12345678")
    for content, same in ((b"12345678", True), (b"12345679", False), (b"1234567", False), (b"123456789", False)):
        other.write_bytes(content)
        assert have_same_content(str(one), str(other)) is same
    assert not have_same_content(str(one), str(tmp_path / "none"))
