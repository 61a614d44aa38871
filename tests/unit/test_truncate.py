"""Truncation of accuracy logs: sizes and the hash line are the round's, raw files stay as they are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.errors import ResultError
from mlperf_ops.truncate import TruncatedLog, truncate
from tests.support.attempts import RealLogs

VIEWABLE_BYTES = 4096
LINE = b"accuracy=90.000%, good=18, total=20\n"


def truncated(folder: Path, log: bytes, text: bytes = LINE) -> TruncatedLog:
    (folder / "mlperf_log_accuracy.json").write_bytes(log)
    (folder / "accuracy.txt").write_bytes(text)
    round_ = load_catalogue().round("v6.1")
    return truncate(folder / "mlperf_log_accuracy.json", folder / "accuracy.txt", round_.limits, round_.hash_regex)


def pattern(size: int) -> bytes:
    """Bytes in which every place is recognisable."""
    return b"".join(b"%08d" % place for place in range(0, size, 8))[:size]


def test_a_real_log_is_cut_to_both_ends_and_its_digest_goes_into_accuracy_txt(
    tmp_path: Path, real_logs: RealLogs
) -> None:
    raw = real_logs.get("Offline", "accuracy")
    full = (raw / "mlperf_log_accuracy.json").read_bytes()
    text = (raw / "accuracy.txt").read_bytes()
    result = truncated(tmp_path, full, text)
    assert len(full) > 3 * VIEWABLE_BYTES
    assert len(result.log) == 2 * VIEWABLE_BYTES + 7
    assert (result.log[:VIEWABLE_BYTES], result.log[-VIEWABLE_BYTES:]) == (
        full[:VIEWABLE_BYTES],
        full[-VIEWABLE_BYTES:],
    )
    assert result.sha256 == hashlib.sha256(full).hexdigest()
    assert result.text == text + f"\nhash={result.sha256}\n".encode()
    assert result.full_log_at_hand
    assert (tmp_path / "mlperf_log_accuracy.json").read_bytes() == full
    assert (tmp_path / "accuracy.txt").read_bytes() == text


@pytest.mark.parametrize("size", [0, 1, VIEWABLE_BYTES - 1])
def test_a_log_below_the_viewable_size_stays_whole_and_still_gets_its_digest(tmp_path: Path, size: int) -> None:
    log = pattern(size)
    result = truncated(tmp_path, log)
    assert result.log == log
    assert result.text.endswith(f"\n\nhash={hashlib.sha256(log).hexdigest()}\n".encode())


@pytest.mark.parametrize("size", [VIEWABLE_BYTES, VIEWABLE_BYTES + 1, 2 * VIEWABLE_BYTES, 100_000])
def test_every_larger_log_has_the_same_size_even_where_its_ends_overlap(tmp_path: Path, size: int) -> None:
    log = pattern(size)
    result = truncated(tmp_path, log)
    assert result.log == log[:VIEWABLE_BYTES] + b"\n\n...\n\n" + log[-VIEWABLE_BYTES:]
    assert len(result.log) <= load_catalogue().round("v6.1").limits.accuracy_log_max_bytes


def test_a_text_that_states_the_digest_already_is_left_alone(tmp_path: Path) -> None:
    log = pattern(20_000)
    text = LINE + b"hash=" + hashlib.sha256(log).hexdigest().encode() + b"\n"
    result = truncated(tmp_path, log, text)
    assert result.text == text
    assert len(result.log) < len(log)


def test_a_pair_that_somebody_truncated_before_passes_through(tmp_path: Path) -> None:
    first = truncated(tmp_path, pattern(20_000))
    second = truncated(tmp_path, first.log, first.text)
    assert (second.log, second.text, second.sha256) == (first.log, first.text, first.sha256)
    assert not second.full_log_at_hand


def test_the_digest_of_another_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="states hash=0000"):
        truncated(tmp_path, pattern(20_000), LINE + b"hash=" + b"0" * 64 + b"\n")


def test_a_missing_log_is_a_sentence(tmp_path: Path) -> None:
    round_ = load_catalogue().round("v6.1")
    (tmp_path / "accuracy.txt").write_bytes(LINE)
    with pytest.raises(ResultError, match=r"cannot read .*mlperf_log_accuracy\.json: No such file"):
        truncate(tmp_path / "mlperf_log_accuracy.json", tmp_path / "accuracy.txt", round_.limits, round_.hash_regex)
