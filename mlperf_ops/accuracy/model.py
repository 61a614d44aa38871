"""What a method is asked for and what it answers, and what all methods need."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from mlperf_ops.catalogue.scorer_parameters import Dtype, TokenDtype
from mlperf_ops.errors import ConfigError, ResultError, ToolError
from mlperf_ops.files import Json
from mlperf_ops.harness.accuracy_log import Logged

Array: TypeAlias = NDArray[Any]

_LIKELY = ("int32", "int64", "float32", "float16", "float64", "int16", "uint8", "int8")
"""How SUTs write numbers, the most frequent first."""

TOKEN_TYPES: tuple[str, ...] = get_args(TokenDtype)
EXTRA = "pip install 'mlperf-ops[metrics]'"


@dataclass(frozen=True, slots=True)
class Request:
    """One accuracy log to score.

    Attributes:
        log: mlperf_log_accuracy.json, whole.
        inputs: Files and folders by the names that the scorer's `inputs` give them.
        parameters: The method's parameters; `registry.compute` checks them.
        partial: Score the samples that the log has, instead of refusing a log that lacks some.
        jobs: Processes to use where the mathematics is slow.
    """

    log: Path
    inputs: Mapping[str, Path]
    parameters: Mapping[str, Json]
    partial: bool = False
    jobs: int = 1

    def input(self, name: str) -> Path:
        """Return a file or folder.

        Raises:
            ConfigError: It was not given.
        """
        if name not in self.inputs:
            raise ConfigError(f"--{name} is missing", hint="`mlperf-ops accuracy --help` says what each input is")
        return self.inputs[name]


@dataclass(frozen=True, slots=True)
class Scored:
    """What an accuracy log is worth.

    Attributes:
        text: accuracy.txt in the form of the official script, final newline included.
        sample_count: Samples that were scored.
        details: Further figures, such as AP per threshold; JSON values.
        notes: What a reader has to know, one sentence each.
    """

    text: str
    sample_count: int
    details: Mapping[str, Json]
    notes: tuple[str, ...] = ()


def library(module: str, package: str) -> Any:  # noqa: ANN401  # a module has no type of its own
    """Import a module of the extra `metrics`.

    Raises:
        ToolError: The package is not installed, or does not load; names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ToolError(f"the Python package {package} cannot be imported: {error}", hint=EXTRA) from error


def another_type(size_bytes: int, dtype: str, known: Sequence[str] = get_args(Dtype), *, per_item: int = 1) -> str:
    """Return the hint for data that makes no sense as it was read: the option that reads it otherwise.

    Args:
        size_bytes: Of the data.
        dtype: As which it was read.
        known: Types that the method takes.
        per_item: The data is groups of so many numbers.
    """
    fitting = [
        name
        for name in sorted(known, key=_LIKELY.index)
        if name != dtype and size_bytes % (np.dtype(name).itemsize * per_item) == 0
    ]
    if not fitting:
        return f"{' or '.join(known)} does not fit its size: is the log that of the benchmark?"
    more = f" (or {', '.join(fitting[1:])})" if len(fitting) > 1 else ""
    return f"it was read as {dtype}; if the SUT logs another type, add --parameter dtype={fitting[0]}{more}"


def values_of(
    response: Logged, dtype: Dtype, log: Path, *, per_item: int = 1, known: Sequence[str] = get_args(Dtype)
) -> Array:
    """Return a response's numbers [n] in little-endian order, without copying.

    Args:
        response: The response.
        dtype: How the SUT wrote a number.
        log: For the error message.
        per_item: n has to be a multiple of this.
        known: Types that the method takes.

    Raises:
        ResultError: The bytes are no whole number of items.
    """
    kind = np.dtype(dtype).newbyteorder("<")
    size = kind.itemsize * per_item
    if len(response.data) % size:
        items = f"groups of {per_item} x {dtype}" if per_item > 1 else f"{dtype} numbers"
        raise ResultError(
            f"{log}: entry {response.number}: data holds {len(response.data)} bytes; expected {items} "
            f"of {size} bytes each",
            hint=another_type(len(response.data), dtype, known, per_item=per_item),
        )
    return np.frombuffer(response.data, kind)
