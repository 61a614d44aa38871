"""The oracle: answers every sample with its own label. No inference happens, so its results are simulated.

It serves to try a lab's flow without a model; whatever it touches is marked and never packed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from mlperf_ops.files import Json
from mlperf_ops.harness.backends import Array, Feed, Outputs


class OracleStream:
    """Looks the answer up."""

    def __init__(self, label: Callable[[int], int], sleep_seconds: float = 0.0) -> None:
        """Take the dataset's labels, and how long an answer takes."""
        self._label = label
        self._sleep_seconds = sleep_seconds
        self._answers: dict[int, Array] = {}

    def bind(self, index: int, feed: Feed) -> None:  # noqa: ARG002  # the oracle does not look at the sample
        """Look the label up ahead of timing."""
        self._answers[index] = np.array([self._label(index)], dtype=np.int64)

    def unbind(self) -> None:
        """Forget all samples."""
        self._answers.clear()

    def run(self, index: int) -> Outputs:
        """Return the label, after a sleep that stands for the work."""
        if self._sleep_seconds:
            time.sleep(self._sleep_seconds)
        return [self._answers[index]]

    def run_feed(self, feed: Feed) -> Outputs:
        """An oracle cannot see which samples a batch holds."""
        raise NotImplementedError("the oracle answers bound samples only; use max_batch 1")


class OracleBackend:
    """Labels for a model."""

    def __init__(self, label: Callable[[int], int], streams: int, sleep_seconds: float = 0.0) -> None:
        """Make that many streams."""
        self._streams = [OracleStream(label, sleep_seconds) for _ in range(streams)]
        self._sleep_seconds = sleep_seconds

    @property
    def streams(self) -> Sequence[OracleStream]:
        """The streams."""
        return self._streams

    def input_shape(self, name: str) -> Sequence[int | str | None]:  # noqa: ARG002  # an oracle has no inputs
        """Return nothing: there is no model."""
        return ()

    def describe(self) -> dict[str, Json]:
        """Say what it is."""
        return {
            "backend": "oracle",
            "simulated": True,
            "streams": len(self._streams),
            "precision": "none",
            "sleep_ms": self._sleep_seconds * 1000,
        }
