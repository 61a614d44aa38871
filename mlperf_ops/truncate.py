"""Accuracy logs as a submission holds them: both ends of the log, and the digest of the whole one in accuracy.txt.

The form is that of the official truncation tool, byte for byte: a log of at least the viewable size becomes its first
and last viewable bytes with a mark between them (also where the two ends overlap), a smaller log stays as it is, and
in both cases accuracy.txt gets an empty line's break and the hash line. The sizes are the round's data
(`Round.limits`). Raw files are only read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.accuracy_txt import hash_line
from mlperf_ops.catalogue.round import Limits
from mlperf_ops.errors import ResultError
from mlperf_ops.files import sha256_file

_MARK = b"\n\n...\n\n"
_MOST_TRUNCATED_BYTES = 1 << 20  # far above twice what any round lets be seen


@dataclass(frozen=True, slots=True)
class TruncatedLog:
    """An accuracy log for a submission.

    Attributes:
        log: Bytes of mlperf_log_accuracy.json.
        text: Bytes of accuracy.txt.
        sha256: Digest of the full log, as the hash line states it.
        full_log_at_hand: The raw file is the full log; False for one that came truncated already.
    """

    log: bytes
    text: bytes
    sha256: str
    full_log_at_hand: bool


def truncate(log: Path, text: Path, limits: Limits, hash_regex: str) -> TruncatedLog:
    """Return the two files of a submission for a raw accuracy log and its accuracy.txt.

    Args:
        log: mlperf_log_accuracy.json of the attempt.
        text: accuracy.txt of the attempt.
        limits: The round's sizes, in bytes.
        hash_regex: The round's form of the hash line.

    Raises:
        ResultError: A file cannot be read, or accuracy.txt states the digest of another log.
    """
    try:
        raw_text = text.read_bytes()
    except OSError as error:
        raise ResultError(f"cannot read {error.filename}: {error.strerror or error}") from error
    return shorten(log, raw_text, limits, hash_regex, str(text))


def shorten(log: Path, raw_text: bytes, limits: Limits, hash_regex: str, where: str) -> TruncatedLog:
    """Return the same for an accuracy.txt that is at hand as bytes; `where` names it in errors.

    Raises:
        ResultError: As `truncate`.
    """
    try:
        size = log.stat().st_size
        sha256 = sha256_file(log)
        shown = _both_ends(log, size, limits.accuracy_log_viewable_bytes)
    except OSError as error:
        raise ResultError(f"cannot read {error.filename}: {error.strerror or error}") from error
    stated = _stated_hash(raw_text, hash_regex)
    if stated is None:
        return TruncatedLog(shown, raw_text + b"\n" + hash_line(sha256).encode(), sha256, full_log_at_hand=True)
    if stated == sha256:
        return TruncatedLog(shown, raw_text, sha256, full_log_at_hand=True)
    if size < limits.accuracy_log_max_bytes and _MARK in (raw := log.read_bytes()):
        # Somebody truncated it before it came here; the official tool leaves such a pair alone as well.
        return TruncatedLog(raw, raw_text, stated, full_log_at_hand=False)
    raise ResultError(f"{where} states hash={stated}, but {log.name} has sha256 {sha256}")


def is_truncated(log: Path) -> bool:
    """Say whether an accuracy log has the mark between two ends; only a small file can."""
    try:
        return log.stat().st_size <= _MOST_TRUNCATED_BYTES and _MARK in log.read_bytes()
    except OSError:
        return False


def _both_ends(log: Path, size: int, viewable_bytes: int) -> bytes:
    with log.open("rb") as stream:
        if size < viewable_bytes:
            return stream.read()
        start = stream.read(viewable_bytes)
        stream.seek(size - viewable_bytes)
        return start + _MARK + stream.read(viewable_bytes)


def _stated_hash(text: bytes, hash_regex: str) -> str | None:
    pattern = re.compile(hash_regex)
    for line in text.decode(errors="replace").splitlines():
        if match := pattern.match(line):
            return match[1]
    return None
