"""Commands that change a host: run without a terminal, ended on time, and their own last error found.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

QUERY_SECONDS = 60
_LOCK_PAUSE_SECONDS = 1.0
_FULL = re.compile(
    r"no space left on device|enough free space|disk is full|needs? \d+ ?\S+ (?:more space )?on the", re.IGNORECASE
)
_SAYS_NOTHING = re.compile(
    r"Sub-process \S+ returned an error code|Errors were encountered while processing|"
    r"Some index files failed to download",
    re.IGNORECASE,
)
_ERROR_LINE = re.compile(
    r"^(?:E: |Error: |error: |dpkg: error|Problem: |No space)|cannot|failed|failure|refused", re.IGNORECASE
)
_LAST_LINES = 2


class Done(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str


def run(argv: list[str], timeout_seconds: float = QUERY_SECONDS) -> Done:
    """Run a command to its end, in a process group of its own that a lost connection does not reach.

    Raises:
        TimeoutError: It took longer; it and what it started were ended.
        HostError: There is no such command.
    """
    environment = dict(os.environ, LC_ALL="C", LANGUAGE="", DEBIAN_FRONTEND="noninteractive", NEEDRESTART_SUSPEND="1")
    environment["PATH"] = os.pathsep.join(["/usr/sbin", "/usr/bin", "/sbin", "/bin", environment.get("PATH", "")])
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
            encoding="utf-8",
            errors="replace",
        )
    except FileNotFoundError:
        raise HostError(f"this host has no command {argv[0]}") from None
    try:
        out, err = process.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        raise TimeoutError(f"{argv[0]} gave no answer within {timeout_seconds:.0f} s") from None
    return Done(process.returncode, out, err)


def run_locked(command: Callable[[], Done], lock_message: re.Pattern[str], lock_seconds: float) -> Done:
    """Run a command again until another one of its kind has let go of the lock that both need."""
    deadline = time.monotonic() + lock_seconds
    while True:
        done = command()
        if done.code == 0 or not lock_message.search(done.err + done.out) or time.monotonic() > deadline:
            return done
        time.sleep(_LOCK_PAUSE_SECONDS)


def change(argv: list[str], timeout_seconds: float, lock_message: re.Pattern[str], lock_seconds: float) -> Done:
    """Run a command that installs or removes packages, and wait for another one's lock.

    Raises:
        HostError: It took longer; what it began is finished by the next play.
    """
    try:
        return run_locked(lambda: run(argv, timeout_seconds), lock_message, lock_seconds)
    except TimeoutError as error:
        raise HostError(str(error), "run the play again: it finishes what was begun") from error


def last_error(done: Done) -> str:
    """Return the command's own last error, in one line."""
    lines = _sentences(done.out + "\n" + done.err)
    full = [line for line in lines if _FULL.search(line)]
    telling = [line for line in lines if _ERROR_LINE.search(line) and not _SAYS_NOTHING.search(line)]
    chosen = full[-1:] or telling[-_LAST_LINES:] or lines[-1:] or [f"exit code {done.code}"]
    return "; ".join(dict.fromkeys(re.sub(r"^[EW]: ", "", line).rstrip(".") for line in chosen))


def _sentences(text: str) -> list[str]:
    """Return the lines that are not empty; what dpkg says of an error goes on in the lines that it indents."""
    found: list[str] = []
    for line in text.splitlines():
        if line.startswith(" ") and found and found[-1].startswith("dpkg: error"):
            found[-1] += f" {line.strip()}"
        elif line.strip():
            found.append(line.strip())
    return found


def disk_full(done: Done, folders: Iterable[str]) -> str:
    """Name the fullest file system when a command ended because there was no room; empty when that was not it."""
    if not _FULL.search(done.out + done.err):
        return ""
    free = []
    for folder in folders:
        try:
            stat = os.statvfs(folder)
        except OSError:
            continue
        free.append((stat.f_bavail * stat.f_frsize, folder))
    return "" if not free else f"the disk is full: {min(free)[1]} has {min(free)[0] >> 20} MiB free"
