"""What a watched host and its controller say to each other, and how far its logs were read. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from mlperf_ops.campaign.answers import HostAnswer, read_answer
from mlperf_ops.campaign.host_side import HELLO, LOGS
from mlperf_ops.campaign.logs import printable
from mlperf_ops.campaign.look import look_script
from mlperf_ops.errors import ResultError

LAST_BYTES = 4096  # of a log that was already there, where not all of it is wanted
_NOISE_BYTES = 1 << 20  # what a login script may print before us
_LONGEST_LINE_BYTES = 1 << 16
_JUST_BEGUN_SECONDS = 10.0  # all that such a cell has printed is new
_KNOWN_BYTES = 60_000  # a shell takes 128 KiB as one argument
BEAT = b"beat 0 0 0\n"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a host."""

    kind: str
    name: str
    offset: int
    payload: bytes


class Decoder:
    """Cuts a host's stream into messages."""

    def __init__(self) -> None:
        """Begin before the first byte."""
        self._held = b""
        self._greeted = False

    def complaint(self) -> str:
        """Return the last line that came instead of our side's first; "" once that has come."""
        lines = [] if self._greeted else self._held.split(b"\n")
        return next((printable(line.decode(errors="replace")) for line in reversed(lines) if line.strip()), "")

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that are whole.

        Raises:
            ResultError: That is not what our side says.
        """
        self._held += data
        if not self._greeted:
            noise, hello, rest = self._held.partition(HELLO)
            if not hello:
                if len(noise) > _NOISE_BYTES:
                    raise ResultError("it prints without end at login", hint="look at its shell's start-up files")
                return
            self._greeted, self._held = True, rest
        while b"\n" in self._held:
            line, _, rest = self._held.partition(b"\n")
            try:
                kind, name, offset, length = line.decode().split(" ")
                end = int(length)
                message = Message(kind, name, int(offset), rest[:end])
            except ValueError:
                raise ResultError(f"it says something else than it should: {printable(repr(line[:80]))}") from None
            if len(rest) < end:
                return
            self._held = rest[end:]
            yield message


class Output:
    """One log, read in pieces that know their offset: no line is lost or comes twice, however often it begins anew.

    Args:
        start: Where to begin; a negative one stands for the last bytes, and the cut line they begin with is left out.
    """

    def __init__(self, start: int = 0) -> None:
        """Begin with nothing read."""
        self.offset = start
        self._partial = b""
        self._is_cut = False

    def take(self, offset: int, data: bytes) -> list[str]:
        """Return the lines that have become whole; bytes that were had before are left out."""
        if self.offset < 0:
            self.offset, self._is_cut = offset, offset > 0
        had = self.offset - offset
        if had < 0:
            raise ResultError(f"{-had} bytes of a log are missing")
        data = data[had:]
        self.offset += len(data)
        *lines, self._partial = (self._partial + data).split(b"\n")
        if lines and self._is_cut:
            del lines[0]
            self._is_cut = False
        if len(self._partial) > _LONGEST_LINE_BYTES:
            lines.append(self._partial)
            self._partial = b""
        return [printable(line.decode(errors="replace").rpartition("\r")[2]) for line in lines]

    def rest(self) -> list[str]:
        """Return the last line of a log that has ended without a newline."""
        text, self._partial = self._partial, b""
        return [printable(text.decode(errors="replace"))] if text and not self._is_cut else []


# --- news -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heard:
    """A host has told of its attempts: `answer` holds all that ended while it is watched."""

    host: str
    answer: HostAnswer


@dataclass(frozen=True, slots=True)
class Phase:
    """The running cell has come to another phase."""

    host: str
    key: str
    phase: str


@dataclass(frozen=True, slots=True)
class Said:
    """New lines of a cell's log."""

    host: str
    key: str
    file: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lost:
    """A host does not answer (any more)."""

    host: str
    why: str


@dataclass(frozen=True, slots=True)
class Back:
    """A host that did not answer does."""

    host: str


News: TypeAlias = "Heard | Phase | Said | Lost | Back"


class Conversation:
    """What is said with one host, over all its connections.

    Args:
        host: Its name in the plan.
        home: mlperf_home there.
        run_id: Of the plan.
        known: Attempts below mlperf_home that the controller has.
        whole: Read logs that were begun earlier from their start, not only their end.
    """

    def __init__(self, host: str, home: str, run_id: str, known: Sequence[str] = (), *, whole: bool = False) -> None:
        """Begin before the first connection."""
        self.home = home
        self._host, self._run_id = host, run_id
        self._known = list(known)
        self._start = 0 if whole else -LAST_BYTES
        self._answer: HostAnswer | None = None
        self._path = self._key = ""
        self._followed_here = False
        self._outputs: dict[str, Output] = {}
        self._decoder = Decoder()

    def opening(self) -> bytes:
        """Return what a new connection begins with."""
        self._decoder = Decoder()
        self._followed_here = False
        return self._script()

    def complaint(self) -> str:
        """Return what the host said instead of beginning, on this connection; "" where it has begun."""
        return self._decoder.complaint()

    def feed(self, data: bytes) -> tuple[bytes, list[News]]:
        """Take what the host said; return what to answer, and what is new.

        Raises:
            ResultError: It said what it should not.
        """
        replies, news = b"", list[News]()
        for message in self._decoder.feed(data):
            if message.kind == "answer":
                replies += self._heard(message.payload, news)
            elif message.kind == "phase":
                news.append(Phase(self._host, self._key, printable(message.payload.decode(errors="replace"))))
            elif message.kind == "data" and message.name in self._outputs:
                lines = self._outputs[message.name].take(message.offset, message.payload)
                if lines:
                    news.append(Said(self._host, self._key, message.name, tuple(lines)))
            elif message.kind == "beat":
                replies += BEAT
        return replies, news

    def _heard(self, payload: bytes, news: list[News]) -> bytes:
        try:
            told = json.loads(payload)
        except ValueError as error:
            raise ResultError(f"its answer cannot be read: {error}") from None
        if not isinstance(told, dict):
            raise ResultError("its answer is no JSON object")
        answer = read_answer(told)
        ended = {one.path: one for one in (*(self._answer.ended if self._answer else ()), *answer.ended)}
        answer = HostAnswer(answer.provision, answer.measures, tuple(ended.values()), answer.begun, answer.home)
        self._answer = answer
        replies = b""
        if any(path not in self._known for path in ended):
            self._known.extend(path for path in ended if path not in self._known)
            replies += self._script()
        alive = next((one for one in reversed(answer.begun) if one.alive), None)
        goes_on = alive is not None and alive.path == self._path
        if self._path and not goes_on:
            if self._followed_here:
                self._flush(news)  # the host sends a log's end before it tells that the cell has ended
            else:
                replies += self._follow()  # what it printed while nobody listened
        if alive is not None and not goes_on:
            is_new = bool(self._path) or alive.elapsed_seconds < _JUST_BEGUN_SECONDS
            self._flush(news)
            self._path, self._key = alive.path, alive.key
            self._outputs = {name: Output(0 if is_new else self._start) for name in LOGS}
            replies += self._follow()
        elif goes_on and not self._followed_here:
            replies += self._follow()
        news.append(Heard(self._host, answer))
        return replies

    def _flush(self, news: list[News]) -> None:
        for name, output in self._outputs.items():
            if lines := output.rest():
                news.append(Said(self._host, self._key, name, tuple(lines)))

    def _follow(self) -> bytes:
        self._followed_here = True
        offsets = " ".join(str(self._outputs[name].offset) for name in LOGS)
        return f"follow {self._path} {offsets}\n".encode()

    def _script(self) -> bytes:
        known: list[str] = []
        size = 0
        for path in reversed(self._known):
            size += len(path) + 1
            if size > _KNOWN_BYTES:
                break
            known.append(path)
        script = look_script(self.home, self._run_id, known).encode()
        return b"script 0 0 %d\n" % len(script) + script
