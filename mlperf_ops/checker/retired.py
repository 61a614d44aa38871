"""Benchmarks that a round no longer has, or does not have yet: what is known of them goes into the findings.

Which rounds had a benchmark is the whole catalogue's knowledge, and a check reads one round of it only.
"""

from __future__ import annotations

import dataclasses

from mlperf_ops.catalogue.collection import Catalogue
from mlperf_ops.catalogue.history import retired
from mlperf_ops.checker.benchmarks import UNKNOWN_MODEL
from mlperf_ops.checker.model import CheckReport, Finding

SIGN = UNKNOWN_MODEL.id
"""The rule that such a benchmark breaks; without a finding of it there is nothing to tell."""


def with_history(report: CheckReport, catalogue: Catalogue) -> CheckReport:
    """Say of each unknown benchmark which rounds had it, and what took its place, where that is known."""
    round_ = catalogue.rounds[report.round]

    def told(finding: Finding) -> Finding:
        past = retired(finding.value or "", round_, catalogue) if finding.rule == SIGN else None
        return finding if past is None else dataclasses.replace(finding, message=past)

    return dataclasses.replace(report, findings=tuple(map(told, report.findings)))
