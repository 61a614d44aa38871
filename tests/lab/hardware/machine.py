"""One simulated machine: all its trees, and what no kernel interface can do to it."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from mlperf_ops.files import JsonObject
from tests.lab.hardware.cpufreq import Cpufreq
from tests.lab.hardware.cpuidle import Cpuidle
from tests.lab.hardware.cpus import CPU, Cpus, Topology
from tests.lab.hardware.layouts import LAYOUTS, Layout
from tests.lab.hardware.memory import Hugepages, TransparentHugepages
from tests.lab.hardware.sensors import Sensors
from tests.lab.hardware.sysctls import Real, Sysctls, machine_values, memory_kb
from tests.lab.hardware.tree import WRITE_ONLY, Tree
from tests.lab.hardware.values import error, invalid

CONTROL = "/control"
WRITES = "/writes"
# What the CPU folder also holds and no tool changes; taken from the machine as it is, so that lscpu and others work.
_AS_ON_THE_MACHINE = ("isolated", "kernel_max", "modalias", "uevent", "vulnerabilities/*", "microcode/version")


@dataclass(frozen=True, slots=True)
class Fault:
    """What a test lets happen to writes; ``code`` None means that the write succeeds and changes nothing."""

    pattern: str
    code: int | None


class Machine:
    """A simulated machine from its layout; it starts again as after boot, but faults that a test set stay."""

    def __init__(self, layout: str, topology: Topology) -> None:
        """Switch it on.

        Args:
            layout: a key of ``LAYOUTS``.
            topology: number of CPUs.
        """
        self.layout: Layout = LAYOUTS[layout]
        self.topology = topology
        self.sysctl_values: dict[str, Real] = machine_values()
        self.as_on_the_machine = _machine_texts(Path(CPU))
        self.faults: list[Fault] = []
        self.writes: list[str] = []
        self.boot()

    def boot(self) -> None:
        """Forget everything that was set."""
        self.tree = Tree()
        self.cpus = Cpus(self.topology)
        self.hugepages = Hugepages(self.topology.packages, memory_kb())
        self.sensors = Sensors(self.cpus, self.layout.sensor, counters=self.layout.throttle_counters)
        self.cpufreq = Cpufreq(self.layout.frequencies, self.cpus) if self.layout.frequencies else None
        parts: list[Callable[[Tree], None]] = [
            TransparentHugepages().build,
            self.hugepages.build,
            Sysctls(self.sysctl_values, self.hugepages, nmi_watchdog=self.layout.nmi_watchdog).build,
        ]
        if self.cpufreq is not None:
            idle = Cpuidle(self.layout.idle_driver, self.layout.idle_states, self.cpus)
            parts += [self.cpus.build, self.cpufreq.build, idle.build, self.sensors.build]
            for name, text in self.as_on_the_machine.items():
                self.tree.text(f"{CPU}/{name}", text)
        for build in parts:
            build(self.tree)
        self.tree.attr(CONTROL, lambda: "", self._control, mode=WRITE_ONLY)
        self.tree.attr(WRITES, lambda: "".join(self.writes))

    def refusal_to_open(self, path: str) -> None:
        """Raise what a test wants opening a file for writing to answer: permissions are checked there."""
        fault = self._fault(path)
        if fault is not None and fault.code in (errno.EACCES, errno.EROFS):
            raise error(fault.code)

    def write(self, path: str, text: str) -> None:
        """Store what a process of the host wrote, and note it for `WRITES`.

        Raises:
            OSError: what the driver answers, or a fault that a test set.
        """
        attr = self.tree.file(path)
        if path == CONTROL:
            self._control(text)
            return
        code = 0
        try:
            fault = self._fault(path)
            if fault is not None:
                if fault.code is not None:
                    raise error(fault.code)
                return
            if attr.write is None:
                raise error(errno.EIO)
            attr.write(text)
        except OSError as refused:
            code = refused.errno or errno.EIO
            raise
        finally:
            answer = errno.errorcode[code] if code else "ok"
            self.writes.append(json.dumps({"path": path, "text": text, "answer": answer}) + "\n")

    def _fault(self, path: str) -> Fault | None:
        return next((fault for fault in self.faults if fnmatchcase(path, fault.pattern)), None)

    def _control(self, text: str) -> None:
        """Do what a test asks: one JSON object with the key ``do``.

        Raises:
            OSError: EINVAL for anything that is not known.
        """
        try:
            asked = json.loads(text)
            does: dict[str, Callable[[JsonObject], None]] = {
                "boot": lambda _: self.boot(),
                "throttle": self._do_throttle,
                "temperature": self._do_temperature,
                "refuse": self._do_refuse,
                "ignore": self._do_ignore,
                "obey": self._do_obey,
                "set": self._do_set,
                "firmware-turbo-off": lambda _: self._turbo_off(),
                "free-hugepages": self._do_free_hugepages,
            }
            does[asked.pop("do")](asked)
        except (ValueError, KeyError, TypeError, AttributeError) as bad:
            raise invalid() from bad

    def _do_throttle(self, asked: JsonObject) -> None:
        self.sensors.throttle(int(str(asked["cpu"])), int(str(asked["times"])))

    def _do_temperature(self, asked: JsonObject) -> None:
        self.sensors.celsius = float(str(asked["celsius"]))

    def _do_refuse(self, asked: JsonObject) -> None:
        code = {name: number for number, name in errno.errorcode.items()}[str(asked["error"])]
        self.faults.append(Fault(str(asked["path"]), code))

    def _do_ignore(self, asked: JsonObject) -> None:
        self.faults.append(Fault(str(asked["path"]), None))

    def _do_obey(self, asked: JsonObject) -> None:
        self.faults = [fault for fault in self.faults if fault.pattern != asked["path"]]

    def _do_set(self, asked: JsonObject) -> None:
        write = self.tree.file(str(asked["path"])).write
        if write is None:
            raise error(errno.EACCES)
        write(str(asked["text"]))

    def _turbo_off(self) -> None:
        if self.cpufreq is None:
            raise invalid()
        self.cpufreq.disable_turbo()

    def _do_free_hugepages(self, asked: JsonObject) -> None:
        self.hugepages.free = [int(str(asked["pages"]))] * self.topology.packages


def _machine_texts(folder: Path) -> dict[str, str]:
    texts = {}
    for pattern in _AS_ON_THE_MACHINE:
        for path in sorted(folder.glob(pattern)):
            try:
                texts[str(path.relative_to(folder))] = path.read_text().removesuffix("\n")
            except OSError:
                continue  # a file that only some kernels let be read
    return texts
