"""RAPL: the energy counters of packages and memory below /sys/class/powercap. Standard library only.

The zones `core` and `uncore` are parts of their package and are not read; `psys` is read and not added up, because it
contains the packages. A counter falls back to 0 after `max_energy_range_uj`.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.harness.energy.model import Reading, SourceError, SourceSettings

_ZONES = "intel-rapl:*"  # also on AMD; intel-rapl-mmio:* shows the same counters again
_WHOLE = re.compile(r"package-\d+(-die-\d+)?|dram|psys")
_MICRO = 1e-6


@dataclass(slots=True)
class _Zone:
    """A counter, and how far it has come since the first reading."""

    path: Path
    domain: str
    range_uj: int | None
    last_uj: int | None = None
    joules: float = 0.0


class Rapl:
    """Reads all zones at once; they are looked for at the first reading."""

    paces_itself = False

    def __init__(self, settings: SourceSettings) -> None:
        """Note the folder."""
        self._folder = Path(settings.powercap)
        self._zones: list[_Zone] = []
        self.parts: frozenset[str] = frozenset()

    def read(self) -> list[Reading]:
        """Return the joules of each zone since the first reading."""
        if not self._zones:
            self._zones = self._find()
            self.parts = frozenset(zone.domain for zone in self._zones if zone.domain == "psys")
        return [self._reading(zone) for zone in self._zones]

    def stop(self) -> None:
        """Reading a file does not wait."""

    def close(self) -> None:
        """No file stays open."""

    def child_cpu_seconds(self) -> float:
        """It has no processes."""
        return 0.0

    def _find(self) -> list[_Zone]:
        zones = []
        for path in sorted(self._folder.glob(_ZONES)):
            kind = _text(path / "name")
            if _WHOLE.fullmatch(kind):
                parent = path.parent / path.name.rpartition(":")[0]
                inside = path.name.count(":") > 1
                domain = f"{_text(parent / 'name')}/{kind}" if inside else kind
                ends_at = _text(path / "max_energy_range_uj")
                zones.append(_Zone(path / "energy_uj", domain, int(ends_at) if ends_at.isdigit() else None))
        if not zones:
            raise SourceError(
                f"{self._folder} has no RAPL zone: a virtual machine, or the module intel_rapl_msr is not loaded",
                final=True,
            )
        return zones

    def _reading(self, zone: _Zone) -> Reading:
        try:
            now_uj = int(zone.path.read_text())
        except PermissionError:
            raise SourceError(
                f"{zone.path} is readable by root only; give the account of the cells the right to read it", final=True
            ) from None
        except ValueError:
            raise SourceError(f"{zone.path} holds no number") from None
        if zone.last_uj is not None:
            step_uj = now_uj - zone.last_uj
            if step_uj < 0:
                if zone.range_uj is None:
                    raise SourceError(f"{zone.path} fell and has no max_energy_range_uj beside it", final=True)
                step_uj += zone.range_uj
            zone.joules += step_uj * _MICRO
        zone.last_uj = now_uj
        return Reading(time.time(), zone.domain, joules=zone.joules)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
