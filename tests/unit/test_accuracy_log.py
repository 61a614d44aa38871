from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from mlperf_ops.errors import ResultError
from mlperf_ops.harness import accuracy_log
from mlperf_ops.harness.accuracy_log import first_responses, read_responses


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def entry(index: int, data: bytes = b"\x01") -> str:
    return json.dumps({"seq_id": 0, "qsl_idx": index, "data": data.hex()})


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 1 << 20])
@pytest.mark.parametrize("between", [",", ",\n", " ,\r\n\t"])
def test_a_log_reads_the_same_wherever_the_window_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, between: str
) -> None:
    monkeypatch.setattr(accuracy_log, "_CHUNK_CHARACTERS", chunk)
    texts = [entry(i, bytes([i] * i)) for i in range(40)]
    log = write(tmp_path / "log", " [\n" + between.join(texts) + "\n]\n")

    assert [(one.number, one.index, one.data) for one in read_responses(log)] == [
        (i, i, bytes([i] * i)) for i in range(40)
    ]
    assert [one.text for one in read_responses(log, with_text=True)] == texts


def test_what_else_an_entry_says_is_kept_and_its_text_only_where_asked(tmp_path: Path) -> None:
    text = '{ "seq_id" : 4, "qsl_idx" : 7, "data" : "0A", "token_count" : 1 }'
    log = write(tmp_path / "log", f"[\n{text}\n]\n")

    (plain,), (whole,) = read_responses(log), read_responses(log, with_text=True)
    assert (plain.others, plain.text) == ({"seq_id": 4, "token_count": 1}, "")
    assert (whole.data, whole.text) == (b"\n", text)


def test_memory_is_bounded_by_a_response_and_not_by_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    line = entry(3, bytes(5000))
    with log.open("w") as stream:
        stream.write("[\n" + f"{line},\n" * 2000 + line + "\n]\n")
    assert log.stat().st_size > 20_000_000

    tracemalloc.start()
    count = sum(1 for _ in read_responses(log))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 2001
    assert peak_bytes < 8_000_000


def test_damage_in_the_middle_is_told_without_reading_the_rest(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as stream:
        stream.write("[\n" + entry(0) + ',\n{"seq_id": 1 "qsl_idx": 2},\n' + f"{entry(1, bytes(5000))},\n" * 2000)
    tracemalloc.start()
    with pytest.raises(ResultError, match=r"is not whole JSON: entry 1: Expecting ',' delimiter"):
        list(read_responses(log))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 8_000_000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not whole JSON: it is empty"),
        ("[", "is not whole JSON: entry 0"),
        (f"[{entry(0)}", "it ends after entry 0"),
        (f"[{entry(0)} {entry(1)}]", "entry 0 is followed by '{'"),
        (f"[{entry(0)},]", "entry 1"),
        (f"[{entry(0)}] [", "something follows the list"),
        ('{"a": 1}', r"starts with '\{'; expected a list"),
        (f"[{entry(0)[:20]}\n\n...\n\n{entry(0)[20:]}]", r"the run was interrupted, or the log is a truncated copy"),
        ("[[]]", "entry 0: expected an object"),
        ('[{"qsl_idx": 1.5, "data": ""}]', "entry 0: qsl_idx 1.5 is not a sample's number"),
        ('[{"qsl_idx": true, "data": ""}]', "entry 0: qsl_idx True is not a sample's number"),
        ('[{"qsl_idx": 1, "data": "0"}]', "entry 0: expected an object with qsl_idx and data in hexadecimal"),
    ],
)
def test_a_damaged_log_is_one_sentence(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ResultError, match=told):
        list(read_responses(write(tmp_path / "log", text)))


def test_an_empty_list_has_no_responses(tmp_path: Path) -> None:
    assert list(read_responses(write(tmp_path / "log", "[ \n ]\n"))) == []


def test_bytes_that_are_no_text_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\xff\xfe\x00[")
    with pytest.raises(ResultError, match="expected a list of responses"):
        list(read_responses(tmp_path / "log"))


def test_a_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"cannot read .*: Is a directory"):
        list(read_responses(tmp_path))


def test_every_sample_counts_once_by_its_first_response(tmp_path: Path) -> None:
    log = write(tmp_path / "log", f"[{entry(1, b'a')},{entry(0, b'b')},{entry(1, b'c')}]")
    assert [(one.index, one.data) for one in first_responses(log, 2, "x")] == [(1, b"a"), (0, b"b")]


def test_a_part_is_accepted_only_when_it_is_asked_for(tmp_path: Path) -> None:
    log = write(tmp_path / "log", f"[{entry(1)}]")
    with pytest.raises(ResultError, match=r"lacks 2 of 3 samples \(qsl_idx 0, 2\).*every sample of val_map\.txt"):
        list(first_responses(log, 3, "val_map.txt"))
    assert [one.index for one in first_responses(log, 3, "val_map.txt", partial=True)] == [1]


def test_an_empty_log_is_no_part(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="lacks 3 of 3 samples"):
        list(first_responses(write(tmp_path / "log", "[]"), 3, "x", partial=True))


@pytest.mark.parametrize("index", [-1, 3])
def test_an_unknown_sample_is_named(tmp_path: Path, index: int) -> None:
    log = write(tmp_path / "log", f"[{entry(index)}]")
    with pytest.raises(ResultError, match=rf"entry 0: qsl_idx {index} is not a sample; the labels has 3"):
        list(first_responses(log, 3, "the labels"))


def test_an_entry_that_is_nested_too_deeply_is_named(tmp_path: Path) -> None:
    log = write(tmp_path / "log", f"[{entry(0)}, {'[' * 50_000}")
    with pytest.raises(ResultError, match="entry 1 is nested too deeply"):
        list(read_responses(log))
