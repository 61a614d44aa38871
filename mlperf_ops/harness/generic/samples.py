"""The sample library: all samples in one block of memory, made before LoadGen starts.

The block is anonymous memory that a file descriptor names, so that worker processes map the same pages; unlike POSIX
shared memory it does not depend on the size of /dev/shm.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mlperf_loadgen import QuerySampleResponse

from mlperf_ops.errors import ConfigError, unknown_name
from mlperf_ops.harness.backends import Array, Feed, Outputs
from mlperf_ops.harness.failures import CellError
from mlperf_ops.harness.generic.inputs import NUMPY_TYPES, ModelInput

INDEX = ""  # name of the one "input" that a worker process is sent: sample indices
_ALIGNMENT_BYTES = 64
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Block:
    """Where an input's samples lie in the shared memory."""

    name: str
    dtype: str
    shape: tuple[int, ...]  # of one sample
    offset: int  # bytes


@dataclass(frozen=True, slots=True)
class Layout:
    """How the shared memory is cut up."""

    count: int
    blocks: tuple[Block, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes that all blocks need."""
        return max((block.offset + self._bytes(block) for block in self.blocks), default=1) or 1

    def _bytes(self, block: Block) -> int:
        return self.count * math.prod(block.shape) * np.dtype(block.dtype).itemsize

    def map(self, descriptor: int) -> dict[str, Array]:
        """Return each input's samples [count, …] in the memory behind the descriptor."""
        memory = mmap.mmap(descriptor, self.size_bytes)
        return {
            block.name: np.frombuffer(memory, block.dtype, self.count * math.prod(block.shape), block.offset).reshape(
                self.count, *block.shape
            )
            for block in self.blocks
        }


def plan_layout(shapes: Mapping[str, tuple[str, tuple[int, ...]]], count: int) -> Layout:
    """Lay out `count` samples of every input (name -> numpy type and shape of one sample)."""
    blocks: list[Block] = []
    offset = 0
    for name, (dtype, shape) in shapes.items():
        blocks.append(Block(name, dtype, shape, offset))
        size = count * math.prod(shape) * np.dtype(dtype).itemsize
        offset += -(-size // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
    return Layout(count, tuple(blocks))


def new_memory() -> int:
    """Return a descriptor of memory that other processes can map; it has no size yet."""
    return os.memfd_create("samples")


def reserve(memory: int, layout: Layout) -> None:
    """Make the memory as large as the layout.

    Raises:
        CellError: The host has less memory available.
    """
    available_bytes = _available_bytes()
    if layout.size_bytes > available_bytes:
        raise CellError(
            "out_of_memory",
            f"{layout.count} samples need {layout.size_bytes // _MIB} MiB, {available_bytes // _MIB} MiB are available",
        )
    os.ftruncate(memory, layout.size_bytes)


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def open_files(files: Mapping[str, str], inputs: Sequence[ModelInput]) -> dict[str, Array]:
    """Open the user's own samples as arrays [samples, …one sample…]; nothing is read yet.

    A file with as many dimensions as its input holds samples of batch 1 along its first one; a file with one more has
    an axis of its own for samples.

    Raises:
        ConfigError: A name is unknown, or a file is no array that fits.
    """
    known = {item.name: item for item in inputs}
    opened: dict[str, Array] = {}
    for name, file in files.items():
        if name not in known:
            raise unknown_name("input", name, known, where="--input")
        opened[name] = _open_file(Path(file), known[name])
    return opened


def _open_file(path: Path, item: ModelInput) -> Array:
    wanted = np.dtype(NUMPY_TYPES[item.type])
    if wanted.kind == "O":
        raise ConfigError(f"--input {item.name}: strings are not read from files", hint="leave them to be generated")
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise ConfigError(f"--input {item.name}: cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(
            f"--input {item.name}: {path} is not a plain .npy array",
            hint="write it with numpy.save; pickles are not read",
        ) from error
    if not isinstance(array, np.ndarray):
        raise ConfigError(f"--input {item.name}: {path} is an archive", hint="give one .npy file for each input")
    if not np.can_cast(array.dtype, wanted, "same_kind"):
        raise ConfigError(f"--input {item.name}: {path} holds {array.dtype}, the model wants {wanted}")
    rank = len(item.dims)
    if array.ndim not in (rank, rank + 1) or not array.ndim:
        raise ConfigError(
            f"--input {item.name}: {path} has {array.ndim} dimensions; the model wants {rank}",
            hint=f"{rank + 1} dimensions work too, the first counting samples",
        )
    if not array.shape[0]:
        raise ConfigError(f"--input {item.name}: {path} holds no sample")
    return array.reshape(array.shape[0], 1, *array.shape[1:]) if array.ndim == rank else array


def sample_count(requested: int | None, opened: Mapping[str, Array], default: int) -> int:
    """Decide how many samples the library holds.

    Raises:
        ConfigError: Files hold different numbers of samples, or fewer than requested.
    """
    counts = {name: int(array.shape[0]) for name, array in opened.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise ConfigError(f"the --input files hold different numbers of samples ({told})")
    held = next(iter(counts.values()), None)
    if requested is not None and held is not None and requested > held:
        raise ConfigError(f"--samples {requested}: the --input files hold {held}")
    return requested or held or default


class GenericTask:
    """Samples in memory; a response carries no data, because performance runs do not look at it."""

    def __init__(self, arrays: Mapping[str, Array], count: int) -> None:
        """Take each input's samples [count, …one sample…]."""
        self._arrays = dict(arrays)
        self._count = count

    @property
    def count(self) -> int:
        """Samples in the library."""
        return self._count

    def load(self, indices: Sequence[int]) -> None:
        """All samples are in memory already."""

    def unload(self) -> None:
        """They stay until the process ends."""

    def feed(self, index: int) -> Feed:
        """One sample."""
        return {name: array[index, ...] for name, array in self._arrays.items()}

    def batch(self, indices: Sequence[int]) -> Feed:
        """Samples joined along the first dimension."""
        return {name: np.concatenate([array[index] for index in indices]) for name, array in self._arrays.items()}

    def label(self, index: int) -> int:
        """There is no right answer."""
        raise NotImplementedError(f"generated sample {index} has no label")

    def responses(self, ids: Sequence[int], outputs: Outputs) -> list[Any]:  # noqa: ARG002  # the protocol's signature
        """Tell LoadGen that the samples are done."""
        return [QuerySampleResponse(number, 0, 0) for number in ids]


class IndexTask(GenericTask):
    """The same for worker processes: what travels is a sample's index, never its data."""

    def feed(self, index: int) -> Feed:
        """One index."""
        return {INDEX: np.array([index], dtype="<i8")}

    def batch(self, indices: Sequence[int]) -> Feed:
        """Several."""
        return {INDEX: np.array(indices, dtype="<i8")}
