"""The virtual environment that cells run in: found, made from a lock, read back.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError, pretty_json, write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping

OLDEST = (3, 10)
# A virtual environment with onnxruntime, numpy, pillow and LoadGen takes about 230 MB, and pip's unpacking as much.
NEEDED_BYTES = 600 << 20

_PROBE = "import platform, sys, venv; print(platform.python_version(), platform.machine(), sys.version_info >= (3, 10))"
_PROBE_TIMEOUT_SECONDS = 20
_INSTALL_TIMEOUT_SECONDS = 1800
_LAST_LINES = 3
_MARKER = "installed.json"


class Interpreter:
    """A Python of the host that works and is new enough."""

    def __init__(self, path: str, version: str, machine: str) -> None:
        """Hold what the probe said."""
        self.path = path
        self.version = version
        self.machine = machine

    def digest(self, lock_sha256: str) -> str:
        """Name of the environment: other locks and other interpreters give other environments."""
        return hashlib.sha256(f"{lock_sha256} {self.version} {self.machine}".encode()).hexdigest()


def _names(wanted: str) -> list[str]:
    if wanted:
        return [wanted]
    own = str(getattr(sys, "_base_executable", "") or sys.executable)
    newer = [f"python3.{minor}" for minor in range(14, OLDEST[1] - 1, -1)]
    return ["/usr/bin/python3", own, *newer, "python3"]


def find(wanted: str = "") -> Interpreter:
    """Return the interpreter that environments are made with.

    Args:
        wanted: A path or name; empty prefers the distribution's own.

    Raises:
        HostError: None is new enough; names what was found.
    """
    seen = []
    for name in _names(wanted):
        path = shutil.which(name)
        if path is None:
            continue
        try:
            told = subprocess.run(  # a pyenv shim without a version behind it fails here, as it should
                [path, "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_TIMEOUT_SECONDS, check=True
            ).stdout.split()
        except (OSError, subprocess.SubprocessError):
            continue
        if told[2] == "True":
            return Interpreter(path, told[0], told[1])
        seen.append(f"{path} {told[0]}")
    found = ", ".join(dict.fromkeys(seen)) or (f"'{wanted}' does not work" if wanted else "none")
    raise HostError(
        f"Python {OLDEST[0]}.{OLDEST[1]} or newer with its venv module is needed on the host; found: {found}",
        "install a newer python3, or name one by host_components_python",
    )


def packages(environment: Path) -> dict[str, str]:
    """Read which packages an environment really holds, by their normalised names."""
    found = {}
    for folder in environment.glob("lib/python3.*/site-packages/*.dist-info"):
        name, _, version = folder.name[: -len(".dist-info")].partition("-")
        found[re.sub(r"[-_.]+", "-", name).lower()] = version
    return found


def is_whole(environment: Path) -> bool:
    """Tell whether an environment was finished, and holds the same packages as then."""
    try:
        text = (environment / _MARKER).read_text(encoding="utf-8")
    except OSError:
        return False
    return os.access(environment / "bin" / "python", os.X_OK) and text == _marker(environment)


def _marker(environment: Path) -> str:
    return pretty_json({"schema": 1, "packages": packages(environment)})


def make(interpreter: Interpreter, environment: Path, lock: Path, pip: Path, mirror: Path | None) -> None:
    """Make an environment and install a lock into it; the marker of a whole one is written last.

    pip comes from the controller, so that the host needs neither pip nor its venv package.

    Args:
        interpreter: What `find` returned.
        environment: Folder of the environment; replaced when it is there already.
        lock: Requirements with hashes.
        pip: Folder that holds the package pip.
        mirror: Folder of package files to use instead of the package index.

    Raises:
        HostError: It could not be made; carries pip's own last words.
    """
    environment.parent.mkdir(parents=True, exist_ok=True)
    _run([interpreter.path, "-m", "venv", "--without-pip", "--clear", str(environment)], {}, "the virtual environment")
    source = ["--no-index", "--find-links", str(mirror)] if mirror else []
    _run(
        [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input", "--require-hashes",
         "--disable-pip-version-check", *source, "-r", str(lock)],
        {"PYTHONPATH": str(pip), "PIP_USER": "0"},
        f"the Python packages{' from mlperf_mirror' if mirror else ''}",
    )  # fmt: skip
    write_atomic(environment / _MARKER, _marker(environment))


def _run(argv: list[str], env: Mapping[str, str], what: str) -> None:
    kept: dict[str, Any] = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
    try:
        done = subprocess.run(
            argv,
            env={**kept, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"cannot install {what}: {error}") from error
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise HostError(
            f"cannot install {what}: {'; '.join(errors[-_LAST_LINES:]) or f'exit code {done.returncode}'}",
            "without a route to a package index set mlperf_mirror to a folder of package files",
        )
