"""Shadows of the sysctls that all hosts of one machine would share: each host has its own, none reaches the kernel.

The names and first values are the machine's own; the rules are those of kernel/sysctl.c and of the tables in mm/,
kernel/ and net/core of Linux 6.12. A key without a row takes whole numbers, as many as it holds, or any one word when
it does not hold numbers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.lab.hardware.memory import Hugepages
from tests.lab.hardware.tree import Tree
from tests.lab.hardware.values import invalid

PROC = "/proc/sys"
_INT_MAX = 2**31 - 1
_ANY = (-(2**31), _INT_MAX)
_NOT_NEGATIVE = (0, _INT_MAX)
_SWITCH = (0, 1)
_NUMBER = re.compile(r"-?[0-9]+")

# Key -> lowest and highest value.
RANGES: MappingProxyType[str, tuple[int, int]] = MappingProxyType(
    {
        "vm/compact_memory": (1, 1),
        "vm/compaction_proactiveness": (0, 100),
        "vm/dirty_background_ratio": (0, 100),
        "vm/dirty_ratio": (0, 100),
        "vm/drop_caches": (1, 4),
        "vm/laptop_mode": _NOT_NEGATIVE,
        "vm/max_map_count": _NOT_NEGATIVE,
        "vm/min_free_kbytes": _NOT_NEGATIVE,
        "vm/nr_hugepages": (0, 2**63 - 1),
        "vm/overcommit_memory": (0, 2),
        "vm/page-cluster": (0, 31),
        "vm/panic_on_oom": (0, 2),
        "vm/swappiness": (0, 200),
        "vm/vfs_cache_pressure": _NOT_NEGATIVE,
        "vm/watermark_boost_factor": _NOT_NEGATIVE,
        "vm/watermark_scale_factor": (1, 3000),
        "vm/zone_reclaim_mode": _NOT_NEGATIVE,
        "kernel/nmi_watchdog": _SWITCH,
        "kernel/numa_balancing": (0, 4),
        "kernel/perf_event_paranoid": _ANY,
        "kernel/pid_max": (301, 2**22),
        "kernel/randomize_va_space": _ANY,
        "kernel/sched_autogroup_enabled": _SWITCH,
        "kernel/sched_rt_runtime_us": (-1, _INT_MAX),
        "kernel/soft_watchdog": _SWITCH,
        "kernel/timer_migration": _SWITCH,
        "kernel/watchdog": _SWITCH,
        "kernel/watchdog_thresh": (0, 60),
        "net/core/busy_poll": _NOT_NEGATIVE,
        "net/core/busy_read": _NOT_NEGATIVE,
        "net/core/netdev_budget": _ANY,
        "net/core/netdev_budget_usecs": _NOT_NEGATIVE,
        "net/core/netdev_max_backlog": _ANY,
        "net/core/optmem_max": _NOT_NEGATIVE,
        "net/core/rmem_default": (2304, _INT_MAX),
        "net/core/rmem_max": (2304, _INT_MAX),
        "net/core/wmem_default": (4608, _INT_MAX),
        "net/core/wmem_max": (4608, _INT_MAX),
    }
)
# Setting one makes the other 0: both say the same thing in different units.
PAIRS: MappingProxyType[str, str] = MappingProxyType(
    {
        "vm/dirty_ratio": "vm/dirty_bytes",
        "vm/dirty_bytes": "vm/dirty_ratio",
        "vm/dirty_background_ratio": "vm/dirty_background_bytes",
        "vm/dirty_background_bytes": "vm/dirty_background_ratio",
        "vm/overcommit_ratio": "vm/overcommit_kbytes",
        "vm/overcommit_kbytes": "vm/overcommit_ratio",
    }
)
_WRITE_ONLY = ("vm/compact_memory", "vm/drop_caches")
_NMI = "kernel/nmi_watchdog"


@dataclass(frozen=True, slots=True)
class Real:
    """What the machine has at a key."""

    text: str
    mode: int


def machine_values(root: Path = Path(PROC)) -> dict[str, Real]:
    """Read the machine's own values of vm/ and of the global keys above; keys that it lacks are left out."""
    keys = {f"vm/{path.name}" for path in sorted((root / "vm").iterdir()) if path.is_file()}
    values = {}
    for key in sorted(keys | set(RANGES)):
        path = root / key
        try:
            mode = path.stat().st_mode & 0o777
            values[key] = Real(path.read_text() if mode & 0o400 else "0\n", mode)
        except OSError:
            if key in _WRITE_ONLY and path.exists():
                values[key] = Real("0\n", 0o200)
    return values


class Sysctls:
    """The shadow of one host."""

    def __init__(self, real: dict[str, Real], hugepages: Hugepages, *, nmi_watchdog: bool) -> None:
        """Values as the machine has them."""
        self.real = real
        self.values = {key: value.text for key, value in real.items()}
        self.hugepages = hugepages
        self.nmi_watchdog = nmi_watchdog
        if nmi_watchdog and _NMI in self.values:
            self.values[_NMI] = "1\n"

    def build(self, tree: Tree) -> None:
        """Add the files."""
        for key, real in self.real.items():
            mode = real.mode
            if key == _NMI:
                mode = 0o644 if self.nmi_watchdog else 0o444
            tree.attr(f"{PROC}/{key}", self._show(key), self._store(key), mode=mode)

    def _show(self, key: str) -> Callable[[], str]:
        if key in ("vm/nr_hugepages", "vm/nr_hugepages_mempolicy"):
            return lambda: f"{self.hugepages.total()}\n"
        return lambda: self.values[key]

    def _store(self, key: str) -> Callable[[str], None]:
        def store(text: str) -> None:
            value = self._checked(key, text)
            if key in ("vm/nr_hugepages", "vm/nr_hugepages_mempolicy"):
                self.hugepages.set_total(int(value))
                return
            self.values[key] = f"{value}\n"
            other = PAIRS.get(key)
            if other in self.values and other is not None:
                self.values[other] = "0\n"

        return store

    def _checked(self, key: str, text: str) -> str:
        words = text.split()
        held = self.real[key].text.split()
        if not all(_NUMBER.fullmatch(word) for word in held):
            if len(words) != 1:
                raise invalid()
            return words[0]
        low, high = RANGES.get(key, (-(2**63), 2**63 - 1))
        if not words or len(words) > max(len(held), 1):
            raise invalid()
        if not all(_NUMBER.fullmatch(word) and low <= int(word) <= high for word in words):
            raise invalid()
        return "\t".join((*words, *held[len(words) :]))


def memory_kb() -> int:
    """The machine's memory in kB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
