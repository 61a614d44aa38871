"""LoadGen's own logs: the detail log by blocks, the summary log by lines.

A detail log of an accuracy run may hold hundreds of MB, two thirds of it index lists that nobody reads. The reader
therefore works on bytes, decodes a line only when it is wanted and remembers only the first value of each key, which
is the rule of the official checkers (an accuracy run repeats keys once per loaded sample set).

This module is shipped to hosts: standard library only.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mlperf_ops.errors import ResultError
from mlperf_ops.files import Json, JsonObject

DETAIL_LOG, SUMMARY_LOG = "mlperf_log_detail.txt", "mlperf_log_summary.txt"
_MARKER = b":::MLLOG"
_PREFIX = b':::MLLOG {"key": "'
_WARNING = b"warning"  # such messages come whenever a thread has time, also after the last result
_BEFORE_JSON = len(b":::MLLOG ")
_CLOSING_BRACE = ord("}")
_JOINT = b"}\n" + _PREFIX  # the end of a line and the beginning of the next
_AFTER_END = len(_JOINT) - 1
_IS_ERROR = b'"is_error": true'
_IS_WARNING = b'"is_warning": true'
_BLOCK_BYTES = 4 << 20
_LONGEST_LINE_BYTES = 256 << 20  # an index list of 20 million samples; more is not a LoadGen log
_ERRORS_KEPT = 100
# How LoadGen starts the message of an error that is an early end, such as "Max query count reached".
ENDED_EARLY = "Ending early:"
_BULKY = frozenset({b"loaded_qsl_set"})
_LONG_LINE_BYTES = 1 << 10
_SET_ENDS = b"power_end"
_SHOWN_CHARACTERS = 80
# What `complete` is judged by; decoded in any case.
_JUDGED = frozenset(
    {
        b"effective_test_mode",
        b"effective_accuracy_sample_count",
        b"effective_performance_sample_count",
        b"qsl_reported_total_count",
        b"result_validity",
    }
)


class ForeignLineError(ResultError):
    """A line of another program inside a log; the official checkers skip such lines."""


@dataclass(frozen=True, slots=True)
class DetailLog:
    """What a `mlperf_log_detail.txt` says.

    Attributes:
        values: First value of each wanted key that occurs; LoadGen's names, which carry the unit (`_ns`, `_ms`).
        errors: Messages that LoadGen marked as errors, in order, at most 100.
        error_count: Number of messages that LoadGen marked as errors.
        warnings: Number of messages that LoadGen marked as warnings.
        complete: The log holds the messages that LoadGen writes at the end of a test; False when the run was cut off.
        cut_line: The last line has no end.
    """

    values: JsonObject
    errors: tuple[str, ...]
    warnings: int
    complete: bool
    error_count: int = 0
    cut_line: bool = False


@functools.lru_cache(maxsize=8)
def _names(keys: frozenset[str]) -> dict[bytes, str]:
    """Return the keys as they stand in a log."""
    return {key.encode(): key for key in keys}


@functools.lru_cache(maxsize=8)
def _encoded(keys: frozenset[str]) -> frozenset[bytes]:
    return _JUDGED.union(_names(keys))


class _Group(NamedTuple):
    """Lines that LoadGen writes after each list, most of many logs: after the first ones nothing in them is new."""

    joints: tuple[tuple[bytes, int], ...] = ()  # from the end of each line to the next key, and its length from there
    last_key: bytes = b""
    sets_ended: int = 0

    @property
    def lines(self) -> int:
        """How many they are."""
        return len(self.joints) - 1

    def end(self, block: bytes, end: int) -> int:
        """Return the end of the lines after the list that ends here; -1 where they, or what follows, are others."""
        before = -1
        for joint, length in self.joints:
            if block[end - 1 : end + length] != joint:
                return -1
            before, end = end, block.find(b"\n", end + 1)
        return before


_NO_GROUP = _Group()


def _group(between: bytes, list_key: bytes) -> _Group:
    """Return what the lines between two lists are, for the lists that follow; none where one is not LoadGen's."""
    lines = between.split(b"\n")[:-1]
    keys = [line[len(_PREFIX) :].partition(b'"')[0] for line in lines]
    usual = all(line.startswith(_PREFIX) and line.endswith(b"}") for line in lines)
    if not keys or not usual or any(key.startswith(_WARNING) for key in keys):
        return _NO_GROUP
    joints = [b'%b%b"' % (_JOINT, key) for key in (*keys, list_key)]
    return _Group(tuple([(joint, len(joint) - 1) for joint in joints]), keys[-1], keys.count(_SET_ENDS))


class _Reader:
    """State of one pass over a detail log."""

    def __init__(self, path: Path | str, keys: frozenset[str] | None, *, count_warnings: bool) -> None:
        self.path = path
        self.count_warnings = count_warnings
        self.wanted = None if keys is None else _encoded(keys)
        self.found: dict[bytes, Json] = {}
        self.errors: list[str] = []
        self.error_count = 0
        self.warnings = 0
        self.lines = 0
        self.sets_ended = 0
        self.last_key = b""

    def block(self, block: bytes) -> None:
        """Read whole lines; `block` ends with a line feed."""
        if not block.isascii():
            self._require_utf8(block)
        if self._lines(block):
            self._collect_errors(block)
        if self.count_warnings:
            self.warnings += block.count(_IS_WARNING)

    def _require_utf8(self, block: bytes) -> None:
        try:
            block.decode()
        except UnicodeDecodeError as error:
            number = self.lines + block.count(b"\n", 0, error.start) + 1
            raise ResultError(f"{self.path}:{number}: byte 0x{block[error.start]:02x} is no UTF-8") from error

    def _lines(self, block: bytes) -> bool:
        """Read whole lines, and tell whether one of them may be marked as an error.

        Every line has to have LoadGen's form; only the wanted ones are decoded, and those all at once.
        """
        find, startswith, offset = block.find, block.startswith, len(_PREFIX)
        wanted, found, lines, last_key = self.wanted, self.found, self.lines, self.last_key
        bulky = _BULKY if wanted is None else _BULKY - wanted
        fresh: dict[bytes, tuple[int, int, int]] = {}
        plain: set[bytes] = set()  # keys of which another line says nothing more
        group = _NO_GROUP
        start = searched = list_end = sets_ended = 0
        has_error, begins = False, startswith(_PREFIX)
        while (end := find(b"\n", start)) >= 0:
            lines += 1
            quote = find(b'"', start + offset, end)
            joined = block[end - 1 : end + _AFTER_END] == _JOINT
            if quote < 0 or not begins or not (joined or block[end - 1] == _CLOSING_BRACE):
                self._decode_all(block, fresh)
                last_key = self._irregular(block[start:end], lines) or last_key
                start = end + 1
                begins = startswith(_PREFIX, start)
                continue
            key = block[start + offset : quote]
            if key in plain:
                last_key = key
            elif key == _SET_ENDS and sets_ended:
                last_key = key
                sets_ended += 1
            elif key in bulky:
                last_key = key
                if end - start > _LONG_LINE_BYTES and (listed := find(b"]", quote, end)) >= 0:
                    # A list of numbers, of which most bytes of most logs are, marks no error.
                    has_error = has_error or find(_IS_ERROR, searched, quote) >= 0
                    searched = listed
                group_end = group.end(block, end)
                if group_end < 0 and list_end:
                    group = _group(block[list_end + 1 : start], key)
                list_end = end
                if group_end > 0:
                    end, joined, last_key = group_end, True, group.last_key
                    lines, sets_ended = lines + group.lines, sets_ended + group.sets_ended
            else:
                sets_ended += key == _SET_ENDS
                if not key.startswith(_WARNING):
                    last_key = key
                    if key != _SET_ENDS:
                        plain.add(key)
                if key not in found and key not in fresh and (wanted is None or key in wanted):
                    fresh[key] = (start, end, lines)
            start = end + 1
            begins = joined or startswith(_PREFIX, start)
        self.last_key, self.lines = last_key, lines
        self.sets_ended += sets_ended
        self._decode_all(block, fresh)
        return has_error or find(_IS_ERROR, searched) >= 0

    def _decode_all(self, block: bytes, fresh: dict[bytes, tuple[int, int, int]]) -> None:
        """Decode the lines of some keys, and forget them."""
        if not fresh:
            return
        joined = b",".join([block[start + _BEFORE_JSON : end] for start, end, _ in fresh.values()])
        try:
            messages = json.loads(b"[" + joined + b"]")
            values = [message["value"] for message in messages]
        except (ValueError, KeyError, TypeError, RecursionError):
            values = []
        if len(values) != len(fresh):  # one is no message, or holds several: line by line names it
            values = [self._decode(block[start:end], number).get("value") for start, end, number in fresh.values()]
        self.found.update(zip(fresh, values, strict=True))
        fresh.clear()

    def _irregular(self, line: bytes, number: int) -> bytes | None:
        """Read a line that does not end as LoadGen writes it; return its key."""
        stripped = line.rstrip()
        if stripped != line and stripped.startswith(_PREFIX) and stripped.endswith(b"}"):
            # Copied with CR LF: JSON allows white space at the end, and so do the official checkers.
            message = self._decode(stripped, number)
            key = str(message["key"]).encode()
            if key in self.wanted if self.wanted is not None else key not in _BULKY:
                self.found.setdefault(key, message.get("value"))
            self.sets_ended += key == _SET_ENDS
            return key
        if not stripped and number > 1:
            return None  # an empty line says nothing and hides nothing
        shown = line[:_SHOWN_CHARACTERS].decode(errors="replace")
        foreign = number > 1 and not line.startswith(_MARKER)
        raise (ForeignLineError if foreign else ResultError)(
            f"{self.path}:{number}: not a LoadGen message: {shown!r}",
            hint="each line has to start with ':::MLLOG {\"key\": ' and end with '}'; the file was changed or mixed up",
        )

    def _decode(self, line: bytes, number: int) -> JsonObject:
        try:
            message = json.loads(line[_BEFORE_JSON:])
        except ValueError as error:
            raise ResultError(f"{self.path}:{number}: the LoadGen message is not JSON: {error}") from error
        except RecursionError as error:
            raise ResultError(f"{self.path}:{number}: the LoadGen message is nested too deeply") from error
        if not isinstance(message, dict):
            raise ResultError(f"{self.path}:{number}: the LoadGen message is not an object")
        return message

    def _collect_errors(self, block: bytes) -> None:
        first_line = self.lines - block.count(b"\n") + 1
        for index, line in enumerate(block.split(b"\n")):
            if _IS_ERROR in line:
                self.error_count += 1
                if len(self.errors) < _ERRORS_KEPT:
                    message = self._decode(line.rstrip(), first_line + index)
                    self.errors.append(f"{message.get('key')}: {message.get('value')}")

    def complete(self) -> bool:
        """Tell whether LoadGen reached the end of the test.

        A performance run ends with the result figures and `num_errors`, after which only warnings come. An accuracy
        run has no closing message: it writes `power_end` once per loaded sample set, ceil(samples / performance sample
        count) times.
        """
        mode = self.found.get(b"effective_test_mode")
        if mode != "AccuracyOnly":
            return b"result_validity" in self.found and (
                self.last_key == b"num_errors" or self.last_key.startswith(b"result_")
            )
        total = self.found.get(b"qsl_reported_total_count")
        samples = self.found.get(b"effective_accuracy_sample_count", total)
        set_size = self.found.get(b"effective_performance_sample_count")
        if isinstance(samples, int) and isinstance(total, int):
            samples = min(samples, total)
        if not isinstance(samples, int) or not isinstance(set_size, int) or set_size < 1:
            return self.sets_ended > 0
        return self.sets_ended >= -(-samples // set_size) > 0


def _name(key: bytes) -> str:
    return key.decode(errors="replace")


def _blocks(descriptor: int, path: Path | str) -> Iterator[tuple[bytes, bool]]:
    """Yield whole lines in blocks, and whether they end with a line feed (False only for the file's cut tail)."""
    tail: list[bytes] = []
    tail_bytes = 0
    # Not more than there is: room that a read does not fill is given back to the system, and fetched again.
    ask_bytes = min(_BLOCK_BYTES, os.fstat(descriptor).st_size + 1)
    while block := os.read(descriptor, ask_bytes):
        cut = block.rfind(b"\n") + 1
        if not cut:
            tail.append(block)
            tail_bytes += len(block)
            if tail_bytes > _LONGEST_LINE_BYTES:
                raise ResultError(f"{path}: a line is longer than {_LONGEST_LINE_BYTES >> 20} MiB; not a LoadGen log")
            continue
        yield b"".join([*tail, block[:cut]]), True
        tail = [block[cut:]]
        tail_bytes = len(block) - cut
    if rest := b"".join(tail):
        yield rest, False


def read_detail(path: Path | str, keys: frozenset[str] | None = None, *, count_warnings: bool = True) -> DetailLog:
    """Read a `mlperf_log_detail.txt` in one pass, with memory for a block (4 MiB) twice and its longest line.

    Args:
        path: The log.
        keys: Keys to return; None returns all but the sample index lists (`loaded_qsl_set`).
        count_warnings: False leaves `warnings` 0 and saves a tenth of the time.

    Raises:
        ResultError: The file cannot be read, is empty, or a line is not a LoadGen message; names file and line.
            `ForeignLineError` where the line is none of LoadGen's.
            A last line without its end is not an error: the run was cut off, `complete` is False.
    """
    reader = _Reader(path, keys, count_warnings=count_warnings)
    names = {} if keys is None else _names(keys)
    cut_off = False
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            for block, whole in _blocks(descriptor, path):
                if whole or block.rstrip().endswith(b"}}"):
                    reader.block(block if whole else block + b"\n")
                elif _PREFIX.startswith(block[: len(_PREFIX)]) or block.startswith(_PREFIX):
                    cut_off = True
                else:
                    reader.block(block + b"\n")  # names the line
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ResultError(f"cannot read {path}: {error.strerror or error}") from error
    if not reader.lines and not cut_off:
        raise ResultError(f"{path} is empty", hint="LoadGen did not finish; see console.log of the attempt")
    return DetailLog(
        values={names[key]: value for key, value in reader.found.items() if key in names}
        if keys is not None
        else {_name(key): value for key, value in reader.found.items()},
        errors=tuple(reader.errors),
        warnings=reader.warnings,
        complete=reader.complete() and not cut_off,
        error_count=reader.error_count,
        cut_line=cut_off,
    )


_SUMMARY_LINE = re.compile(r"^\s*(?P<key>\S[^:=]*?)\s*:\s+(?P<value>\S.*?)\s*$")


def read_summary(path: Path) -> dict[str, str]:
    """Return the "name : value" lines of a `mlperf_log_summary.txt`, first value of each name, as text.

    Units are part of LoadGen's names, as in "90.00th percentile latency (ns)". Empty for an accuracy run, whose
    summary holds no figures.

    Raises:
        ResultError: The file cannot be read.
    """
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise ResultError(f"cannot read {path}: {error.strerror or error}") from error
    return parse_summary(text)


def parse_summary(text: str) -> dict[str, str]:
    """Return the "name : value" lines of the text of a summary, as `read_summary` does."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        head, colon, rest = line.partition(":")
        key = head.strip()
        if colon and (not key or key[0] == "="):  # a name of an odd beginning
            if match := _SUMMARY_LINE.match(line):
                found.setdefault(match["key"], match["value"])
        elif colon and "=" not in key and rest[:1].isspace() and (value := rest.strip()):
            found.setdefault(key, value)
    return found
