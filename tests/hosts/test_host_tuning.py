"""The role host_tuning on lab hosts with simulated hardware: check, converge, no change, verify, narrow, revert."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Host, Lab
from tests.lab.hardware import Controls

pytestmark = pytest.mark.lab

_CPU = "/sys/devices/system/cpu"
_GOVERNOR = f"{_CPU}/cpufreq/policy0/scaling_governor"
_BACKUP = "/var/lib/mlperf-ops/tuning.json"
_STATE = "/root/mlperf/state/tuning.json"
_RECAP = re.compile(r"changed=(\d+)")
# All that tuning could change, without what counts or follows the clock.
_KNOBS = (
    f"grep -rs . {_CPU}/cpufreq {_CPU}/intel_pstate {_CPU}/smt {_CPU}/cpu*/cpuidle/state*/disable "
    "/sys/kernel/mm/transparent_hugepage /sys/kernel/mm/hugepages/*/nr_hugepages "
    "/sys/devices/system/node/node*/hugepages/*/nr_hugepages "
    "/proc/sys/vm /proc/sys/kernel/numa_balancing /proc/sys/kernel/nmi_watchdog /proc/sys/kernel/randomize_va_space "
    "/proc/irq/*/smp_affinity_list /proc/swaps | grep -v -e cur_freq -e /proc/sys/vm/stat_ | sort"
)
# Waits for the first governor, then kills the module, whose process is the only Python of the host, as a lack of memory
# would.
_KILLER = f"""
while ! grep -q performance {_GOVERNOR}; do :; done
for process in /proc/[0-9]*; do
  case "$(cat "$process/comm")" in python3*) kill -9 "${{process#/proc/}}";; esac
done
"""
_LAB: dict[str, Any] = {
    "mlperf_round": "v6.1",
    "mlperf_division": "open",
    "mlperf_submitter": "example",
    "mlperf_system_type": "edge",
    "mlperf_home": "~/mlperf",
    "mlperf_run_style": "test",
    "mlperf_benchmarks": [{"benchmark": "efficientnet-lite0", "scenarios": ["Offline"]}],
}
_EVERYTHING: dict[str, Any] = {
    "governor": "performance",
    "min_frequency_khz": "hardware_max",
    "turbo": False,
    "cstate_max_latency_us": 10,
    "smt": False,
    "numa_balancing": False,
    "nmi_watchdog": False,
    "thp_enabled": "always",
    "thp_defrag": "always",
    "hugepages": [{"size_kib": 2048, "pages": 16}],
    "sysctls": {"vm.swappiness": 1, "vm.dirty_ratio": 8, "kernel.randomize_va_space": 0},
}


class Tuned:
    """A host and the plays on it."""

    def __init__(self, lab: Lab, host: Host, folder: Path) -> None:
        self.lab = lab
        self.host = host
        self.folder = folder
        self.hardware = Controls(host.root)

    def play(
        self,
        playbook: str,
        *arguments: str,
        check: bool = True,
        user: str = "root",
        **variables: Any,  # noqa: ANN401  # any JSON
    ) -> tuple[str, int]:
        """Run a playbook on this host only; return what it said and the number of changes."""
        limit = f"--limit={self.host.name},localhost"
        extra = {**_LAB, **{f"mlperf_{name}": value for name, value in variables.items()}}
        done = self.lab.playbook(
            f"playbooks/{playbook}.yml", limit, *arguments, check=check, extra_vars=extra, user=user, cwd=self.folder
        )
        assert check or done.returncode != 0, done.stdout
        said = done.stdout + done.stderr
        return said, sum(map(int, _RECAP.findall(said.rpartition("PLAY RECAP")[2])))

    def tune(self, *arguments: str, user: str = "root", check: bool = True, **settings: Any) -> tuple[str, int]:  # noqa: ANN401
        """Plan and tune."""
        self.play("validate", tuning=settings)
        return self.play("tune", *arguments, user=user, check=check, tuning=settings)

    def verify(self, *, check: bool = True) -> str:
        """Run the role's own verification against the last plan."""
        book = self.folder / "verify.yml"
        role = {"name": "mlperf_ops.lab.host_tuning", "tasks_from": "verify"}
        task = {"name": "Verify", "ansible.builtin.import_role": role}
        book.write_text(json.dumps([{"hosts": "sut", "gather_facts": False, "tasks": [task]}]))
        done = self.lab.playbook(str(book), f"--limit={self.host.name}", check=check, extra_vars=_LAB, cwd=self.folder)
        return done.stdout

    def knobs(self) -> str:
        """Return every knob with its value."""
        return self.host.exec(_KNOBS, timeout=60).stdout

    def writes(self) -> int:
        """Return how often somebody on the host has written a simulated knob."""
        return len(self.hardware.writes())


@pytest.fixture
def with_view(lab: Lab, tmp_path: Path) -> Iterator[Callable[[str], Tuned]]:
    """Start virgin hosts with simulated hardware."""
    made: list[Host] = []

    def start(view: str) -> Tuned:
        made.append(lab.fresh(hardware=view))
        return Tuned(lab, made[-1], tmp_path)

    yield start
    for host in made:
        lab.remove(host)


@pytest.mark.parametrize("view", ["acpi-cpufreq+cpus=4", "intel-pstate+cpus=4", "amd-pstate+cpus=4"])
def test_check_converge_no_change_verify_narrow_and_revert_on_a_simulated_server(
    with_view: Callable[[str], Tuned], view: str
) -> None:
    tuned = with_view(view)
    before, writes = tuned.knobs(), tuned.writes()

    said, changed = tuned.tune("--check", "--diff", **_EVERYTHING)
    assert changed == 1
    assert f"+{_GOVERNOR}: performance" in said
    assert tuned.knobs() == before
    assert tuned.writes() == writes
    assert tuned.host.exec(["ls", "-A", "/var/lib/mlperf-ops"], check=False).stdout == ""

    said, changed = tuned.tune(**_EVERYTHING)
    assert changed == 1, said
    assert tuned.host.read(_GOVERNOR) == "performance\n"
    assert tuned.host.read(f"{_CPU}/smt/control") == "off\n"
    assert tuned.host.read("/sys/kernel/mm/transparent_hugepage/enabled") == "[always] madvise never\n"
    assert tuned.host.read("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages") == "16\n"
    told = json.loads(tuned.host.read(_STATE))
    assert told["settings"] == _EVERYTHING
    assert told["knobs"][_GOVERNOR] == {"setting": "governor", "path": _GOVERNOR, "value": "performance"}
    assert told["skipped"] == []

    writes = tuned.writes()
    tuned_knobs = tuned.knobs()
    said, changed = tuned.tune(**_EVERYTHING)
    assert (changed, tuned.writes()) == (0, writes), said
    assert "failed=0" in tuned.verify()
    assert tuned.knobs() == tuned_knobs

    tuned.hardware.set("/proc/sys/vm/swappiness", "77")
    assert "/proc/sys/vm/swappiness is '77' and should be '1'" in tuned.verify(check=False)

    said, changed = tuned.tune(governor="performance", sysctls={"vm.dirty_ratio": 8})
    assert changed == 1, said
    assert tuned.host.read(f"{_CPU}/smt/control") == "on\n"
    assert tuned.host.read(f"{_CPU}/cpufreq/policy3/scaling_governor") == "performance\n"
    kept = json.loads(tuned.host.read(_BACKUP))["previous"]
    assert {entry["setting"] for entry in kept.values()} == {"governor", "sysctls"}

    said, changed = tuned.play("revert")
    assert changed == 1, said
    assert tuned.knobs() == before
    assert tuned.host.exec(["ls", "-A", "/var/lib/mlperf-ops"], check=False).stdout == ""
    assert tuned.host.exec(["test", "-e", _STATE], check=False).returncode != 0
    said, changed = tuned.play("revert")
    assert changed == 0, said


def test_turbo_of_intel_is_inverted_and_the_energy_preference_comes_back_on_simulated_intel_pstate(
    with_view: Callable[[str], Tuned],
) -> None:
    tuned = with_view("intel-pstate")
    before = tuned.knobs()
    tuned.tune(turbo=False, governor="performance", energy_preference="performance", max_frequency_khz=2000000)
    assert tuned.host.read(f"{_CPU}/intel_pstate/no_turbo") == "1\n"
    assert tuned.host.read(f"{_CPU}/cpufreq/policy1/scaling_max_freq") == "2000000\n"
    tuned.play("revert")
    assert tuned.knobs() == before


def test_what_a_reboot_reset_is_recognised_and_the_next_play_tunes_again_on_simulated_acpi_cpufreq(
    with_view: Callable[[str], Tuned],
) -> None:
    tuned = with_view("acpi-cpufreq")
    before = tuned.knobs()
    settings: dict[str, Any] = {"governor": "performance", "sysctls": {"vm.swappiness": 1}}
    tuned.tune(**settings)
    tuned.host.reboot()
    said, changed = tuned.tune(**settings)
    assert (changed, tuned.host.read(_GOVERNOR)) == (1, "performance\n"), said
    tuned.host.reboot()
    said, changed = tuned.play("revert", "-v")
    assert changed == 0, said
    assert "that a reboot had put back" in said
    assert tuned.knobs() == before
    assert tuned.host.exec(["test", "-e", _BACKUP], check=False).returncode != 0


def test_a_module_that_was_killed_half_way_is_put_back_on_simulated_intel_pstate(
    with_view: Callable[[str], Tuned],
) -> None:
    tuned = with_view("intel-pstate+cpus=8")
    before = tuned.knobs()
    tuned.play("validate", tuning=_EVERYTHING)
    tuned.host.write("/root/killer", _KILLER)
    tuned.host.exec("setsid -f sh /root/killer </dev/null >/dev/null 2>&1")
    said, _ = tuned.play("tune", check=False, tuning=_EVERYTHING)
    assert "failed=1" in said or "unreachable=1" in said, said
    assert tuned.knobs() != before
    tuned.play("revert")
    assert tuned.knobs() == before


def test_a_host_that_died_in_the_middle_is_put_back_after_its_boot_on_simulated_acpi_cpufreq(
    with_view: Callable[[str], Tuned],
) -> None:
    tuned = with_view("acpi-cpufreq")
    before = tuned.knobs()
    tuned.tune(governor="performance")
    tuned.host.kill()
    tuned.host.reboot()
    tuned.play("revert")
    assert tuned.knobs() == before


def test_a_refused_knob_is_skipped_with_the_reason_on_simulated_acpi_cpufreq(
    with_view: Callable[[str], Tuned],
) -> None:
    tuned = with_view("acpi-cpufreq")
    before = tuned.knobs()
    tuned.hardware.refuse("/proc/sys/kernel/nmi_watchdog", "EPERM")
    said, changed = tuned.tune(nmi_watchdog=False, governor="turbo-charged", thp_enabled="always")
    assert changed == 1
    assert "tuning skipped: nmi_watchdog  Operation not permitted" in said
    assert "tuning skipped: governor  the driver has no 'turbo-charged', only conservative, ondemand" in said
    writes = tuned.writes()
    said, changed = tuned.tune(nmi_watchdog=False, governor="turbo-charged", thp_enabled="always")
    assert (changed, tuned.writes()) == (0, writes), said
    (path,) = tuned.folder.glob(f"results/*/hosts/{tuned.host.name}/tuning.json")
    record = json.loads(path.read_text())
    assert {one["setting"] for one in record["skipped"]} == {"nmi_watchdog", "governor"}
    said, _ = tuned.tune("-e", "host_tuning_strict=true", nmi_watchdog=False, thp_enabled="always", check=False)
    assert "not to be had here: nmi_watchdog" in said
    tuned.play("revert")
    assert tuned.knobs() == before


def test_a_knob_that_silently_does_not_take_fails_the_host_on_simulated_acpi_cpufreq(
    with_view: Callable[[str], Tuned],
) -> None:
    tuned = with_view("acpi-cpufreq")
    before = tuned.knobs()
    tuned.hardware.ignore(_GOVERNOR)
    tuned.hardware.free_hugepages(5)
    said, _ = tuned.tune(governor="performance", hugepages=[{"size_kib": 2048, "pages": 64}], check=False)
    assert f"{_GOVERNOR} was set to 'performance', but the host has 'ondemand'" in said
    assert "nr_hugepages was set to '64', but the host has '5'" in said
    tuned.play("revert")
    assert tuned.knobs() == before


def test_power_limit_and_persistence_of_simulated_nvidia_gpus_are_put_back(
    with_view: Callable[[str], Tuned],
) -> None:
    tuned = with_view("none-but-sysctls+nvidia")
    ask = "nvidia-smi --query-gpu=uuid,persistence_mode,power.limit --format=csv,noheader,nounits"
    before = tuned.host.exec(ask).stdout
    settings: dict[str, Any] = {
        "gpu_persistence": True,
        "gpu_power_limit_w": 200,
        "gpu_locked_clocks_mhz": {"min": 1200, "max": 1200},
    }
    said, changed = tuned.tune(**settings)
    assert changed == 1, said
    assert "200.00" in tuned.host.exec(ask).stdout
    said, changed = tuned.tune(**settings)
    assert changed == 0, said
    tuned.play("revert")
    assert tuned.host.exec(ask).stdout == before


def test_without_privileges_all_is_listed_and_nothing_fails_on_simulated_intel_pstate(
    with_view: Callable[[str], Tuned],
) -> None:
    tuned = with_view("intel-pstate")
    before = tuned.knobs()
    tuned.play("validate", tuning={"governor": "performance"}, become=False)
    said, changed = tuned.play("tune", user="ops", tuning={"governor": "performance"}, become=False)
    assert changed == 0
    assert "tuning skipped: governor  needs root: /var/lib/mlperf-ops cannot be written" in said
    assert tuned.knobs() == before
    # With sudo the same account can, and what it leaves below the home belongs to it.
    said, changed = tuned.tune(user="ops", governor="performance")
    assert changed == 1, said
    assert tuned.host.exec(["stat", "-c", "%U", "/home/ops/mlperf/state"]).stdout == "ops\n"
    tuned.play("revert", user="ops")
    assert tuned.knobs() == before


def test_a_host_without_a_profile_is_not_connected_to(with_view: Callable[[str], Tuned]) -> None:
    tuned = with_view("none-but-sysctls")
    tuned.play("validate")
    tuned.host.cut()
    said, changed = tuned.play("tune")
    assert (changed, "skipped=1" in said) == (0, True), said
    tuned.host.heal()


def test_a_dropped_profile_is_put_back_by_the_next_play_on_simulated_acpi_cpufreq(
    with_view: Callable[[str], Tuned],
) -> None:
    tuned = with_view("acpi-cpufreq")
    before = tuned.knobs()
    tuned.play("validate", tuning_profile="generic-linux")
    said, changed = tuned.play("tune", tuning_profile="generic-linux")
    assert (changed, tuned.host.read(_GOVERNOR)) == (1, "performance\n"), said
    tuned.play("validate", tuning_profile="dummy")
    said, changed = tuned.play("tune", tuning_profile="dummy")
    assert changed == 1, said
    assert tuned.knobs() == before
    said, changed = tuned.play("tune", tuning_profile="dummy")
    assert "skipped=1" in said, said


def test_cells_get_their_own_settings_as_root_and_the_host_its_own_back_on_simulated_acpi_cpufreq(
    with_view: Callable[[str], Tuned],
) -> None:
    tuned = with_view("acpi-cpufreq")
    before = tuned.knobs()
    entry: dict[str, Any] = {"benchmark": "efficientnet-lite0", "implementation": "dummy", "modes": ["performance"]}
    own = {"sysctls": {"vm.swappiness": 5}, "drop_caches": 1}
    entry |= {"scenarios": ["SingleStream", "Offline"], "tuning": {"Offline": own}}
    lab: dict[str, Any] = {"tuning": {"governor": "performance"}, "benchmarks": [entry], "test_query_count": 100}
    for playbook in ("validate", "provision", "tune"):
        tuned.play(playbook, user="ops", **lab)
    first = len(tuned.hardware.writes())
    said, _ = tuned.play("benchmark", user="ops", **lab)
    assert "2 of 2 cells ran, 0 invalid, 0 failed" in said or said.count("   valid") == 2, said
    written = [(one["path"], str(one["text"]).strip()) for one in tuned.hardware.writes()[first:]]
    swappiness = "/proc/sys/vm/swappiness"
    assert written == [(swappiness, "5"), ("/proc/sys/vm/drop_caches", "1"), (swappiness, "60")]
    (spec,) = (tuned.host.exec("cat /home/ops/mlperf/runs/*/*/*/Offline/performance/*/attempt_1/spec.json").stdout,)
    assert json.loads(spec)["host_profile"] == {"drop_caches": 1, "governor": "performance", "sysctls": own["sysctls"]}
    assert json.loads(tuned.host.read("/home/ops/mlperf/state/tuning.json"))["settings"] == {"governor": "performance"}
    writes = tuned.writes()
    said, changed = tuned.play("benchmark", user="ops", **lab)
    assert (changed, tuned.writes()) == (0, writes), said
    tuned.play("revert", user="ops")
    assert tuned.knobs() == before


def test_a_service_is_stopped_and_started_again_and_interrupts_that_cannot_be_moved_are_told(
    with_view: Callable[[str], Tuned],
) -> None:
    tuned = with_view("none-but-sysctls")
    # Debian's base has no irqbalance: any process under its name will do, as only the unit's state counts.
    unit = "[Service]\nExecStart=/bin/sleep infinity\n"
    tuned.host.write("/etc/systemd/system/irqbalance.service", unit)
    tuned.host.exec("systemctl daemon-reload && systemctl start irqbalance")
    said, changed = tuned.tune(irqbalance=False, irq_cpus="0", swap=False)
    assert changed == 1, said
    assert "tuning skipped: irq_cpus  this interrupt cannot be moved: Read-only file system" in said
    assert tuned.host.exec("systemctl is-active irqbalance", check=False).stdout == "inactive\n"
    said, changed = tuned.tune(irqbalance=False, irq_cpus="0", swap=False)
    assert changed == 0, said
    tuned.play("revert")
    assert tuned.host.exec("systemctl is-active irqbalance").stdout == "active\n"
