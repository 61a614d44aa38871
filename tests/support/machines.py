"""A machine as a folder of plain files: enough for what reads and writes knobs, without any kernel behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CPU = "sys/devices/system/cpu"
THP = "sys/kernel/mm/transparent_hugepage"
_BOOT_ID = "proc/sys/kernel/random/boot_id"


class FakeMachine:
    """Files below a folder, with a home in it."""

    def __init__(self, root: Path, cpus: int = 2) -> None:
        """Make a machine with cpufreq, idle states and the usual sysctls."""
        self.root = root
        self.home = root / "home" / "mlperf"
        self.backup = root / "var/lib/mlperf-ops/tuning.json"
        self.state = self.home / "state/tuning.json"
        (root / "run/lock").mkdir(parents=True)
        (root / "var/lib").mkdir(parents=True)
        (root / "home").mkdir()
        self.reboot("first")
        for cpu in range(cpus):
            policy = f"{CPU}/cpufreq/policy{cpu}"
            self.write(f"{policy}/scaling_governor", "powersave")
            self.write(f"{policy}/scaling_available_governors", "performance powersave")
            self.write(f"{policy}/energy_performance_preference", "balance_performance")
            self.write(f"{policy}/scaling_min_freq", "1000000")
            self.write(f"{policy}/scaling_max_freq", "3000000")
            self.write(f"{policy}/cpuinfo_min_freq", "1000000")
            self.write(f"{policy}/cpuinfo_max_freq", "3000000")
            for number, (name, latency) in enumerate((("POLL", 0), ("C1", 2), ("C6", 170))):
                self.write(f"{CPU}/cpu{cpu}/cpuidle/state{number}/name", name)
                self.write(f"{CPU}/cpu{cpu}/cpuidle/state{number}/latency", str(latency))
                self.write(f"{CPU}/cpu{cpu}/cpuidle/state{number}/disable", "0")
        self.write(f"{CPU}/smt/control", "notsupported")
        self.write(f"{CPU}/online", f"0-{cpus - 1}")
        self.write(f"{THP}/enabled", "madvise")
        self.write("proc/sys/vm/swappiness", "60")
        self.write("proc/sys/vm/drop_caches", "0")
        self.write("proc/sys/kernel/numa_balancing", "1")
        self.write("proc/sys/kernel/nmi_watchdog", "1")
        self.write("proc/irq/7/smp_affinity_list", f"0-{cpus - 1}")

    def write(self, name: str, text: str) -> None:
        """Make a file as the kernel shows it."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    def link(self, name: str, target: str) -> None:
        """Let a knob be a real file of this machine's kernel, such as one that refuses or swallows."""
        path = self.root / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def read(self, name: str) -> str:
        """Return a file's text."""
        return (self.root / name).read_text().strip()

    def reboot(self, boot_id: str) -> None:
        """Give the boot another name."""
        self.write(_BOOT_ID, boot_id)

    def files(self) -> dict[str, bytes]:
        """Return every file of /proc and /sys, byte for byte."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for top in ("proc", "sys")
            for path in sorted((self.root / top).rglob("*"))
            if path.is_file() and not path.is_symlink()
        }

    def times(self) -> dict[str, int]:
        """Return when each file and folder was last changed, also of those that are not knobs."""
        return {str(path.relative_to(self.root)): path.lstat().st_mtime_ns for path in sorted(self.root.rglob("*"))}

    def kept(self) -> dict[str, Any]:
        """Return the backup's entries."""
        found: dict[str, Any] = json.loads(self.backup.read_text())["previous"]
        return found

    def parameters(self, state: str = "applied", **settings: Any) -> dict[str, Any]:  # noqa: ANN401  # any JSON
        """Return the parameters of the module."""
        return {
            "state": state,
            "settings": settings,
            "home": str(self.home),
            "user": "",
            "strict": False,
            "drop_caches": 0,
            "root": str(self.root),
        }
