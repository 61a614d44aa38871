"""Simulated C-states of each CPU. Semantics: drivers/cpuidle/sysfs.c."""

from __future__ import annotations

from collections.abc import Sequence

from tests.lab.hardware.cpus import CPU, Cpus
from tests.lab.hardware.layouts import IdleState
from tests.lab.hardware.tree import Tree
from tests.lab.hardware.values import kstrtoul, match_string

_GOVERNORS = ("ladder", "menu", "teo")


class Cpuidle:
    """What is disabled by the user, and the governor."""

    def __init__(self, driver: str, states: Sequence[IdleState], cpus: Cpus) -> None:
        """Nothing is disabled."""
        self.driver = driver
        self.states = tuple(states)
        self.cpus = cpus
        self.governor = "menu"
        self.disabled: set[tuple[int, int]] = set()

    def build(self, tree: Tree) -> None:
        """Add the files of all CPUs."""
        base = f"{CPU}/cpuidle"
        tree.text(f"{base}/available_governors", " ".join(_GOVERNORS) + " ")
        tree.text(f"{base}/current_driver", self.driver)
        tree.attr(f"{base}/current_governor", lambda: f"{self.governor}\n", self._set_governor)
        tree.attr(f"{base}/current_governor_ro", lambda: f"{self.governor}\n")
        for cpu in range(self.cpus.topology.cpus):
            tree.when(f"{CPU}/cpu{cpu}/cpuidle", self.cpus.is_online(cpu))
            for number, state in enumerate(self.states):
                self._build_state(tree, cpu, number, state)

    def _build_state(self, tree: Tree, cpu: int, number: int, state: IdleState) -> None:
        base, key = f"{CPU}/cpu{cpu}/cpuidle/state{number}", (cpu, number)
        for name, text in (("name", state.name), ("desc", state.desc), ("default_status", "enabled")):
            tree.text(f"{base}/{name}", text)
        for name, count in (("latency", state.latency), ("residency", state.residency)):
            tree.text(f"{base}/{name}", str(count))
        for name in ("usage", "time", "above", "below", "rejected", "power"):
            tree.text(f"{base}/{name}", "0")

        def disable(text: str) -> None:
            if kstrtoul(text):
                self.disabled.add(key)
            else:
                self.disabled.discard(key)

        tree.attr(f"{base}/disable", lambda: f"{int(key in self.disabled)}\n", disable)

    def _set_governor(self, text: str) -> None:
        self.governor = match_string(_GOVERNORS, text)
