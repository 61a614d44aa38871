"""Ask hosts with one command each, all at the same time and within one time limit; a silent host is a sentence."""

from __future__ import annotations

import json
import queue
import shlex
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

from mlperf_ops.campaign.access import Reach
from mlperf_ops.campaign.answers import HostAnswer, read_answer
from mlperf_ops.campaign.look import look_script
from mlperf_ops.campaign.summary import Asked
from mlperf_ops.collected import Earlier
from mlperf_ops.doctor.model import Access, Progress
from mlperf_ops.doctor.ssh_settings import HostProblemError
from mlperf_ops.errors import ResultError
from mlperf_ops.files import JsonObject
from mlperf_ops.plan_model import Plan

TIMEOUT_SECONDS = 10.0
# As the doctor counts: each host of a crowd costs the controller a quarter of a second.
_CROWD, _CROWD_SECONDS = 16, 0.25
_GRACE_SECONDS = 0.5
_SHELL = "/bin/sh -s"
LOCAL = "local"


def ask(plan: Plan, earlier: Sequence[Earlier], reached: Reach, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Asked:
    """Ask the hosts of a plan about the attempts of its run.

    Args:
        plan: The plan.
        earlier: What the controller has; hosts need not send it again.
        reached: How to reach them.
        timeout_seconds: For all of it, and 0.25 s more for each host beyond the sixteenth.
    """
    known: dict[str, list[str]] = {}
    for one in earlier:
        known.setdefault(one.host, []).append(f"runs/{plan.run_id}/{one.spec.cell.system}/{one.cell.path}")
    scripts = {
        host.name: look_script(host.home, plan.run_id, known.get(host.name, []))
        for host in plan.hosts
        if host.name in reached.access
    }
    said = _all(scripts, reached, timeout_seconds)
    answers: dict[str, HostAnswer] = {}
    unreachable = {host.name: reached.problems[host.name] for host in plan.hosts if host.name in reached.problems}
    unknown: dict[str, str] = {}
    for name, reply in said.items():
        if isinstance(reply, HostProblemError):
            unreachable[name] = f"{reply.message} ({reply.remedy})" if reply.remedy else reply.message
            continue
        try:
            answers[name] = read_answer(_parsed(reply))
        except ResultError as error:
            unknown[name] = str(error)
    return Asked(answers, unreachable, unknown)


def _parsed(out: bytes) -> JsonObject:
    # What a login script prints comes before our object, which begins a line.
    text = out.decode(errors="replace")
    start = next((at for at in (0, text.find("\n{") + 1) if text[at : at + 1] == "{"), None)
    try:
        told = json.loads(text[start:]) if start is not None else None
    except ValueError as error:
        raise ResultError(f"its answer cannot be read: {error}") from error
    if not isinstance(told, dict):
        raise ResultError("its answer is no JSON object", hint="mlperf-ops doctor says what is wrong with the host")
    return told


def _all(scripts: Mapping[str, str], reached: Reach, timeout_seconds: float) -> dict[str, bytes | HostProblemError]:
    began = time.monotonic()
    limit_seconds = timeout_seconds + _CROWD_SECONDS * max(len(scripts) - _CROWD, 0)
    deadline = began + limit_seconds
    answers: queue.Queue[tuple[str, bytes | HostProblemError]] = queue.Queue()

    def one(name: str, script: str) -> None:
        progress = Progress(deadline, began + timeout_seconds)
        try:
            answers.put((name, run_script(reached.access[name], script, progress)))
        except HostProblemError as problem:
            answers.put((name, problem))
        except Exception as error:  # noqa: BLE001  # a defect of ours must be that host's row, not everybody's end
            said = f"asking it failed: {type(error).__name__}: {error}"
            answers.put((name, HostProblemError("python", said, "please report it")))

    # Daemons: a name server that does not answer cannot be interrupted, and must not keep the command from ending.
    for name, script in scripts.items():
        threading.Thread(target=one, args=(name, script), daemon=True).start()
    found: dict[str, bytes | HostProblemError] = {}
    while len(found) < len(scripts):
        try:
            name, answer = answers.get(timeout=max(deadline + _GRACE_SECONDS - time.monotonic(), 0.01))
        except queue.Empty:
            break
        found[name] = answer
    late = HostProblemError("port", f"no answer within {limit_seconds:g} s", "--timeout waits longer")
    return {name: found.get(name, late) for name in scripts}


def run_script(access: Access, script: str, progress: Progress) -> bytes:
    """Run a shell script on a host and return what it printed.

    Raises:
        HostProblemError: The host cannot be reached, or does not answer in time.
    """
    if access.connection == LOCAL:
        try:
            done = subprocess.run(
                shlex.split(_SHELL), input=script.encode(), capture_output=True, timeout=progress.left(), check=False
            )
        except subprocess.TimeoutExpired:
            raise HostProblemError("python", "this machine does not answer", "look at its disks") from None
        return done.stdout
    if access.connection not in {"ssh", "smart"}:
        raise HostProblemError("address", f"Ansible reaches it by the connection {access.connection}", "")
    # Here, because Paramiko takes longer to import than a machine of its own takes to answer.
    from mlperf_ops.doctor import remote  # noqa: PLC0415

    with remote.connected(access, progress) as connection:
        return remote.run(connection, _SHELL, script, progress).out
