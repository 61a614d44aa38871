"""Ask all hosts at the same time, each by one command and within one time limit, and judge what they say."""

from __future__ import annotations

import importlib.resources
import json
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from mlperf_ops.doctor.judge import OLDEST_FOR_MODULES, judge
from mlperf_ops.doctor.knobs import KNOBS
from mlperf_ops.doctor.model import Answer, Check, Finding, Progress, Question, Reply
from mlperf_ops.doctor.ssh_settings import HostProblemError
from mlperf_ops.files import Json, JsonObject

TIMEOUT_SECONDS = 15.0
THIS_MACHINE = "this machine"
# The controller serves all hosts with its few cores, 15 ms of work for each; in a lab on one machine the hosts share
# them, too, which is 200 ms each. A crowd must not be taken for a fault.
_CROWD, _CROWD_SECONDS = 16, 0.25
_SEARCHED = ("/usr/bin/python3", "/usr/libexec/platform-python", "python3")
_NO_PYTHON = 41
_LAST_CHARACTERS = 200
_FUTURE = "from __future__ import annotations\n"  # only at the top of a program
# A step that itself waits until the deadline says better than "no answer" where it hung.
_GRACE_SECONDS = 0.5
_CORRECT = "install python3 there, or correct ansible_python_interpreter"
_AGE_CHECK = (
    f"import sys; v = sys.version_info; ok = v >= {OLDEST_FOR_MODULES}; "
    'exec(sys.stdin.read()) if ok else sys.stdout.write(\'{"python": {"version": "%d.%d.%d"}}\' % v[:3])'
)
_SEARCH = (
    'for p in "$@"; do command -v "$p" >/dev/null 2>&1 && '
    f'exec "$p" -c {shlex.quote(_AGE_CHECK)}; done; exit {_NO_PYTHON}'
)


@dataclass(slots=True)
class _Place:
    """A host under examination, shared by its thread and the one that waits."""

    question: Question
    began: float
    progress: Progress
    answer: Answer | None = None


def examine(
    questions: Sequence[Question],
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    told: Callable[[Answer], None] = lambda _: None,
) -> tuple[Answer, ...]:
    """Examine hosts in parallel.

    Args:
        questions: One for each host.
        timeout_seconds: For all of it, and 0.25 s more for each host beyond the sixteenth; a host that has not answered
            by then is blocked, and the others are not.
        told: Called with each answer as it comes, in the thread that calls this.

    Returns:
        The answers in the order of the questions.
    """
    began = time.monotonic()
    limit_seconds = timeout_seconds + _CROWD_SECONDS * max(len(questions) - _CROWD, 0)
    deadline = began + limit_seconds
    places = [_Place(question, began, Progress(deadline, began + timeout_seconds)) for question in questions]
    arrived = threading.Condition()
    # Daemons: a name server that does not answer cannot be interrupted, and must not keep the command from ending.
    for place in places:
        threading.Thread(target=_one, args=(place, arrived), daemon=True).start()
    waiting = list(places)
    with arrived:
        while waiting:
            left = deadline + _GRACE_SECONDS - time.monotonic()
            arrived.wait_for(lambda: any(place.answer for place in waiting), timeout=max(left, 0))
            late = time.monotonic() >= deadline + _GRACE_SECONDS
            for place in list(waiting):
                if place.answer is None and not late:
                    continue
                place.answer = place.answer or _late(place, limit_seconds)
                told(place.answer)
                waiting.remove(place)
    return with_twins(tuple(place.answer or _late(place, limit_seconds) for place in places))


def with_twins(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    """Warn of hosts that are reached at one address: one machine would be measured under several names."""
    names: dict[str, list[str]] = {}
    for answer in answers:
        if answer.reached is not None and answer.address not in {"", THIS_MACHINE}:
            names.setdefault(answer.address, []).append(answer.name)
    told = []
    for answer in answers:
        twins = [name for name in names.get(answer.address, []) if name != answer.name]
        finding = Finding(
            answer.name,
            "address",
            "warns",
            f"it is the same machine as {', '.join(twins)}: {answer.address}",
            "correct ansible_host, unless one machine is to be measured as several systems",
        )
        told.append(replace(answer, findings=(*answer.findings, finding)) if twins else answer)
    return tuple(told)


def _late(place: _Place, timeout_seconds: float) -> Answer:
    name = place.question.name
    where = {
        "address": "its name does not resolve",
        "port": f"{place.progress.shown or 'it'} does not take the connection",
        "host-key": f"{place.progress.shown or 'it'} takes the connection but says nothing",
        "login": f"{place.progress.shown or 'it'} does not answer the login",
    }.get(place.progress.check, "the command that examines it does not end")
    message = f"no answer within {timeout_seconds:g} s: {where}"
    finding = Finding(
        name, place.progress.check, "blocks", message, "is the host frozen or overloaded? --timeout waits longer"
    )
    return Answer(name, place.progress.shown, timeout_seconds, place.progress.check, (finding,))


def _one(place: _Place, arrived: threading.Condition) -> None:
    question = place.question
    findings: tuple[Finding, ...]
    reached: Check | None = None
    try:
        reply = _ask(question, place)
        findings, reached = judge(question, reply), "reboot"
    except HostProblemError as problem:
        findings = (Finding(question.name, problem.check, problem.severity, problem.message, problem.remedy),)
        reached = problem.check
    except Exception as error:  # noqa: BLE001  # a defect of ours must be that host's finding, not everybody's end
        said = f"the doctor itself failed: {type(error).__name__}: {error}"[:_LAST_CHARACTERS]
        findings = (Finding(question.name, place.progress.check, "warns", said, "please report it"),)
    answer = Answer(question.name, place.progress.shown, round(time.monotonic() - place.began, 2), reached, findings)
    with arrived:
        if place.answer is None:
            place.answer = answer
        arrived.notify_all()


def _ask(question: Question, place: _Place) -> Reply:
    access = question.access
    if access.connection == "local":
        place.progress.shown, place.progress.check = THIS_MACHINE, "python"
        return _ask_here(question, place.progress)
    if access.connection not in {"ssh", "smart"}:
        message = f"Ansible reaches it by the connection {access.connection}, so it was not examined"
        raise HostProblemError("address", message, "", severity="note")
    # Here, because it takes longer than the examination of the own machine.
    from mlperf_ops.doctor import remote  # noqa: PLC0415

    with remote.connected(access, place.progress) as connection:
        place.progress.check = "python"
        command = shlex.join(["/bin/sh", "-c", _SEARCH, "sh", *_interpreters(access.python)])
        done = remote.run(connection, command, script(question), place.progress)
    return _reply(done.out, done.errors, done.status, access.python, (done.sent, done.first))


def _interpreters(given: str) -> tuple[str, ...]:
    if not given or given.startswith("auto"):
        return _SEARCHED
    return (given.rsplit(maxsplit=1)[-1],)  # "/usr/bin/env python3"


def _ask_here(question: Question, progress: Progress) -> Reply:
    program = _interpreters(question.access.python)[0] if question.access.python else sys.executable
    try:
        done = subprocess.run(
            [program, "-c", _AGE_CHECK],
            input=script(question).encode(),
            capture_output=True,
            timeout=progress.left(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HostProblemError("python", "the command that examines it does not end", "look at its disks") from None
    except FileNotFoundError:
        return _reply(b"", b"", _NO_PYTHON, program, None)
    except OSError as error:
        raise HostProblemError("python", f"{program} does not start: {error.strerror}", _CORRECT) from None
    return _reply(done.stdout, done.stderr, done.returncode, program, None)


def script(question: Question) -> str:
    """Return the probe's source with the call that asks this question."""
    source = _source("mlperf_ops.doctor", "probe.py")
    more = "{}"
    if question.power is not None:
        parts = (_source("mlperf_ops.harness", "clock.py"), _source("mlperf_ops.doctor", "power_probe.py"))
        source = "\n".join((source, *(part.replace(_FUTURE, "") for part in parts)))
        more = f"{{'power': lambda: power(json.loads({json.dumps(json.dumps(question.power.wanted()))}))}}"
    wanted: JsonObject = {
        "home": question.home,
        "sudo": question.needs_sudo,
        "cells_python": question.cells_python,
        "environment": question.needs_environment,
        "files": [asdict(one) for one in question.files],
        "knobs": {name: list(KNOBS[name].paths) for name in question.knobs},
        "programs": [*sorted({program for name in question.knobs for program in KNOBS[name].programs})],
        "index": _index(question),
    }
    return f"{source}\nmain(json.loads({json.dumps(json.dumps(wanted))}), {more})\n"


def _source(package: str, name: str) -> str:
    return importlib.resources.files(package).joinpath(name).read_text(encoding="utf-8")


def _index(question: Question) -> str:
    """Return the package index that the host has to reach; "" where the controller brings everything."""
    if not question.needs_environment:
        return ""
    if question.mirror:
        return question.mirror if "://" in question.mirror else ""
    try:  # pip's own default, where the host's configuration names none: it is not ours to know
        from pip._internal.models.index import PyPI  # noqa: PLC0415
    except ImportError:
        return ""
    return str(PyPI.simple_url)


def _reply(out: bytes, errors: bytes, status: int, python: str, times: tuple[float, float] | None) -> Reply:
    """Read what the probe printed: its clock in the first line, all else in the second."""
    if status == _NO_PYTHON and not out:
        name = python if python and not python.startswith("auto") else "python3"
        raise HostProblemError("python", f"there is no {name}, and Ansible's modules need Python 3.8", _CORRECT)
    lines: list[Json] = []
    for line in out.decode(errors="replace").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:  # noqa: PERF203  # a handful of lines
            continue  # what a login script prints
    facts = lines[-1] if lines else None
    if not isinstance(facts, dict) or "python" not in facts:
        said = (errors.decode(errors="replace").strip().splitlines() or [f"exit code {status}"])[-1]
        raise HostProblemError("python", f"its Python does not work: {said[:_LAST_CHARACTERS]}", _CORRECT)
    first = lines[0]
    told = first.get("time") if isinstance(first, dict) else None
    if times is None or not isinstance(told, float):
        return Reply(facts)
    sent, received = times
    return Reply(facts, told - (sent + received) / 2, (received - sent) / 2)
