"""Wheels of a lock for Pythons and machines that need not be the controller's own.

pip judges the markers of a requirement by its own Python even when it is asked for another one, so the markers are
judged here, and pip gets plain pins with hashes. Wheels only: a source package would run its build code.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from packaging.markers import InvalidMarker, Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from mlperf_ops.errors import ConfigError, ToolError
from mlperf_ops.package_files import pip_refusal, run_pip

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)\s*(?:;\s*(?P<marker>.*))?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_NO_MATCH = re.compile(r"No matching distribution found for ([A-Za-z0-9._-]+)==")
_OLDEST_MICRO, _NEWEST_MICRO = 0, 99  # a marker may ask for a micro release, which nobody names here
# Older names of manylinux by the minor version of glibc 2 (PEP 600).
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_OLDEST_GLIBC = 5
_MAX_METADATA_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Pin:
    """One entry of a lock."""

    name: str
    version: str
    marker: str
    hashes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of interpreter that installs from the mirror."""

    python: tuple[int, int]
    machine: str  # as `uname -m`
    glibc_minor: int  # wheels for glibc 2.<this> or older are taken

    def __str__(self) -> str:
        """In words, for purposes and messages."""
        return f"Python {self.python[0]}.{self.python[1]} on {self.machine}"

    def platforms(self) -> list[str]:
        """Return the platform tags from the newest glibc to the oldest."""
        found = []
        for minor in range(self.glibc_minor, _OLDEST_GLIBC - 1, -1):
            found.append(f"manylinux_2_{minor}_{self.machine}")
            if minor in _LEGACY:
                found.append(f"{_LEGACY[minor]}_{self.machine}")
        return [*found, f"linux_{self.machine}"]

    def tags(self) -> frozenset[Tag]:
        """Return every wheel tag that such an interpreter accepts."""
        platforms, number = self.platforms(), f"cp{self.python[0]}{self.python[1]}"
        own = cpython_tags(self.python, abis=[number], platforms=platforms)
        return frozenset([*own, *compatible_tags(self.python, interpreter=number, platforms=platforms)])

    def wants(self, pin: Pin) -> bool:
        """Whether a pin's marker holds for some micro release of this Python.

        Raises:
            ConfigError: The marker is none.
        """
        if not pin.marker:
            return True
        try:
            marker = Marker(pin.marker)
        except InvalidMarker as error:
            raise ConfigError(f"the lock's marker of {pin.name} cannot be read: {pin.marker}") from error
        return any(marker.evaluate(self._environment(micro)) for micro in (_OLDEST_MICRO, _NEWEST_MICRO))

    def _environment(self, micro: int) -> dict[str, str]:
        full = f"{self.python[0]}.{self.python[1]}.{micro}"
        return {
            "implementation_name": "cpython",
            "implementation_version": full,
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": full,
            "python_version": full.rpartition(".")[0],
            "sys_platform": "linux",
        }


def read_lock(path: Path) -> tuple[Pin, ...]:
    """Read the pins of a requirements file with hashes.

    Raises:
        ConfigError: It cannot be read, or an entry is no pin with a hash.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the lock {path} cannot be read: {error.strerror}") from error
    pins = []
    for line in re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        hashes = frozenset(_HASH.findall(line))
        match = _PIN.match(line.partition("--hash")[0].strip())
        if match is None or not hashes:
            raise ConfigError(f"{path}: expected 'name==version' with hashes, found '{line.strip()[:80]}'")
        pins.append(Pin(canonicalize_name(match["name"]), match["version"], match["marker"] or "", hashes))
    return tuple(pins)


def fits(file_name: str, pin: Pin, target: Target) -> bool:
    """Whether a wheel, by its name, is the pin's for the target."""
    try:
        name, version, _, tags = parse_wheel_filename(file_name)
    except InvalidWheelFilename:
        return False
    return name == pin.name and str(version) == pin.version and not tags.isdisjoint(target.tags())


def download(pins: Sequence[Pin], target: Target, folder: Path) -> tuple[list[Path], list[Pin]]:
    """Bring the wheels of pins for a target into a folder; pip verifies each against the lock's hashes.

    Returns:
        The files, and the pins for which the package index has no wheel.

    Raises:
        ToolError: The index cannot be reached, or pip fails otherwise.
        OSError: The disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left, without = list(pins), []
    while left:
        listing = folder / "requirements.txt"
        listing.write_text("".join(f"{line}\n" for line in _lines(left)), encoding="utf-8")
        done = run_pip(["download", *_options(target), "--dest", str(folder), "-r", str(listing)])
        listing.unlink()
        if done.returncode == 0:
            break
        missed = _NO_MATCH.search(done.stdout + done.stderr)
        refusal = pip_refusal(done)
        if missed is None or refusal is not None:
            raise refusal or ToolError(
                f"pip cannot download the wheels for {target}: {_last_line(done)}",
                hint="check pip's index and proxy settings",
            )
        name = canonicalize_name(missed[1])
        without += [pin for pin in left if pin.name == name]
        left = [pin for pin in left if pin.name != name]
    return sorted(folder.glob("*.whl")), without


def _lines(pins: Iterable[Pin]) -> Iterator[str]:
    for pin in pins:
        yield " ".join([f"{pin.name}=={pin.version}", *(f"--hash=sha256:{one}" for one in sorted(pin.hashes))])


def _options(target: Target) -> list[str]:
    platforms = [word for platform in target.platforms() for word in ("--platform", platform)]
    version = f"{target.python[0]}.{target.python[1]}"
    return [
        "--no-deps", "--require-hashes", "--only-binary=:all:", "--implementation", "cp", "--python-version", version,
        *platforms,
    ]  # fmt: skip


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or [f"exit code {done.returncode}"])[-1]


def license_of(wheel: Path) -> str:
    """Return the licence that a wheel's metadata states, "unknown" when it states none."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            name = next(one for one in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", one))
            with archive.open(name) as stream:
                headers = HeaderParser().parsestr(stream.read(_MAX_METADATA_BYTES).decode(errors="replace"))
    except (OSError, zipfile.BadZipFile, StopIteration):
        return "unknown"
    stated = str(headers.get("License-Expression") or "").strip()
    if stated:
        return stated
    classified = [
        value.rpartition(" :: ")[2] for value in headers.get_all("Classifier", []) if value.startswith("License :: ")
    ]
    first_line = str(headers.get("License") or "").strip().split("\n")[0][:80]
    return ", ".join(classified) or first_line or "unknown"


def own_target() -> Target:
    """Return the interpreter that runs this, as a target."""
    import platform  # noqa: PLC0415  # only where the controller's own wheels are asked for

    return Target((sys.version_info.major, sys.version_info.minor), platform.machine(), DEFAULT_GLIBC_MINOR)


# onnxruntime and numpy are built for 2.27 and 2.28: RHEL 8, Debian 11, Ubuntu 20.04 and newer.
DEFAULT_GLIBC_MINOR = 28
