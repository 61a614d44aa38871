"""SIMULATION: the GPUs that rocm-smi and amd-smi of a lab host both see; their state is in /lab/shims/amd-gpus.json."""

from __future__ import annotations

from typing import Any

STATE = "amd-gpus"
DRIVER = "6.8.5"
PARTITIONS = ("NPS1", "NPS2", "NPS4", "NPS8")


def _gpu(index: int) -> dict[str, Any]:
    """One GPU after boot; W, MHz, bytes and degrees Celsius."""
    return {
        "index": index,
        "name": "AMD Instinct MI300X (simulated)",
        "uuid": f"5ff74a1-0000-1000-80{index:02x}-51515a51a7ed",
        "bus": f"0000:{0x0C + index * 32:02X}:00.0",
        "vram": 206141652992,
        "power": 750,
        "power_default": 750,
        "power_min": 0,
        "power_max": 750,
        "draw": 141.0,
        "sclk_min": 132,
        "sclk_max": 2100,
        "level": "auto",
        "deterministic": None,
        "memory_partition": "NPS1",
        "compute_partition": "SPX",
        "celsius": 41.0,
    }


FIRST: dict[str, Any] = {"gpus": [_gpu(0), _gpu(1)]}
