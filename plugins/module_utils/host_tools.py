"""How a machine is read: files below a root, tools started side by side, and parsers of what they print.

A tool that is missing, fails, hangs, prints without end or prints something else gives a reason, never an exception.
Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import json
import os
import platform
import re
import selectors
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

COMMAND_TIMEOUT_SECONDS = 20.0
NOT_UNDERSTOOD = (ValueError, KeyError, TypeError, AttributeError, IndexError)  # what a parser raises on other output
_LARGEST_OUTPUT = 8 << 20
_LONGEST_REASON = 160
_CHUNK_BYTES = 1 << 16
_GRACE_SECONDS = 0.2  # for the last output of a tool that has ended, whose children may keep its pipe open
_SYSTEM_PATHS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin")  # a plain user's PATH lacks the sbin ones
# What firmware and tools say in place of nothing.
_NOT_TOLD = {
    "", "-", "n/a", "[n/a]", "na", "none", "unknown", "[unknown error]", "[not supported]", "not supported",
    "not specified", "not available", "not applicable", "undefined", "oem", "o.e.m.", "to be filled by o.e.m.",
    "default string", "system product name", "system manufacturer", "system version", "base board product name",
    "empty", "0123456789", "123456789",
}  # fmt: skip
_RECORD = re.compile(r"^Handle 0x[0-9A-Fa-f]+, DMI type \d+.*\n(\S.*)\n((?:[ \t]+.*(?:\n|$))+)", re.MULTILINE)
_NO_DISK = re.compile(r"(zram|ram|nbd|fd|mmcblk\d+(boot|rpmb|gp))")


class _Running:
    """A started command."""

    def __init__(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        self.process = process
        self.deadline = deadline

    def result(self) -> tuple[bytes, bytes, str]:
        """Return stdout, stderr and the reason why they are not whole."""
        parts: dict[int, list[bytes]] = {}
        size = 0
        with selectors.DefaultSelector() as selector:
            for number_, stream in enumerate((self.process.stdout, self.process.stderr)):
                parts[number_] = []
                selector.register(stream, selectors.EVENT_READ, number_)  # type: ignore[arg-type]  # both are pipes
            while selector.get_map():
                left = self.deadline - time.monotonic()
                ended = self.process.poll() is not None
                ready = selector.select(min(left, _GRACE_SECONDS)) if left > 0 else []
                for key, _ in ready:
                    chunk = os.read(key.fd, _CHUNK_BYTES)
                    size += len(chunk)
                    parts[key.data].append(chunk)
                    if not chunk:
                        selector.unregister(key.fileobj)
                if size > _LARGEST_OUTPUT:
                    return b"", b"", f"printed more than {_LARGEST_OUTPUT >> 20} MiB"
                if left <= 0:
                    return b"", b"", "gave no answer"
                if ended and not ready:
                    break
        try:
            self.process.wait(max(0.0, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return b"", b"", "gave no answer"
        return b"".join(parts[0]), b"".join(parts[1]), ""

    def end(self) -> None:
        """End the command and its children; one that the kernel does not let go is left behind."""
        if self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(1.0)
            except (OSError, subprocess.TimeoutExpired):
                pass
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


class Machine:
    """Where facts are read: a file system root, a search path for tools, the user's id and the process that asks."""

    def __init__(
        self,
        root: str = "/",
        search_path: str | None = None,
        uid: int | None = None,
        process: Mapping[str, str | None] | None = None,
        timeout: float = COMMAND_TIMEOUT_SECONDS,
    ) -> None:
        self.root = root
        self.search_path = (
            search_path if search_path is not None else os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM_PATHS])
        )
        self.uid = os.geteuid() if uid is None else uid
        self.process = this_process() if process is None else process
        self.timeout = timeout
        self.waited_ms: dict[str, float] = {}
        """How long each tool was waited for, after the ones before it."""
        self._started: dict[str, _Running | str] = {}

    def path(self, name: str) -> str:
        """Return where a path of the machine is found below the root."""
        return os.path.join(self.root, name.lstrip("/"))

    def exists(self, name: str) -> bool:
        """Whether a path of the machine is there."""
        return os.path.exists(self.path(name))

    def read(self, name: str) -> str | None:
        """Return a file's text without the final newline, None when it cannot be read or says nothing."""
        try:
            with open(self.path(name), "rb", buffering=0) as stream:  # hundreds of tiny files: a third of the time
                text = stream.readall().decode(errors="replace").strip("\n\x00 ")
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

    def has_tool(self, name: str) -> bool:
        """Whether a tool is in the search path."""
        return shutil.which(name, path=self.search_path) is not None

    def start(self, commands: Mapping[str, list[str]]) -> None:
        """Start all commands at once, so that they cost the slowest one and not the sum."""
        environment = {name: value for name, value in os.environ.items() if name != "LANGUAGE"}
        environment.update(LC_ALL="C", LANG="C")
        for name, argv in commands.items():
            program = shutil.which(argv[0], path=self.search_path)
            if program is None:
                self._started[name] = f"{argv[0]} is not installed"
                continue
            if argv[0] == "dmidecode" and self.uid != 0:
                self._started[name] = "dmidecode needs root"
                continue
            try:
                process = subprocess.Popen(
                    [program, *argv[1:]],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                self._started[name] = f"{argv[0]} cannot be started: {error.strerror}"
            else:
                self._started[name] = _Running(process, time.monotonic() + self.timeout)

    def output(self, name: str) -> tuple[str | None, str]:
        """Return a started command's output, or None and the reason for none."""
        running = self._started.get(name, f"{name} was not started")
        if isinstance(running, str):
            return None, running
        before = time.monotonic()
        text, errors, why_not = running.result()
        running.end()
        self.waited_ms[name] = round(1000 * (time.monotonic() - before), 1)
        code = running.process.returncode
        if why_not:
            answer = None, f"{name} {why_not}" + (f" within {self.timeout:g} s" if "answer" in why_not else "")
        elif code:
            said = _first_words(errors) or _first_words(text)
            answer = None, f"{name} failed with exit code {code}{said}"
        else:
            return text.decode(errors="replace"), ""
        self._started[name] = answer[1]
        return answer

    def stop(self) -> None:
        """End the commands that nobody waited for."""
        for running in self._started.values():
            if not isinstance(running, str):
                running.end()


def _first_words(output: bytes) -> str:
    """Return the first line of what a failed tool said, of a traceback the last one."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()] or [""]
    line = lines[-1 if lines[0].startswith("Traceback") else 0]
    words = "".join(character if character.isprintable() else " " for character in line)
    return f": {words[:_LONGEST_REASON]}" if words else ""


def this_process() -> dict[str, str | None]:
    """Return what only the process that asks can tell."""
    try:
        glibc = os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        glibc = None
    return {
        "architecture": platform.machine() or None,
        "glibc": glibc.split()[-1] if glibc else None,
        "python_version": platform.python_version(),
    }


def told(text: str | None) -> str | None:
    """Return a text that says something, None for the many words that stand for nothing."""
    return None if text is None or text.strip().lower() in _NOT_TOLD else text.strip()


def number(text: str | None, convert: Callable[[str], float]) -> float | None:
    """Return a text as a number, None when it is none."""
    try:
        return None if text is None else convert(text)
    except (ValueError, OverflowError):
        return None


def parse_lscpu(text: str) -> dict[str, str]:
    """Return the fields of `lscpu -J`, nested (util-linux 2.38 and newer) or flat, by name without the colon."""
    fields: dict[str, str] = {}
    waiting = list(json.loads(text)["lscpu"])
    while waiting:
        entry = waiting.pop(0)
        name, data = entry["field"].rstrip(":"), entry.get("data")
        if isinstance(data, str):
            if name == "Model name" and data not in fields.get(name, data).split(" and "):
                fields[name] += f" and {data}"  # a machine with two kinds of cores
            fields.setdefault(name, data)
        waiting.extend(entry.get("children", []))
    return fields


def parse_dmidecode(text: str) -> list[tuple[str, dict[str, str]]]:
    """Return the records of dmidecode: title and fields."""
    records = []
    for block in re.split(r"\n\s*\n", text.replace("\r", "")):
        found = _RECORD.search(block)
        if found:
            fields = re.findall(r"^[ \t]+([^:\n]+):[ \t]*(.*?)[ \t]*$", found.group(2), re.MULTILINE)
            records.append((found.group(1).strip(), dict(fields)))
    return records


def parse_lsblk(text: str) -> list[dict[str, Any]]:
    """Return the disks of `lsblk -J -b -d`, without loop, RAM, boot and optical ones: size in bytes, transport."""
    disks = []
    for device in json.loads(text)["blockdevices"]:
        name, size = device["name"], int(device.get("size") or 0)
        if device.get("type") == "disk" and size > 0 and not _NO_DISK.match(name):
            disks.append(
                {
                    "name": name,
                    "size_bytes": size,
                    "rotating": str(device.get("rota")).lower() in ("1", "true"),
                    "transport": told(device.get("tran")),
                    "model": told(device.get("model")),
                }
            )
    return disks
