"""What the doctor found in lines: one for each finding, and one that sums up."""

from __future__ import annotations

from collections.abc import Sequence

from mlperf_ops.doctor.model import Answer, Severity

RANK: tuple[Severity, ...] = ("blocks", "warns", "note")  # the worst first


def summary(answers: Sequence[Answer], seconds: float) -> str:
    """Say how many hosts are ready, and name the others."""
    blocked = [answer.name for answer in answers if answer.blocked]
    ready = len(answers) - len(blocked)
    of = "" if ready == len(answers) else f" of {len(answers)}"
    said = f"{ready}{of} host{'' if ready == 1 and not of else 's'} ready ({seconds:.1f} s)"
    return f"{said}; blocked: {', '.join(blocked)}" if blocked else said


def lines(answers: Sequence[Answer]) -> list[tuple[str, Severity]]:
    """Return the findings, what blocks first; equal ones of several hosts in one line."""
    hosts: dict[tuple[Severity, str, str], list[str]] = {}
    for answer in answers:
        for finding in answer.findings:
            hosts.setdefault((finding.severity, finding.check, finding.line), []).append(finding.host)
    ordered = sorted(hosts.items(), key=lambda one: (RANK.index(one[0][0]), one[1]))
    return [
        (f"{', '.join(names)}  {severity}  {check}: {line}", severity) for (severity, check, line), names in ordered
    ]
