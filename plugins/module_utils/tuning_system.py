"""What the settings of services and interrupts mean in knobs: irqbalance, IRQ affinity, nvpmodel.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_knob import (
    Knob,
    MissingError,
    Planned,
    RefusedError,
    Skip,
    Step,
    parse_cpu_list,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_knob import Machine

_IRQ = "/proc/irq"
_ONLINE = "/sys/devices/system/cpu/online"


class ServiceKnob(Knob):
    """Whether a systemd unit runs: "active" or "inactive"."""

    kind = "service"

    @property
    def explain(self) -> str:
        """The unit."""
        return f"service {self.name}"

    def read(self) -> str:
        """Ask systemd; a unit that is not installed does not run."""
        if not self.machine.has("/run/systemd/system"):
            raise MissingError("this host does not run systemd")
        try:
            told = self.machine.run("systemctl", "show", "--property=LoadState,ActiveState", f"{self.name}.service")
        except RefusedError as error:
            raise MissingError(str(error)) from None
        return "active" if re.search(r"^ActiveState=(active|activating|reloading)$", told, re.MULTILINE) else "inactive"

    def write(self, value: str) -> None:
        """Start or stop it; whether it starts with the machine stays as it is."""
        self.machine.run("systemctl", "start" if value == "active" else "stop", f"{self.name}.service")


def irqbalance_runs(machine: Machine) -> bool:
    """Tell whether a daemon moves interrupts."""
    try:
        return ServiceKnob(machine, "irqbalance").read() == "active"
    except MissingError:
        return False


def irqbalance(machine: Machine, settings: Mapping[str, Any]) -> Iterator[Planned]:
    """The daemon that spreads interrupts."""
    knob = ServiceKnob(machine, "irqbalance")
    try:
        knob.read()
    except MissingError as error:
        yield Skip("irqbalance", "", str(error))
    else:
        yield Step("irqbalance", knob, "active" if settings["irqbalance"] else "inactive")


class IrqKnob(Knob):
    """The CPUs that an interrupt may go to. After a reboot its number may be another device's."""

    kind = "irq"
    lasts_over_boots = False

    @property
    def explain(self) -> str:
        """Its file."""
        return f"{_IRQ}/{self.name}/smp_affinity_list"

    @property
    def path(self) -> str:  # type: ignore[override]
        """The same."""
        return self.explain

    def read(self) -> str:
        """Return a Linux CPU list."""
        return self.machine.read(self.explain)

    def write(self, value: str) -> None:
        """Move it; per-CPU and managed interrupts refuse."""
        try:
            self.machine.write(self.explain, value)
        except RefusedError as error:
            raise RefusedError(f"this interrupt cannot be moved: {error}") from None

    def same(self, wanted: str, found: str) -> bool:
        """Compare as sets."""
        return parse_cpu_list(wanted) == parse_cpu_list(found)


def interrupts(setting: str, machine: Machine, wanted: str | None) -> Iterator[Step]:
    """Return a step for every interrupt."""
    for number in machine.names(_IRQ):
        knob = IrqKnob(machine, number)
        if number.isdigit() and machine.has(knob.explain):
            yield Step(setting, knob, wanted)


def irq_cpus(machine: Machine, settings: Mapping[str, Any]) -> Iterator[Planned]:
    """The CPUs that interrupts may go to."""
    wanted = str(settings["irq_cpus"])
    try:
        online = machine.read(_ONLINE)
    except MissingError as error:
        yield Skip("irq_cpus", "", str(error))
        return
    if not parse_cpu_list(wanted) <= parse_cpu_list(online):
        yield Skip("irq_cpus", "", f"this host has CPUs {online} online, not all of {wanted}")
        return
    yield from interrupts("irq_cpus", machine, wanted)


class NvpmodelKnob(Knob):
    """The power mode of a Jetson, by number; /etc/nvpmodel.conf says what each is."""

    kind = "nvpmodel"

    @property
    def explain(self) -> str:
        """The tool."""
        return "nvpmodel mode"

    def read(self) -> str:
        """Return the number that `nvpmodel -q` prints below the mode's name."""
        try:
            lines = self.machine.run("nvpmodel", "-q").split()
        except RefusedError as error:
            raise MissingError(str(error)) from None
        if not lines or not lines[-1].isdigit():
            raise MissingError("nvpmodel tells no mode")
        return lines[-1]

    def write(self, value: str) -> None:
        """Change the mode; one that needs a reboot is refused by the tool, as nobody answers its question."""
        self.machine.run("nvpmodel", "-m", value)


def nvpmodel_mode(machine: Machine, settings: Mapping[str, Any]) -> Iterator[Planned]:
    """Jetson only."""
    knob = NvpmodelKnob(machine, "mode")
    try:
        knob.read()
    except MissingError as error:
        yield Skip("nvpmodel_mode", "", str(error))
    else:
        yield Step("nvpmodel_mode", knob, str(settings["nvpmodel_mode"]))


SETTINGS: dict[str, Callable[[Machine, Mapping[str, Any]], Iterator[Planned]]] = {
    "nvpmodel_mode": nvpmodel_mode,
    "irqbalance": irqbalance,
    "irq_cpus": irq_cpus,
}
