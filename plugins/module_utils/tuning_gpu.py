"""What the GPU settings of the inventory mean in knobs, through the vendors' tools: nvidia-smi, rocm-smi, amd-smi.

Knobs are named by the GPU's UUID (NVIDIA) or index (AMD). Power in W, clocks in MHz.
Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_knob import (
    Knob,
    MissingError,
    Planned,
    RefusedError,
    Skip,
    Step,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_knob import Machine

_QUERY = (
    "uuid", "persistence_mode", "power.limit", "clocks.applications.memory", "clocks.applications.graphics",
)  # fmt: skip
_NOT_TOLD = ("", "n/a", "[n/a]", "not supported", "[not supported]", "[unknown error]")
DEFAULT = "default"  # of what no tool tells: as the driver has it


class GpuKnob(Knob):
    """A property of one GPU; the name is "<gpu>:<property>"."""

    tool = ""

    @property
    def gpu(self) -> str:
        """UUID or index."""
        return self.name.rpartition(":")[0]

    @property
    def what(self) -> str:
        """The property."""
        return self.name.rpartition(":")[2]

    @property
    def readable(self) -> bool:  # type: ignore[override]
        """Locked clocks can be set but not asked for."""
        return self.what not in ("locked_clocks_mhz", "deterministic_clock_mhz")

    @property
    def explain(self) -> str:
        """GPU and property."""
        return f"{self.what} of GPU {self.gpu}"

    def call(self, *argv: str) -> None:
        """Set something; what was read before is then old."""
        self.machine.cache.clear()
        self.machine.run(self.tool, *argv)

    def same(self, wanted: str, found: str) -> bool:
        """Compare numbers as numbers: "300" is "300.00"."""
        return [_number(word) for word in wanted.split(",")] == [_number(word) for word in found.split(",")]


def _number(word: str) -> object:
    try:
        return float(word)
    except ValueError:
        return word.strip()


class NvidiaKnob(GpuKnob):
    """A property that nvidia-smi sets."""

    kind = "nvidia"
    tool = "nvidia-smi"

    def read(self) -> str:
        """Ask nvidia-smi, once for all GPUs."""
        gpu = nvidia_gpus(self.machine).get(self.gpu)
        if gpu is None:
            raise MissingError(f"there is no GPU {self.gpu}")
        fields = {
            "persistence": [gpu["persistence_mode"]],
            "power_limit_w": [gpu["power.limit"]],
            "application_clocks_mhz": [gpu["clocks.applications.memory"], gpu["clocks.applications.graphics"]],
        }.get(self.what, [DEFAULT])
        if any(field.lower() in _NOT_TOLD for field in fields):
            raise MissingError(f"{self.explain}: not supported by this GPU")
        return ",".join(fields)

    def write(self, value: str) -> None:
        """Set it."""
        option = {
            "persistence": ["-pm", "1" if value == "Enabled" else "0"],
            "power_limit_w": ["-pl", value],
            "application_clocks_mhz": ["-ac", value],
            "locked_clocks_mhz": ["-rgc"] if value == DEFAULT else ["-lgc", value],
        }[self.what]
        self.call("-i", self.gpu, *option)


def nvidia_gpus(machine: Machine) -> dict[str, dict[str, str]]:
    """Return what nvidia-smi tells of each GPU, by UUID.

    Raises:
        MissingError: There is no nvidia-smi, or it does not work.
    """
    if "nvidia" not in machine.cache:
        try:
            told = machine.run("nvidia-smi", f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader,nounits")
        except RefusedError as error:
            raise MissingError(str(error)) from None
        rows = [[cell.strip() for cell in line.split(",")] for line in told.splitlines() if line.strip()]
        rows = [row for row in rows if len(row) == len(_QUERY)]
        machine.cache["nvidia"] = {row[0]: dict(zip(_QUERY, row)) for row in rows}  # noqa: B905  # Python 3.8
    gpus: dict[str, dict[str, str]] = machine.cache["nvidia"]
    return gpus


class AmdKnob(GpuKnob):
    """A property that rocm-smi sets, or amd-smi where only that is installed."""

    kind = "amd"

    @property
    def tool(self) -> str:  # type: ignore[override]
        """The one that is installed."""
        return "rocm-smi" if self.machine.has_tool("rocm-smi") else "amd-smi"

    def read(self) -> str:
        """Ask for the power cap; performance determinism shows as a level of its own, without its clock."""
        limits = amd_gpus(self.machine)
        if self.gpu not in limits:
            raise MissingError(f"there is no GPU {self.gpu}")
        return limits[self.gpu] if self.what == "power_limit_w" else DEFAULT

    def write(self, value: str) -> None:
        """Set it."""
        watts = value.partition(".")[0]
        if self.tool == "rocm-smi":
            option = {
                "power_limit_w": ["--setpoweroverdrive", watts],
                "deterministic_clock_mhz": (
                    ["--resetperfdeterminism"] if value == DEFAULT else ["--setperfdeterminism", value]
                ),
            }[self.what]
            self.call("-d", self.gpu, *option, "--autorespond", "y")
            return
        option = {
            "power_limit_w": ["set", "--power-cap", watts],
            "deterministic_clock_mhz": (
                ["reset", "--perf-determinism"] if value == DEFAULT else ["set", "--perf-determinism", value]
            ),
        }[self.what]
        self.call(*option, "--gpu", self.gpu)


def amd_gpus(machine: Machine) -> dict[str, str]:
    """Return the power cap of each AMD GPU in W, by index.

    Raises:
        MissingError: There is no tool, or it does not work.
    """
    if "amd" not in machine.cache:
        try:
            if machine.has_tool("rocm-smi"):
                told = json.loads(machine.run("rocm-smi", "--showmaxpower", "--json"))
                machine.cache["amd"] = {
                    re.sub(r"\D", "", card): next(iter(fields.values()))
                    for card, fields in told.items()
                    if card.startswith("card") and fields
                }
            else:
                told = json.loads(machine.run("amd-smi", "static", "--limit", "--json"))
                cards = told["gpu_data"] if isinstance(told, dict) else told
                machine.cache["amd"] = {str(card["gpu"]): _watts(card["limit"]) for card in cards}
        except (RefusedError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise MissingError(f"the GPUs cannot be asked: {error}") from None
    limits: dict[str, str] = machine.cache["amd"]
    return limits


def _watts(limit: dict[str, Any]) -> str:
    """Return the power cap out of `amd-smi static --limit --json`, whose names differ between releases."""
    found = next(limit[name] for name in ("socket_power", "socket_power_limit", "power_cap") if name in limit)
    return str(found["value"] if isinstance(found, dict) else found)


# setting -> the property and its value for each vendor; None: that vendor has no such thing
_NVIDIA: dict[str, Callable[[Any], tuple[str, str]]] = {
    "gpu_persistence": lambda value: ("persistence", "Enabled" if value else "Disabled"),
    "gpu_power_limit_w": lambda value: ("power_limit_w", f"{value:g}"),
    "gpu_application_clocks_mhz": lambda value: ("application_clocks_mhz", f"{value['memory']},{value['graphics']}"),
    "gpu_locked_clocks_mhz": lambda value: ("locked_clocks_mhz", f"{value['min']},{value['max']}"),
}
_AMD: dict[str, Callable[[Any], tuple[str, str]]] = {
    "gpu_power_limit_w": lambda value: ("power_limit_w", f"{value:g}"),
    "gpu_deterministic_clock_mhz": lambda value: ("deterministic_clock_mhz", str(value)),
}


def _setting(name: str) -> Callable[[Machine, Mapping[str, Any]], Iterator[Planned]]:
    def expand(machine: Machine, settings: Mapping[str, Any]) -> Iterator[Planned]:
        reasons: list[str] = []
        found = False
        for vendor, gpus, kind in ((_NVIDIA, nvidia_gpus, NvidiaKnob), (_AMD, amd_gpus, AmdKnob)):
            try:
                ids = list(gpus(machine))
            except MissingError as error:
                reasons.append(str(error))
                continue
            if name not in vendor:
                reasons.append(f"{kind(machine, '').tool} has no such setting")
                continue
            what, wanted = vendor[name](settings[name])
            for gpu in ids:
                found = True
                knob = kind(machine, f"{gpu}:{what}")
                try:
                    knob.read()
                except MissingError as error:
                    yield Skip(name, knob.explain, str(error))
                else:
                    yield Step(name, knob, wanted)
        if not found:
            yield Skip(name, "", "; ".join(reasons) or "this host has no GPU")

    return expand


SETTINGS: dict[str, Callable[[Machine, Mapping[str, Any]], Iterator[Planned]]] = {
    name: _setting(name) for name in {**_NVIDIA, **_AMD}
}
