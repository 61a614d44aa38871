"""Benchmarks and compliance tests of other rounds: what is known of them goes into the findings.

Which rounds had them is the whole catalogue's knowledge, and a check reads one round of it only.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker.benchmarks import UNKNOWN_MODEL
from mlperf_ops.checker.model import CheckReport, Finding
from mlperf_ops.checker.result_files import UNKNOWN_FOLDER

if TYPE_CHECKING:
    from mlperf_ops.catalogue.collection import Catalogue

_TEST = "TEST"  # what the names of all compliance tests begin with


def has_history(report: CheckReport, round_: Round) -> bool:
    """Whether something that the round does not know may be of another round."""
    return any(
        finding.rule == UNKNOWN_MODEL.id
        or (
            finding.rule == UNKNOWN_FOLDER.id
            and (finding.value or "").startswith(_TEST)
            and finding.value not in round_.compliance_files
        )
        for finding in report.findings
    )


def with_history(report: CheckReport, catalogue: Catalogue) -> CheckReport:
    """Say of each unknown benchmark and test which rounds had it, and what took its place, where that is known."""
    from mlperf_ops.catalogue.history import foreign_test, retired  # noqa: PLC0415  # imports the whole catalogue's models

    round_ = catalogue.rounds[report.round]
    sentences = {UNKNOWN_MODEL.id: retired, UNKNOWN_FOLDER.id: foreign_test}

    def told(finding: Finding) -> Finding:
        find = sentences.get(finding.rule)
        past = None if find is None else find(finding.value or "", round_, catalogue)
        return finding if past is None else dataclasses.replace(finding, message=past)

    return dataclasses.replace(report, findings=tuple(map(told, report.findings)))
