"""Tasks: what a sample is, how outputs become a LoadGen response, how the accuracy log is scored.

A task is one module here and one row of TASKS.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Protocol

from mlperf_ops.errors import unknown_name
from mlperf_ops.harness.backends import Feed, Outputs
from mlperf_ops.model import Spec

TASKS: dict[str, str] = {"image_classification": "mlperf_ops.harness.tasks.image_classification"}


class Task(Protocol):
    """Samples in, responses out; all preprocessing is done by `load`, ahead of timing."""

    @property
    def count(self) -> int:
        """Samples in the library."""

    def load(self, indices: Sequence[int]) -> None:
        """Read and preprocess samples."""

    def unload(self) -> None:
        """Free them."""

    def feed(self, index: int) -> Feed:
        """Inputs [1, …] of a loaded sample."""

    def batch(self, indices: Sequence[int]) -> Feed:
        """Inputs [n, …] of loaded samples, gathered."""

    def label(self, index: int) -> int:
        """The right answer, for the oracle."""

    def responses(self, ids: Sequence[int], outputs: Outputs) -> list[Any]:
        """LoadGen responses for a batch's outputs; their bytes stay alive until long after completion."""


def open_task(spec: Spec) -> Task:
    """Open the data of the spec's task.

    Raises:
        ConfigError: No such task, or the data is missing or wrong.
    """
    if spec.task not in TASKS:
        raise unknown_name("task", spec.task, TASKS)
    task: Task = importlib.import_module(TASKS[spec.task]).open_task(spec)
    return task
