"""Accuracy of a run, computed from LoadGen's accuracy log and the labels, for the metrics of the rounds.

Which method scores which benchmark, and with which parameters, is data: `catalogue/scorers/*.yaml`. A method is a
module here and a row of `registry.METHODS`. The libraries that do the mathematics are the extra `metrics`; each is
imported when it is needed.
"""

from __future__ import annotations

from mlperf_ops.accuracy.model import Request, Scored
from mlperf_ops.accuracy.registry import compute

__all__ = ["Request", "Scored", "compute"]
