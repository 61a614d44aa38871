"""LoadGen's accuracy log (mlperf_log_accuracy.json), read response by response.

The file is one JSON array of {"seq_id", "qsl_idx", "data"}, where data is the response's bytes in hexadecimal; language
models add "token_count", and outside of Offline "token_data", the first token. It may be gigabytes, so it is never held
whole: memory is bounded by the largest response.
This module is shipped to hosts: standard library only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from mlperf_ops.errors import ResultError
from mlperf_ops.files import Json, JsonObject

ACCURACY_LOG = "mlperf_log_accuracy.json"
AnswerType = Literal["byte", "int16", "int32", "int64", "float32"]
"""How a SUT writes one number of an answer, as the compliance tests name it; little-endian."""

LabelType = Literal["uint8", "int16", "int32", "int64", "float32"]
"""How a SUT writes a class index, as the scorers name it."""

NUMBER_FORMATS: dict[AnswerType | LabelType, str] = {
    "byte": "<b",
    "uint8": "<B",
    "int16": "<h",
    "int32": "<i",
    "int64": "<q",
    "float32": "<f",
}
"""Of both, for the module struct."""

_CHUNK_CHARACTERS = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
_NEAR_THE_END = 16  # a decoder that stops this close to the end of what was read may only lack the rest
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Logged:
    """A response of the log."""

    number: int  # its place in the file, from 0
    index: int  # qsl_idx: the sample
    data: bytes
    others: JsonObject  # the further keys of the entry
    text: str  # the entry as the file has it, where it was asked for; else ""


def read_responses(log: Path, *, with_text: bool = False) -> Iterator[Logged]:
    """Yield every response in the order of the file, repeated samples included.

    Args:
        log: mlperf_log_accuracy.json.
        with_text: Give the text of each entry, too.

    Raises:
        ResultError: The log is missing, cut off or of another form; names the entry.
    """
    try:
        with log.open(encoding="utf-8", errors="replace") as stream:
            for number, (entry, text) in enumerate(_entries(stream, log, with_text=with_text)):
                try:
                    index, data = entry.pop("qsl_idx"), bytes.fromhex(entry.pop("data"))
                except (AttributeError, TypeError, KeyError, ValueError) as error:
                    raise ResultError(
                        f"{log}: entry {number}: expected an object with qsl_idx and data in hexadecimal"
                    ) from error
                if type(index) is not int:
                    raise ResultError(f"{log}: entry {number}: qsl_idx {index!r} is not a sample's number")
                yield Logged(number, index, data, entry, text)
    except FileNotFoundError as error:
        raise ResultError(f"{log} is missing", hint="was the run interrupted?") from error
    except OSError as error:
        raise ResultError(f"cannot read {log}: {error.strerror or error}") from error


def first_responses(log: Path, sample_count: int, labels: str, *, partial: bool = False) -> Iterator[Logged]:
    """Yield the first response of every sample, in the order of the file.

    LoadGen's MultiStream pads its last query with samples that it asked for before; these count once.

    Args:
        log: mlperf_log_accuracy.json.
        sample_count: Samples that there are.
        labels: What says so, for the error message ("the label file").
        partial: Accept a log that lacks samples, as the accuracy log of a compliance test does.

    Raises:
        ResultError: As `read_responses`; or the log names a sample that does not exist, lacks one, or is empty.
    """
    seen = bytearray(sample_count)
    for response in read_responses(log):
        if not 0 <= response.index < sample_count:
            raise ResultError(
                f"{log}: entry {response.number}: qsl_idx {response.index} is not a sample; "
                f"{labels} has {sample_count}",
                hint=f"does {labels} belong to this run?",
            )
        if not seen[response.index]:
            seen[response.index] = 1
            yield response
    missing = seen.count(0)
    if missing == sample_count or (missing and not partial):
        raise ResultError(
            f"{log} lacks {missing} of {sample_count} samples (qsl_idx {_first_missing(seen)})",
            hint=f"an accuracy run has to answer every sample of {labels}; was the run interrupted?",
        )


def _first_missing(seen: bytearray) -> str:
    places: list[str] = []
    at = seen.find(0)
    while at >= 0 and len(places) < _SHOWN:
        places.append(str(at))
        at = seen.find(0, at + 1)
    return ", ".join(places) + (", …" if at >= 0 else "")


def _entries(stream: IO[str], log: Path, *, with_text: bool) -> Iterator[tuple[Any, str]]:
    """Yield the elements of one JSON array, and their texts, without holding it."""
    text = _Text(stream)
    if (first := text.peek()) != "[":
        if first:
            raise ResultError(f"{log} starts with {first!r}; expected a list of responses")
        raise _broken(log, "it is empty")
    text.position += 1
    decoder, number, sign = json.JSONDecoder(), 0, ","
    if text.peek() == "]":
        text.position += 1
        sign = "]"
    while sign == ",":
        text.peek()
        value, end = _element(text, decoder, log, number)
        yield value, text.buffer[text.position : end] if with_text else ""
        text.position = end
        sign = text.peek()
        if sign not in (",", "]"):
            raise _broken(log, f"entry {number} is followed by {sign!r}" if sign else f"it ends after entry {number}")
        text.position += 1
        number += 1
    if text.peek():
        raise _broken(log, "something follows the list")


def _element(text: _Text, decoder: json.JSONDecoder, log: Path, number: int) -> tuple[Json, int]:
    """Return the element that starts at the window's position, and the position behind it."""
    while True:
        try:
            return decoder.raw_decode(text.buffer, text.position)
        except json.JSONDecodeError as error:  # noqa: PERF203  # a second turn only where the window was too short
            cut = error.msg.startswith("Unterminated string") or error.pos >= len(text.buffer) - _NEAR_THE_END
            if not (cut and text.more()):
                raise _broken(log, f"entry {number}: {error.msg}") from error
        except RecursionError as error:
            raise ResultError(f"{log}: entry {number} is nested too deeply; it is no log of LoadGen") from error


def _broken(log: Path, where: str) -> ResultError:
    return ResultError(
        f"{log} is not whole JSON: {where}",
        hint="the run was interrupted, or the log is a truncated copy; aggregation keeps whole ones in full_logs/",
    )


class _Text:
    """A window over a stream of text: what was read and is not yet used."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.buffer = ""
        self.position = 0

    def more(self) -> bool:
        """Read on, in growing steps as long as one element needs them; False at the end of the file."""
        unused = len(self.buffer) - self.position
        chunk = self._stream.read(max(_CHUNK_CHARACTERS, unused))
        self.buffer = self.buffer[self.position :] + chunk
        self.position = 0
        return bool(chunk)

    def peek(self) -> str:
        """Skip white space and return the next character; empty at the end of the file."""
        while True:
            match = _SPACE.match(self.buffer, self.position)
            self.position = match.end() if match else self.position
            if self.position < len(self.buffer):
                return self.buffer[self.position]
            if not self.more():
                return ""
