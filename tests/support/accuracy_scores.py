"""Let a method compute the figures of a generated log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlperf_ops.accuracy import Request, compute
from tests.support.accuracy_logs import write_log


def log_of(folder: Path, *answers: bytes) -> Path:
    """Write a log with an answer for each sample."""
    return write_log(folder / "log.json", enumerate(answers))


def score(method: str, inputs: Mapping[str, Path], **parameters: Any) -> Any:  # noqa: ANN401  # of the method
    """Return the figures of a method; `log` among its inputs is the log."""
    beside = {name: path for name, path in inputs.items() if name != "log"}
    return compute(method, Request(inputs["log"], beside, parameters))
