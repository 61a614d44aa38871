"""Data sets in tables: every form of JSON, and pickles that cannot run code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.accuracy.model import library
from mlperf_ops.accuracy.tables import read_columns, read_pickle
from mlperf_ops.errors import ConfigError, MlperfOpsError


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.json", '[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]'),
        ("t.jsonl", '{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n'),
        ("t.json", '{"a": [1, 2], "b": ["x", "y"]}'),
        ("t.json", '{"a": {"0": 1, "1": 2}, "b": {"0": "x", "1": "y"}}'),
    ],
)
def test_tables_are_read_in_every_form_of_json(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert read_columns(tmp_path / name, ("b", "a")) == {"b": ["x", "y"], "a": [1, 2]}


def test_a_pandas_table_is_read(tmp_path: Path) -> None:
    pandas = library("pandas", "pandas")
    pandas.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [[1], [2, 3]]}).to_pickle(tmp_path / "t.pkl")
    assert read_columns(tmp_path / "t.pkl", ("a", "b")) == {"a": [1, 2], "b": ["x", "y"]}


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("it ran",)


def test_a_pickle_that_runs_code_is_refused_before_it_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.pkl").write_bytes(pickle.dumps(_Trap()))
    with pytest.raises(ConfigError, match=r"it names builtins\.print, which a table has no need of"):
        read_pickle(tmp_path / "t.pkl")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.json", "{", "is not JSON"),
        ("t.json", "[]", "holds no list of rows"),
        ("t.json", "[1]", "row 0 is no object"),
        ("t.json", '[{"outputs": 1}]', r"row 0 has no column 'output'.*did you mean 'outputs'"),
        ("t.jsonl", '{"output": 1}\n{', r"t\.jsonl:2 is not JSON"),
        ("t.pkl", "x", "is not a table that can be read safely"),
    ],
)
def test_a_table_of_another_form_is_one_sentence(tmp_path: Path, name: str, content: str, told: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(MlperfOpsError, match=told):
        read_columns(tmp_path / name, ("output",))
