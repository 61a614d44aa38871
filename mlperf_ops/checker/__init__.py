"""The submission checker: our own rules, and the official checker as a second opinion."""

from __future__ import annotations

from mlperf_ops.checker.check import check_tree
from mlperf_ops.checker.model import (
    CheckedResult,
    CheckReport,
    Disagreement,
    Finding,
    OfficialReport,
    OfficialResult,
    OfficialRun,
)
from mlperf_ops.checker.official import run_official, with_official

__all__ = [
    "CheckReport",
    "CheckedResult",
    "Disagreement",
    "Finding",
    "OfficialReport",
    "OfficialResult",
    "OfficialRun",
    "check_tree",
    "run_official",
    "with_official",
]
