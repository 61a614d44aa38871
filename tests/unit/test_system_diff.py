"""A description against last round's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlperf_ops.errors import ResultError, SubmissionError
from mlperf_ops.files import JsonObject, write_json
from mlperf_ops.system_diff import compare, read_descriptions


def test_each_field_that_differs_has_its_kind() -> None:
    old: JsonObject = {"cooling": "Air-cooled", "number_of_nodes": "1", "framework": "x 1", "gone": "", "note": "A"}
    new: JsonObject = {"cooling": "air", "number_of_nodes": 1, "framework": "x 2", "note": "A", "added": "N/A"}
    assert [(one.field, one.kind) for one in compare(old, new)] == [
        ("cooling", "spelling"),
        ("number_of_nodes", "spelling"),
        ("framework", "changed"),
        ("added", "added"),
        ("gone", "removed"),
    ]
    assert compare(new, new) == ()


@pytest.mark.parametrize("below", ["", "systems", "Example/systems", "open/Example/systems"])
def test_descriptions_are_found_in_a_tree_and_in_parts_of_one(tmp_path: Path, below: str) -> None:
    write_json(tmp_path / below / "sut1.json", {"cooling": "air"})
    assert read_descriptions(tmp_path) == {"sut1": {"cooling": "air"}}
    assert read_descriptions(tmp_path / below / "sut1.json") == {"sut1": {"cooling": "air"}}


def test_systems_of_one_name_are_told_apart_by_their_submitter(tmp_path: Path) -> None:
    for submitter in ("A", "B"):
        write_json(tmp_path / "open" / submitter / "systems" / "sut1.json", {"submitter": submitter})
    assert set(read_descriptions(tmp_path)) == {"open/A/systems/sut1", "open/B/systems/sut1"}


def test_a_place_without_descriptions_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match="holds no system description"):
        read_descriptions(tmp_path)
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(ResultError, match="holds a list"):
        read_descriptions(tmp_path)
