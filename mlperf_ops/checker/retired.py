"""Benchmarks and compliance tests of other rounds: what is known of them goes into the findings.

Which rounds had them is the whole catalogue's knowledge, and a check reads one round of it only.
"""

from __future__ import annotations

import dataclasses

from mlperf_ops.catalogue.collection import Catalogue
from mlperf_ops.catalogue.history import foreign_test, retired
from mlperf_ops.checker.benchmarks import UNKNOWN_MODEL
from mlperf_ops.checker.model import CheckReport, Finding
from mlperf_ops.checker.result_files import UNKNOWN_FOLDER

SIGNS = frozenset({UNKNOWN_MODEL.id, UNKNOWN_FOLDER.id})
"""Rules that these break; without a finding of them there is nothing to tell."""


def with_history(report: CheckReport, catalogue: Catalogue) -> CheckReport:
    """Say of each unknown benchmark and test which rounds had it, and what took its place, where that is known."""
    round_ = catalogue.rounds[report.round]
    sentences = {UNKNOWN_MODEL.id: retired, UNKNOWN_FOLDER.id: foreign_test}

    def told(finding: Finding) -> Finding:
        find = sentences.get(finding.rule)
        past = None if find is None else find(finding.value or "", round_, catalogue)
        return finding if past is None else dataclasses.replace(finding, message=past)

    return dataclasses.replace(report, findings=tuple(map(told, report.findings)))
