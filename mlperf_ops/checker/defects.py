"""What is known of the official checkers' own defects: a disagreement that one of these explains needs no search."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

CheckerKind = Literal["modular", "release"]
Says = Literal["accepts", "rejects", "crashed"]


@dataclass(frozen=True, slots=True)
class Defect:
    """A known difference between the rules and an official checker.

    Attributes:
        kind: Which official checker.
        says: What it says of such a result.
        rules: Our rules that such a result breaks; empty: none of ours.
        reason: A text of its error line; empty: any.
        text: What is wrong with it.
    """

    kind: CheckerKind
    says: Says
    rules: frozenset[str]
    reason: str
    text: str


DEFECTS = (
    Defect(
        "release",
        "accepts",
        frozenset({"dataset-size"}),
        "",
        "the release checker only logs an accuracy run that does not cover the data set",
    ),
    Defect(
        "release",
        "accepts",
        frozenset({"early-stopping", "latency-limit"}),
        "",
        "the release checker only logs that early stopping or a 99th percentile limit was not met",
    ),
    Defect(
        "release",
        "accepts",
        frozenset({"missing-scenario", "scenario-not-allowed"}),
        "",
        "the release checker rejects the benchmark in a line of its own and still lists its other results",
    ),
    Defect(
        "release",
        "accepts",
        frozenset({"missing-src"}),
        "",
        "the release checker does not look for the source folder",
    ),
    Defect(
        "release",
        "crashed",
        frozenset({"loadgen-errors"}),
        "UnboundLocalError",
        "the release checker ends with an UnboundLocalError at a LoadGen error in an accuracy log",
    ),
    Defect(
        "modular",
        "rejects",
        frozenset(),
        "is_network",
        'the modular checker takes every text of is_network, even "false", for yes',
    ),
    Defect(
        "modular",
        "crashed",
        frozenset(),
        "invalid literal for int()",
        "the modular checker turns number_of_nodes and accelerators_per_node into integers without looking",
    ),
    Defect(
        "modular",
        "rejects",
        frozenset({"token-latency"}),
        "TTFT",
        "the modular checker holds Interactive results to the limits of Server",
    ),
)


def known_defect(kind: CheckerKind, says: Says, rules: Collection[str], reasons: str) -> str | None:
    """Return what is known to explain a disagreement; None when nothing is.

    Args:
        kind: Which official checker.
        says: What it said.
        rules: Our rules that the result breaks, of those that this checker should object to.
        reasons: Its error lines, or the last line of its traceback.
    """
    for defect in DEFECTS:
        if defect.kind == kind and defect.says == says and defect.reason in reasons:
            if rules and set(rules) <= defect.rules:
                return defect.text
            if not rules and defect.reason:
                return defect.text
    return None
