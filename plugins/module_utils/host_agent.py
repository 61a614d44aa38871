"""Ask the agent of a host's harness (`mlperf_ops.harness.agent`): one JSON object in, one out.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_SECONDS = 120
_BUSY = 6  # exit code: mlperf_ops.errors.BusyError


class HostBusyError(HostError):
    """The host measures another cell."""


def provision(home: Path) -> dict[str, Any] | None:
    """Read state/provision.json; None when the host was never provisioned.

    Raises:
        HostError: It is there and cannot be used.
    """
    path = home / "state" / "provision.json"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError(f"{path} cannot be read: {error.strerror}") from error
    try:
        found: dict[str, Any] = json.loads(text)
        found["python"]["path"], found["harness"]["path"]
    except (ValueError, KeyError, TypeError) as error:
        raise HostError(f"{path} is damaged", "remove it and run the provision playbook again") from error
    return found


def ask(home: Path, verb: str, question: dict[str, Any]) -> dict[str, Any]:
    """Ask and return the answer.

    Raises:
        HostBusyError: The host measures another cell.
        HostError: The host was not provisioned, or the agent answered with an error.
    """
    state = provision(home)
    if state is None:
        raise HostError(f"{home} was never provisioned", "run the provision playbook first")
    argv = [state["python"]["path"], "-m", "mlperf_ops.harness.agent", verb, "--home", str(home)]
    try:
        done = subprocess.run(
            argv,
            input=json.dumps(question),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
            env={**os.environ, "PYTHONPATH": state["harness"]["path"]},
            cwd=str(home),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"the agent does not start: {error}", "run the provision playbook again") from error
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        message = f"the agent gave no answer to '{verb}': {last[0]}"
        raise HostError(message, "run the provision playbook again") from error
    if "error" in answer:
        kind = HostBusyError if done.returncode == _BUSY else HostError
        raise kind(str(answer["error"]), str(answer.get("hint") or ""))
    return answer
