"""What is new in a report since an earlier one, and what is gone."""

from __future__ import annotations

from dataclasses import dataclass

from mlperf_ops.checker.model import CheckReport, Finding


@dataclass(frozen=True, slots=True)
class Change:
    """The difference of two reports of a tree.

    Attributes:
        new: Findings that the earlier report does not have.
        gone: Findings that only the earlier report has.
        known: How many findings both have.
    """

    new: tuple[Finding, ...]
    gone: tuple[Finding, ...]
    known: int


def change_since(earlier: CheckReport, now: CheckReport) -> Change:
    """Compare two reports; a finding is the same when rule, severity, place, value and limit are."""
    before = {_identity(finding) for finding in earlier.findings}
    after = {_identity(finding) for finding in now.findings}
    return Change(
        new=tuple(finding for finding in now.findings if _identity(finding) not in before),
        gone=tuple(finding for finding in earlier.findings if _identity(finding) not in after),
        known=sum(1 for finding in now.findings if _identity(finding) in before),
    )


def _identity(finding: Finding) -> tuple[str | None, ...]:
    # Without a value the message tells two findings of a file apart.
    told = finding.value or finding.message
    return finding.rule, finding.severity, finding.location, finding.affects, told, finding.limit
