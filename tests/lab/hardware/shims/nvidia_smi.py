#!/usr/bin/python3
"""SIMULATION of nvidia-smi for lab hosts: two GPUs that exist only in /lab/shims/nvidia-smi.json.

Answers --query-gpu with --format=csv (again and again with --loop-ms), -L, -pm, -pl, -lgc, -rgc, -ac and -rac with the
texts and exit codes of the real tool (driver 550 to 580, nvidia-smi(1)); nothing else of it. As with the real driver,
locked clocks cannot be queried.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

sys.path.insert(0, "/usr/local/lib/lab-shims")
from tests.lab.hardware.shims import simulation

TOOL = "nvidia-smi"
INVALID, NO_PERMISSION, NOT_FOUND = 2, 4, 6  # exit codes of nvidia-smi(1)
KNOWN_ISSUES = (
    "See the Known Issues section of the nvidia-smi(1) man page for more information. Run with [--help | -h] switch to "
    "get more information on how to enable persistence mode."
)
FAILED = "Terminating early due to previous errors."


def gpu(index: int) -> dict[str, Any]:
    """One GPU after boot; MHz, W, MiB and degrees Celsius."""
    return {
        "index": index,
        "name": "NVIDIA H100 80GB HBM3 (simulated)",
        "uuid": f"GPU-5151a51a-7ed0-0000-0000-00000000000{index}",
        "bus": f"00000000:{0x19 + index * 34:02X}:00.0",
        "driver": "550.90.07",
        "vbios": "96.00.99.00.01",
        "memory": 81559,
        "persistence": False,
        "power": 700.0,
        "power_default": 700.0,
        "power_min": 200.0,
        "power_max": 700.0,
        "draw": 71.4,
        "sm_max": 1980,
        "sm_min": 345,
        "memory_clocks": [2619],
        "applications": [2619, 1980],
        "locked": None,
        "celsius": 31,
        "throttle": 0,
    }


FIRST: dict[str, Any] = {"gpus": [gpu(0), gpu(1)]}


def onoff(value: object) -> str:
    """Enabled or Disabled."""
    return "Enabled" if value else "Disabled"


def fixed(value: object) -> Callable[[dict[str, Any]], object]:
    """What is the same for all GPUs."""
    return lambda _: value


# Field -> unit in the header and behind each value, and how it is read.
FIELDS: dict[str, tuple[str, Any]] = {
    "timestamp": ("", lambda _: datetime.now().astimezone().strftime("%Y/%m/%d %H:%M:%S.%f")[:-3]),
    "index": ("", lambda g: g["index"]),
    "name": ("", lambda g: g["name"]),
    "uuid": ("", lambda g: g["uuid"]),
    "serial": ("", fixed("[N/A]")),
    "pci.bus_id": ("", lambda g: g["bus"]),
    "driver_version": ("", lambda g: g["driver"]),
    "vbios_version": ("", lambda g: g["vbios"]),
    "compute_cap": ("", fixed("9.0")),
    "ecc.mode.current": ("", fixed("Enabled")),
    "mig.mode.current": ("", fixed("Disabled")),
    "compute_mode": ("", fixed("Default")),
    "pcie.link.gen.max": ("", fixed(5)),
    "pcie.link.gen.current": ("", fixed(5)),
    "pcie.link.width.max": ("", fixed(16)),
    "pcie.link.width.current": ("", fixed(16)),
    "memory.total": ("MiB", lambda g: g["memory"]),
    "memory.used": ("MiB", fixed(1)),
    "memory.free": ("MiB", lambda g: g["memory"] - 1),
    "utilization.gpu": ("%", fixed(0)),
    "utilization.memory": ("%", fixed(0)),
    "temperature.gpu": ("", lambda g: g["celsius"]),
    "persistence_mode": ("", lambda g: onoff(g["persistence"])),
    "power.draw": ("W", lambda g: f"{g['draw']:.2f}"),
    "power.limit": ("W", lambda g: f"{g['power']:.2f}"),
    "enforced.power.limit": ("W", lambda g: f"{g['power']:.2f}"),
    "power.default_limit": ("W", lambda g: f"{g['power_default']:.2f}"),
    "power.min_limit": ("W", lambda g: f"{g['power_min']:.2f}"),
    "power.max_limit": ("W", lambda g: f"{g['power_max']:.2f}"),
    "clocks.max.sm": ("MHz", lambda g: g["sm_max"]),
    "clocks.max.graphics": ("MHz", lambda g: g["sm_max"]),
    "clocks.max.memory": ("MHz", lambda g: max(g["memory_clocks"])),
    "clocks.sm": ("MHz", lambda g: g["locked"][0] if g["locked"] else g["sm_min"]),
    "clocks.graphics": ("MHz", lambda g: g["locked"][0] if g["locked"] else g["sm_min"]),
    "clocks.memory": ("MHz", lambda g: max(g["memory_clocks"])),
    "clocks.applications.memory": ("MHz", lambda g: g["applications"][0]),
    "clocks.applications.graphics": ("MHz", lambda g: g["applications"][1]),
    "clocks.default_applications.memory": ("MHz", lambda g: max(g["memory_clocks"])),
    "clocks.default_applications.graphics": ("MHz", lambda g: g["sm_max"]),
    "clocks_event_reasons.active": ("", lambda g: f"0x{g['throttle']:016x}"),
    "clocks_throttle_reasons.active": ("", lambda g: f"0x{g['throttle']:016x}"),
}
ALIASES = {
    "gpu_name": "name",
    "gpu_uuid": "uuid",
    "gpu_bus_id": "pci.bus_id",
    "clocks.max.mem": "clocks.max.memory",
    "clocks.max.gr": "clocks.max.graphics",
    "clocks.current.sm": "clocks.sm",
    "clocks.current.graphics": "clocks.graphics",
    "clocks.current.memory": "clocks.memory",
    "clocks.applications.mem": "clocks.applications.memory",
    "clocks.applications.gr": "clocks.applications.graphics",
    "clocks.default_applications.mem": "clocks.default_applications.memory",
    "clocks.default_applications.gr": "clocks.default_applications.graphics",
}
# Short and long options that take a value.
VALUED = {
    "-i": "id",
    "--id": "id",
    "-pm": "pm",
    "--persistence-mode": "pm",
    "-pl": "pl",
    "--power-limit": "pl",
    "-lgc": "lgc",
    "--lock-gpu-clocks": "lgc",
    "-ac": "ac",
    "--applications-clocks": "ac",
    "--query-gpu": "query",
    "--format": "format",
    "-lms": "loop",
    "--loop-ms": "loop",
}
PLAIN = {
    "-L": "list",
    "--list-gpus": "list",
    "-rgc": "rgc",
    "--reset-gpu-clocks": "rgc",
    "-rac": "rac",
    "--reset-applications-clocks": "rac",
}


class RefusedError(Exception):
    """What the tool says before it ends, and its exit code."""

    def __init__(self, text: str, code: int) -> None:
        """Keep both."""
        super().__init__(text)
        self.code = code


def options(argv: list[str]) -> dict[str, str]:
    """Read the command line."""
    found: dict[str, str] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        key, equals, value = word.partition("=")
        if word in PLAIN:
            found[PLAIN[word]] = ""
        elif key in VALUED and (equals or rest):
            found[VALUED[key]] = value if equals else rest.pop(0)
        else:
            raise RefusedError(
                f"Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\n\n{word}", 1
            )
    return found


def chosen(gpus: list[dict[str, Any]], ids: str | None) -> list[dict[str, Any]]:
    """The GPUs of -i: indexes, UUIDs or bus ids with commas between."""
    if ids is None:
        return gpus
    by_name = {str(g[key]): g for g in gpus for key in ("index", "uuid", "bus")}
    unknown = [name for name in ids.split(",") if name not in by_name]
    if unknown:
        raise RefusedError("No devices were found", NOT_FOUND)
    return [by_name[name] for name in ids.split(",")]


def query(gpus: list[dict[str, Any]], names: str, how: str) -> None:
    """--query-gpu."""
    fields = [name.strip() for name in names.split(",")]
    for name in fields:
        if ALIASES.get(name, name) not in FIELDS:
            raise RefusedError(f'Field "{name}" is not a valid field to query.\n', INVALID)
    words = how.split(",")
    if "csv" not in words:
        raise RefusedError('"--format=" switch is missing. You should specify e.g. --format=csv', 1)
    rows = [(name, *FIELDS[ALIASES.get(name, name)]) for name in fields]
    if "noheader" not in words:
        simulation.say(", ".join(f"{name} [{unit}]" if unit else name for name, unit, _ in rows))
    for one in gpus:
        simulation.say(
            ", ".join(
                f"{read(one)} {unit}" if unit and "nounits" not in words else str(read(one)) for _, unit, read in rows
            )
        )


def change(gpus: list[dict[str, Any]], asked: dict[str, str]) -> None:
    """All options that set something."""
    if not simulation.is_root():
        raise RefusedError(
            f"Unable to change settings of GPU {gpus[0]['bus']}: Insufficient Permissions\n{FAILED}", NO_PERMISSION
        )
    for one in gpus:
        if "pm" in asked:
            set_persistence(one, asked["pm"])
        if "pl" in asked:
            set_power(one, asked["pl"])
        if "lgc" in asked:
            lock_clocks(one, asked["lgc"])
        if "rgc" in asked:
            one["locked"] = None
        if "ac" in asked:
            set_applications(one, asked["ac"])
        if "rac" in asked:
            one["applications"] = [max(one["memory_clocks"]), one["sm_max"]]
    for one in gpus:
        if not one["persistence"] and "pm" not in asked:
            simulation.say(f"\nWarning: persistence mode is disabled on device {one['bus']}. {KNOWN_ISSUES}")
    simulation.say("All done.")


def set_persistence(one: dict[str, Any], text: str) -> None:
    """-pm."""
    if text not in ("0", "1", "DISABLED", "ENABLED"):
        raise RefusedError("Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.", 1)
    on = text in ("1", "ENABLED")
    same = one["persistence"] == on
    one["persistence"] = on
    said = f"Persistence mode is already {onoff(on)}" if same else f"{onoff(on)} persistence mode"
    simulation.say(f"{said} for GPU {one['bus']}.")


def set_power(one: dict[str, Any], text: str) -> None:
    """-pl, in W."""
    try:
        watts = float(text)
    except ValueError:
        raise RefusedError(f"Invalid power limit value: {text}", INVALID) from None
    if not one["power_min"] <= watts <= one["power_max"]:
        between = f"between {one['power_min']:.2f} W and {one['power_max']:.2f} W for GPU {one['bus']}"
        raise RefusedError(
            f"Provided power limit {watts:.2f} W is not a valid power limit which should be {between}\n{FAILED}",
            INVALID,
        )
    simulation.say(f"Power limit for GPU {one['bus']} was set to {watts:.2f} W from {one['power']:.2f} W.")
    one["power"] = watts


def lock_clocks(one: dict[str, Any], text: str) -> None:
    """-lgc, in MHz: one clock, or lowest and highest."""
    words = text.split(",")
    if not all(word.isdecimal() for word in words) or len(words) > 2:
        raise RefusedError(f"Invalid GPU clocks: {text}\n{FAILED}", INVALID)
    low, high = int(words[0]), int(words[-1])
    if low > high:
        raise RefusedError(
            f"Setting locked GPU clocks is not supported for GPU {one['bus']}: Invalid Argument\n{FAILED}", INVALID
        )
    one["locked"] = [min(max(clock, one["sm_min"]), one["sm_max"]) for clock in (low, high)]
    simulation.say(f'GPU clocks set to "(gpuClkMin {low}, gpuClkMax {high})" for GPU {one["bus"]}')


def set_applications(one: dict[str, Any], text: str) -> None:
    """-ac MEMORY,GRAPHICS, in MHz."""
    words = text.split(",")
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        raise RefusedError(f"Invalid applications clocks: {text}\n{FAILED}", INVALID)
    memory, graphics = map(int, words)
    if memory not in one["memory_clocks"] or not one["sm_min"] <= graphics <= one["sm_max"] or graphics % 15:
        said = f'Specified clock combination "(MEM {memory}, SM {graphics})" is not supported for GPU {one["bus"]}.'
        hint = "Run 'nvidia-smi -q -d SUPPORTED_CLOCKS' to see list of supported clock combinations"
        raise RefusedError(f"{said} {hint}\n{FAILED}", INVALID)
    one["applications"] = [memory, graphics]
    simulation.say(f'Applications clocks set to "(MEM {memory}, SM {graphics})" for GPU {one["bus"]}')


def answer(asked: dict[str, str], gpus: list[dict[str, Any]]) -> None:
    """Query, list or change."""
    asked.pop("id", None)
    if "query" in asked:
        query(gpus, asked["query"], asked.get("format", ""))
    elif "list" in asked:
        for one in gpus:
            simulation.say(f"GPU {one['index']}: {one['name']} (UUID: {one['uuid']})")
    elif asked:
        change(gpus, asked)
    else:
        raise RefusedError("This simulation of nvidia-smi shows no overview; use --query-gpu.", 1)


def main() -> int:
    """Do what the command line asks."""
    argv = simulation.log(TOOL)
    try:
        asked = options(argv)
        interval_ms = asked.pop("loop", None)
        while True:
            with simulation.state(TOOL, FIRST) as state:
                answer(dict(asked), chosen(state["gpus"], asked.get("id")))
            if interval_ms is None:
                break
            sys.stdout.flush()
            time.sleep(int(interval_ms) / 1000)
    except RefusedError as refused:
        simulation.say(refused)
        return refused.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
