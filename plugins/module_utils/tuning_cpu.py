"""What the CPU settings of the inventory mean in knobs: SMT, turbo, governor, energy preference, frequencies, C-states.

The rules of the drivers are those of Linux: Documentation/admin-guide/pm/{cpufreq,intel_pstate,amd-pstate,cpuidle}.rst.
Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_knob import (
    FileKnob,
    MissingError,
    Planned,
    Skip,
    Step,
)
from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_system import interrupts, irqbalance_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_knob import Machine

CPU = "/sys/devices/system/cpu"
_NO_TURBO = f"{CPU}/intel_pstate/no_turbo"
_BOOST = f"{CPU}/cpufreq/boost"
_SMT = f"{CPU}/smt/control"
_NO_CPUFREQ = "this host has no cpufreq driver: a virtual machine, or the firmware keeps the frequencies to itself"
_MIN, _MAX = "scaling_min_freq", "scaling_max_freq"
_HARDWARE = {"hardware_min": "cpuinfo_min_freq", "hardware_max": "cpuinfo_max_freq"}


def policies(machine: Machine) -> list[str]:
    """Return the folders of the frequency policies whose CPUs are online."""
    base = f"{CPU}/cpufreq"
    found = [f"{base}/{name}" for name in machine.names(base) if name.startswith("policy")]
    return [folder for folder in found if _reads(machine, f"{folder}/scaling_governor")]


def _reads(machine: Machine, name: str) -> bool:
    try:
        machine.read(name)
    except MissingError:
        return False
    return True


def _per_policy(setting: str, machine: Machine, name: str, wanted: str | None) -> Iterator[Step]:
    for folder in policies(machine):
        if _reads(machine, f"{folder}/{name}"):
            yield Step(setting, FileKnob(machine, f"{folder}/{name}"), wanted)


def smt(machine: Machine, settings: Mapping[str, Any]) -> Iterator[Planned]:
    """Threads of a core: on or off. Interrupts leave a CPU that goes, and do not come back by themselves."""
    try:
        control = machine.read(_SMT)
    except MissingError as error:
        yield Skip("smt", "", str(error))
        return
    if control in ("notsupported", "notimplemented"):
        yield Skip("smt", "", "the cores of this host have one thread each")
        return
    yield Step("smt", FileKnob(machine, _SMT), "on" if settings["smt"] else "off")
    if not irqbalance_runs(machine):  # which moves them all the time
        yield from interrupts("smt", machine, None)


def turbo(machine: Machine, settings: Mapping[str, Any]) -> Iterator[Planned]:
    """Frequencies above the nominal one: cpufreq/boost, or intel_pstate's inverted no_turbo.

    The kernel moves the frequency limits when turbo goes, so they are kept too.
    """
    on = bool(settings["turbo"])
    found: list[Step] = []
    if _reads(machine, _NO_TURBO):
        found.append(Step("turbo", FileKnob(machine, _NO_TURBO), "0" if on else "1"))
    else:
        value = "1" if on else "0"
        if _reads(machine, _BOOST):
            found.append(Step("turbo", FileKnob(machine, _BOOST), value))
        found += _per_policy("turbo", machine, "boost", value)
    if not found:
        yield Skip("turbo", "", _NO_CPUFREQ if not policies(machine) else "the frequency driver has no turbo switch")
        return
    yield from found
    yield from _per_policy("turbo", machine, _MAX, None)
    yield from _per_policy("turbo", machine, _MIN, None)


def governor(machine: Machine, settings: Mapping[str, Any]) -> Iterator[Planned]:
    """Governor of every policy. The pstate drivers move the energy preference with `performance`, so it is kept."""
    wanted, found = str(settings["governor"]), policies(machine)
    if not found:
        yield Skip("governor", "", _NO_CPUFREQ)
        return
    for folder in found:
        knob = FileKnob(machine, f"{folder}/scaling_governor")
        known = _available(machine, f"{folder}/scaling_available_governors")
        if known and wanted not in known:
            yield Skip("governor", knob.name, f"the driver has no '{wanted}', only {', '.join(known)}")
        else:
            yield Step("governor", knob, wanted)
    yield from _per_policy("governor", machine, "energy_performance_preference", None)
    for step in _per_policy("governor", machine, "scaling_setspeed", None):
        if step.knob.read().isdigit():  # "<unsupported>" unless the governor is userspace
            yield step


def energy_preference(machine: Machine, settings: Mapping[str, Any]) -> Iterator[Planned]:
    """Energy performance preference (EPP) of the pstate drivers."""
    wanted = str(settings["energy_preference"])
    steps = list(_per_policy("energy_preference", machine, "energy_performance_preference", wanted))
    if not steps:
        reason = "the frequency driver has no energy preference" if policies(machine) else _NO_CPUFREQ
        yield Skip("energy_preference", "", reason)
    for step in steps:
        folder = os.path.dirname(step.knob.name)
        known = _available(machine, f"{folder}/energy_performance_available_preferences")
        if known and wanted not in known and not wanted.isdigit():
            reason = f"the driver has no '{wanted}', only {', '.join(known)}"
            yield Skip("energy_preference", step.knob.name, reason)
        else:
            yield step


def _available(machine: Machine, name: str) -> list[str]:
    try:
        return machine.read(name).split()
    except MissingError:
        return []


def _frequency(setting: str, name: str) -> Callable[[Machine, Mapping[str, Any]], Iterator[Planned]]:
    def expand(machine: Machine, settings: Mapping[str, Any]) -> Iterator[Planned]:
        asked, found = str(settings[setting]), policies(machine)
        if not found:
            yield Skip(setting, "", _NO_CPUFREQ)
        for folder in found:
            knob = FileKnob(machine, f"{folder}/{name}")
            try:
                wanted = machine.read(f"{folder}/{_HARDWARE[asked]}") if asked in _HARDWARE else asked
            except MissingError as error:
                yield Skip(setting, knob.name, str(error))
            else:
                yield Step(setting, knob, wanted)

    return expand


def cstates(setting: str) -> Callable[[Machine, Mapping[str, Any]], Iterator[Planned]]:
    """Idle states that no CPU may enter: those with a longer exit latency than allowed, or the named ones."""

    def expand(machine: Machine, settings: Mapping[str, Any]) -> Iterator[Planned]:
        names = [] if setting == "cstate_max_latency_us" else list(settings[setting])
        unmatched, known, found = set(names), set(), False
        for cpu in machine.names(CPU):
            if not (cpu.startswith("cpu") and cpu[3:].isdigit()):
                continue
            for state in machine.names(f"{CPU}/{cpu}/cpuidle"):
                folder = f"{CPU}/{cpu}/cpuidle/{state}"
                if not _reads(machine, f"{folder}/disable"):
                    continue
                found = True
                name = machine.read(f"{folder}/name")
                known.add(name)
                unmatched.discard(name)
                if setting == "cstate_max_latency_us":
                    disabled = int(machine.read(f"{folder}/latency")) > int(settings[setting])
                else:
                    disabled = name in names
                if disabled:
                    yield Step(setting, FileKnob(machine, f"{folder}/disable"), "1")
        if not found:
            yield Skip(setting, "", "this host has no idle states to choose from")
        elif unmatched:
            missing = ", ".join(sorted(unmatched))
            yield Skip(setting, missing, f"there is no such state; this host has {', '.join(sorted(known))}")

    return expand


def in_order(steps: list[Step]) -> list[Step]:
    """Order the limits of each policy so that its minimum never is above its maximum, on the way up and down."""
    limits: dict[str, dict[str, Step]] = {}
    for step in steps:
        folder, name = os.path.split(step.knob.name)
        if name in (_MIN, _MAX) and step.wanted is not None:
            limits.setdefault(folder, {})[name] = step
    pairs = {folder: pair for folder, pair in limits.items() if len(pair) == len((_MIN, _MAX))}
    ordered = [step for step in steps if os.path.dirname(step.knob.name) not in pairs]
    for pair in pairs.values():
        low, high = pair[_MIN], pair[_MAX]
        rises = int(low.wanted or 0) > int(high.knob.read())
        ordered += [high, low] if rises else [low, high]
    return ordered


SETTINGS: dict[str, Callable[[Machine, Mapping[str, Any]], Iterator[Planned]]] = {
    "smt": smt,
    "turbo": turbo,
    "governor": governor,
    "energy_preference": energy_preference,
    "min_frequency_khz": _frequency("min_frequency_khz", _MIN),
    "max_frequency_khz": _frequency("max_frequency_khz", _MAX),
    "cstate_max_latency_us": cstates("cstate_max_latency_us"),
    "cstates_disabled": cstates("cstates_disabled"),
}
