"""The simulated hardware of lab hosts: first mounted in a folder, then as a host sees it.

The names of the tests say what a real kernel and real tools do; here a simulation has to do the same.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlperf_ops.errors import ConfigError
from tests.lab import Host, Lab
from tests.lab.hardware import VIEWS, Controls, View, ViewName, missing

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount for others"),
    pytest.mark.skipif(bool(missing()), reason=missing() or ""),
]

CPU = Path("/sys/devices/system/cpu")
POLICY = "cpufreq/policy0"


class Mounted:
    """A view in a folder: reads and writes as a shell in the host would."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.controls = Controls(view.root)

    def path(self, name: str) -> Path:
        return self.view.mountpoint / (name.removeprefix("/") if name.startswith("/") else f"{CPU}/{name}"[1:])

    def read(self, name: str) -> str:
        return self.path(name).read_text().rstrip("\n")

    def echo(self, name: str, text: str) -> str:
        """`echo TEXT > NAME`; returns "ok" or the name of the error."""
        try:
            with self.path(name).open("wb", buffering=0) as file:  # a buffer would try again when it is closed
                file.write(f"{text}\n".encode())
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        return "ok"


Mount = Callable[[str], Mounted]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Serve views below a folder of the test."""
    views: list[View] = []

    def start(name: str) -> Mounted:
        folder = tmp_path / str(len(views))
        views.append(View.start(name, folder / "root", folder / "work"))
        return Mounted(views[-1])

    yield start
    for view in views:
        view.stop()


@pytest.fixture
def acpi(mount: Mount) -> Mounted:
    return mount("acpi-cpufreq+cpus=4")


@pytest.fixture
def intel(mount: Mount) -> Mounted:
    return mount("intel-pstate+cpus=4")


@pytest.fixture
def amd(mount: Mount) -> Mounted:
    return mount("amd-pstate+cpus=4")


# --- cpufreq ------------------------------------------------------------------------------------------------------


def test_an_unknown_governor_is_refused_and_the_old_one_stays(acpi: Mounted) -> None:
    before = acpi.read(f"{POLICY}/scaling_governor")

    assert acpi.echo(f"{POLICY}/scaling_governor", "turbo") == "EINVAL"

    assert acpi.read(f"{POLICY}/scaling_governor") == before == "ondemand"


def test_every_governor_that_is_offered_can_be_set_on_one_cpu_alone(acpi: Mounted) -> None:
    offered = acpi.read(f"{POLICY}/scaling_available_governors").split()
    assert set(offered) == {"conservative", "ondemand", "userspace", "powersave", "performance", "schedutil"}

    for governor in offered:
        assert acpi.echo("cpu1/cpufreq/scaling_governor", governor) == "ok"
        assert acpi.read("cpufreq/policy1/scaling_governor") == governor

    assert acpi.read(f"{POLICY}/scaling_governor") == "ondemand"


def test_a_tool_may_write_without_a_newline_and_in_capitals(acpi: Mounted) -> None:
    acpi.path(f"{POLICY}/scaling_governor").write_text("Performance")

    assert acpi.read(f"{POLICY}/scaling_governor") == "performance"


@pytest.mark.parametrize(
    ("asked", "becomes"),
    [("9999999", "2250000"), ("1", "1500000"), ("2000000", "2000000"), ("1900000", "1800000"), ("0x1E8480", "2000000")],
)
def test_a_maximum_is_brought_to_a_frequency_of_the_table_at_or_below(acpi: Mounted, asked: str, becomes: str) -> None:
    assert acpi.echo(f"{POLICY}/scaling_max_freq", asked) == "ok"
    assert acpi.read(f"{POLICY}/scaling_max_freq") == becomes


@pytest.mark.parametrize(("asked", "becomes"), [("1900000", "2000000"), ("5", "1500000"), ("8000000", "2250000")])
def test_a_minimum_is_brought_to_a_frequency_of_the_table_at_or_above(acpi: Mounted, asked: str, becomes: str) -> None:
    assert acpi.echo(f"{POLICY}/scaling_min_freq", asked) == "ok"
    assert acpi.read(f"{POLICY}/scaling_min_freq") == becomes


def test_a_driver_without_a_table_takes_any_frequency_within_its_limits(intel: Mounted) -> None:
    assert intel.echo(f"{POLICY}/scaling_max_freq", "1234567") == "ok"
    assert intel.read(f"{POLICY}/scaling_max_freq") == "1234567"


def test_the_minimum_gives_way_to_a_lower_maximum_and_comes_back_with_it(intel: Mounted) -> None:
    intel.echo(f"{POLICY}/scaling_min_freq", "2000000")
    intel.echo(f"{POLICY}/scaling_max_freq", "1000000")
    assert [intel.read(f"{POLICY}/scaling_{end}_freq") for end in ("min", "max")] == ["1000000", "1000000"]

    intel.echo(f"{POLICY}/scaling_max_freq", "3000000")

    assert [intel.read(f"{POLICY}/scaling_{end}_freq") for end in ("min", "max")] == ["2000000", "3000000"]


@pytest.mark.parametrize(
    ("name", "text", "answer"),
    [
        (f"{POLICY}/scaling_max_freq", "fast", "EINVAL"),
        (f"{POLICY}/scaling_max_freq", "-1", "EINVAL"),
        (f"{POLICY}/scaling_max_freq", "1 2", "EINVAL"),
        (f"{POLICY}/scaling_max_freq", "99999999999999999999", "ERANGE"),
        (f"{POLICY}/scaling_setspeed", "1500000", "EINVAL"),
        ("cpufreq/boost", "2", "EINVAL"),
        ("cpu0/cpuidle/state1/disable", "off", "EINVAL"),
        ("cpuidle/current_governor", "best", "EINVAL"),
        ("smt/control", "maybe", "EINVAL"),
        ("cpu1/online", "x", "EINVAL"),
        ("/sys/kernel/mm/transparent_hugepage/enabled", "sometimes", "EINVAL"),
        ("/sys/kernel/mm/transparent_hugepage/khugepaged/defrag", "2", "EINVAL"),
        ("/proc/sys/vm/swappiness", "201", "EINVAL"),
        ("/proc/sys/vm/swappiness", "low", "EINVAL"),
        ("/proc/sys/vm/drop_caches", "5", "EINVAL"),
        ("/proc/sys/kernel/pid_max", "300", "EINVAL"),
        (f"{POLICY}/no_such_file", "1", "EACCES"),
        (f"{POLICY}/cpuinfo_max_freq", "1", "EACCES"),
        (f"{POLICY}/scaling_cur_freq", "1", "EACCES"),
        (f"{POLICY}/scaling_available_governors", "1", "EACCES"),
        ("smt/active", "1", "EACCES"),
        ("online", "0", "EACCES"),
        ("cpu0/thermal_throttle/core_throttle_count", "0", "EACCES"),
    ],
)
def test_the_kernel_s_error_for_what_it_does_not_take(acpi: Mounted, name: str, text: str, answer: str) -> None:
    assert acpi.echo(name, text) == answer


def test_the_current_frequency_follows_governor_and_limits(acpi: Mounted) -> None:
    frequency = f"{POLICY}/scaling_cur_freq"
    assert acpi.read(frequency) == "1500000"

    acpi.echo(f"{POLICY}/scaling_governor", "performance")
    assert acpi.read(frequency) == "2250000"
    acpi.echo(f"{POLICY}/scaling_max_freq", "1800000")
    assert acpi.read(frequency) == "1800000"

    acpi.echo(f"{POLICY}/scaling_max_freq", "2250000")
    assert acpi.read(f"{POLICY}/scaling_setspeed") == "<unsupported>"
    acpi.echo(f"{POLICY}/scaling_governor", "userspace")
    assert acpi.echo(f"{POLICY}/scaling_setspeed", "2000000") == "ok"
    assert acpi.read(frequency) == acpi.read(f"{POLICY}/scaling_setspeed") == "2000000"


def test_boost_of_acpi_cpufreq_is_one_switch_that_changes_no_limit(acpi: Mounted) -> None:
    assert acpi.read("cpufreq/boost") == "1"
    assert acpi.echo("cpufreq/boost", "0") == "ok"
    assert acpi.read("cpufreq/boost") == "0"
    assert acpi.read(f"{POLICY}/cpuinfo_max_freq") == "2250000"
    assert not acpi.path(f"{POLICY}/energy_performance_preference").exists()


def test_no_turbo_of_intel_pstate_is_inverted_and_lowers_the_limits(intel: Mounted) -> None:
    assert not intel.path("cpufreq/boost").exists()
    assert intel.read("intel_pstate/no_turbo") == "0"

    assert intel.echo("intel_pstate/no_turbo", "1") == "ok"
    assert intel.read(f"{POLICY}/cpuinfo_max_freq") == intel.read(f"{POLICY}/scaling_max_freq") == "2600000"

    assert intel.echo("intel_pstate/no_turbo", "0") == "ok"
    assert intel.read(f"{POLICY}/scaling_max_freq") == "3500000"


def test_turbo_cannot_be_turned_on_when_the_firmware_took_it(intel: Mounted) -> None:
    intel.controls.turbo_off_in_firmware()

    assert intel.read("intel_pstate/no_turbo") == "1"
    assert intel.echo("intel_pstate/no_turbo", "0") == "EPERM"
    assert intel.read("intel_pstate/no_turbo") == "1"


def test_performance_percentages_of_intel_pstate_stay_in_order(intel: Mounted) -> None:
    for name, asked, becomes in (
        ("max", "50", "50"),
        ("min", "80", "50"),
        ("max", "200", "100"),
        ("min", "100", "100"),
        ("max", "10", "100"),
        ("min", "1", "23"),
    ):
        assert intel.echo(f"intel_pstate/{name}_perf_pct", asked) == "ok"
        assert intel.read(f"intel_pstate/{name}_perf_pct") == becomes


def test_only_the_active_mode_of_a_pstate_driver_is_simulated(intel: Mounted, amd: Mounted) -> None:
    for mounted, status in ((intel, "intel_pstate/status"), (amd, "amd_pstate/status")):
        assert mounted.read(status) == "active"
        assert [mounted.echo(status, mode) for mode in ("active", "passive", "fast")] == ["ok", "EBUSY", "EINVAL"]


@pytest.mark.parametrize(("layout", "afterwards"), [("intel-pstate", "balance_power"), ("amd-pstate", "performance")])
def test_the_energy_preference_is_busy_under_the_governor_performance(
    mount: Mount, layout: str, afterwards: str
) -> None:
    mounted, preference = mount(layout), f"{POLICY}/energy_performance_preference"
    assert mounted.read(f"{POLICY}/scaling_available_governors") == "performance powersave"
    assert mounted.read(f"{POLICY}/energy_performance_available_preferences").split() == [
        "default", "performance", "balance_performance", "balance_power", "power",
    ]  # fmt: skip
    assert mounted.echo(preference, "balance_power") == "ok"

    mounted.echo(f"{POLICY}/scaling_governor", "performance")
    assert mounted.read(preference) == "performance"
    assert mounted.echo(preference, "power") == "EBUSY"
    assert mounted.echo(preference, "performance") == "ok"

    mounted.echo(f"{POLICY}/scaling_governor", "powersave")
    assert mounted.read(preference) == afterwards
    assert mounted.echo(preference, "fast") == "EINVAL"


def test_only_intel_takes_an_energy_preference_as_a_number(intel: Mounted, amd: Mounted) -> None:
    preference = f"{POLICY}/energy_performance_preference"
    assert [intel.echo(preference, number) for number in ("64", "256")] == ["ok", "EINVAL"]
    assert intel.read(preference) == "64"
    assert amd.echo(preference, "64") == "EINVAL"


def test_boost_of_amd_pstate_is_there_for_the_machine_and_for_each_policy(amd: Mounted) -> None:
    assert amd.echo("cpufreq/policy1/boost", "0") == "ok"
    assert [amd.read(f"cpufreq/policy{cpu}/cpuinfo_max_freq") for cpu in (0, 1)] == ["3709000", "2400000"]

    assert amd.echo("cpufreq/boost", "0") == "ok"
    assert amd.read(f"{POLICY}/scaling_max_freq") == "2400000"
    assert amd.read(f"{POLICY}/boost") == "0"
    assert amd.echo(f"{POLICY}/boost", "1") == "EINVAL"

    amd.echo(f"{POLICY}/scaling_max_freq", "3000000")
    assert amd.read(f"{POLICY}/scaling_max_freq") == "2400000"
    assert amd.echo("cpufreq/boost", "1") == "ok"
    assert [amd.read(f"cpufreq/policy{cpu}/scaling_max_freq") for cpu in (0, 1)] == ["3000000", "3709000"]


# --- CPUs, C-states, memory, sensors -----------------------------------------------------------------------------


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


# --- what only a test can do ----------------------------------------------------------------------------------------


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


# --- on real lab hosts ------------------------------------------------------------------------------------------------


def machine_state() -> dict[str, str]:
    """What of the machine itself a view must never change."""
    paths = [*CPU.glob("cpu*/cpufreq/scaling_governor"), *CPU.glob("cpu*/cpuidle/state*/disable"), CPU / "smt/control"]
    paths += [CPU / "online", Path("/sys/kernel/mm/transparent_hugepage/enabled")]
    paths += [Path("/proc/sys") / key for key in ("vm/swappiness", "vm/nr_hugepages", "kernel/numa_balancing")]
    return {str(path): path.read_text() for path in paths if path.exists()}


@pytest.fixture(scope="module", params=["acpi-cpufreq", "intel-pstate", "amd-pstate"])
def layout_host(request: pytest.FixtureRequest, lab: Lab) -> Iterator[tuple[str, Host]]:
    """A host of each layout, with all shims."""
    layout: str = request.param
    host = lab.fresh(hardware=f"{layout}+cpus=4+nvidia+rocm+dmidecode+ipmitool")
    yield layout, host
    lab.remove(host)


def shell(host: Host, command: str) -> str:
    """Run a command line in the host; its stdout and stderr, whatever its exit code is."""
    done = host.exec(f"({command}) 2>&1", check=False)
    return done.stdout.strip()


def test_real_cpupower_and_echo_meet_the_kernel_s_semantics_on_simulated_cpufreq(
    layout_host: tuple[str, Host],
) -> None:
    layout, host = layout_host
    before = machine_state()
    host.exec("apt-get -qq update && apt-get -qq install -y --no-install-recommends linux-cpupower", timeout=300)
    drivers = {"acpi-cpufreq": "acpi-cpufreq", "intel-pstate": "intel_pstate", "amd-pstate": "amd-pstate-epp"}
    assert f"driver: {drivers[layout]}" in shell(host, "cpupower frequency-info")

    host.exec("cpupower -c all frequency-set -g performance")
    assert host.exec(f"cat {CPU}/cpufreq/policy*/scaling_governor").stdout.split() == ["performance"] * 4
    assert host.exec("cpupower -c all frequency-set -g fastest", check=False).returncode != 0
    assert "Invalid argument" in shell(host, f"bash -c 'echo fastest > {CPU}/{POLICY}/scaling_governor'")
    assert "Permission denied" in shell(host, f"echo 1 > {CPU}/{POLICY}/cpuinfo_max_freq")
    host.exec("cpupower idle-set -d 2")
    assert host.exec(f"cat {CPU}/cpu*/cpuidle/state2/disable").stdout.split() == ["1"] * 4
    host.exec("sysctl -w vm.swappiness=1 kernel.numa_balancing=0")
    assert "Invalid argument" in shell(host, "sysctl -w vm.swappiness=201")
    assert host.read("/proc/sys/vm/swappiness") == "1\n"
    host.exec("echo never > /sys/kernel/mm/transparent_hugepage/enabled")
    assert "[never]" in host.read("/sys/kernel/mm/transparent_hugepage/enabled")
    host.exec(f"echo off > {CPU}/smt/control")
    lscpu = {row["field"]: row["data"] for row in json.loads(host.exec("lscpu --json").stdout)["lscpu"]}
    assert (lscpu["On-line CPU(s) list:"], lscpu["Off-line CPU(s) list:"]) == ("0,1", "2,3")
    host.exec(f"echo on > {CPU}/smt/control")

    assert machine_state() == before


def test_an_unprivileged_user_of_the_host_can_read_but_not_write(layout_host: tuple[str, Host]) -> None:
    _, host = layout_host
    governor = CPU / POLICY / "scaling_governor"

    assert host.exec(f"cat {governor}", user="ops").stdout
    refused = host.exec(f"echo powersave > {governor}", user="ops", check=False)

    assert refused.returncode != 0
    assert "Permission denied" in refused.stderr


def test_a_reboot_of_the_host_forgets_what_was_set(layout_host: tuple[str, Host]) -> None:
    _, host = layout_host
    first = host.read(str(CPU / "cpufreq/policy1/scaling_governor"))
    Controls(host.root).boot()
    default = host.read(str(CPU / POLICY / "scaling_governor"))
    host.exec(f"echo performance > {CPU}/{POLICY}/scaling_governor; echo 3 > /proc/sys/vm/swappiness")
    assert host.read("/proc/sys/vm/swappiness") == "3\n"

    host.reboot(wait=True)

    assert first
    assert host.read(str(CPU / POLICY / "scaling_governor")) == default
    assert host.read("/proc/sys/vm/swappiness") == Path("/proc/sys/vm/swappiness").read_text()


def test_two_hosts_with_views_are_independent(lab: Lab) -> None:
    one, other = lab.add([(None, "intel-pstate"), (None, "none-but-sysctls")])
    before = Path("/proc/sys/vm/swappiness").read_text()

    one.exec("sysctl -qw vm.swappiness=7")

    assert one.read("/proc/sys/vm/swappiness") == "7\n"
    assert other.read("/proc/sys/vm/swappiness") == before
    assert "Permission denied" in shell(other, "echo 0 > /proc/sys/kernel/nmi_watchdog")
    assert other.exec(f"test -e {CPU}/{POLICY}", check=False).returncode != 0
    lab.remove(one)
    lab.remove(other)


def test_a_removed_host_leaves_no_process_and_no_mount_of_its_view(lab: Lab) -> None:
    host = lab.fresh(hardware="acpi-cpufreq")
    folder = host.root.parent
    pids = [path.read_text().split()[0] for path in folder.rglob("hardware.pid")]
    assert len(pids) == 1
    assert Path(f"/proc/{pids[0]}").exists()

    lab.remove(host)

    until = time.monotonic() + 10
    while Path(f"/proc/{pids[0]}").exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not Path(f"/proc/{pids[0]}").exists()
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()


# --- shims ------------------------------------------------------------------------------------------------------------


def test_simulated_nvidia_smi_sets_shows_and_refuses_like_the_real_one(layout_host: tuple[str, Host]) -> None:
    _, host = layout_host
    fields = "index,name,memory.total,driver_version,clocks.max.sm,power.limit,power.min_limit,persistence_mode"
    query = f"nvidia-smi --query-gpu={fields} --format=csv,noheader,nounits"
    rows = [line.split(", ") for line in host.exec(query).stdout.splitlines()]
    assert [row[0] for row in rows] == ["0", "1"]
    assert rows[0][2:] == ["81559", "550.90.07", "1980", "700.00", "200.00", "Disabled"]

    host.exec("nvidia-smi -pm 1")
    assert "was set to 500.00 W from 700.00 W." in host.exec("nvidia-smi -i 1 -pl 500").stdout
    host.exec("nvidia-smi -lgc 1400,1400 && nvidia-smi -i 0 -ac 2619,1980")
    rows = [line.split(", ") for line in host.exec(query).stdout.splitlines()]
    assert [row[5] for row in rows] == ["700.00", "500.00"]
    assert rows[0][7] == "Enabled"

    refused = host.exec("nvidia-smi -pl 900", check=False)
    assert refused.returncode == 2
    assert "Provided power limit 900.00 W is not a valid power limit which should be between 200.00 W and 700.00 W" in (
        refused.stdout
    )
    assert host.exec("nvidia-smi -ac 1,2", check=False).returncode == 2
    assert host.exec("nvidia-smi --query-gpu=colour --format=csv", check=False).returncode == 2
    assert host.exec("nvidia-smi -pl 500", user="ops", check=False).returncode == 4
    assert "memory.total [MiB]" in host.exec("nvidia-smi --query-gpu=memory.total --format=csv").stdout


def test_simulated_rocm_smi_and_amd_smi_set_and_show_the_same_gpus(layout_host: tuple[str, Host]) -> None:
    _, host = layout_host

    said = host.exec("rocm-smi -d 0 --setpoweroverdrive 600").stdout
    assert "GPU[0]\t\t: Successfully set power to: 600W" in said
    host.exec("rocm-smi --setperfdeterminism 1700 && rocm-smi -d 1 --setmemorypartition NPS4")
    refused = host.exec("rocm-smi --setpoweroverdrive 5000")
    assert "Value cannot be greater than: 750W" in refused.stderr

    shown = json.loads(host.exec("rocm-smi --showmaxpower --showmemorypartition --showperflevel --json").stdout)
    assert shown["card0"]["Max Graphics Package Power (W)"] == "600.0"
    assert shown["card1"] == {
        "Performance Level": "determinism",
        "Max Graphics Package Power (W)": "750.0",
        "Memory Partition": "NPS4",
    }
    static = json.loads(host.exec("amd-smi static --limit --vram --json").stdout)
    assert static[0]["limit"]["socket_power"] == {"value": 600, "unit": "W"}
    host.exec("amd-smi set --power-cap 650 --gpu 0 && rocm-smi --resetperfdeterminism")
    assert json.loads(host.exec("rocm-smi -d 0 -M --json").stdout)["card0"]["Max Graphics Package Power (W)"] == "650.0"
    assert host.exec("amd-smi set --power-cap 9999", check=False).returncode == 255


def test_simulated_dmidecode_and_ipmitool_speak_as_the_real_ones(layout_host: tuple[str, Host]) -> None:
    _, host = layout_host

    memory = host.exec("dmidecode -t memory").stdout
    assert memory.count("\tSize: 16 GB\n") == 4
    assert memory.count("\tSize: No Module Installed\n") == 4
    assert host.exec("dmidecode -s system-product-name").stdout == "Lab Host\n"
    power = host.exec("ipmitool dcmi power reading").stdout
    assert "    Instantaneous power reading:                   412 Watts\n" in power


def test_shims_log_their_arguments_and_a_test_changes_what_they_simulate(layout_host: tuple[str, Host]) -> None:
    _, host = layout_host
    host.exec(["nvidia-smi", "-i", "0", "-rgc"])
    calls = [json.loads(line) for line in host.read("/lab/shims/log.jsonl").splitlines()]
    assert (calls[-1]["tool"], calls[-1]["argv"]) == ("nvidia-smi", ["-i", "0", "-rgc"])

    host.exec("ipmitool dcmi power reading")
    state = json.loads(host.read("/lab/shims/ipmitool.json"))
    host.write("/lab/shims/ipmitool.json", json.dumps({**state, "present": False}))
    assert host.exec("ipmitool dcmi power reading", check=False).returncode == 1


def test_all_views_of_the_contract_exist() -> None:
    assert VIEWS == ("acpi-cpufreq", "intel-pstate", "amd-pstate", "none-but-sysctls")
