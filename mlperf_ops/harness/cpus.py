"""CPU lists, affinity and the meaning of "0 = all" for threads and streams. Standard library only."""

from __future__ import annotations

import os

from mlperf_ops.harness.failures import CellError
from mlperf_ops.model import BackendRequest


def parse_cpu_list(text: str) -> frozenset[int]:
    """Read a Linux CPU list such as "0-3,8".

    Raises:
        CellError: The text is not a CPU list.
    """
    cpus: set[int] = set()
    try:
        for part in text.split(","):
            first, _, last = part.strip().partition("-")
            cpus.update(range(int(first), int(last or first) + 1))
    except ValueError as error:
        raise CellError("bad_input", f"'{text}' is not a CPU list", "write it like 0-3,8") from error
    return frozenset(cpus)


def format_cpu_list(cpus: frozenset[int]) -> str:
    """Write CPUs the way Linux does: the inverse of `parse_cpu_list`."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and cpu == parts[-1][1] + 1:
            parts[-1][1] = cpu
        else:
            parts.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def apply_affinity(cpu_affinity: str | None) -> frozenset[int]:
    """Bind this process, and all threads it starts later, to the CPUs; return the CPUs it may use.

    Raises:
        CellError: A CPU does not exist or may not be used.
    """
    if cpu_affinity is not None:
        wanted = parse_cpu_list(cpu_affinity)
        allowed = frozenset(os.sched_getaffinity(0))
        try:
            os.sched_setaffinity(0, wanted)
        except OSError as error:
            raise CellError(
                "bad_affinity",
                f"cannot bind to CPUs {cpu_affinity}: {error.strerror}",
                f"this process may use {format_cpu_list(allowed)}",
            ) from error
        got = frozenset(os.sched_getaffinity(0))
        if got != wanted:
            raise CellError(
                "bad_affinity",
                f"asked for CPUs {cpu_affinity}, got {format_cpu_list(got)}",
                f"this process may use {format_cpu_list(allowed)}",
            )
    return frozenset(os.sched_getaffinity(0))


def thread_counts(request: BackendRequest, cpu_count: int) -> tuple[int, int]:
    """Resolve (streams, intra-op threads of each): 0 streams is as many as the CPUs feed, 0 threads shares them out.

    None leaves the runtime's default, reported as -1 because only the runtime knows it.
    """
    streams = request.streams or max(1, cpu_count // (request.intra_op_threads or 1))
    if request.intra_op_threads is None:
        return streams, -1
    return streams, request.intra_op_threads or max(1, cpu_count // streams)
