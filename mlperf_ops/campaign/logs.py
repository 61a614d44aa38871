"""The logs of one attempt: the controller's copy, or the host's own files, also while it runs."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.campaign.ask import LOCAL, run_script
from mlperf_ops.campaign.look import quoted_home
from mlperf_ops.doctor.model import Access, Progress
from mlperf_ops.doctor.ssh_settings import HostProblemError
from mlperf_ops.errors import ResultError, ToolError

CONSOLE, SUMMARY = "console.log", "mlperf_log_summary.txt"
_MOST_BYTES = 4 << 20
_CHUNK_BYTES = 65536
_RECONNECTS, _BETWEEN_SECONDS = 10, 3.0
_SEPARATOR = b"\n\x00mlperf-ops\x00\n"  # no text log holds it


@dataclass(frozen=True, slots=True)
class Logs:
    """What an attempt left: its process's output, and LoadGen's summary; "" for what is not there (yet)."""

    console: str
    summary: str


def printable(text: str) -> str:
    """Return a log's text without what would steer a terminal."""
    return "".join(char if char in "\n\t" or char.isprintable() else " " for char in text)


def copied(folder: Path, name: str = CONSOLE) -> Logs:
    """Return the logs of the controller's copy of an attempt.

    Raises:
        ResultError: The attempt has no such file.
    """
    if name != CONSOLE and not (folder / name).is_file():
        there = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_file())) if folder.is_dir() else ""
        raise ResultError(f"{folder} has no {name}", hint=f"there are {there}" if there else None)
    return Logs(_text(folder / name), _text(folder / SUMMARY) if name == CONSOLE else "")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - _MOST_BYTES))
            return printable(stream.read().decode(errors="replace"))
    except FileNotFoundError:
        return ""


def of_host(access: Access, home: str, attempt: str, *, timeout_seconds: float, name: str = CONSOLE) -> Logs:
    """Return the logs of an attempt as its host has them.

    Args:
        access: How the host is reached.
        home: mlperf_home there.
        attempt: The attempt's folder below it.
        timeout_seconds: For all of it.
        name: Another file of the attempt.

    Raises:
        ToolError: The host cannot be reached.
        ResultError: The attempt has no such file.
    """
    folder = f"{quoted_home(home)}/{shlex.quote(attempt)}"
    lacks = 'printf "there is no %s" ' + shlex.quote(name)
    script = (
        f"cd {folder} || exit 1\n"
        f"[ -f {shlex.quote(name)} ] || [ {shlex.quote(name)} = {CONSOLE} ] || {{ {lacks}; exit 0; }}\n"
        f"tail -c {_MOST_BYTES} {shlex.quote(name)} 2>/dev/null\nprintf '\\n\\000mlperf-ops\\000\\n'\n"
        f"[ {shlex.quote(name)} = {CONSOLE} ] && cat {SUMMARY} 2>/dev/null\n"
    )
    began = time.monotonic()
    try:
        out = run_script(access, script, Progress(began + timeout_seconds, began + timeout_seconds))
    except HostProblemError as problem:
        raise ToolError(problem.message, hint=problem.remedy or None) from None
    console, separator, summary = out.partition(_SEPARATOR)
    if not separator:
        said = printable(out.decode(errors="replace")).strip()
        raise ResultError(f"the host has no usable {attempt}: {said or 'it is gone'}")
    return Logs(printable(console.decode(errors="replace")), printable(summary.decode(errors="replace")))


# --- while it runs ----------------------------------------------------------------------------------------------------

# A line for each new phase, and the console as it grows, until the supervisor has ended. One `tail` that the kernel
# wakes, and a look at a file of one word every two seconds: the host is measuring.
_FOLLOW = r"""
pid=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' state.json 2>/dev/null)
[ -n "$pid" ] || exit 0
while [ -d "/proc/$pid" ] && [ ! -f console.log ]; do sleep 1; done
[ -f console.log ] && tail -c +"$from" -f --pid="$pid" console.log &
shown=$phase
while [ -d "/proc/$pid" ]; do
  phase=''
  read -r phase 2>/dev/null < phase || [ -n "$phase" ] || phase=$shown
  [ "$phase" = "$shown" ] || printf '\000%s\n' "$phase"
  shown=$phase
  sleep 2
done
wait
"""


@dataclass(frozen=True, slots=True)
class Line:
    """Something that a running attempt says: a piece of its console, or the phase that it has come to."""

    text: str
    is_phase: bool = False


def follow(access: Access, home: str, attempt: str, *, timeout_seconds: float) -> Iterator[Line]:
    """Yield what a running attempt prints, from the start, until its supervisor has ended.

    A lost connection is opened again, and goes on where it broke off.

    Raises:
        ToolError: The host cannot be reached (any more).
    """
    offset, phase, lost = 0, "", 0
    while True:
        script = (
            f"cd {quoted_home(home)}/{shlex.quote(attempt)} || exit 1\n"
            f"from={offset + 1}\nphase={shlex.quote(phase)}\n{_FOLLOW}"
        )
        try:
            for chunk in _stream(access, script, timeout_seconds):
                lost = 0
                for piece, is_phase in _pieces(chunk):
                    if is_phase:
                        phase = piece.decode(errors="replace").strip()
                        yield Line(printable(phase), is_phase=True)
                    else:
                        offset += len(piece)
                        yield Line(printable(piece.decode(errors="replace")))
        except HostProblemError as problem:
            lost += 1
            if lost > _RECONNECTS:
                raise ToolError(problem.message, hint=problem.remedy or None) from None
            time.sleep(_BETWEEN_SECONDS)
            continue
        return


def _pieces(chunk: bytes) -> Iterator[tuple[bytes, bool]]:
    """Split what came into console text and the words of phases; a phase is one write, so a chunk holds all of it."""
    text, *marked = chunk.split(b"\x00")
    if text:
        yield text, False
    for one in marked:
        word, newline, rest = one.partition(b"\n")
        yield word, True
        if newline and rest:
            yield rest, False


def _stream(access: Access, script: str, timeout_seconds: float) -> Iterator[bytes]:
    if access.connection == LOCAL:
        with subprocess.Popen(
            ["/bin/sh", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None  # noqa: S101  # for the type checker: it is a pipe
            try:
                while chunk := process.stdout.read1(_CHUNK_BYTES):  # type: ignore[attr-defined]  # a BufferedReader
                    yield chunk
            finally:
                process.terminate()
        return
    from mlperf_ops.doctor import remote  # noqa: PLC0415  # as in `ask`

    deadline = time.monotonic() + timeout_seconds
    with remote.connected(access, Progress(deadline, deadline)) as connection:
        yield from remote.follow(connection, f"/bin/sh -c {shlex.quote(script)}")
