"""Which files of the kernel, or programs, a setting of `mlperf_ops.tuning` needs on a host."""

from __future__ import annotations

from dataclasses import dataclass

_CPU = "/sys/devices/system/cpu"
_MEMORY = "/sys/kernel/mm"
_KERNEL = "/proc/sys/kernel"


@dataclass(frozen=True, slots=True)
class Knob:
    """What a setting needs: any one of the files, or one of the programs."""

    what: str  # for people
    paths: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()


def _gpu(what: str) -> Knob:
    return Knob(what, programs=("nvidia-smi", "rocm-smi", "amd-smi"))


# By the names of `mlperf_ops.tuning.Tuning`; a test keeps the two together.
KNOBS: dict[str, Knob] = {
    "governor": Knob("the CPU frequency governor", (f"{_CPU}/cpu0/cpufreq/scaling_governor",)),
    "min_frequency_khz": Knob("the lowest CPU frequency", (f"{_CPU}/cpu0/cpufreq/scaling_min_freq",)),
    "max_frequency_khz": Knob("the highest CPU frequency", (f"{_CPU}/cpu0/cpufreq/scaling_max_freq",)),
    "turbo": Knob("turbo", (f"{_CPU}/intel_pstate/no_turbo", f"{_CPU}/cpufreq/boost", f"{_CPU}/cpu0/cpufreq/boost")),
    "energy_preference": Knob("the energy preference", (f"{_CPU}/cpu0/cpufreq/energy_performance_preference",)),
    "cstate_max_latency_us": Knob("idle states", (f"{_CPU}/cpu0/cpuidle/state1/disable",)),
    "cstates_disabled": Knob("idle states", (f"{_CPU}/cpu0/cpuidle/state1/disable",)),
    "smt": Knob("SMT", (f"{_CPU}/smt/control",)),
    "numa_balancing": Knob("NUMA balancing", (f"{_KERNEL}/numa_balancing",)),
    "thp_enabled": Knob("transparent huge pages", (f"{_MEMORY}/transparent_hugepage/enabled",)),
    "thp_defrag": Knob("defragmentation for huge pages", (f"{_MEMORY}/transparent_hugepage/defrag",)),
    "nmi_watchdog": Knob("the NMI watchdog", (f"{_KERNEL}/nmi_watchdog",)),
    "gpu_persistence": _gpu("GPU persistence"),
    "gpu_power_limit_w": _gpu("the GPU power limit"),
    "gpu_application_clocks_mhz": _gpu("GPU clocks"),
    "gpu_locked_clocks_mhz": _gpu("GPU clocks"),
    "gpu_deterministic_clock_mhz": _gpu("GPU clocks"),
    "nvpmodel_mode": Knob("the Jetson power mode", programs=("nvpmodel",)),
}
