"""Simulated temperature and throttle counters: they change only when a test says so.

Semantics: arch/x86/kernel/cpu/mce/therm_throt.c (thermal_throttle/), Documentation/hwmon, Documentation/thermal.
"""

from __future__ import annotations

from collections import Counter

from tests.lab.hardware.cpus import CPU, Cpus
from tests.lab.hardware.tree import Tree

HWMON = "/sys/class/hwmon"
THERMAL = "/sys/class/thermal"
_MILLI = 1000
_IDLE_CELSIUS = 42.0
_MAX_CELSIUS, _CRITICAL_CELSIUS = 95.0, 100.0
_MS_PER_EVENT = 7


class Sensors:
    """Temperature in degrees Celsius, and how often each CPU and package was throttled."""

    def __init__(self, cpus: Cpus, sensor: tuple[str, ...], *, counters: bool) -> None:
        """A cool machine that was never throttled."""
        self.cpus = cpus
        self.sensor = sensor
        self.counters = counters
        self.celsius = _IDLE_CELSIUS
        self.core: Counter[int] = Counter()
        self.package: Counter[int] = Counter()

    def throttle(self, cpu: int, times: int) -> None:
        """Count events of a CPU: its core's threads and its package see them."""
        top = self.cpus.topology
        self.core[top.core(cpu)] += times
        self.package[top.package(cpu)] += times

    def build(self, tree: Tree) -> None:
        """Add the counters that the layout has, and the sensor."""
        if self.counters:
            for cpu in range(self.cpus.topology.cpus):
                self._build_counters(tree, cpu)
        if not self.sensor:
            return
        name, label = self.sensor
        tree.text(f"{HWMON}/hwmon0/name", name)
        tree.text(f"{HWMON}/hwmon0/temp1_label", label)
        tree.attr(f"{HWMON}/hwmon0/temp1_input", self._millidegrees)
        tree.text(f"{HWMON}/hwmon0/temp1_max", str(round(_MAX_CELSIUS * _MILLI)))
        tree.text(f"{HWMON}/hwmon0/temp1_crit", str(round(_CRITICAL_CELSIUS * _MILLI)))
        zone = f"{THERMAL}/thermal_zone0"
        tree.text(f"{zone}/type", "x86_pkg_temp")
        tree.attr(f"{zone}/temp", self._millidegrees)
        tree.text(f"{zone}/trip_point_0_type", "critical")
        tree.text(f"{zone}/trip_point_0_temp", str(round(_CRITICAL_CELSIUS * _MILLI)))

    def _millidegrees(self) -> str:
        return f"{round(self.celsius * _MILLI)}\n"

    def _build_counters(self, tree: Tree, cpu: int) -> None:
        base, top = f"{CPU}/cpu{cpu}/thermal_throttle", self.cpus.topology
        tree.when(base, self.cpus.is_online(cpu))
        self._build_kind(tree, f"{base}/core", self.core, top.core(cpu))
        self._build_kind(tree, f"{base}/package", self.package, top.package(cpu))

    @staticmethod
    def _build_kind(tree: Tree, base: str, events: Counter[int], key: int) -> None:
        tree.attr(f"{base}_throttle_count", lambda: f"{events[key]}\n")
        tree.attr(f"{base}_throttle_total_time_ms", lambda: f"{events[key] * _MS_PER_EVENT}\n")
        tree.attr(f"{base}_throttle_max_time_ms", lambda: f"{min(events[key], 1) * _MS_PER_EVENT}\n")
