"""Tuning on a folder of plain files: what is kept, proved, put back and told."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.machines import CPU, THP, FakeMachine
from tests.support.plugins import plugin

host_tuning = plugin("modules.host_tuning")
tuning_store, tuning_plan = plugin("module_utils.tuning_store"), plugin("module_utils.tuning_plan")
tuning_gpu, tuning_knob = plugin("module_utils.tuning_gpu"), plugin("module_utils.tuning_knob")
HostError = plugin("module_utils.host_store").HostError

SETTINGS: dict[str, Any] = {
    "governor": "performance",
    "min_frequency_khz": "hardware_max",
    "cstate_max_latency_us": 10,
    "numa_balancing": False,
    "thp_enabled": "always",
    "sysctls": {"vm.swappiness": 1},
    "irq_cpus": "0",
}
_REFUSES, _SWALLOWS = "/proc/version", "/dev/null"  # a file that cannot be written, and one that takes everything


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


def run(  # any JSON value
    machine: FakeMachine,
    state: str = "applied",
    *,
    check: bool = False,
    **settings: Any,  # noqa: ANN401
) -> dict[str, Any]:
    result: dict[str, Any] = host_tuning.run(machine.parameters(state, **settings), check_mode=check)
    return result


def done(machine: FakeMachine, state: str = "applied", **settings: Any) -> dict[str, Any]:  # noqa: ANN401
    result = run(machine, state, **settings)
    assert not result.get("failed"), result["msg"]
    return result


def test_check_mode_tells_every_knob_and_touches_nothing(machine: FakeMachine) -> None:
    before = machine.times()
    result = run(machine, check=True, **SETTINGS)
    assert machine.times() == before
    assert result["changed"] is True
    assert "/sys/devices/system/cpu/cpufreq/policy1/scaling_governor: performance\n" in result["diff"]["after"]
    assert "/proc/sys/vm/swappiness: 60\n" in result["diff"]["before"]


def test_knobs_are_set_and_kept_and_a_second_run_writes_nothing(machine: FakeMachine) -> None:
    first = done(machine, **SETTINGS)
    assert first["changed"] is True
    assert machine.read(f"{CPU}/cpufreq/policy1/scaling_governor") == "performance"
    assert machine.read(f"{CPU}/cpufreq/policy0/scaling_min_freq") == "3000000"
    assert [machine.read(f"{CPU}/cpu1/cpuidle/state{number}/disable") for number in range(3)] == ["0", "0", "1"]
    assert machine.read("proc/irq/7/smp_affinity_list") == "0"
    assert machine.kept()["file:/proc/sys/vm/swappiness"] == {"value": "60", "setting": "sysctls", "boot_id": "first"}
    before = machine.times()
    again = done(machine, **SETTINGS)
    assert (again["changed"], again["changes"]) == (False, [])
    assert machine.times() == before


def test_revert_restores_every_byte_and_removes_what_was_remembered(machine: FakeMachine) -> None:
    before = machine.files()
    done(machine, **SETTINGS)
    assert machine.files() != before
    result = done(machine, "reverted")
    assert machine.files() == before
    assert all(change["restored"] for change in result["changes"])
    assert not machine.backup.parent.exists()
    assert not machine.state.exists()
    assert done(machine, "reverted")["changed"] is False


def test_a_knob_that_is_not_asked_for_any_more_gets_its_value_back_and_the_others_stay(machine: FakeMachine) -> None:
    done(machine, **SETTINGS)
    narrowed = done(machine, governor="performance")
    assert machine.read("proc/sys/vm/swappiness") == "60"
    assert machine.read(f"{CPU}/cpufreq/policy0/scaling_min_freq") == "1000000"
    assert machine.read(f"{CPU}/cpufreq/policy0/scaling_governor") == "performance"
    assert {change["restored"] for change in narrowed["changes"]} == {True}
    assert {entry["setting"] for entry in machine.kept().values()} == {"governor"}


def test_the_first_value_wins_over_what_was_set_in_between(machine: FakeMachine) -> None:
    for swappiness in (10, 20, 30):
        done(machine, sysctls={"vm.swappiness": swappiness})
    done(machine, "reverted")
    assert machine.read("proc/sys/vm/swappiness") == "60"


def test_a_run_that_died_between_two_knobs_is_put_back(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    before = machine.files()
    real_write = tuning_knob.Machine.write
    written: list[str] = []

    def die(self: object, name: str, value: str) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(name)
        real_write(self, name, value)

    with monkeypatch.context() as patch:
        patch.setattr(tuning_knob.Machine, "write", die)
        with pytest.raises(KeyboardInterrupt):
            run(machine, **SETTINGS)
    assert machine.files() != before
    done(machine, "reverted")
    assert machine.files() == before


def test_what_a_reboot_reset_is_recognised_and_a_later_default_still_gets_the_first_value(machine: FakeMachine) -> None:
    done(machine, sysctls={"vm.swappiness": 1}, numa_balancing=False, irq_cpus="0")
    machine.reboot("second")
    machine.write("proc/sys/vm/swappiness", "60")  # reset by the boot
    machine.write("proc/sys/kernel/numa_balancing", "2")  # another default now
    machine.write("proc/irq/7/smp_affinity_list", "1")  # another device's interrupt
    result = done(machine, "reverted")
    assert result["msg"] == "1 put back, 2 that a reboot had put back"
    assert machine.read("proc/sys/kernel/numa_balancing") == "1"
    assert machine.read("proc/irq/7/smp_affinity_list") == "1"
    assert not machine.backup.exists()


def test_a_refused_knob_is_skipped_with_the_reason_and_not_tried_again_in_this_boot(machine: FakeMachine) -> None:
    machine.link("proc/sys/kernel/nmi_watchdog", _REFUSES)
    result = done(machine, nmi_watchdog=False, numa_balancing=False)
    (skipped,) = result["skips"]
    assert (skipped["setting"], skipped["knob"]) == ("nmi_watchdog", "/proc/sys/kernel/nmi_watchdog")
    assert list(machine.kept()) == ["file:/proc/sys/kernel/numa_balancing"]
    before = machine.times()
    again = done(machine, nmi_watchdog=False, numa_balancing=False)
    assert (again["changed"], again["skips"]) == (False, result["skips"])
    assert machine.times() == before
    assert done(machine, "verified", nmi_watchdog=False, numa_balancing=False)["skips"] == result["skips"]
    assert json.loads(machine.state.read_text())["skipped"][0]["setting"] == "nmi_watchdog"


def test_a_knob_that_silently_does_not_take_is_a_failure_and_still_put_back(machine: FakeMachine) -> None:
    machine.link("proc/sys/vm/swappiness", _SWALLOWS)
    result = run(machine, sysctls={"vm.swappiness": 1}, numa_balancing=False)
    assert result["failed"] is True
    assert result["msg"] == "/proc/sys/vm/swappiness was set to '1', but the host has ''"
    assert machine.read("proc/sys/kernel/numa_balancing") == "0"
    done(machine, "reverted")
    assert machine.read("proc/sys/kernel/numa_balancing") == "1"


def test_what_the_host_does_not_have_is_skipped_or_fails_a_strict_run(machine: FakeMachine) -> None:
    asked: dict[str, Any] = {
        "smt": False,
        "turbo": True,
        "governor": "userspace",
        "hugepages": [{"size_kib": 4, "pages": 1}],
    }
    result = done(machine, **asked)
    reasons = {one["setting"]: one["reason"] for one in result["skips"]}
    assert reasons == {
        "smt": "the cores of this host have one thread each",
        "turbo": "the frequency driver has no turbo switch",
        "governor": "the driver has no 'userspace', only performance, powersave",
        "hugepages": "there are no huge pages of 4 KiB; this host has none",
    }
    assert not machine.backup.exists()
    strict = host_tuning.run({**machine.parameters(**asked), "strict": True}, check_mode=False)
    assert strict["failed"] is True
    assert strict["msg"].startswith("not to be had here: smt: the cores of this host have one thread each; ")


def test_verify_names_a_knob_that_somebody_changed_and_one_that_was_left_behind(machine: FakeMachine) -> None:
    done(machine, sysctls={"vm.swappiness": 1})
    machine.write("proc/sys/vm/swappiness", "33")
    wrong = run(machine, "verified", sysctls={"vm.swappiness": 1})
    assert wrong["msg"] == "/proc/sys/vm/swappiness is '33' and should be '1'"
    left = run(machine, "verified")
    assert left["msg"] == "/proc/sys/vm/swappiness is '33' and should be '60' again, as nobody asks for it"
    assert machine.read("proc/sys/vm/swappiness") == "33"


def test_intel_pstate_is_told_the_inverse_and_the_limits_it_moves_are_kept(machine: FakeMachine) -> None:
    machine.write(f"{CPU}/intel_pstate/no_turbo", "0")
    before = machine.files()
    done(machine, turbo=False)
    assert machine.read(f"{CPU}/intel_pstate/no_turbo") == "1"
    machine.write(f"{CPU}/cpufreq/policy0/scaling_max_freq", "2000000")  # as the driver does
    done(machine, "reverted")
    assert machine.files() == before


def test_energy_preference_is_kept_with_the_governor_that_moves_it(machine: FakeMachine) -> None:
    before = machine.files()
    done(machine, governor="performance")
    machine.write(f"{CPU}/cpufreq/policy0/energy_performance_preference", "performance")  # as the driver does
    assert done(machine, governor="performance")["changed"] is False
    done(machine, "reverted")
    assert machine.files() == before


@pytest.mark.parametrize(
    ("low", "high", "order"),
    [
        ("3500000", "4000000", ["scaling_max_freq", "scaling_min_freq"]),
        ("500000", "800000", ["scaling_min_freq", "scaling_max_freq"]),
    ],
)
def test_limits_never_cross_on_the_way_up_or_down(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, low: str, high: str, order: list[str]
) -> None:
    written: list[str] = []
    real_write = tuning_knob.Machine.write

    def note(self: object, name: str, value: str) -> None:
        written.append(os.path.basename(name))
        real_write(self, name, value)

    monkeypatch.setattr(tuning_knob.Machine, "write", note)
    done(machine, min_frequency_khz=int(low), max_frequency_khz=int(high))
    assert written == order * 2
    written.clear()
    done(machine, "reverted")
    assert written == order[::-1] * 2


def test_thp_is_read_in_brackets() -> None:
    root = Path("/")
    if not (root / THP / "enabled").exists():
        pytest.skip("this kernel has no transparent huge pages")
    knob = tuning_knob.ChoiceKnob(tuning_knob.Machine(), f"/{THP}/enabled")
    assert knob.read() in {"always", "madvise", "never"}


def test_without_privileges_it_lists_what_it_could_not_set(machine: FakeMachine) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become nobody")
    machine.root.chmod(0o755)
    for folder in machine.root.parents[:3]:
        folder.chmod(0o755)
    script = (
        "import json, os, sys; os.setuid(65534)\n"
        "from tests.support.plugins import plugin\n"
        "print(json.dumps(plugin('modules.host_tuning').run(json.load(sys.stdin), check_mode=False)))"
    )
    parameters = {**machine.parameters(numa_balancing=False, smt=True), "home": ""}
    before = machine.times()
    ran = subprocess.run(
        [sys.executable, "-c", script], input=json.dumps(parameters), capture_output=True, text=True, check=True
    )
    result = json.loads(ran.stdout)
    assert "failed" not in result
    assert result["changed"] is False
    assert [one["reason"] for one in result["skips"]] == [
        "the cores of this host have one thread each",
        f"needs root: {machine.backup.parent} cannot be written",
    ]
    assert machine.times() == before


def test_two_controllers_take_turns_and_the_second_says_so(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning_store, "_LOCK_WAIT_SECONDS", 0.0)
    with (machine.root / "run/lock/mlperf-ops-tuning.lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(HostError, match="another play is tuning this host"):
            run(machine, numa_balancing=False)
    assert machine.read("proc/sys/kernel/numa_balancing") == "1"
    assert done(machine, numa_balancing=False)["changed"] is True


def test_nothing_is_touched_while_a_cell_is_measured(machine: FakeMachine) -> None:
    lock = machine.home / "runs/.lock"
    lock.parent.mkdir(parents=True)
    argv = [sys.executable, "-c", "input(print(flush=True))", "-m", "mlperf_ops.harness"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cell:
        assert cell.stdout is not None
        cell.stdout.readline()  # it runs, so its command line can be read
        lock.write_text(f"sut1/resnet50/Offline/performance (pid {cell.pid})\n")
        result = done(machine, numa_balancing=False)
        assert result["waits_for"] == "sut1/resnet50/Offline/performance"
        assert machine.read("proc/sys/kernel/numa_balancing") == "1"
        drops = host_tuning.run({**machine.parameters(), "drop_caches": 3}, check_mode=False)  # no knob differs
        assert drops["waits_for"] == "sut1/resnet50/Offline/performance"
        assert machine.read("proc/sys/vm/drop_caches") == "0"
        cell.communicate(b"\n")
    assert done(machine, numa_balancing=False)["changed"] is True


def test_a_damaged_backup_stops_everything(machine: FakeMachine) -> None:
    done(machine, numa_balancing=False)
    machine.backup.write_text("{ half")
    for state in ("applied", "reverted"):
        with pytest.raises(HostError, match=r"tuning\.json is damaged"):
            run(machine, state, sysctls={"vm.swappiness": 1})
    assert machine.read("proc/sys/vm/swappiness") == "60"


def test_caches_are_dropped_when_asked_and_are_no_state(machine: FakeMachine) -> None:
    host_tuning.run({**machine.parameters(), "drop_caches": 3}, check_mode=True)
    assert machine.read("proc/sys/vm/drop_caches") == "0"
    result = host_tuning.run({**machine.parameters(), "drop_caches": 3}, check_mode=False)
    assert machine.read("proc/sys/vm/drop_caches") == "3"
    assert result["changed"] is False
    assert not machine.backup.exists()


def test_what_a_reboot_has_undone_is_not_told_as_tuned(machine: FakeMachine) -> None:
    done(machine, numa_balancing=False)
    there = tuning_knob.Machine(str(machine.root))
    assert tuning_store.tuned(machine.home, there)["settings"] == {"numa_balancing": False}
    machine.reboot("second")
    assert tuning_store.tuned(machine.home, there) is None


def test_every_setting_of_the_inventory_is_known_on_the_host() -> None:
    from mlperf_ops.tuning import Tuning  # noqa: PLC0415  # only this test needs it

    host = set(tuning_plan._RANKS) | set(tuning_plan.NO_STATES) | {"numactl", "taskset", "memory_max_mib"}
    assert host == set(Tuning.model_fields)
    assert set(tuning_plan._RANKS) == set(tuning_plan._SETTINGS)


def test_nvidia_knobs_are_asked_once_and_set_one_gpu_at_a_time(machine: FakeMachine) -> None:
    tool = machine.root / "bin/nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >> {machine.root}/log\n'
        'case "$1" in --query*) echo "GPU-1, Disabled, 300.00, [N/A], [N/A]";; esac\n'
    )
    tool.chmod(0o755)
    there = tuning_knob.Machine(str(machine.root), f"{tool.parent}:/bin:/usr/bin")
    settings = {
        "gpu_persistence": True,
        "gpu_power_limit_w": 300.0,
        "gpu_application_clocks_mhz": {"memory": 1593, "graphics": 1410},
        "gpu_locked_clocks_mhz": {"min": 1000, "max": 1200},
    }
    found = tuning_plan.survey(there, settings, tuning_store.Backup(there))
    assert [(work.knob.key, work.before, work.wanted) for work in found.works] == [
        ("nvidia:GPU-1:persistence", "Disabled", "Enabled"),
        ("nvidia:GPU-1:locked_clocks_mhz", "default", "1000,1200"),
    ]
    assert [skip.setting for skip in found.skips] == ["gpu_application_clocks_mhz"]
    for work in found.works:
        work.knob.write(work.wanted)
        work.knob.write(work.before)
    log = (machine.root / "log").read_text().splitlines()
    assert log[0].startswith("--query-gpu=uuid,persistence_mode,power.limit,")
    assert log[1:] == ["-i GPU-1 -pm 1", "-i GPU-1 -pm 0", "-i GPU-1 -lgc 1000,1200", "-i GPU-1 -rgc"]
