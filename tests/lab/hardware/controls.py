"""What a test does to the simulated hardware of a host, past all interfaces of its kernel."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.files import Json, JsonObject

_CPU = "/sys/devices/system/cpu"


@dataclass(frozen=True, slots=True)
class Controls:
    """The hardware of one host, by the host's root file system as seen from the machine: ``Controls(host.root)``.

    Paths are the host's own (``/sys/devices/system/cpu/…``, ``/proc/sys/vm/swappiness``) and may hold ``*``.
    """

    root: Path

    def throttle(self, cpu: int = 0, times: int = 1) -> None:
        """Count throttle events of a CPU, its core and its package."""
        self._do("throttle", cpu=cpu, times=times)

    def temperature(self, celsius: float) -> None:
        """Set what all sensors show."""
        self._do("temperature", celsius=celsius)

    def refuse(self, path: str, error: str = "EPERM") -> None:
        """Let writes to a path fail with an error of errno.h, until `obey`."""
        self._do("refuse", path=path, error=error)

    def ignore(self, path: str) -> None:
        """Let writes to a path succeed without any effect, until `obey`."""
        self._do("ignore", path=path)

    def obey(self, path: str) -> None:
        """End `refuse` and `ignore` of the same path."""
        self._do("obey", path=path)

    def set(self, path: str, text: str) -> None:
        """Change a knob as another tool would: it is not in `writes`, and no fault applies."""
        self._do("set", path=path, text=text)

    def turbo_off_in_firmware(self) -> None:
        """Let the firmware take turbo away; intel_pstate then refuses to turn it on."""
        self._do("firmware-turbo-off")

    def free_hugepages(self, pages: int) -> None:
        """Let each NUMA node give no more than so many huge pages."""
        self._do("free-hugepages", pages=pages)

    def boot(self) -> None:
        """Forget all settings, as a reboot of the host does by itself."""
        self._do("boot")

    def writes(self) -> list[JsonObject]:
        """What processes of the host wrote so far, in order: path, text, answer ("ok" or the name of an error)."""
        return [json.loads(line) for line in (self.root / "lab/hw/writes").read_text().splitlines()]

    def read(self, path: str) -> str:
        """What the host reads at a path, without its newline."""
        return (self.root / "lab/hw" / path.removeprefix("/")).read_text().rstrip("\n")

    def cpu(self, name: str) -> str:
        """What the host reads below /sys/devices/system/cpu."""
        return self.read(f"{_CPU}/{name}")

    def _do(self, what: str, **asked: Json) -> None:
        with (self.root / "lab/hw/control").open("wb", buffering=0) as control:
            control.write(json.dumps({"do": what, **asked}).encode())
