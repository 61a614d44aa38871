"""What taints a cell: what drifted by default, and the rest only where the inventory sets a limit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.harness.host_drift import Limits, Seen, drift, drift_now, tuned_otherwise
from mlperf_ops.harness.host_readings import HostReader, Knob, Snapshot, Throttling
from mlperf_ops.lab_vars import HostStateLimits
from mlperf_ops.typed import load
from tests.support.proc_and_sys import make_server

KNOBS = tuple(Knob(f"governor.policy{n}", f"/x/policy{n}/scaling_governor", "performance") for n in range(5))
TUNED = {knob.name: "performance" for knob in KNOBS}
NOTHING = Limits()


@pytest.fixture
def quiet(tmp_path: Path) -> Snapshot:
    return dataclasses.replace(HostReader(root=str(make_server(tmp_path))).snapshot(), knobs=dict(TUNED))


def changed(snapshot: Snapshot, **changes: Any) -> Snapshot:  # noqa: ANN401  # fields of Snapshot
    return dataclasses.replace(snapshot, **changes)


def test_a_host_that_stayed_as_it_was_taints_nothing(quiet: Snapshot) -> None:
    assert drift(NOTHING, KNOBS, quiet, quiet, Seen(), tuned_boot_id=quiet.boot_id) == ()


def test_a_governor_that_changed_is_one_sentence(quiet: Snapshot) -> None:
    after = changed(quiet, knobs={**TUNED, "governor.policy0": "powersave"})
    assert drift(NOTHING, KNOBS, quiet, after, Seen()) == (
        "governor of policy0 changed from performance to powersave during the cell",
    )


def test_many_policies_that_changed_alike_are_one_sentence(quiet: Snapshot) -> None:
    after = changed(quiet, knobs=dict.fromkeys(TUNED, "powersave"))
    assert drift(NOTHING, KNOBS, quiet, after, Seen()) == (
        "governor of policy0, policy1, policy2 and 2 more changed from performance to powersave during the cell",
    )


def test_idle_states_and_interrupts_share_sentences_too(quiet: Snapshot) -> None:
    paths = [f"/sys/devices/system/cpu/cpu{n}/cpuidle/state2/disable" for n in range(2)]
    knobs = [Knob(path, path, "1") for path in (*paths, "/proc/irq/24/smp_affinity_list")]
    before = changed(quiet, knobs={knob.name: "1" for knob in knobs})
    after = changed(quiet, knobs={knob.name: "0" for knob in knobs})
    assert drift(NOTHING, knobs, before, after, Seen()) == (
        "cpuidle/state2/disable of cpu0, cpu1 changed from 1 to 0 during the cell",
        "smp_affinity_list of irq 24 changed from 1 to 0 during the cell",
    )


def test_a_knob_that_was_put_back_before_the_end_still_taints(quiet: Snapshot) -> None:
    seen = Seen(changed={"governor.policy3": "powersave"})
    assert drift(NOTHING, KNOBS, quiet, quiet, seen) == (
        "governor of policy3 changed from performance to powersave during the cell",
    )


def test_a_knob_that_was_not_as_tuned_when_the_cell_started_taints(quiet: Snapshot) -> None:
    untuned = changed(quiet, knobs={**TUNED, "governor.policy1": "schedutil"})
    assert drift(NOTHING, KNOBS, untuned, untuned, Seen()) == (
        "before the cell, governor of policy1 is schedutil, tuning had set performance",
    )


def test_a_knob_that_cannot_be_read_any_more_taints(quiet: Snapshot) -> None:
    knob = Knob("sysctl.vm.swappiness", "/proc/sys/vm/swappiness", "1")
    before, after = changed(quiet, knobs={knob.name: "1"}), changed(quiet, knobs={knob.name: None})
    assert drift(NOTHING, (knob,), before, after, Seen()) == (
        "sysctl.vm.swappiness changed from 1 to unreadable during the cell",
    )


@pytest.mark.parametrize(("core", "package", "sentence"), [
    (12, 0, "12 thermal throttling events during the cell"),
    (0, 1, "1 thermal throttling event during the cell"),
])  # fmt: skip
def test_throttling_events_taint(quiet: Snapshot, core: int, package: int, sentence: str) -> None:
    now = quiet.throttling
    after = changed(quiet, throttling=Throttling(now.core_events + core, now.package_events + package))
    assert drift(NOTHING, KNOBS, quiet, after, Seen()) == (sentence,)


def test_throttling_before_the_cell_is_not_the_cells(quiet: Snapshot) -> None:
    before = changed(quiet, throttling=Throttling(100, 100, firmware=0x50000))
    assert drift(NOTHING, KNOBS, before, before, Seen()) == ()


@pytest.mark.parametrize(
    ("before", "seen", "after"),
    [(0, 0, 0x50000), (0x50000, 0x5, 0x50000), (0x50000, 0, 0x50005)],
    ids=["since boot", "in a sample", "at the end"],
)
def test_firmware_that_slows_the_processor_down_taints(quiet: Snapshot, before: int, seen: int, after: int) -> None:
    first, last = (changed(quiet, throttling=Throttling(firmware=word)) for word in (before, after))
    assert drift(NOTHING, KNOBS, first, last, Seen(firmware=seen)) == (
        "the firmware slowed the processor down during the cell (under-voltage, throttled)",
    )


def test_a_cooling_device_that_slows_cpus_down_taints(quiet: Snapshot) -> None:
    assert drift(NOTHING, KNOBS, quiet, quiet, Seen(cooling=2)) == (
        "the kernel slowed the processor down to cool it during the cell (cooling state 2)",
    )


def test_a_reboot_after_tuning_taints(quiet: Snapshot) -> None:
    assert drift(NOTHING, KNOBS, quiet, quiet, Seen(), tuned_boot_id="an earlier one") == (
        "the host was rebooted after it was tuned",
    )
    assert drift_now(KNOBS, quiet, "an earlier one") == ("the host was rebooted after it was tuned",)
    assert drift_now(KNOBS, quiet, quiet.boot_id) == ()


HOT = Seen(temperature_max_celsius=97.5, hottest="hwmon0 coretemp Package id 0", foreign_cpu_percent=12.34)


def test_heat_load_and_other_processes_taint_nothing_without_a_limit(quiet: Snapshot) -> None:
    before = changed(quiet, load=(99.0, 0.0, 0.0), clock={"offset_ms": 9999.0})
    after = changed(before, swap_out_pages=1_000_000)
    assert drift(NOTHING, KNOBS, before, after, HOT) == ()


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (
            Limits(foreign_cpu_percent_max=2),
            "the host had 12.3 % of its CPU time taken by other processes, more than foreign_cpu_percent_max 2",
        ),
        (
            Limits(temperature_max_celsius=95),
            "hwmon0 coretemp Package id 0 reached 97.5 °C, more than temperature_max_celsius 95",
        ),
        (Limits(load_before_max=0.4), "the load was 0.50 when the cell started, more than load_before_max 0.4"),
        (Limits(swap_out_max_mib=1), "the host swapped out 2.0 MiB during the cell, more than swap_out_max_mib 1"),
        (Limits(clock_offset_max_ms=400), "the clock is off by -450.5 ms, more than clock_offset_max_ms 400"),
    ],
    ids=lambda value: next(iter(dataclasses.asdict(value))) if isinstance(value, Limits) else "",
)
def test_a_limit_that_is_set_taints(quiet: Snapshot, limits: Limits, sentence: str) -> None:
    before = changed(quiet, clock={"offset_ms": -450.5})
    after = changed(before, swap_out_pages=(before.swap_out_pages or 0) + 512)
    assert drift(limits, KNOBS, before, after, HOT) == (sentence,)
    generous = Limits(10, 99, 50, 10, 100, 1000)
    assert drift(generous, KNOBS, before, after, HOT) == ()


def test_a_limit_on_a_clock_that_nobody_measured_taints(quiet: Snapshot) -> None:
    assert drift(Limits(clock_offset_max_ms=400), KNOBS, quiet, quiet, Seen()) == (
        "the clock's offset is not known, and clock_offset_max_ms limits it (run the role time_sync)",
    )


def test_the_inventory_has_the_limits_of_the_harness_with_the_same_defaults() -> None:
    assert load(Limits, HostStateLimits().model_dump(), "limits") == Limits()
    assert load(Limits, HostStateLimits().model_dump(exclude_none=True), "limits") == Limits()


def test_a_host_that_is_tuned_for_another_cell_is_told_with_the_settings_that_differ() -> None:
    assert tuned_otherwise({"governor": "performance"}, {"governor": "performance"}) == ()
    (said,) = tuned_otherwise({"governor": "performance", "smt": "off"}, {"governor": "powersave", "boost": True})
    assert said.startswith("the host is tuned otherwise than the cell asks for (boost, governor, smt)")
    assert tuned_otherwise({}, {"a": 1, "b": 1, "c": 1, "d": 1})[0].count("…") == 1
