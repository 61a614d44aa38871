"""From what a host said to what is wrong with it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from mlperf_ops.doctor.knobs import KNOBS
from mlperf_ops.doctor.model import Check, Finding, OwnFiles, Question, Reply, Severity
from mlperf_ops.doctor.power import judge_power

OLDEST_FOR_MODULES = (3, 8)
OLDEST_FOR_CELLS = (3, 10)

# What the role host_components asks for before it makes an environment; a test keeps the two equal.
ENVIRONMENT_BYTES = 600 << 20
# What the supervisor asks for before it starts a cell.
LOGS_BYTES = 64 << 20

# A second is enough for logs that can be compared; power needs half of one, and the role time_sync measures that.
CLOCK_LIMIT_SECONDS = 1.0

# mlcommons-loadgen is published as wheels for this architecture only.
LOADGEN_MACHINES = frozenset({"x86_64", "AMD64"})

_Found = Iterator[tuple[Severity, str, str]]


def judge(question: Question, reply: Reply) -> tuple[Finding, ...]:
    """Return what is wrong with a host that could be asked, in the order of the checks.

    Args:
        question: What the host needs.
        reply: What its probe said.
    """
    checks: tuple[tuple[Check, Callable[[Question, Reply], _Found]], ...] = (
        ("sudo", _sudo),
        ("python", _python),
        ("home", _home),
        ("disk", _disk),
        ("clock", _clock),
        ("index", _index),
        ("files", _files),
        ("architecture", _architecture),
        ("tuning", _tuning),
        ("power", _power),
        ("busy", _busy),
        ("reboot", _reboot),
    )
    return tuple(
        Finding(question.name, check, severity, message, remedy)
        for check, judged in checks
        for severity, message, remedy in judged(question, reply)
    )


def _part(reply: Reply, name: str) -> Mapping[str, Any]:
    """Return a part of the facts; empty when the host could not tell."""
    found = reply.facts.get(name)
    return found if isinstance(found, Mapping) and "error" not in found else {}


def _sudo(question: Question, reply: Reply) -> _Found:
    access = question.access
    if not question.needs_sudo or access.has_become_password:
        return
    if access.become_method != "sudo":
        yield "note", f"whether ansible_become_method {access.become_method} works was not tried", ""
        return
    user = _part(reply, "user").get("name", "the user")
    state = _part(reply, "sudo").get("state")
    either = "or set mlperf_become: false for what can be done without"
    if state == "missing":
        yield "blocks", f"{user} is not root and there is no sudo", f"install sudo, {either}"
    elif state == "silent":
        yield "blocks", "sudo does not answer", "look at the host's DNS and directory service, which sudo asks"
    elif state == "refused":
        rule = f"echo '{user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{user}"
        yield "blocks", f"{user} cannot use sudo without a password", f"as root on the host: {rule}; {either}"


def _version(text: object) -> tuple[int, ...]:
    return tuple(int(part) for part in str(text).split(".")[:2] if part.isdigit())


def _python(question: Question, reply: Reply) -> _Found:
    version = _part(reply, "python").get("version", "")
    if _version(version) < OLDEST_FOR_MODULES:
        yield (
            "blocks",
            f"its Python is {version}, and Ansible's modules need 3.8",
            "install a newer python3 and name it by ansible_python_interpreter",
        )
        return
    cells = _part(reply, "cells_python")
    if question.needs_environment and cells and not cells.get("path"):
        found = ", ".join(cells.get("seen", [])) or "none"
        yield (
            "blocks",
            f"cells need Python 3.10 or newer with its venv module; found: {found}",
            "install a newer python3 (with python3-venv), or name one by host_components_python",
        )


def _home(question: Question, reply: Reply) -> _Found:
    home = _part(reply, "home")
    if not home:
        return
    path, there = home["path"], home["there"]
    elsewhere = "set mlperf_home elsewhere"
    if not home["is_folder"]:
        yield "blocks", f"mlperf_home {path} cannot be made: {there} is not a folder", elsewhere
    elif home["read_only"]:
        yield "blocks", f"mlperf_home {path} is on a read-only file system", elsewhere
    elif not home["writable"] and not (path != there and _becomes_root(question, reply)):
        yield "blocks", f"mlperf_home {path} cannot be written: no permission on {there}", f"chown it, or {elsewhere}"
    elif home["no_exec"] and question.needs_environment:
        yield "blocks", f"mlperf_home {path} is on a file system mounted noexec", elsewhere


def _becomes_root(question: Question, reply: Reply) -> bool:
    """Tell whether the role host_packages will make a mlperf_home that is not there yet."""
    works = _part(reply, "sudo").get("state") in {"root", "works"} or question.access.has_become_password
    return question.needs_sudo and works


def _disk(question: Question, reply: Reply) -> _Found:
    home = _part(reply, "home")
    if not home or not home["is_folder"]:
        return
    needed = ENVIRONMENT_BYTES if question.needs_environment and not home["environment"] else LOGS_BYTES
    if home["free_bytes"] < needed:
        yield (
            "blocks",
            f"mlperf_home {home['path']} has {home['free_bytes'] >> 20} MiB free, {needed >> 20} MiB are needed",
            "free some space or set mlperf_home to a larger disk",
        )


def _clock(_: Question, reply: Reply) -> _Found:
    offset = reply.clock_offset_seconds
    if offset is None or abs(offset) - reply.clock_error_seconds <= CLOCK_LIMIT_SECONDS:
        return
    way = "ahead of" if offset > 0 else "behind"
    yield (
        "warns",
        f"its clock is {abs(offset):.1f} s {way} the controller's (measured within {reply.clock_error_seconds:.2f} s)",
        "start chrony there; the role time_sync does",
    )


def _index(question: Question, reply: Reply) -> _Found:
    index = _part(reply, "index")
    if not question.needs_environment or index.get("state") != "silent":
        return
    via = " through its proxy" if index.get("via") else ""
    what = "mlperf_mirror" if question.mirror else "the package index"
    yield (
        "blocks",
        f"it cannot reach {what} {index['url']}{via}: {index['said']}",
        "correct its DNS, route, proxy or pip.conf, or set mlperf_mirror to a folder of package files",
    )


def _files(question: Question, reply: Reply) -> _Found:
    told = reply.facts.get("files")
    own = {one.name: one for one in question.files}
    for one in told if isinstance(told, list) else []:
        if not isinstance(one, dict) or one.get("state") == "ok":
            continue
        name, path = str(one["name"]), str(one["path"])
        asked = own.get(name) or OwnFiles(name, path)
        setting = f"mlperf_components.{name}.{'path' if path == asked.path else 'label_file'}"
        severity: Severity = "blocks" if asked.used and asked.keeps_host_out else "warns"
        more = "" if severity == "blocks" else "; its cells cannot run" if asked.used else "; no planned cell uses it"
        if one.get("state") == "missing":
            yield severity, f"{setting} is not there: {path}{more}", f"put it there or correct {setting}"
        else:
            user = _part(reply, "user").get("name", "the user")
            yield severity, f"{setting} cannot be read by {user}: {path}{more}", "chmod or chown it"


def _architecture(question: Question, reply: Reply) -> _Found:
    machine = reply.facts.get("machine")
    if question.needs_environment and isinstance(machine, str) and machine not in LOADGEN_MACHINES:
        yield (
            "blocks",
            f"it is {machine}, and LoadGen is published for x86_64 only",
            "run an implementation of kind command there, or leave the host out of group sut",
        )


def _tuning(question: Question, reply: Reply) -> _Found:
    """Name the settings that will be skipped; settings with the same reason share a sentence."""
    paths, programs = _part(reply, "knobs"), _part(reply, "programs")
    reasons: dict[str, list[str]] = {}
    for name in question.knobs:
        knob = KNOBS[name]
        states = paths.get(name, [])
        if states and "writable" not in states:
            reason = "the kernel has it read-only" if "read-only" in states else "this kernel or machine has none"
            reasons.setdefault(reason, []).append(knob.what)
        if programs and knob.programs and not any(programs.get(program, True) for program in knob.programs):
            reasons.setdefault(f"there is no {' or '.join(knob.programs)}", []).append(knob.what)
    for reason, settings in reasons.items():
        yield "note", f"{', '.join(dict.fromkeys(settings))} will not be set: {reason}", ""


def _power(question: Question, reply: Reply) -> _Found:
    if question.power is not None:
        today = datetime.now(timezone.utc).date()
        yield from judge_power(question.power, _part(reply, "power"), today)


def _busy(question: Question, reply: Reply) -> _Found:
    busy = _part(reply, "busy")
    if "provision" in busy:
        yield "blocks", "another play is provisioning it", "wait until it has ended"
    if "cell" in busy:
        who = " ".join(str(busy["cell"]).split())[:120]
        run_id = str(busy.get("run_id") or "")
        if question.run_id and run_id and run_id != question.run_id:
            yield (
                "blocks",
                f"run '{run_id}' measures on it: {who}",
                f"wait until run '{run_id}' has ended",
            )
            return
        yield "note", f"a cell runs on it: {who}", "a run of the same plan re-attaches to it, any other has to wait"


def _reboot(_: Question, reply: Reply) -> _Found:
    asked = reply.facts.get("reboot")
    if isinstance(asked, list):
        why = f" ({', '.join(map(str, asked))})" if asked else ""
        yield "warns", f"it wants to be rebooted after an update{why}", "reboot it before you measure"
