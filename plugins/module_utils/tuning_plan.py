"""From the settings of the inventory to what has to be done on this host, in an order that the drivers accept.

Runs on a host's own Python (3.8 or newer), standard library only. Reads only; `tuning_apply` writes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.mlperf_ops.lab.plugins.module_utils import (
    tuning_cpu,
    tuning_gpu,
    tuning_memory,
    tuning_system,
)
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError
from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_knob import (
    ChoiceKnob,
    FileKnob,
    Knob,
    MissingError,
    Skip,
    Step,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_knob import Machine, Planned
    from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_store import Backup

_SETTINGS: dict[str, Callable[[Machine, Mapping[str, Any]], Iterator[Planned]]] = {
    **tuning_cpu.SETTINGS,
    **tuning_memory.SETTINGS,
    **tuning_system.SETTINGS,
    **tuning_gpu.SETTINGS,
}
_KINDS: dict[str, type[Knob]] = {
    one.kind: one
    for one in (
        FileKnob,
        ChoiceKnob,
        tuning_memory.SwapKnob,
        tuning_system.ServiceKnob,
        tuning_system.IrqKnob,
        tuning_system.NvpmodelKnob,
        tuning_gpu.NvidiaKnob,
        tuning_gpu.AmdKnob,
    )
}
NO_STATES = frozenset({"drop_caches"})  # done before a cell, not kept

# Why this order: SMT decides which CPUs there are; turbo moves the frequency limits; the governor decides which energy
# preference is accepted, and moves it; pages are reserved while there still is swap; irqbalance would move interrupts.
_ORDER = (
    ("smt",),
    ("nvpmodel_mode",),
    ("turbo",),
    ("governor",),
    ("energy_preference",),
    ("min_frequency_khz", "max_frequency_khz"),
    ("cstate_max_latency_us", "cstates_disabled"),
    ("numa_balancing", "nmi_watchdog", "thp_enabled", "thp_defrag", "sysctls"),
    ("hugepages",),
    ("swap",),
    ("irqbalance",),
    ("irq_cpus",),
    ("gpu_persistence",),
    ("gpu_power_limit_w",),
    ("gpu_application_clocks_mhz", "gpu_locked_clocks_mhz", "gpu_deterministic_clock_mhz"),
)
_RANKS = {name: rank for rank, names in enumerate(_ORDER) for name in names}
LAST_RANK = len(_ORDER)
# Knobs that were kept because another setting moves them go back where their own setting stands.
_OWN_SETTING = {
    "scaling_min_freq": "min_frequency_khz",
    "scaling_max_freq": "max_frequency_khz",
    "energy_performance_preference": "energy_preference",
    "scaling_setspeed": "energy_preference",
}


class Work(NamedTuple):
    """A knob whose value has to change."""

    rank: int
    setting: str
    knob: Knob
    before: str
    wanted: str
    restore: bool  # back to the value from before, as nobody asks for it any more


class Survey(NamedTuple):
    """What has to be done, and what is to be remembered first."""

    works: list[Work]
    steps: list[Step]  # all that is asked for, with what else it moves
    skips: list[Skip]
    settled: list[str]  # keys of the backup that need no more keeping


def rank_of(setting: str, knob: Knob) -> int:
    """Return the place in the order in which a knob is set, or put back."""
    if isinstance(knob, tuning_system.IrqKnob):
        return _RANKS["irq_cpus"]
    return _RANKS[_OWN_SETTING.get(os.path.basename(knob.name), setting)]


def restore_rank(setting: str, knob: Knob) -> int:
    """The same for putting back: irqbalance starts when the interrupts are where they were."""
    return LAST_RANK if setting == "irqbalance" else rank_of(setting, knob)


def knob_of(machine: Machine, key: str) -> Knob:
    """Make a knob out of its key.

    Raises:
        HostError: The key is of another version of this program.
    """
    kind, _, name = key.partition(":")
    if kind not in _KINDS:
        message = f"the backup of this host names a knob '{key}', which this version does not know"
        raise HostError(message, "use the newer mlperf-ops that has written it")
    return _KINDS[kind](machine, name)


def value_of(knob: Knob, backup: Backup) -> str:
    """Return a knob's present value, as far as it can be known; raises MissingError."""
    if knob.readable:
        return knob.read()
    return backup.last_set(knob.key) or tuning_gpu.DEFAULT


def expand(machine: Machine, settings: Mapping[str, Any], names: Iterable[str]) -> tuple[list[Step], list[Skip]]:
    """Return what settings mean on this host, without those that are no state."""
    steps: list[Step] = []
    skips: list[Skip] = []
    for name in names:
        if name not in settings or name in NO_STATES:
            continue
        for planned in _SETTINGS[name](machine, settings):
            if isinstance(planned, Skip):
                skips.append(planned)
            else:
                steps.append(planned)
    return steps, skips


def survey(
    machine: Machine, settings: Mapping[str, Any], backup: Backup, *, rank: int | None = None, known: Iterable[str] = ()
) -> Survey:
    """Compare the host with what is asked.

    Args:
        machine: Where.
        settings: What is asked.
        backup: What was before; knobs in it that nobody asks for go back.
        rank: Only what stands at this place of the order; None for all.
        known: Keys that are asked for at other places.
    """
    names = [name for name in _RANKS if rank is None or _RANKS[name] == rank]
    steps, skips = expand(machine, settings, names)
    works = []
    for step in steps:
        if step.wanted is None:
            continue
        try:
            before = value_of(step.knob, backup)
        except MissingError as error:
            skips.append(Skip(step.setting, step.knob.explain, str(error)))
            continue
        if not step.knob.same(step.wanted, before):
            works.append(Work(_RANKS[step.setting], step.setting, step.knob, before, step.wanted, restore=False))
    asked = {step.knob.key for step in steps} | set(known)
    settled: list[str] = []
    for key, entry in backup.entries.items():
        if key in asked:
            continue
        knob = knob_of(machine, key)
        place = restore_rank(entry["setting"], knob)
        if rank is not None and place != rank:
            continue
        try:
            before = value_of(knob, backup)
        except MissingError:
            # Gone with its CPU: it comes back with it. Anything else that is gone has nothing to put back.
            if "smt" not in settings or not key.startswith(f"file:{tuning_cpu.CPU}/"):
                settled.append(key)
            continue
        if knob.same(entry["value"], before) or (not knob.lasts_over_boots and entry["boot_id"] != backup.boot_id):
            settled.append(key)
        else:
            works.append(Work(place, entry["setting"], knob, before, entry["value"], restore=True))
    return Survey(sorted(works, key=lambda work: work.rank), steps, skips, settled)


def in_order(works: list[Work]) -> list[Work]:
    """Order what stands at one place: limits of a policy must not cross on the way."""
    ordered = tuning_cpu.in_order([Step(work.setting, work.knob, work.wanted) for work in works])
    by_key = {work.knob.key: work for work in works}
    return [by_key[step.knob.key] for step in ordered]
