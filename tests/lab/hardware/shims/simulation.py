"""SIMULATION: what all shims of a lab host share: state in a JSON file, and a log of all calls.

Runs in the lab host with its own python3 and the standard library only.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FOLDER = Path("/lab/shims")  # any user can write there


@contextmanager
def state(tool: str, first: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the tool's state, ``first`` when there is none yet, and keep what was changed; one call at a time."""
    path = FOLDER / f"{tool}.json"
    os.umask(0)
    with (FOLDER / f"{tool}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        now = json.loads(path.read_text()) if path.exists() else json.loads(json.dumps(first))
        yield now
        text = json.dumps(now, indent=1) + "\n"
        if not path.exists() or path.read_text() != text:
            new = path.with_suffix(".new")
            new.write_text(text)
            new.replace(path)


def log(tool: str) -> list[str]:
    """Append this call to the log, and return its arguments."""
    os.umask(0)
    line = json.dumps({"tool": tool, "argv": sys.argv[1:], "uid": os.geteuid(), "time": time.time()})
    with (FOLDER / "log.jsonl").open("a") as file:
        file.write(line + "\n")
    return sys.argv[1:]


def is_root() -> bool:
    """Whether the caller may change settings."""
    return os.geteuid() == 0


def say(text: object = "") -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")


def complain(text: str) -> None:
    """Print a line to stderr."""
    sys.stderr.write(f"{text}\n")
