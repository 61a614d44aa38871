"""Simulated transparent huge pages and huge pages. Semantics: mm/huge_memory.c, mm/hugetlb.c."""

from __future__ import annotations

from tests.lab.hardware.cpus import NODE
from tests.lab.hardware.tree import Tree
from tests.lab.hardware.values import kstrtoul, match_string

THP = "/sys/kernel/mm/transparent_hugepage"
HUGE = "/sys/kernel/mm/hugepages"
_CHOICES = {
    "enabled": ("always", "madvise", "never"),
    "defrag": ("always", "defer", "defer+madvise", "madvise", "never"),
    "shmem_enabled": ("always", "within_size", "advise", "never", "deny", "force"),
}
_NUMBERS = {
    "use_zero_page": "1",
    "khugepaged/defrag": "1",
    "khugepaged/alloc_sleep_millisecs": "60000",
    "khugepaged/scan_sleep_millisecs": "10000",
    "khugepaged/pages_to_scan": "4096",
    "khugepaged/max_ptes_none": "511",
}
_FLAGS = ("use_zero_page", "khugepaged/defrag")
_PAGE_KB = 2048


class TransparentHugepages:
    """The choices, shown with the one in force in brackets."""

    def __init__(self) -> None:
        """The values after boot of a Debian kernel."""
        self.chosen = {"enabled": "madvise", "defrag": "madvise", "shmem_enabled": "never"}
        self.numbers = dict(_NUMBERS)

    def build(self, tree: Tree) -> None:
        """Add the files."""
        for name in _CHOICES:
            self._build_choice(tree, name)
        for name in _NUMBERS:
            self._build_number(tree, name)
        tree.text(f"{THP}/hpage_pmd_size", str(_PAGE_KB * 1024))

    def _build_choice(self, tree: Tree, name: str) -> None:
        choices = _CHOICES[name]

        def show() -> str:
            return " ".join(f"[{one}]" if one == self.chosen[name] else one for one in choices) + "\n"

        def store(text: str) -> None:
            self.chosen[name] = match_string(choices, text)

        tree.attr(f"{THP}/{name}", show, store)

    def _build_number(self, tree: Tree, name: str) -> None:
        def store(text: str) -> None:
            number = kstrtoul(text, 10)
            self.numbers[name] = match_string("01", str(number)) if name in _FLAGS else str(number)

        tree.attr(f"{THP}/{name}", lambda: f"{self.numbers[name]}\n", store)


class Hugepages:
    """The pool of 2 MiB pages of each node; it takes no more than is free, without an error, as the kernel does.

    Attributes:
        pages: pages of each node.
        free: the most that each node can give; a test can lower it, as fragmentation does.
    """

    def __init__(self, nodes: int, memory_kb: int) -> None:
        """Empty pools; three quarters of the memory could become huge pages."""
        self.pages = [0] * nodes
        self.memory_kb = memory_kb // nodes
        self.free = [self.memory_kb * 3 // 4 // _PAGE_KB] * nodes

    def total(self) -> int:
        """vm.nr_hugepages."""
        return sum(self.pages)

    def set_total(self, pages: int) -> None:
        """Spread over the nodes as evenly as they can take it."""
        wanted = [0] * len(self.pages)
        left = pages
        for place, node in enumerate(sorted(range(len(wanted)), key=lambda node: self.free[node])):
            wanted[node] = min(self.free[node], left // (len(wanted) - place))
            left -= wanted[node]
        self.pages = wanted

    def build(self, tree: Tree) -> None:
        """Add the files of the machine and of each node."""
        pool = f"hugepages-{_PAGE_KB}kB"
        total = f"{HUGE}/{pool}"
        tree.attr(f"{total}/nr_hugepages", lambda: f"{self.total()}\n", lambda text: self.set_total(kstrtoul(text, 10)))
        tree.attr(f"{total}/free_hugepages", lambda: f"{self.total()}\n")
        for name in ("surplus_hugepages", "resv_hugepages", "nr_overcommit_hugepages"):
            tree.text(f"{total}/{name}", "0")
        for node in range(len(self.pages)):
            self._build_node(tree, node, f"{NODE}/node{node}")

    def _build_node(self, tree: Tree, node: int, base: str) -> None:
        def store(text: str) -> None:
            self.pages[node] = min(kstrtoul(text, 10), self.free[node])

        folder = f"{base}/hugepages/hugepages-{_PAGE_KB}kB"
        tree.attr(f"{folder}/nr_hugepages", lambda: f"{self.pages[node]}\n", store)
        tree.attr(f"{folder}/free_hugepages", lambda: f"{self.pages[node]}\n")
        tree.text(f"{folder}/surplus_hugepages", "0")

        def meminfo() -> str:
            huge_kb = self.pages[node] * _PAGE_KB
            rows = (
                ("MemTotal", f"{self.memory_kb} kB"),
                ("MemFree", f"{max(self.memory_kb - huge_kb, 0)} kB"),
                ("MemUsed", f"{huge_kb} kB"),
                ("HugePages_Total", str(self.pages[node])),
                ("HugePages_Free", str(self.pages[node])),
                ("HugePages_Surp", "0"),
            )
            return "".join(f"Node {node} {name + ':':<16}{value:>12}\n" for name, value in rows)

        tree.attr(f"{base}/meminfo", meminfo)
