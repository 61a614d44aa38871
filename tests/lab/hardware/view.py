"""A hardware view of one lab host: its FUSE process, what is bound over the host's files, and the shims.

Everything here is a simulation, made at the border between a host and its hardware: nothing of it measures anything.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.errors import ConfigError, ToolError
from tests.lab.hardware import shims
from tests.lab.hardware.cpus import CPU, NODE, Topology
from tests.lab.hardware.layouts import LAYOUTS
from tests.lab.hardware.memory import HUGE, THP
from tests.lab.hardware.sensors import HWMON, THERMAL
from tests.lab.hardware.sysctls import PROC, RANGES

VIEWS: tuple[str, ...] = tuple(LAYOUTS)

_CHECKOUT = Path(__file__).resolve().parents[3]
_MOUNT = Path("lab/hw")  # below the host's root
_BINDS = Path("lab/binds")
_COUNTS = ("cpus", "packages", "threads")
_START_SECONDS = 60.0
_STOP_SECONDS = 3.0
_POLL_SECONDS = 0.02

# FUSE processes that this process started, to be reaped; they may outlive it.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class ViewName:
    """A view's name, taken apart: ``LAYOUT[+SHIM…][+cpus=N][+packages=N][+threads=N]``."""

    layout: str
    shims: tuple[str, ...]
    topology: Topology

    @classmethod
    def parse(cls, name: str) -> ViewName:
        """Take a name apart; without counts the host has as many CPUs as the machine, in one package.

        Raises:
            ConfigError: there is no such view, shim or count.
        """
        layout, *suffixes = name.split("+")
        if layout not in VIEWS:
            raise ConfigError(f"no hardware view {layout!r}", hint=f"there are {', '.join(VIEWS)}")
        chosen, counts = [], {}
        for suffix in suffixes:
            key, equals, number = suffix.partition("=")
            if suffix in shims.NAMES:
                chosen.append(suffix)
            elif key in _COUNTS and equals and number.isdecimal() and int(number) > 0:
                counts[key] = int(number)
            else:
                known = ", ".join((*shims.NAMES, *(f"{count}=N" for count in _COUNTS)))
                raise ConfigError(f"hardware view {name!r}: no suffix {suffix!r}", hint=f"there are {known}")
        cpus = counts.get("cpus", os.cpu_count() or 1)
        packages = counts.get("packages", 1)
        threads = counts.get("threads", LAYOUTS[layout].threads_per_core)
        if "threads" not in counts and cpus % (threads * packages):
            threads = 1
        if cpus % (threads * packages):
            raise ConfigError(
                f"hardware view {name!r}: {cpus} CPUs are no {packages} equal packages of cores with {threads} threads"
            )
        return cls(layout, tuple(chosen), Topology(cpus, packages, threads))


def missing() -> str | None:
    """Why this machine cannot serve a view; None when it can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened"
    try:
        import mfusepy  # noqa: F401, PLC0415  # loading it is the test: it raises without libfuse
    except ImportError:
        return "mfusepy is not installed (pip install mfusepy)"
    except OSError:
        return "libfuse is not installed (apt-get install libfuse2)"
    return None


@dataclass(frozen=True, slots=True)
class View:
    """The view of one host. All that is needed to stop it is in its fields, so another process can do that as well.

    Attributes:
        name: as given to ``start``.
        root: the host's root file system as mounted on the machine.
        work: a folder of the lab for the process's id and log; kept apart for each host.
    """

    name: str
    root: Path
    work: Path

    @classmethod
    def start(cls, name: str, root: Path, work: Path) -> View:
        """Start the FUSE process, install the shims and append to ``root/lab/binds``; call it before the host boots.

        Raises:
            ConfigError: an unknown name, or a machine that cannot serve views.
            ToolError: the process did not come up.
        """
        parsed = ViewName.parse(name)
        if reason := missing():
            raise ConfigError(f"no hardware view: {reason}")
        view = cls(name, root, work)
        work.mkdir(parents=True, exist_ok=True)
        (root / _MOUNT).mkdir(parents=True, exist_ok=True)
        view._serve(parsed)
        try:
            with (root / _BINDS).open("a") as binds:
                binds.writelines(f"/{_MOUNT}{path} {path}\n" for path in bound_paths(parsed.layout))
            shims.install(parsed.shims, root)
        except BaseException:
            view.stop()
            raise
        return view

    @property
    def mountpoint(self) -> Path:
        """Where the simulated tree is, as seen from the machine."""
        return self.root / _MOUNT

    def _serve(self, parsed: ViewName) -> None:
        top = parsed.topology
        counts = [str(count) for count in (top.cpus, top.packages, top.threads)]
        argv = [sys.executable, "-m", "tests.lab.hardware.server", str(self.mountpoint), parsed.layout, *counts]
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                argv, cwd=_CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        _children[process.pid] = process
        self._pid_file.write_text(f"{process.pid} {_started(process.pid)}\n")
        until = time.monotonic() + _START_SECONDS
        while not os.path.ismount(self.mountpoint):
            if process.poll() is not None or time.monotonic() > until:
                said = self._log.read_text(errors="replace").strip().splitlines()[-1:]
                self.stop()
                raise ToolError(f"the simulated hardware of {self.root} did not start: {' '.join(said) or 'no reason'}")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Unmount and end the process; does nothing when that is done already. Call it when the host is gone."""
        if self._is_mounted():
            subprocess.run(["umount", str(self.mountpoint)], check=False, capture_output=True)
            if self._is_mounted():
                subprocess.run(["umount", "--lazy", str(self.mountpoint)], check=False, capture_output=True)
        if (process := self._process()) is None:
            return
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                os.kill(process, number)
            until = time.monotonic() + _STOP_SECONDS
            while time.monotonic() < until:
                if self._process() is None:
                    self._pid_file.unlink(missing_ok=True)
                    return
                time.sleep(_POLL_SECONDS)

    def _is_mounted(self) -> bool:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        return any(line.split()[4] == _escaped(self.mountpoint) for line in mounts)

    def _process(self) -> int | None:
        """The process that this view started, if it still runs; reaped when it is this process's own child."""
        try:
            pid, started = map(int, self._pid_file.read_text().split())
        except (OSError, ValueError):
            return None
        if (child := _children.get(pid)) is not None and child.poll() is not None:
            del _children[pid]
        return pid if _started(pid) == started else None

    @property
    def _pid_file(self) -> Path:
        return self.work / "hardware.pid"

    @property
    def _log(self) -> Path:
        return self.work / "hardware.log"


def bound_paths(layout: str) -> list[str]:
    """What is bound over the host's own files: only what the machine has, because sysfs takes no new names."""
    paths = [THP, HUGE, f"{PROC}/vm"]
    if LAYOUTS[layout].frequencies is not None:
        paths += [CPU, NODE, HWMON, THERMAL]
    names = _names_in_a_network_namespace()
    for key in RANGES:
        folder, _, name = key.rpartition("/")
        if folder == "kernel" or (folder == "net/core" and name in names):
            paths.append(f"{PROC}/{key}")
    return [path for path in paths if os.path.exists(path)]


def _names_in_a_network_namespace() -> list[str]:
    """Keys of net.core that a host sees and cannot set; the others it lacks, or has for itself."""
    folder = f"{PROC}/net/core"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", f"stat --format='%a %n' {folder}/*"],
        check=False,
        capture_output=True,
        text=True,
    )
    rows = [line.split() for line in done.stdout.splitlines()]
    return [Path(path).name for mode, path in rows if not int(mode, 8) & 0o200]


def _escaped(path: Path) -> str:
    """A path as /proc/self/mountinfo writes it."""
    text = str(path.resolve())
    for letter in "\\ \t\n":
        text = text.replace(letter, f"\\{ord(letter):03o}")
    return text


def _started(pid: int) -> int | None:
    """When a running process started, in clock ticks; None for one that is gone or only waits to be reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])
