"""What a model's inputs are, which shape a sample has, and what it is filled with.

Generated values:

* floating point: uniform in [0, 1];
* bool: true or false;
* 8-bit integers: the type's whole range, as quantised images have it;
* an integer input that indexes a table (token, segment or position ids): 0 to the table's last row;
* any other integer: 0 or 1, which suits masks and flags;
* string: the decimal digits of 0 to 9.

`--int-max N` makes integers run from 0 to N, but never beyond a table.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlperf_ops.errors import ConfigError, unknown_name
from mlperf_ops.harness.backends import Array
from mlperf_ops.harness.failures import CellError

# ONNX Runtime's name of a tensor type -> numpy's.
NUMPY_TYPES: dict[str, str] = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int16)": "int16",
    "tensor(uint16)": "uint16",
    "tensor(int32)": "int32",
    "tensor(uint32)": "uint32",
    "tensor(int64)": "int64",
    "tensor(uint64)": "uint64",
    "tensor(string)": "object",
}
_FLAG_MAX = 1
_DIGIT_MAX = 9


@dataclass(frozen=True, slots=True)
class ModelInput:
    """An input as the session declares it; a symbolic dimension is a name, an unnamed one is None."""

    name: str
    type: str
    dims: tuple[int | str | None, ...]

    @property
    def is_batchable(self) -> bool:
        """Whether samples can be joined along the first dimension."""
        return bool(self.dims) and not isinstance(self.dims[0], int)


@dataclass(frozen=True, slots=True)
class SampleShape:
    """Shape of one sample of an input, and which symbolic dimensions nobody gave a size: they are 1."""

    input: ModelInput
    shape: tuple[int, ...]
    assumed: tuple[str, ...] = ()

    @property
    def first_dimension(self) -> str:
        """How `assumed` calls the first dimension."""
        return _symbol(self.input.dims[0], 0) if self.input.dims else ""


@dataclass(frozen=True, slots=True)
class Values:
    """What an input's generated samples hold: integers from `low` to `high`, both included; else see `kind`."""

    kind: str
    low: int = 0
    high: int = 0

    def __str__(self) -> str:
        """Say it in words."""
        return f"integers {self.low} to {self.high}" if self.kind == "integer" else self.kind


def read_inputs(session: Any) -> tuple[ModelInput, ...]:  # noqa: ANN401  # untyped library
    """Return the inputs that a session declares.

    Raises:
        CellError: An input is no tensor, or of a type that numpy lacks.
    """
    found = []
    for item in session.get_inputs():
        if item.type not in NUMPY_TYPES:
            raise CellError(
                "bad_input",
                f"input '{item.name}' has type {item.type}, for which no samples can be made",
                "types that work: " + ", ".join(sorted(NUMPY_TYPES)),
            )
        dims = tuple(dim if isinstance(dim, str) or (isinstance(dim, int) and dim > 0) else None for dim in item.shape)
        found.append(ModelInput(item.name, item.type, dims))
    return tuple(found)


def sample_shapes(
    inputs: Sequence[ModelInput], given: Mapping[str, tuple[int, ...]], from_files: Mapping[str, tuple[int, ...]]
) -> tuple[SampleShape, ...]:
    """Give every dimension a size.

    Sizes come from `--shape` by input name, from `--shape` by the symbolic dimension's own name, from the user's files,
    and from another input that shares the symbolic dimension; what is left is 1.

    Args:
        inputs: The model's inputs.
        given: Input or symbolic dimension -> sizes.
        from_files: Input -> shape of one sample in the user's file.

    Raises:
        ConfigError: A name is unknown, or sizes contradict the model or each other.
    """
    names = {item.name: item for item in inputs}
    symbols = {dim for item in inputs for dim in item.dims if isinstance(dim, str)}
    sizes: dict[str, tuple[int, str]] = {}  # symbolic dimension -> size and who said so
    whole = {**from_files}
    for name, shape in given.items():
        if name in names:
            if name in from_files and shape != from_files[name]:
                raise ConfigError(f"--shape {name} says {_dims(shape)}, the file's samples have {_dims(whole[name])}")
            whole[name] = shape
        elif name in symbols:
            if len(shape) != 1:
                raise ConfigError(f"--shape {name}: '{name}' is one dimension, it takes one size")
            sizes[name] = (shape[0], f"--shape {name}")
        else:
            raise unknown_name("input", name, [*names, *symbols], where="--shape")
    for name, shape in whole.items():
        _fix(names[name], shape, sizes)
    return tuple(_resolve(item, whole.get(item.name), sizes) for item in inputs)


def _fix(item: ModelInput, shape: tuple[int, ...], sizes: dict[str, tuple[int, str]]) -> None:
    if len(shape) != len(item.dims):
        raise ConfigError(f"input '{item.name}' has {len(item.dims)} dimensions {_dims(item.dims)}, not {_dims(shape)}")
    for dim, size in zip(item.dims, shape, strict=True):
        if isinstance(dim, int) and dim != size:
            raise ConfigError(
                f"input '{item.name}' has the fixed shape {_dims(item.dims)}; {_dims(shape)} does not fit"
            )
        if isinstance(dim, str):
            known, who = sizes.setdefault(dim, (size, f"input '{item.name}'"))
            if known != size:
                raise ConfigError(f"dimension '{dim}' is {size} for input '{item.name}' and {known} by {who}")


def _resolve(item: ModelInput, shape: tuple[int, ...] | None, sizes: Mapping[str, tuple[int, str]]) -> SampleShape:
    if shape is not None:
        return SampleShape(item, shape)
    made: list[int] = []
    assumed: list[str] = []
    for number, dim in enumerate(item.dims):
        if isinstance(dim, int):
            made.append(dim)
        elif dim is not None and dim in sizes:
            made.append(sizes[dim][0])
        else:
            made.append(1)
            assumed.append(_symbol(dim, number))
    return SampleShape(item, tuple(made), tuple(assumed))


def _symbol(dim: int | str | None, number: int) -> str:
    return f"dimension {number}" if dim is None else str(dim)


def check_batch(inputs: Sequence[ModelInput], batch: int) -> None:
    """Refuse batches that the model cannot take.

    Raises:
        ConfigError: An input's first dimension is fixed, or it has none.
    """
    fixed = next((item for item in inputs if not item.is_batchable), None)
    if batch > 1 and fixed is not None:
        raise ConfigError(
            f"--batch {batch}: input '{fixed.name}' has the fixed shape {_dims(fixed.dims)}",
            hint="only a model whose inputs all have a symbolic first dimension takes batches",
        )


def values_for(item: ModelInput, rows: Mapping[str, int], int_max: int | None) -> Values:
    """Choose what an input's samples hold; see the module's text."""
    dtype = np.dtype(NUMPY_TYPES[item.type])
    if dtype.kind == "f":
        return Values("uniform in [0, 1]")
    if dtype.kind == "b":
        return Values("true or false")
    if dtype.kind == "O":
        return Values("decimal digits", 0, _DIGIT_MAX)
    limits = np.iinfo(dtype)
    last_row = rows[item.name] - 1 if item.name in rows else None
    if int_max is not None:
        high = min(int_max, int(limits.max))
        return Values("integer", 0, high if last_row is None else min(high, last_row))
    if last_row is not None:
        return Values("integer", 0, last_row)
    if dtype.itemsize == 1:
        return Values("integer", int(limits.min), int(limits.max))
    return Values("integer", 0, _FLAG_MAX)


def fill(samples: Array, name: str, values: Values, seed: int) -> None:
    """Fill an input's samples in place; equal seeds give equal samples, whatever the other inputs are."""
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    for index in range(len(samples)):
        sample = samples[index, ...]  # a view, also of a scalar
        if values.kind == "integer":
            sample[...] = random.integers(values.low, values.high, sample.shape, dtype=sample.dtype, endpoint=True)
        elif sample.dtype.kind == "f":
            exact = np.float64 if sample.dtype == np.float64 else np.float32
            sample[...] = random.random(sample.shape, dtype=exact)
        elif sample.dtype.kind == "b":
            sample[...] = random.integers(0, 1, sample.shape, endpoint=True)
        else:
            sample[...] = random.integers(values.low, values.high, sample.shape, endpoint=True).astype(str)


def _dims(dims: Sequence[int | str | None]) -> str:
    return "[" + ", ".join("?" if dim is None else str(dim) for dim in dims) + "]"
