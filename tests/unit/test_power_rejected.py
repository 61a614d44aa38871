"""A measurement that the rules reject: its cell is needed again, and everybody says so."""

from __future__ import annotations

from pathlib import Path

from mlperf_ops.files import write_json
from mlperf_ops.power.rejected import NOTE, note, rejected


def test_notes_are_added_and_a_damaged_one_rejects_nothing(tmp_path: Path) -> None:
    assert rejected(tmp_path) == {}
    note(tmp_path, "b/Offline/performance/0123/attempt_1", ["clocks are apart"])
    note(tmp_path, "b/Offline/performance/0123/attempt_2", ["a gap"])
    assert rejected(tmp_path) == {
        "b/Offline/performance/0123/attempt_1": ["clocks are apart"],
        "b/Offline/performance/0123/attempt_2": ["a gap"],
    }
    write_json(tmp_path / NOTE, {"schema": 1, "attempts": [1]})
    assert rejected(tmp_path) == {}
    (tmp_path / NOTE).write_text("{")
    assert rejected(tmp_path) == {}
