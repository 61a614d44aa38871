"""Simulated CPUs: packages, cores and threads, which of them are online, and SMT.

Semantics: kernel/cpu.c (smt/control), drivers/base/cpu.c (online), drivers/base/topology.c.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from tests.lab.hardware.tree import READ_WRITE, Tree
from tests.lab.hardware.values import cpu_list, cpu_mask, error, invalid, kstrtobool, kstrtoul

CPU = "/sys/devices/system/cpu"
NODE = "/sys/devices/system/node"
_NEAR, _FAR = 10, 32
_CACHES = (("Data", 1, 32), ("Instruction", 1, 32), ("Unified", 2, 1024), ("Unified", 3, 32768))


@dataclass(frozen=True, slots=True)
class Topology:
    """Counts; thread t of core c is CPU c + t * cores, as Linux numbers them on servers."""

    cpus: int
    packages: int = 1
    threads: int = 1

    @property
    def cores(self) -> int:
        """Cores of all packages."""
        return self.cpus // self.threads

    def core(self, cpu: int) -> int:
        """The core of a CPU, counted over all packages."""
        return cpu % self.cores

    def package(self, cpu: int) -> int:
        """The package of a CPU."""
        return self.core(cpu) * self.packages // self.cores

    def thread(self, cpu: int) -> int:
        """Which thread of its core a CPU is."""
        return cpu // self.cores

    def siblings(self, cpu: int) -> list[int]:
        """The CPUs of the same core."""
        return [self.core(cpu) + thread * self.cores for thread in range(self.threads)]

    def of_package(self, package: int) -> list[int]:
        """The CPUs of a package."""
        return [cpu for cpu in range(self.cpus) if self.package(cpu) == package]


class Cpus:
    """Which CPUs are online, and what smt/control says."""

    def __init__(self, topology: Topology) -> None:
        """All CPUs are online."""
        self.topology = topology
        self.online = set(range(topology.cpus))
        self.smt = "on" if topology.threads > 1 else "notsupported"

    def is_online(self, cpu: int) -> Callable[[], bool]:
        """The question whether a CPU is online."""
        return lambda: cpu in self.online

    def set_online(self, cpu: int, text: str) -> None:
        """cpuN/online: a further thread of a core stays offline while SMT is off (EPERM)."""
        if not kstrtobool(text):
            self.online.discard(cpu)
            return
        if self.smt in ("off", "forceoff") and self.topology.thread(cpu) > 0:
            raise error(errno.EPERM)
        self.online.add(cpu)

    def set_smt(self, text: str) -> None:
        """smt/control: on, off, forceoff (for good), or the number of threads."""
        if self.smt == "forceoff":
            raise error(errno.EPERM)
        if self.smt == "notsupported":
            raise error(errno.ENODEV)
        word = text.removesuffix("\n")
        if word not in ("on", "off", "forceoff"):
            threads = kstrtoul(text, 10)
            if threads not in (1, self.topology.threads):
                raise invalid()
            word = "off" if threads == 1 else "on"
        self.smt = word
        everyone = set(range(self.topology.cpus))
        self.online |= everyone if word == "on" else set()
        if word != "on":
            self.online -= {cpu for cpu in everyone if self.topology.thread(cpu) > 0}

    def smt_active(self) -> bool:
        """Whether any core runs more than one thread."""
        return len({self.topology.core(cpu) for cpu in self.online}) < len(self.online)

    def list_of(self, cpus: list[int] | range) -> str:
        """Those of the CPUs that are online, as a list."""
        return cpu_list(cpu for cpu in cpus if cpu in self.online)

    def build(self, tree: Tree) -> None:
        """Add the CPUs' files that do not belong to a driver."""
        every = range(self.topology.cpus)
        tree.text(f"{CPU}/possible", cpu_list(every))
        tree.text(f"{CPU}/present", cpu_list(every))
        tree.attr(f"{CPU}/online", lambda: f"{cpu_list(self.online)}\n")
        tree.attr(f"{CPU}/offline", lambda: f"{cpu_list(set(every) - self.online)}\n")
        tree.attr(f"{CPU}/enabled", lambda: f"{cpu_list(every)}\n")
        tree.attr(f"{CPU}/smt/control", lambda: f"{self.smt}\n", self.set_smt, mode=READ_WRITE)
        tree.attr(f"{CPU}/smt/active", lambda: f"{int(self.smt_active())}\n")
        for cpu in every:
            self._build_cpu(tree, cpu)
        self._build_nodes(tree)

    def _build_cpu(self, tree: Tree, cpu: int) -> None:
        top, base = self.topology, f"{CPU}/cpu{cpu}"
        tree.link(f"{base}/subsystem", "../../../../bus/cpu")
        tree.link(f"{base}/node{top.package(cpu)}", f"../../node/node{top.package(cpu)}")
        if cpu > 0:  # the first CPU cannot be taken offline on x86
            tree.attr(f"{base}/online", lambda: f"{int(cpu in self.online)}\n", lambda text: self.set_online(cpu, text))
        topology = f"{base}/topology"
        tree.when(topology, self.is_online(cpu))
        for name, number in (
            ("core_id", top.core(cpu) % (top.cores // top.packages)),
            ("physical_package_id", top.package(cpu)),
            ("die_id", 0),
            ("cluster_id", 65535),
        ):
            tree.text(f"{topology}/{name}", str(number))
        groups = {
            ("core_cpus", "thread_siblings", "cluster_cpus"): top.siblings(cpu),
            ("package_cpus", "core_siblings", "die_cpus"): top.of_package(top.package(cpu)),
        }
        for names, cpus in groups.items():
            for name in names:
                self._sets(tree, f"{topology}/{name}", f"{topology}/{name}_list", cpus)
        tree.when(f"{base}/cache", self.is_online(cpu))
        for index, (kind, level, size_kib) in enumerate(_CACHES):
            cache = f"{base}/cache/index{index}"
            shared = top.siblings(cpu) if level < 3 else top.of_package(top.package(cpu))
            for name, text in (
                ("type", kind),
                ("level", str(level)),
                ("size", f"{size_kib}K"),
                ("id", str(min(shared))),
            ):
                tree.text(f"{cache}/{name}", text)
            tree.text(f"{cache}/coherency_line_size", "64")
            tree.text(f"{cache}/ways_of_associativity", "16")
            tree.text(f"{cache}/number_of_sets", str(size_kib * 1024 // 64 // 16))
            self._sets(tree, f"{cache}/shared_cpu_map", f"{cache}/shared_cpu_list", shared)

    def _sets(self, tree: Tree, mask: str, listed: str, cpus: list[int]) -> None:
        count = self.topology.cpus
        tree.attr(mask, lambda: f"{cpu_mask(self.online.intersection(cpus), count)}\n")
        tree.attr(listed, lambda: f"{self.list_of(cpus)}\n")

    def _build_nodes(self, tree: Tree) -> None:
        nodes = range(self.topology.packages)
        for name in ("online", "possible", "has_cpu", "has_memory", "has_normal_memory"):
            tree.text(f"{NODE}/{name}", cpu_list(nodes))
        for node in nodes:
            cpus, base = self.topology.of_package(node), f"{NODE}/node{node}"
            self._sets(tree, f"{base}/cpumap", f"{base}/cpulist", cpus)
            tree.text(f"{base}/distance", " ".join(str(_NEAR if other == node else _FAR) for other in nodes))
            for cpu in cpus:
                tree.link(f"{base}/cpu{cpu}", f"../../cpu/cpu{cpu}", present=self.is_online(cpu))
