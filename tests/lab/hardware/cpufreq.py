"""The files of cpufreq: policies, and the switches that a driver has for the whole machine."""

from __future__ import annotations

import errno
from collections.abc import Callable

from tests.lab.hardware.cpus import CPU, Cpus
from tests.lab.hardware.layouts import Frequencies
from tests.lab.hardware.policy import Policy
from tests.lab.hardware.tree import Read, Tree, Write
from tests.lab.hardware.values import clamp, error, invalid, kstrtoul, match_string, sscanf_unsigned

_LATENCY_NS = {"acpi-cpufreq": 10000, "intel_pstate": 0, "amd-pstate-epp": 20000}
_PERCENT = 100
_INTEL_STEP = 100000  # kHz of one P-state
_AMD_HIGHEST_PERF = 196


class Cpufreq:
    """All policies of one machine, one for each CPU, as the three drivers have it on current servers."""

    def __init__(self, data: Frequencies, cpus: Cpus) -> None:
        """The state after boot."""
        self.data = data
        self.cpus = cpus
        self.policies = [Policy(data, cpu) for cpu in range(cpus.topology.cpus)]
        self.boost = True
        self.turbo_disabled_by_firmware = False
        self.percent = [self._lowest_percent(), _PERCENT]

    def _lowest_percent(self) -> int:
        return -(-self.data.lowest * _PERCENT // self.data.boosted)

    def build(self, tree: Tree) -> None:
        """Add the files of all policies, and the driver's own."""
        for policy in self.policies:
            self._build_policy(tree, policy)
        if self.data.driver == "intel_pstate":
            self._build_intel(tree)
        else:
            tree.attr(f"{CPU}/cpufreq/boost", lambda: f"{int(self.boost)}\n", self._set_boost)
        if self.data.driver == "amd-pstate-epp":
            modes = ("active", "passive", "guided", "disable")
            tree.attr(f"{CPU}/amd_pstate/status", lambda: "active\n", self._mode(modes, errno.EBUSY))
            tree.text(f"{CPU}/amd_pstate/prefcore", "disabled")

    def _build_policy(self, tree: Tree, policy: Policy) -> None:
        data, base = self.data, f"{CPU}/cpufreq/policy{policy.cpu}"
        online = self.cpus.is_online(policy.cpu)
        tree.link(f"{CPU}/cpu{policy.cpu}/cpufreq", f"../cpufreq/policy{policy.cpu}", present=online)

        def live(read: Callable[[], object]) -> Read:
            """A policy whose CPU is offline is inactive: EBUSY."""

            def show() -> str:
                if not online():
                    raise error(errno.EBUSY)
                return f"{read()}\n"

            return show

        def store(write: Write) -> Write:
            def to_active(text: str) -> None:
                if not online():
                    raise error(errno.EBUSY)
                write(text)

            return to_active

        def show(name: str, read: Callable[[], object], write: Write | None = None, mode: int | None = None) -> None:
            tree.attr(f"{base}/{name}", live(read), store(write) if write else None, mode=mode)

        show("affected_cpus", lambda: policy.cpu)
        show("related_cpus", lambda: policy.cpu)
        show("cpuinfo_min_freq", lambda: data.lowest)
        show("cpuinfo_max_freq", lambda: policy.highest)
        show("cpuinfo_transition_latency", lambda: _LATENCY_NS[data.driver])
        show("scaling_driver", lambda: data.driver)
        show("scaling_available_governors", lambda: " ".join(data.governors) + " " * (not data.epp))
        show("scaling_governor", lambda: policy.governor, policy.set_governor)
        show("scaling_min_freq", lambda: policy.limits()[0], policy.set_min)
        show("scaling_max_freq", lambda: policy.limits()[1], policy.set_max)
        show("scaling_cur_freq", policy.current)
        show("scaling_setspeed", policy.speed, policy.set_speed)
        if data.table:
            show("scaling_available_frequencies", lambda: " ".join(map(str, data.table)) + " ")
            show("cpuinfo_cur_freq", policy.current, mode=0o400)
            show("freqdomain_cpus", lambda: policy.cpu)
            show("bios_limit", lambda: data.nominal)
        if data.epp:
            show("energy_performance_available_preferences", lambda: _preferences(data, policy))
            show("energy_performance_preference", policy.epp, policy.set_epp)
        if data.driver == "intel_pstate":
            show("base_frequency", lambda: data.nominal)
        if data.driver == "amd-pstate-epp":
            show("boost", lambda: int(policy.boost), lambda text: self._set_policy_boost(policy, text))
            show("amd_pstate_max_freq", lambda: data.boosted)
            show("amd_pstate_lowest_nonlinear_freq", lambda: data.nominal * 3 // 5)
            show("amd_pstate_highest_perf", lambda: _AMD_HIGHEST_PERF)

    def _set_boost(self, text: str) -> None:
        """cpufreq/boost: for amd-pstate the upper end of all policies; acpi-cpufreq changes no limit."""
        self.boost = _zero_or_one(text)
        if self.data.boosted > self.data.nominal:
            self._allow_boost(on=self.boost)

    def _allow_boost(self, *, on: bool) -> None:
        for policy in self.policies:
            policy.boost = on

    def _set_policy_boost(self, policy: Policy, text: str) -> None:
        """policyN/boost: EINVAL while boost is off for the whole machine."""
        on = _zero_or_one(text)
        if not self.boost:
            raise invalid()
        policy.boost = on

    def _build_intel(self, tree: Tree) -> None:
        base = f"{CPU}/intel_pstate"
        steps = (self.data.boosted - self.data.lowest) // _INTEL_STEP + 1
        turbo_steps = (self.data.boosted - self.data.nominal) // _INTEL_STEP
        tree.attr(f"{base}/status", lambda: "active\n", self._mode(("active", "passive", "off"), errno.EBUSY))
        tree.attr(f"{base}/no_turbo", lambda: f"{int(not self.boost)}\n", self._set_no_turbo)
        tree.attr(f"{base}/min_perf_pct", lambda: f"{self.percent[0]}\n", self._set_min_percent)
        tree.attr(f"{base}/max_perf_pct", lambda: f"{self.percent[1]}\n", self._set_max_percent)
        tree.text(f"{base}/num_pstates", str(steps))
        tree.text(f"{base}/turbo_pct", str(turbo_steps * _PERCENT // steps))
        tree.text(f"{base}/hwp_dynamic_boost", "0")

    def _set_no_turbo(self, text: str) -> None:
        """no_turbo is the inverse of boost; any number but 0 is 1; EPERM when the firmware took turbo away."""
        turbo = sscanf_unsigned(text) == 0
        if turbo and self.turbo_disabled_by_firmware:
            self._turn_turbo(on=False)
            raise error(errno.EPERM)
        self._turn_turbo(on=turbo)

    def _turn_turbo(self, *, on: bool) -> None:
        self.boost = on
        self._allow_boost(on=on)

    def disable_turbo(self) -> None:
        """Let the firmware take turbo away."""
        self.turbo_disabled_by_firmware = True
        self._turn_turbo(on=False)

    def _set_min_percent(self, text: str) -> None:
        self.percent[0] = clamp(sscanf_unsigned(text), self._lowest_percent(), self.percent[1])

    def _set_max_percent(self, text: str) -> None:
        self.percent[1] = clamp(sscanf_unsigned(text), self.percent[0], _PERCENT)
        for policy in self.policies:
            policy.limit = self.data.boosted * self.percent[1] // _PERCENT

    def _mode(self, modes: tuple[str, ...], refusal: int) -> Write:
        """A driver's status: only active is simulated, as if another mode were refused by a busy driver."""

        def store(text: str) -> None:
            if match_string(modes, text) != "active":
                raise error(refusal)

        return store


def _preferences(data: Frequencies, policy: Policy) -> str:
    """amd-pstate offers nothing else while the governor is performance."""
    if data.driver == "amd-pstate-epp" and policy.governor == "performance":
        return "performance"
    return " ".join(("default", *data.epp)) + " "


def _zero_or_one(text: str) -> bool:
    number = kstrtoul(text, 10)
    if number > 1:
        raise invalid()
    return bool(number)
