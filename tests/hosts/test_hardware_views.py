"""The other simulated hardware of lab hosts, mounted in a folder, and what only a test can do with it.

The names of the tests say what a real kernel does; here a simulation has to do the same.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlperf_ops.errors import ConfigError
from tests.lab.hardware import VIEWS, View, ViewName
from tests.support.hardware_views import CPU, MARKS, POLICY, Mount, Mounted

pytestmark = MARKS


def test_smt_off_takes_the_second_threads_offline_until_it_is_on_again(acpi: Mounted) -> None:
    assert (acpi.read("smt/control"), acpi.read("smt/active"), acpi.read("online")) == ("on", "1", "0-3")
    assert acpi.read("cpu0/topology/thread_siblings_list") == "0,2"

    assert acpi.echo("smt/control", "off") == "ok"
    assert (acpi.read("smt/active"), acpi.read("online"), acpi.read("offline")) == ("0", "0-1", "2-3")
    assert acpi.echo("cpu2/online", "1") == "EPERM"
    assert not acpi.path("cpu2/topology").exists()
    assert not acpi.path("cpu2/cpufreq").exists()
    with pytest.raises(OSError, match="busy"):
        acpi.read("cpufreq/policy2/scaling_governor")

    assert acpi.echo("smt/control", "on") == "ok"
    assert (acpi.read("smt/active"), acpi.read("online")) == ("1", "0-3")


def test_smt_forced_off_stays_off_and_a_machine_without_smt_says_so(acpi: Mounted, mount: Mount) -> None:
    assert acpi.echo("smt/control", "forceoff") == "ok"
    assert acpi.echo("smt/control", "on") == "EPERM"

    without = mount("acpi-cpufreq+cpus=4+threads=1")
    assert (without.read("smt/control"), without.read("smt/active")) == ("notsupported", "0")
    assert without.echo("smt/control", "off") == "ENODEV"


def test_a_cpu_goes_offline_and_back_but_the_first_one_has_no_switch(acpi: Mounted) -> None:
    assert not acpi.path("cpu0/online").exists()
    assert acpi.echo("cpu1/online", "0") == "ok"
    assert acpi.read("online") == "0,2-3"
    assert acpi.read("/sys/devices/system/node/node0/cpulist") == "0,2-3"
    assert acpi.echo("cpu1/online", "1") == "ok"
    assert acpi.read("online") == "0-3"


def test_cpus_cores_and_packages_are_as_the_view_s_name_says(mount: Mount) -> None:
    mounted = mount("amd-pstate+cpus=8+packages=2")

    assert mounted.read("possible") == "0-7"
    assert [mounted.read(f"cpu{cpu}/topology/physical_package_id") for cpu in range(8)] == list("00110011")
    assert mounted.read("cpu2/topology/package_cpus_list") == "2-3,6-7"
    assert mounted.read("cpu2/topology/thread_siblings") == "44"
    assert mounted.read("/sys/devices/system/node/online") == "0-1"
    assert mounted.read("/sys/devices/system/node/node1/distance") == "32 10"
    assert len(list(mounted.path("cpufreq").glob("policy*"))) == 8


def test_idle_states_are_disabled_one_by_one(intel: Mounted) -> None:
    states = [intel.read(f"cpu0/cpuidle/state{state}/name") for state in range(4)]
    assert states == ["POLL", "C1", "C1E", "C6"]
    assert intel.read("cpu0/cpuidle/state3/latency") == "170"

    assert intel.echo("cpu0/cpuidle/state3/disable", "7") == "ok"  # any number but 0

    assert [intel.read(f"cpu0/cpuidle/state{state}/disable") for state in range(4)] == ["0", "0", "0", "1"]
    assert intel.read("cpu1/cpuidle/state3/disable") == "0"


def test_thp_shows_the_choice_in_force_in_brackets(acpi: Mounted) -> None:
    thp = "/sys/kernel/mm/transparent_hugepage"
    assert acpi.read(f"{thp}/enabled") == "always [madvise] never"

    acpi.echo(f"{thp}/enabled", "never")
    acpi.echo(f"{thp}/defrag", "defer+madvise")

    assert acpi.read(f"{thp}/enabled") == "always madvise [never]"
    assert acpi.read(f"{thp}/defrag") == "always defer [defer+madvise] madvise never"


def test_huge_pages_are_spread_over_nodes_and_too_many_are_not_an_error(mount: Mount) -> None:
    mounted = mount("amd-pstate+cpus=8+packages=2")
    node = "/sys/devices/system/node/node{}/hugepages/hugepages-2048kB/nr_hugepages"

    assert mounted.echo("/proc/sys/vm/nr_hugepages", "10") == "ok"
    assert [mounted.read(node.format(number)) for number in (0, 1)] == ["5", "5"]
    assert mounted.echo(node.format(1), "7") == "ok"
    assert mounted.read("/proc/sys/vm/nr_hugepages") == "12"

    mounted.controls.free_hugepages(100)
    assert mounted.echo("/proc/sys/vm/nr_hugepages", "1000") == "ok"
    assert mounted.read("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages") == "200"


def test_sysctls_start_as_the_machine_s_and_writes_do_not_reach_it(acpi: Mounted) -> None:
    real = Path("/proc/sys/vm/swappiness")
    before = real.read_text()
    assert acpi.path("/proc/sys/vm/swappiness").read_text() == before

    assert acpi.echo("/proc/sys/vm/swappiness", "1") == "ok"

    assert acpi.read("/proc/sys/vm/swappiness") == "1"
    assert real.read_text() == before
    assert {path.name for path in acpi.path("/proc/sys/vm").iterdir()} == {path.name for path in real.parent.iterdir()}


def test_setting_a_sysctl_in_bytes_clears_the_one_in_percent(acpi: Mounted) -> None:
    assert acpi.echo("/proc/sys/vm/dirty_bytes", "1048576") == "ok"
    assert acpi.read("/proc/sys/vm/dirty_ratio") == "0"
    assert acpi.echo("/proc/sys/vm/dirty_ratio", "8") == "ok"
    assert acpi.read("/proc/sys/vm/dirty_bytes") == "0"


def test_the_nmi_watchdog_is_refused_where_virtual_machines_refuse_it(acpi: Mounted, mount: Mount) -> None:
    assert acpi.echo("/proc/sys/kernel/nmi_watchdog", "0") == "ok"
    bare = mount("none-but-sysctls")
    assert bare.echo("/proc/sys/kernel/nmi_watchdog", "0") == "EACCES"
    assert not bare.path("cpufreq").exists()


def test_temperature_and_throttle_counters_change_when_the_test_says_so(mount: Mount) -> None:
    mounted = mount("intel-pstate+cpus=8+packages=2")

    mounted.controls.temperature(91.5)
    mounted.controls.throttle(cpu=2, times=3)

    assert mounted.read("/sys/class/hwmon/hwmon0/temp1_input") == "91500"
    assert mounted.read("/sys/class/thermal/thermal_zone0/temp") == "91500"
    counts = [mounted.read(f"cpu{cpu}/thermal_throttle/core_throttle_count") for cpu in (2, 6, 3, 0)]
    assert counts == ["3", "3", "0", "0"]
    assert [mounted.read(f"cpu{cpu}/thermal_throttle/package_throttle_count") for cpu in (3, 0)] == ["3", "0"]


# --- what only a test can do ------------------------------------------------------------------------------------------


def test_a_test_lets_a_knob_refuse_or_not_take_and_sees_what_was_tried(acpi: Mounted) -> None:
    governors = str(CPU / "cpufreq/policy*/scaling_governor")
    acpi.controls.refuse(governors, "EPERM")
    assert acpi.echo(f"{POLICY}/scaling_governor", "performance") == "EPERM"

    acpi.controls.obey(governors)
    acpi.controls.ignore(governors)
    assert acpi.echo(f"{POLICY}/scaling_governor", "performance") == "ok"
    assert acpi.read(f"{POLICY}/scaling_governor") == "ondemand"

    acpi.controls.obey(governors)
    acpi.controls.refuse(governors, "EACCES")
    assert acpi.echo(f"{POLICY}/scaling_governor", "performance") == "EACCES"

    tried = [(write["path"], write["text"], write["answer"]) for write in acpi.controls.writes()]
    governor = str(CPU / POLICY / "scaling_governor")
    assert tried == [(governor, "performance\n", "EPERM"), (governor, "performance\n", "ok")]


def test_another_tool_changes_a_knob_behind_our_back_and_a_boot_forgets_all(acpi: Mounted) -> None:
    acpi.controls.set(str(CPU / POLICY / "scaling_governor"), "powersave")
    assert acpi.controls.cpu(f"{POLICY}/scaling_governor") == "powersave"
    assert acpi.controls.writes() == []

    acpi.controls.boot()

    assert acpi.controls.cpu(f"{POLICY}/scaling_governor") == "ondemand"
    with pytest.raises(OSError, match="Invalid argument"):
        acpi.controls.set(str(CPU / POLICY / "scaling_governor"), "turbo")


def test_a_stopped_view_leaves_neither_process_nor_mount_and_stopping_again_does_nothing(tmp_path: Path) -> None:
    view = View.start("none-but-sysctls", tmp_path / "root", tmp_path / "work")
    process = Path("/proc") / (tmp_path / "work/hardware.pid").read_text().split()[0]
    assert process.exists()

    View("", tmp_path / "root", tmp_path / "work").stop()
    view.stop()

    assert not process.exists()
    assert not os.path.ismount(view.mountpoint)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("pentium", "no hardware view 'pentium'"),
        ("acpi-cpufreq+tpu", "no suffix 'tpu'"),
        ("acpi-cpufreq+cpus=none", "no suffix 'cpus=none'"),
        ("acpi-cpufreq+cpus=4+packages=3", "4 CPUs are no 3 equal packages"),
    ],
)
def test_a_view_that_does_not_exist_is_named(name: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        ViewName.parse(name)


def test_all_views_of_the_contract_exist() -> None:
    assert VIEWS == ("acpi-cpufreq", "intel-pstate", "amd-pstate", "none-but-sysctls")
