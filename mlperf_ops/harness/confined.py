"""What a cell's unit really keeps it to, read back from within. Standard library only."""

from __future__ import annotations

import os
from typing import cast

from mlperf_ops.files import Json, JsonObject
from mlperf_ops.harness import cgroup
from mlperf_ops.harness.cpus import format_cpu_list, parse_cpu_list


def read_back(launched: JsonObject) -> JsonObject:
    """Return how this process was started with the CPUs and memory that it has, and what it was refused."""
    if launched.get("by") != "systemd":
        return launched
    kept = cast("JsonObject", launched.get("properties", {}))
    have = frozenset(os.sched_getaffinity(0))
    group = cgroup.own()
    limit = None if group is None else group.limit_bytes
    lost = [*cast("list[Json]", launched.get("not_offered", [])), *_lost(kept, have, limit)]
    return {**launched, "not_offered": lost, "cpus": format_cpu_list(have), "memory_limit_bytes": limit}


def _lost(kept: JsonObject, have: frozenset[int], limit_bytes: int | None) -> list[Json]:
    lost: list[Json] = []
    asked = kept.get("AllowedCPUs")
    if asked and not have <= parse_cpu_list(str(asked)):
        lost.append(f"AllowedCPUs {asked}: set, and the unit may use {format_cpu_list(have)} all the same")
    most = kept.get("MemoryMax")
    if most and (limit_bytes is None or limit_bytes > int(str(most))):
        lost.append(f"MemoryMax {int(str(most)) >> 20} MiB: set, and the unit's group has no such limit")
    return lost
