"""How a machine is read: files below a root, tools started side by side, and parsers of what they print.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

COMMAND_TIMEOUT_SECONDS = 20.0
NOT_UNDERSTOOD = (ValueError, KeyError, TypeError, AttributeError)  # what a parser raises on other output
_SYSTEM_PATHS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin")  # a plain user's PATH lacks the sbin ones
_NOT_TOLD = ("", "-", "n/a", "[n/a]", "[not supported]", "none", "to be filled by o.e.m.", "default string")


class Machine:
    """Where facts are read: a file system root, a search path for tools and the user's id."""

    def __init__(self, root: str = "/", search_path: str | None = None, uid: int | None = None) -> None:
        self.root = root
        self.search_path = (
            search_path if search_path is not None else os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM_PATHS])
        )
        self.uid = os.geteuid() if uid is None else uid
        self._started: dict[str, Any] = {}

    def path(self, name: str) -> str:
        """Return where a path of the machine is found below the root."""
        return os.path.join(self.root, name.lstrip("/"))

    def read(self, name: str) -> str | None:
        """Return a file's text without the final newline, None when it cannot be read or says nothing."""
        try:
            with open(self.path(name), encoding="utf-8", errors="replace") as stream:
                text = stream.read().strip("\n\x00 ")
        except OSError:
            return None
        return text or None

    def names(self, folder: str) -> list[str]:
        """Return the sorted names in a folder, none when there is no such folder."""
        try:
            return sorted(os.listdir(self.path(folder)))
        except OSError:
            return []

    def link(self, name: str) -> str | None:
        """Return the last part of a symbolic link's target."""
        try:
            return os.path.basename(os.readlink(self.path(name)))
        except OSError:
            return None

    def start(self, commands: Mapping[str, list[str]]) -> None:
        """Start all commands at once, so that they cost the slowest one and not the sum."""
        environment = dict(os.environ, LC_ALL="C", LANG="C")
        for name, argv in commands.items():
            program = shutil.which(argv[0], path=self.search_path)
            if program is None:
                self._started[name] = f"{argv[0]} is not installed"
                continue
            if name == "dmidecode" and self.uid != 0:
                self._started[name] = "dmidecode needs root"
                continue
            try:
                self._started[name] = subprocess.Popen(
                    [program, *argv[1:]],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT if name == "dmidecode" else subprocess.DEVNULL,
                    env=environment,
                    universal_newlines=True,
                )
            except OSError as error:
                self._started[name] = f"{argv[0]} cannot be started: {error.strerror}"

    def output(self, name: str) -> tuple[str | None, str]:
        """Return a started command's output, or None and the reason for none."""
        process = self._started.get(name, f"{name} was not started")
        if isinstance(process, str):
            return None, process
        try:
            text, _ = process.communicate(timeout=COMMAND_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return None, f"{name} gave no answer within {COMMAND_TIMEOUT_SECONDS:.0f} s"
        if process.returncode != 0:
            return None, f"{name} failed with exit code {process.returncode}"
        return text, ""

    def stop(self) -> None:
        """End the commands that nobody waited for."""
        for process in self._started.values():
            if not isinstance(process, str) and process.returncode is None:
                process.kill()
                process.communicate()


def told(text: str | None) -> str | None:
    return None if text is None or text.strip().lower() in _NOT_TOLD else text.strip()


def number(text: str | None, convert: Callable[[str], float]) -> float | None:
    try:
        return None if text is None else convert(text)
    except ValueError:
        return None


def parse_lscpu(text: str) -> dict[str, str]:
    """Return the fields of `lscpu -J`, nested (util-linux 2.38 and newer) or flat, by name without the colon."""
    fields: dict[str, str] = {}
    waiting = list(json.loads(text)["lscpu"])
    while waiting:
        entry = waiting.pop(0)
        if entry.get("data") is not None:
            fields.setdefault(entry["field"].rstrip(":"), entry["data"])
        waiting.extend(entry.get("children", []))
    return fields


def parse_dmidecode_memory(text: str) -> list[dict[str, Any]]:
    """Return the populated memory modules, equal ones counted: size in GiB, type and configured speed."""
    counted: dict[tuple[int, str | None, str | None], int] = {}
    for block in re.split(r"\n\s*\n", text):
        if not re.search(r"^Memory Device$", block, re.MULTILINE):
            continue
        fields = dict(re.findall(r"^\s+([^:\n]+):\s*(.*)$", block, re.MULTILINE))
        size = re.match(r"(\d+)\s*(MB|GB|TB)$", fields.get("Size", "").replace("iB", "B"))
        if size is None:
            continue  # "No Module Installed"
        mebibytes = int(size.group(1)) * {"MB": 1, "GB": 1024, "TB": 1024 * 1024}[size.group(2)]
        speeds = [told(fields.get(key)) for key in ("Configured Memory Speed", "Configured Clock Speed", "Speed")]
        speed = next((told for told in speeds if told and told != "Unknown"), None)
        kind = told(fields.get("Type"))
        key = (mebibytes // 1024, None if kind == "Unknown" else kind, speed)
        counted[key] = counted.get(key, 0) + 1
    return [
        {"count": count, "size_gib": size, "type": kind, "speed": speed}
        for (size, kind, speed), count in sorted(counted.items(), key=lambda item: str(item[0]))
    ]


def parse_lsblk(text: str) -> list[dict[str, Any]]:
    """Return the disks of `lsblk -J -b -d`, without loop, RAM and optical ones: size in bytes, rotating, transport."""
    disks = []
    for device in json.loads(text).get("blockdevices", []):
        size = int(device.get("size") or 0)
        if device.get("type") == "disk" and size > 0 and not device["name"].startswith(("zram", "ram", "nbd", "fd")):
            disks.append(
                {
                    "name": device["name"],
                    "size_bytes": size,
                    "rotating": str(device.get("rota")).lower() in ("1", "true"),
                    "transport": told(device.get("tran")),
                    "model": told(device.get("model")),
                }
            )
    return disks


def parse_nvidia_smi(text: str) -> list[dict[str, Any]]:
    """Return the GPUs of `nvidia-smi --query-gpu=… --format=csv,noheader,nounits`."""
    gpus = []
    for line in text.splitlines():
        cells = [told(cell) for cell in line.split(",")]
        if len(cells) != 6:  # noqa: PLR2004  # the columns asked for in _COMMANDS
            continue
        gpus.append(
            {
                "name": cells[0],
                "memory_mib": number(cells[1], int),
                "driver": cells[2],
                "max_mhz": number(cells[3], int),
                "pcie": None if None in cells[4:] else f"PCIe Gen{cells[4]} x{cells[5]}",
            }
        )
    return gpus


def parse_rocm_smi(text: str) -> list[dict[str, Any]]:
    """Return the GPUs of `rocm-smi --json`; key names differ in case between ROCm releases."""
    cards = json.loads(text)
    driver = next(iter(cards.pop("system", {}).values()), None)
    gpus = []
    for card in sorted(cards):
        fields = {key.lower(): value for key, value in cards[card].items()}
        name = told(fields.get("card series")) or told(fields.get("card model"))
        memory = number(fields.get("vram total memory (b)"), int)
        gpus.append(
            {
                "name": None if name is None or name.isdigit() else name,  # some releases print the index
                "memory_mib": None if memory is None else int(memory) // (1 << 20),
                "driver": driver,
                "max_mhz": None,
                "pcie": None,
            }
        )
    return gpus
