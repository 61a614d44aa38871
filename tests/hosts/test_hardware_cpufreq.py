"""Simulated cpufreq, mounted in a folder.

The names of the tests say what a real kernel does; here a simulation has to do the same.
"""

from __future__ import annotations

import pytest

from tests.support.hardware_views import MARKS, POLICY, Mount, Mounted

pytestmark = MARKS


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
