"""What taints a cell: rules that compare a host before, during and after it. Pure; standard library only.

By default only these taint: a tuned knob that is not what tuning set, or that changed; throttling; a reboot. Every
other rule has a limit that only the inventory sets (mlperf_host_state).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mlperf_ops.files import Json
from mlperf_ops.harness.host_readings import Knob, Snapshot, drift_from_tuning

_ONE_OF_MANY = re.compile(r"/(policy\d+|cpu\d+|irq/\d+)/(.+)$")
_WORDS = {
    "scaling_governor": "governor",
    "scaling_min_freq": "minimum frequency",
    "scaling_max_freq": "maximum frequency",
    "energy_performance_preference": "energy preference",
}
# Raspberry Pi, documentation of vcgencmd get_throttled: bits 0-3 are now, 16-19 since boot.
_FIRMWARE_WORDS = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
_SINCE_BOOT_SHIFT = 16
_PLACES_NAMED = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """mlperf_host_state of a host. None: this never taints."""

    sample_seconds: float = 10.0
    temperature_max_celsius: float | None = None
    foreign_cpu_percent_max: float | None = None  # of all CPUs' time, averaged over the cell
    load_before_max: float | None = None  # one-minute load when the cell starts
    swap_out_max_mib: float | None = None
    clock_offset_max_ms: float | None = None


@dataclass(slots=True)
class Seen:
    """What the samples showed, all of them together."""

    changed: dict[str, str | None] = field(default_factory=dict)  # knob -> first other value than before the cell
    temperature_max_celsius: float | None = None
    hottest: str = ""
    firmware: int = 0  # bits of throttling that were ever set
    cooling: int = 0
    foreign_cpu_percent: float | None = None


def drift(
    limits: Limits,
    knobs: Sequence[Knob],
    before: Snapshot,
    after: Snapshot,
    seen: Seen,
    *,
    tuned_boot_id: str = "",
    page_bytes: int = 4096,
) -> tuple[str, ...]:
    """Return what drifted, one sentence each.

    Args:
        limits: Of the host.
        knobs: What tuning recorded.
        before: The host before the cell.
        after: The host after it.
        seen: What the samples between the two showed.
        tuned_boot_id: Boot in which the host was tuned, "" when it was not.
        page_bytes: Size of a memory page.
    """
    return (
        *_reboot(before, after, tuned_boot_id),
        *_knobs(knobs, before, after, seen),
        *_throttling(before, after, seen),
        *_temperature(limits, before, after, seen),
        *_others(limits, before, after, seen, page_bytes),
        *_clock(limits, before),
    )


def drift_now(knobs: Sequence[Knob], now: Snapshot, tuned_boot_id: str = "") -> tuple[str, ...]:
    """Return what is not as tuning has left it, one sentence each."""
    return (*_reboot(now, now, tuned_boot_id), *_untuned(knobs, now.knobs))


def tuned_otherwise(wanted: Mapping[str, Json], tuned: Mapping[str, Json]) -> tuple[str, ...]:
    """Say that the host was tuned for something else than the cell, as a play of another controller may have done.

    Args:
        wanted: The cell's own settings.
        tuned: Those that state/tuning.json holds.
    """
    differing = sorted(name for name in {*wanted, *tuned} if wanted.get(name) != tuned.get(name))
    if not differing:
        return ()
    named = ", ".join(differing[:_PLACES_NAMED]) + (" …" if len(differing) > _PLACES_NAMED else "")
    return (f"the host is tuned otherwise than the cell asks for ({named}): did another play tune it in between?",)


def _untuned(knobs: Sequence[Knob], found: Mapping[str, str | None]) -> tuple[str, ...]:
    kinds = {knob.name: _kind(knob) for knob in knobs}
    differing = drift_from_tuning(tuple(knobs), found)
    return tuple(
        f"{what} is {_shown(now)}, tuning had set {wanted}" for (wanted, now), what in _together(differing, kinds)
    )


def _reboot(before: Snapshot, after: Snapshot, tuned_boot_id: str) -> Iterator[str]:
    if tuned_boot_id and tuned_boot_id != before.boot_id:
        yield "the host was rebooted after it was tuned"
    if before.boot_id != after.boot_id:
        yield "the host was rebooted during the cell"


def _knobs(knobs: Sequence[Knob], before: Snapshot, after: Snapshot, seen: Seen) -> Iterator[str]:
    yield from (f"before the cell, {sentence}" for sentence in _untuned(knobs, before.knobs))
    kinds = {knob.name: _kind(knob) for knob in knobs}
    changed: dict[str, tuple[str | None, str | None]] = {}
    for name, was in before.knobs.items():
        now = after.knobs.get(name)
        if now != was:
            changed[name] = was, now
        elif name in seen.changed:  # it was put back before the cell ended
            changed[name] = was, seen.changed[name]
    for (was, now), what in _together(changed, kinds):
        yield f"{what} changed from {_shown(was)} to {_shown(now)} during the cell"


def _kind(knob: Knob) -> tuple[str, str]:
    """Return (what it is, where): ("governor", "policy0"); knobs of one kind share a sentence."""
    found = _ONE_OF_MANY.search(knob.path)
    if found is None:
        return knob.name, ""
    return _WORDS.get(found[2], found[2]), found[1].replace("/", " ")


def _together(
    differing: Mapping[str, tuple[str | None, str | None]], kinds: Mapping[str, tuple[str, str]]
) -> Iterator[tuple[tuple[str | None, str | None], str]]:
    """Yield (values, what), all places with the same values of one kind together."""
    grouped: dict[tuple[str, tuple[str | None, str | None]], list[str]] = {}
    for name, values in differing.items():
        kind, place = kinds.get(name, (name, ""))
        grouped.setdefault((kind, values), []).append(place)
    for (kind, values), places in grouped.items():
        named = ", ".join(places[:_PLACES_NAMED])
        more = f" and {len(places) - _PLACES_NAMED} more" if len(places) > _PLACES_NAMED else ""
        yield values, f"{kind} of {named}{more}" if named else kind


def _shown(value: str | None) -> str:
    return "unreadable" if value is None else value


def _throttling(before: Snapshot, after: Snapshot, seen: Seen) -> Iterator[str]:
    events = sum(
        max(0, getattr(after.throttling, name) - getattr(before.throttling, name))
        for name in ("core_events", "package_events")
    )
    if events:
        yield f"{events} thermal throttling event{'s' if events > 1 else ''} during the cell"
    since_boot = (after.throttling.firmware & ~before.throttling.firmware) >> _SINCE_BOOT_SHIFT
    bits = since_boot | seen.firmware | after.throttling.firmware
    words = [word for place, word in enumerate(_FIRMWARE_WORDS) if bits & (1 << place)]
    if words:
        yield f"the firmware slowed the processor down during the cell ({', '.join(words)})"
    cooling = max(seen.cooling, after.throttling.cooling)
    if cooling:
        yield f"the kernel slowed the processor down to cool it during the cell (cooling state {cooling})"


def _temperature(limits: Limits, before: Snapshot, after: Snapshot, seen: Seen) -> Iterator[str]:
    limit = limits.temperature_max_celsius
    if limit is None:
        return
    found = [(celsius, name) for one in (before, after) for name, celsius in one.temperatures_celsius.items()]
    if seen.temperature_max_celsius is not None:
        found.append((seen.temperature_max_celsius, seen.hottest))
    celsius, name = max(found, default=(limit, ""))
    if celsius > limit:
        yield f"{name} reached {celsius:.1f} °C, more than temperature_max_celsius {limit:g}"


def _others(limits: Limits, before: Snapshot, after: Snapshot, seen: Seen, page_bytes: int) -> Iterator[str]:
    foreign, limit = seen.foreign_cpu_percent, limits.foreign_cpu_percent_max
    if limit is not None and foreign is not None and foreign > limit:
        yield (
            f"the host had {foreign:.1f} % of its CPU time taken by other processes, more than "
            f"foreign_cpu_percent_max {limit:g}"
        )
    load, limit = before.load[:1], limits.load_before_max
    if limit is not None and load and load[0] > limit:
        yield f"the load was {load[0]:.2f} when the cell started, more than load_before_max {limit:g}"
    limit = limits.swap_out_max_mib
    if limit is not None and before.swap_out_pages is not None and after.swap_out_pages is not None:
        mib = (after.swap_out_pages - before.swap_out_pages) * page_bytes / 2**20
        if mib > limit:
            yield f"the host swapped out {mib:.1f} MiB during the cell, more than swap_out_max_mib {limit:g}"


def _clock(limits: Limits, before: Snapshot) -> Iterator[str]:
    limit = limits.clock_offset_max_ms
    if limit is None:
        return
    offset: Json = before.clock.get("offset_ms") if before.clock else None
    if not isinstance(offset, (int, float)):
        yield "the clock's offset is not known, and clock_offset_max_ms limits it (run the role time_sync)"
    elif abs(offset) > limit:
        yield f"the clock is off by {offset:g} ms, more than clock_offset_max_ms {limit:g}"
