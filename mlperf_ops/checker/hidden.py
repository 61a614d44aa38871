"""Links to folders in places that are judged: nothing behind them is, and the link alone is told.

The official checker follows them wherever they lead. We follow none: a loop has no end, archives and copies keep links
or not, and what is behind one may be judged elsewhere in the tree under another name.
"""

from __future__ import annotations

from collections.abc import Iterable

from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker.model import Finding
from mlperf_ops.checker.names import LINK, hides
from mlperf_ops.checker.structure import SYSTEM_WITHOUT_RESULTS
from mlperf_ops.checker.tree import Tree


def without_hidden(findings: list[Finding], tree: Tree, round_: Round) -> list[Finding]:
    """Leave out that files behind a link are missing: they are there, and it is the link that has to go."""
    behind = {link.location for link in tree.links if hides(link, tree, round_)}
    if not behind:
        return findings
    return [one for one in findings if one.rule == LINK.id or not behind.intersection(_above(one))]


def _above(finding: Finding) -> Iterable[str]:
    """Yield the folders that hold what a finding misses."""
    location = finding.location
    if finding.rule == SYSTEM_WITHOUT_RESULTS.id:
        location = "/".join([*location.split("/")[:2], "results", finding.value or ""])
    while location:
        yield location
        location = location.rpartition("/")[0]
