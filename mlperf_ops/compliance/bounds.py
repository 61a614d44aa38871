"""How far speed and scores of a compliance test may be from those of the run that it is compared with.

One rule for the verification of a run and for the checker of a tree.

Rules: mlcommons/inference, compliance/TEST01 and TEST04, verify_performance.py, and the checker's
checks/compliance_check.py; their numbers are the round's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlperf_ops.catalogue.compliance_rules import PerformanceBounds

STREAMS = frozenset({"SingleStream", "MultiStream"})
"""Scenarios whose figure is a latency in ns."""

_NS = 1e9


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs of one benchmark and how the speed of the second may differ, in the unit that is compared.

    Attributes:
        reference: Figure of the performance run.
        test: Figure of the compliance run, in the same unit.
        unit: "ns" or "per second".
        part: By how much of the reference the test may differ.
        lowest: Smallest accepted figure of the test; None: any.
        highest: Largest figure of the test: accepted where there is a smallest one, too, and else just not accepted.
        meant_part: As `part`, were the bound of short latencies compared with the latency, as the rules mean it.
    """

    reference: float
    test: float
    unit: str
    part: float
    lowest: float | None
    highest: float
    meant_part: float

    @property
    def accepted(self) -> bool:
        """Whether the test's figure is within the bounds."""
        if self.lowest is None:
            return self.test < self.highest
        return self.lowest <= self.test <= self.highest

    @property
    def faster(self) -> float:
        """By how much of the reference the test is faster; negative where it is slower."""
        change = (self.test - self.reference) / self.reference
        return -change if self.unit == "ns" else change


def compare(bounds: PerformanceBounds, scenario: str, reference: float, tested: float) -> Comparison:
    """Return how the speed of a compliance run compares with that of the performance run.

    Args:
        bounds: The round's bounds of the test.
        scenario: Scenario of both runs.
        reference: Figure of the performance run, above 0: latency in ns of the streams, else samples per second.
        tested: Figure of the compliance run, above 0.
    """
    limit = next((value for name, value in bounds.fast_up_to.items() if name == scenario), None)

    def part_at(figure: float) -> float:
        return bounds.part_if_fast if limit is not None and figure <= limit else bounds.part

    meant_part, unit = part_at(reference), "ns" if scenario in STREAMS else "per second"
    if bounds.as_rate and scenario in STREAMS:
        reference, tested, unit = _NS / reference, _NS / tested, "per second"
    part = part_at(reference)  # where a rate is compared with a latency, streams are nearly always short ones
    lowest = reference * (1 - part) if bounds.slower_too else None
    return Comparison(reference, tested, unit, part, lowest, reference * (1 + part), meant_part)


def usable_score(stated: str | float | None) -> float | None:
    """Return a score; None for what the official checker takes for a missing one: no finite number, or 0."""
    try:
        score = math.nan if stated is None else float(stated)
    except ValueError:
        return None
    return score if score and math.isfinite(score) else None


def score_delta_perc(baseline: float, tested: float) -> float:
    """Return by how many percent a usable score of TEST01's answers differs from that of the baseline."""
    return abs(1 - baseline / tested) * 100
