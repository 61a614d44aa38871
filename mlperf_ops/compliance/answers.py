"""The answers in a LoadGen accuracy log, one after the other: such logs have gigabytes.

LoadGen writes a JSON list with one answer a line: `{ "seq_id" : 0, "qsl_idx" : 7, "data" : "0700…" },`. `data` is the
answer's bytes in hexadecimal. Memory is what one line takes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.catalogue.compliance_rules import AnswerType
from mlperf_ops.errors import ResultError
from mlperf_ops.files import JsonObject

ACCURACY_LOG = "mlperf_log_accuracy.json"
FORMATS: dict[AnswerType, str] = {"byte": "<b", "int16": "<h", "int32": "<i", "int64": "<q", "float32": "<f"}
_DECODER = json.JSONDecoder()
_SHOWN = 40
_CUT = "was the run interrupted, or is it the shortened log of a submission? Aggregation keeps whole ones in full_logs/"


@dataclass(frozen=True, slots=True)
class Answer:
    """One logged answer.

    Attributes:
        index: The sample, as LoadGen counts them in the library (`qsl_idx`).
        data: The answer's bytes.
        entry: All that the log says of it.
        text: The entry as the log has it, without the comma behind it.
    """

    index: int
    data: bytes
    entry: JsonObject
    text: str


def read_answers(path: Path) -> Iterator[Answer]:
    """Yield the answers of an accuracy log.

    Raises:
        ResultError: The log is missing, empty, cut off, a truncated copy, or holds something else; names the line.
    """
    last = ""
    number = 0
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            for number, line in enumerate(stream, start=1):
                text = line.strip()
                if number == 1 and not text.startswith("["):
                    raise _foreign(path, 1, text)
                last = text or last
                yield from _answers(text.removeprefix("[") if number == 1 else text, f"{path}:{number}")
    except FileNotFoundError as error:
        raise ResultError(f"{path} is missing", hint="LoadGen writes it into the folder of the run") from error
    except OSError as error:
        raise ResultError(f"cannot read {path}: {error.strerror or error}") from error
    if not number:
        raise ResultError(f"{path} is empty", hint=_CUT)
    if not last.endswith("]"):
        raise ResultError(f"{path} ends within its list of answers", hint=_CUT)


def _answers(text: str, where: str) -> Iterator[Answer]:
    """Yield the answers of a line: LoadGen writes one, other tools may write all of them."""
    at, end = 0, len(text)
    while at < end:
        if text[at] in ", ]\t":
            at += 1
            continue
        try:
            entry, after = _DECODER.raw_decode(text, at)
        except ValueError as error:
            raise ResultError(f"{where}: not an answer of LoadGen's: {_shown(text[at:])}", hint=_CUT) from error
        yield _answer(entry, text[at:after], where)
        at = after


def _answer(entry: object, text: str, where: str) -> Answer:
    if not isinstance(entry, dict):
        raise ResultError(f"{where}: expected an object with qsl_idx and data, found {_shown(text)}")
    index, data = entry.get("qsl_idx"), entry.get("data")
    if not isinstance(index, int) or isinstance(index, bool) or not isinstance(data, str):
        raise ResultError(f"{where}: expected qsl_idx (a number) and data (hexadecimal), found {_shown(text)}")
    return Answer(index, from_hex(data, f"{where}: data"), entry, text)


def from_hex(text: object, where: str) -> bytes:
    """Return the bytes of a hexadecimal text.

    Raises:
        ResultError: It is none.
    """
    if isinstance(text, str):
        try:
            return bytes.fromhex(text)
        except ValueError:
            pass
    raise ResultError(f"{where}: expected hexadecimal digits, two for each byte, found {_shown(repr(text))}")


def first_number(data: bytes, kind: AnswerType) -> float | int | None:
    """Return the first number of an answer; None where it has none, as the official scripts compare.

    Raises:
        ResultError: The answer is not a whole number of these numbers.
    """
    size = struct.calcsize(FORMATS[kind])
    if len(data) % size:
        raise ResultError(
            f"an answer of {len(data)} bytes is no list of {kind}, which have {size} bytes each",
            hint="name the type of the answers with --answer-type",
        )
    found: float | int | None = struct.unpack_from(FORMATS[kind], data)[0] if data else None
    return found


def _foreign(path: Path, number: int, text: str) -> ResultError:
    return ResultError(f"{path}:{number}: expected the list of an accuracy log, found {_shown(text)}", hint=_CUT)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
