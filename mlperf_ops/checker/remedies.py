"""What to do about a finding: on a tree that mlperf-ops made, run or aggregate again; on any other, what its owner can.

Rules state both (`Rule.fix` and `Rule.own`), and findings are made with the first, so that what a cache keeps holds
for every tree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from mlperf_ops.checker.model import Finding
from mlperf_ops.checker.registry import all_rules
from mlperf_ops.checker.subjects import Submission, Submitter
from mlperf_ops.checker.texts import read_text
from mlperf_ops.checker.tree import join
from mlperf_ops.layout import MADE_HERE

_LOOKED_AT = 8  # folders of code; of our own the first tells


def with_remedies(findings: Iterable[Finding], submission: Submission, *, planned: bool) -> list[Finding]:
    """Put our own remedies into the findings on what mlperf-ops made.

    Args:
        findings: Of the tree.
        submission: The tree.
        planned: A plan of mlperf-ops was given with the tree: all of it is our own.
    """
    own = {one.location for one in submission.submitters() if planned or _made_here(one)}
    remedies = {rule.id: rule.own for rule in all_rules().values() if rule.own}

    def mended(finding: Finding) -> Finding:
        remedy = remedies.get(finding.rule)
        if remedy is None or not (planned or "/".join(finding.location.split("/")[:2]) in own):
            return finding
        return dataclasses.replace(finding, fix=remedy)

    return [mended(finding) for finding in findings] if own or planned else list(findings)


def _made_here(place: Submitter) -> bool:
    """Whether the README of a submitter's code says that mlperf-ops made results."""
    source = place.place(place.round.layout.src_dir)
    for name in place.tree.folder(source).folders[:_LOOKED_AT]:
        if MADE_HERE in read_text(place.tree, join(join(source, name), "README.md")).text:
            return True
    return False
