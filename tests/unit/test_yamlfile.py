"""YAML with lines: the same data as PyYAML, plus where each key stands and what is wrong in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mlperf_ops.errors import ConfigError
from mlperf_ops.yamlfile import load_yaml_with_lines, show_key_path

INVENTORY = """\
---
all:
  vars:
    mlperf_home: ~/mlperf
    mlperf_benchmarks:
      - benchmark: resnet50
        scenarios: [Offline, Server]
      - benchmark: efficientnet-lite0
"""


@pytest.fixture
def typed(tmp_path: Path) -> Path:
    return tmp_path / "typed.yml"


def test_data_is_what_pyyaml_reads(typed: Path) -> None:
    typed.write_text(INVENTORY)
    data, _ = load_yaml_with_lines(typed)
    assert data == yaml.safe_load(INVENTORY)


@pytest.mark.parametrize(
    ("key_path", "line"),
    [
        ([], 2),
        (["all"], 2),
        (["all", "vars", "mlperf_home"], 4),
        (["all", "vars", "mlperf_benchmarks", 0, "scenarios"], 7),
        (["all", "vars", "mlperf_benchmarks", 0, "scenarios", 1], 7),
        (["all", "vars", "mlperf_benchmarks", 1], 8),
        (["all", "vars", "mlperf_benchmarks", 1, "scenarios"], 8),  # not there: the mapping that lacks it
        (["all", "vars", "mlperf_benchmarks", 7], 5),
    ],
)
def test_every_key_path_has_its_line(typed: Path, key_path: list[str | int], line: int) -> None:
    typed.write_text(INVENTORY)
    _, locate = load_yaml_with_lines(typed)
    assert locate(key_path) == line


def test_an_empty_file_is_none_at_line_one(typed: Path) -> None:
    typed.write_text("# nothing yet\n")
    data, locate = load_yaml_with_lines(typed)
    assert data is None
    assert locate(["mlperf_round"]) == 1


def test_a_date_stays_text_because_json_has_no_dates(typed: Path) -> None:
    typed.write_text("measured: 2026-11-22\n")
    assert load_yaml_with_lines(typed)[0] == {"measured": "2026-11-22"}


def test_merged_keys_are_found_and_own_ones_win(typed: Path) -> None:
    typed.write_text("base: &base\n  a: 1\n  b: 2\nmore:\n  <<: *base\n  b: 3\n")
    data, locate = load_yaml_with_lines(typed)
    assert data == {"base": {"a": 1, "b": 2}, "more": {"a": 1, "b": 3}}
    assert locate(["more", "a"]) == 2
    assert locate(["more", "b"]) == 6


def test_ansible_tags_read_as_their_text(typed: Path) -> None:
    typed.write_text("password: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3536\nraw: !unsafe '{{ x }}'\n")
    data, _ = load_yaml_with_lines(typed)
    assert data == {"password": "$ANSIBLE_VAULT;1.1;AES256\n3536\n", "raw": "{{ x }}"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nb: 2\na: 3\n", ":3: a: key 'a' is given twice, first in line 1"),
        ("x:\n  - {a: 1, a: 2}\n", ":2: x[0].a: key 'a' is given twice, first in line 2"),
        ("a: 1\n b: 2\n", ":2: not YAML: mapping values are not allowed in this context"),
        ("a: [1, 2\nb: 3\n", ":2: not YAML: "),
        ("a: 1\n---\nb: 2\n", ":2: not YAML: "),
        ("a: !mystery 1\n", ":1: not YAML: could not determine a constructor for the tag '!mystery'"),
        ("a: !vault [1]\n", ":1: not YAML: tag !vault belongs before a text"),
        ("a: *nowhere\n", ":1: not YAML: "),
        ("a: 1\nb: \x07\n", ":2: not YAML: "),
        ("a:\n\tb: 1\n", ":2: not YAML: "),
    ],
)
def test_broken_yaml_is_one_sentence_with_the_line(typed: Path, text: str, sentence: str) -> None:
    typed.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_yaml_with_lines(typed)
    assert caught.value.message.startswith(f"{typed}{sentence}"), caught.value.message
    assert "\n" not in caught.value.message


def test_the_two_usual_slips_get_a_hint(typed: Path) -> None:
    typed.write_text("path: {{ mlperf_home }}/x\n")
    with pytest.raises(ConfigError) as caught:
        load_yaml_with_lines(typed)
    assert caught.value.hint == 'put quotes around a value that starts with "{{"'
    typed.write_text("a:\n\tb: 1\n")
    with pytest.raises(ConfigError) as caught:
        load_yaml_with_lines(typed)
    assert caught.value.hint == "indent with spaces, not with tabs"


def test_files_that_are_no_text_say_so(typed: Path, tmp_path: Path) -> None:
    typed.write_bytes(b"name: \xe9\n")
    with pytest.raises(ConfigError, match=r"is not UTF-8 text: byte 6 is 0xe9"):
        load_yaml_with_lines(typed)
    with pytest.raises(ConfigError, match=r"cannot read .*: No such file or directory"):
        load_yaml_with_lines(tmp_path / "missing.yml")
    with pytest.raises(ConfigError, match=r"cannot read .*: Is a directory"):
        load_yaml_with_lines(tmp_path)


def test_endless_nesting_ends_with_a_sentence(typed: Path) -> None:
    typed.write_text("[" * 20_000)
    with pytest.raises(ConfigError) as caught:
        load_yaml_with_lines(typed)
    assert str(typed) in caught.value.message


def test_a_list_that_holds_itself_is_refused_because_json_cannot_hold_it(typed: Path) -> None:
    typed.write_text("a: &a\n  - 1\n  - *a\n")
    with pytest.raises(ConfigError, match=r"a\[1\]: an alias stands inside what it stands for"):
        load_yaml_with_lines(typed)


def test_an_alias_may_be_used_twice(typed: Path) -> None:
    typed.write_text("a: &a [1]\nb: *a\nc: *a\n")
    assert load_yaml_with_lines(typed)[0] == {"a": [1], "b": [1], "c": [1]}


def test_key_paths_read_as_people_write_them() -> None:
    assert (
        show_key_path(["models", "resnet", "suites", "edge", "required", 1]) == "models.resnet.suites.edge.required[1]"
    )
    assert show_key_path([]) == ""
