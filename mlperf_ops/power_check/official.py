"""The official power_checker.py of a given checkout as a second opinion: unmodified, one process per measurement."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.errors import ConfigError, ToolError

_SCRIPT = Path("tools/submission/power/power_checker.py")
_CHECK = re.compile(r"(?:INFO|WARNING|ERROR):main:\[(?P<passed>[x ])\] (?P<name>.+)")
_NOTE = re.compile(r"(?:WARNING|ERROR):main:\t(?P<note>.*)")
_RAISED = re.compile(r"(?P<note>[A-Za-z_]+(?:Error|Exception)\b.*)")


@dataclass(frozen=True, slots=True)
class OfficialCheck:
    """One of its checks.

    Attributes:
        name: As it prints it.
        passed: Its verdict.
        note: What it objects to or warns of; "" where it says nothing.
    """

    name: str
    passed: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class OfficialPower:
    """What it says of a measurement.

    Attributes:
        accepted: It accepts the measurement.
        checks: In its order; fewer than it has where it ended with a traceback.
        problem: Why it could not finish; None when it did.
    """

    accepted: bool
    checks: tuple[OfficialCheck, ...]
    problem: str | None = None


def power_checker(checkout: Path) -> Path:
    """Return the script of a checkout of mlcommons/inference.

    Raises:
        ConfigError: The folder has none.
    """
    script = checkout / _SCRIPT
    if not script.is_file():
        raise ConfigError(f"{checkout} has no {_SCRIPT}; expected a checkout of mlcommons/inference")
    return script.resolve()


def run_power_checker(script: Path, performance: Path, timeout_seconds: float = 300) -> OfficialPower:
    """Let the official checker look at performance/{power,ranging,run_1}.

    Raises:
        ToolError: It cannot be started, or takes too long.
    """
    # Its own folder holds the digests of the accepted software, and nothing is written there.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
    command = [sys.executable, str(script), str(performance.resolve())]
    try:
        done = subprocess.run(
            command,
            cwd=script.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"the official power checker did not end for {performance}: {error}") from error
    return read_output(done.stderr, done.returncode)


def read_output(text: str, exit_code: int) -> OfficialPower:
    """Return what it printed on stderr as data."""
    checks: list[OfficialCheck] = []
    for line in text.splitlines():
        head = _CHECK.fullmatch(line)
        if head is not None:
            checks.append(OfficialCheck(head["name"], head["passed"] == "x"))
        elif checks and not checks[-1].note and (note := _NOTE.fullmatch(line) or _RAISED.fullmatch(line)) is not None:
            checks[-1] = OfficialCheck(checks[-1].name, checks[-1].passed, note["note"].strip())
    problem = None
    if not checks:
        problem = next((line for line in reversed(text.splitlines()) if line.strip()), "it printed nothing")
    return OfficialPower(exit_code == 0 and bool(checks), tuple(checks), problem)
