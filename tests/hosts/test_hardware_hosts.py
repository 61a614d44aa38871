"""Simulated hardware as real lab hosts see it: by the kernel's files, and by simulated tools of vendors.

The names of the tests say what real tools do; here a simulation has to do the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Host, Lab
from tests.lab.hardware import Controls
from tests.support.hardware_views import CPU, MARKS, POLICY

pytestmark = MARKS


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
