"""What the simulated machines are: one row of data for each driver layout, without any behaviour.

The frequencies are those of real parts: an EPYC 7742 under acpi-cpufreq, a Xeon Gold 6348 under intel_pstate with HWP,
an EPYC 9654 under amd-pstate-epp. Names, latencies and energy preferences are what their drivers show.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

Driver: TypeAlias = Literal["acpi-cpufreq", "intel_pstate", "amd-pstate-epp"]

_SCALING_GOVERNORS = ("conservative", "ondemand", "userspace", "powersave", "performance", "schedutil")
_POLICY_GOVERNORS = ("performance", "powersave")

# Preference -> value of the hint in the register (0 = performance … 255 = power).
_INTEL_EPP = MappingProxyType({"performance": 0, "balance_performance": 128, "balance_power": 192, "power": 255})
_AMD_EPP = MappingProxyType({"performance": 0, "balance_performance": 128, "balance_power": 191, "power": 255})


@dataclass(frozen=True, slots=True)
class Frequencies:
    """One cpufreq driver; all frequencies are in kHz.

    Attributes:
        driver: as in ``scaling_driver``.
        lowest: cpuinfo_min_freq.
        nominal: the highest without boost.
        boosted: the highest with boost.
        governors: in the order of scaling_available_governors.
        governor: the one after boot.
        table: frequencies that the driver can set, falling; empty when every frequency is possible.
        epp: energy preferences with their values; empty when the driver has none.
        epp_default: the preference after boot.
        epp_raw: whether plain numbers are taken as well.
        epp_returns: whether the preference of before is back when the governor leaves performance; else it stays.
    """

    driver: Driver
    lowest: int
    nominal: int
    boosted: int
    governors: tuple[str, ...]
    governor: str
    table: tuple[int, ...] = ()
    epp: MappingProxyType[str, int] = field(default_factory=lambda: MappingProxyType({}))
    epp_default: str = ""
    epp_raw: bool = False
    epp_returns: bool = False


@dataclass(frozen=True, slots=True)
class IdleState:
    """One C-state; times in microseconds."""

    name: str
    desc: str
    latency: int
    residency: int


@dataclass(frozen=True, slots=True)
class Layout:
    """One simulated machine.

    Attributes:
        frequencies: the cpufreq driver; None when the machine shows no frequencies, as most virtual machines.
        idle_driver: cpuidle/current_driver.
        idle_states: from the shallowest.
        throttle_counters: whether CPUs have thermal_throttle/ (Intel's only).
        sensor: name of the CPU's temperature sensor, and its labels.
        nmi_watchdog: whether kernel.nmi_watchdog can be written; virtual machines refuse it.
        threads_per_core: what SMT gives when the number of CPUs can be divided by it.
    """

    frequencies: Frequencies | None
    idle_driver: str = ""
    idle_states: tuple[IdleState, ...] = ()
    throttle_counters: bool = False
    sensor: tuple[str, ...] = ()
    nmi_watchdog: bool = True
    threads_per_core: int = 2


_POLL = IdleState("POLL", "CPUIDLE CORE POLL IDLE", 0, 0)

LAYOUTS: MappingProxyType[str, Layout] = MappingProxyType(
    {
        "acpi-cpufreq": Layout(
            frequencies=Frequencies(
                driver="acpi-cpufreq",
                lowest=1500000,
                nominal=2250000,
                boosted=2250000,  # P-state P0 stands for all boosted frequencies; boost changes no limit
                governors=_SCALING_GOVERNORS,
                governor="ondemand",
                table=(2250000, 2000000, 1800000, 1500000),
            ),
            idle_driver="acpi_idle",
            idle_states=(
                _POLL,
                IdleState("C1", "ACPI FFH MWAIT 0x0", 1, 2),
                IdleState("C2", "ACPI IOPORT 0x814", 400, 800),
            ),
            throttle_counters=True,
            sensor=("coretemp", "Package id 0"),
        ),
        "intel-pstate": Layout(
            frequencies=Frequencies(
                driver="intel_pstate",
                lowest=800000,
                nominal=2600000,
                boosted=3500000,
                governors=_POLICY_GOVERNORS,
                governor="powersave",
                epp=_INTEL_EPP,
                epp_default="balance_performance",
                epp_raw=True,
                epp_returns=True,
            ),
            idle_driver="intel_idle",
            idle_states=(
                _POLL,
                IdleState("C1", "MWAIT 0x00", 1, 1),
                IdleState("C1E", "MWAIT 0x01", 4, 4),
                IdleState("C6", "MWAIT 0x20", 170, 600),
            ),
            throttle_counters=True,
            sensor=("coretemp", "Package id 0"),
        ),
        "amd-pstate": Layout(
            frequencies=Frequencies(
                driver="amd-pstate-epp",
                lowest=400000,
                nominal=2400000,
                boosted=3709000,
                governors=_POLICY_GOVERNORS,
                governor="powersave",
                epp=_AMD_EPP,
                epp_default="balance_performance",
            ),
            idle_driver="acpi_idle",
            idle_states=(
                _POLL,
                IdleState("C1", "ACPI FFH MWAIT 0x0", 1, 2),
                IdleState("C2", "ACPI IOPORT 0x814", 100, 200),
            ),
            sensor=("k10temp", "Tctl"),
        ),
        "none-but-sysctls": Layout(frequencies=None, nmi_watchdog=False),
    }
)
