"""The virtual environment that cells run in: found, made from a lock, read back.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import (
    HostError,
    differences,
    full_or,
    listing_sha256,
    listing_text,
    parse_listing,
    pretty_json,
    sha256_file,
    write_atomic,
)

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
_LISTING = "files.sha256"  # `sha256sum --check files.sha256` in the environment reads it too
_CACHE_FOLDER = "__pycache__"
# An index that does not answer costs (retries + 1) x time-out seconds before pip says so.
_INDEX_TIMEOUT_SECONDS = 15
_INDEX_RETRIES = 1
# What pip says when it could not talk to an index, as opposed to an index that lacks the file.
_UNREACHABLE = (
    "connection", "retrying (retry", "timed out", "name resolution", "proxyerror", "network is unreachable",
)  # fmt: skip


class Interpreter:
    """A Python of the host that works and is new enough."""

    def __init__(self, path: str, version: str, machine: str) -> None:
        """Hold what the probe said."""
        self.path = path
        self.version = version
        self.machine = machine
        self.tag = "cp" + "".join(version.split(".")[:2])  # as in names of package files

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


def marker_path(environment: Path) -> Path:
    """Return the file that is written last, and only into a whole environment."""
    return environment / _MARKER


def is_whole(environment: Path) -> bool:
    """Tell whether an environment was finished, and holds the same packages as then; reads no package."""
    marker = read_marker(environment)
    return (
        bool(marker.get("files_sha256"))
        and marker.get("packages") == packages(environment)
        and os.access(str(environment / "bin" / "python"), os.X_OK)
    )


def read_marker(environment: Path) -> dict[str, Any]:
    """Read the marker; empty when there is none that can be used."""
    try:
        marker = json.loads(marker_path(environment).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return marker if isinstance(marker, dict) else {}


def damage(environment: Path) -> dict[str, str]:
    """Read every file of an environment and compare it with what was installed.

    Returns:
        name -> "damaged", "missing" or "foreign". What Python compiles later into its caches is not foreign.
    """
    try:
        wanted = parse_listing((environment / _LISTING).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {_LISTING: "missing"}
    if listing_sha256(wanted) != read_marker(environment).get("files_sha256"):
        return {_LISTING: "damaged"}
    found = differences(wanted, _listing(environment))
    return {name: what for name, what in found.items() if what != "foreign" or f"/{_CACHE_FOLDER}/" not in name}


def _listing(environment: Path) -> dict[str, str]:
    """Read the environment's own files; the interpreter that it links to is the operating system's."""
    found = {}
    for base, _, names in os.walk(str(environment)):
        for path in (Path(base, name) for name in names):
            if not path.is_symlink():
                found[path.relative_to(environment).as_posix()] = sha256_file(path)
    return {name: sha256 for name, sha256 in found.items() if name not in (_MARKER, _LISTING)}


class Source:
    """Where the packages come from: a folder that was brought, a served mirror, or pip's own index."""

    def __init__(self, folder: Path | None = None, url: str = "") -> None:
        """Hold one of them, or none for pip's own index."""
        self.options: list[str] = []
        self.env: dict[str, str] = {}
        self.words = ""
        if folder is not None:
            self.options = ["--no-index", "--find-links", str(folder)]
            self.words = " from mlperf_mirror"
        elif url:
            host = urlsplit(url).hostname or ""
            self.options = ["--index-url", f"{url}/simple/", "--trusted-host", host]
            # A mirror of the lab is reached directly, and nothing but it is asked.
            self.env = {"NO_PROXY": host, "no_proxy": host, "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""}
            self.env["PIP_CONFIG_FILE"] = os.devnull
            self.words = f" from mlperf_mirror {url}"


def make(interpreter: Interpreter, environment: Path, lock: Path, pip: Path, source: Source, lock_sha256: str) -> None:
    """Make an environment and install a lock into it; the marker of a whole one is written last.

    pip comes from the controller, so that the host needs neither pip nor its venv package.

    Args:
        interpreter: What `find` returned.
        environment: Folder of the environment; replaced when it is there already.
        lock: Requirements with hashes.
        pip: Folder that holds the package pip.
        source: Where the packages come from.
        lock_sha256: Digest of the lock, for the marker.

    Raises:
        HostError: It could not be made, and is not there; carries pip's own last words.
    """
    try:
        environment.parent.mkdir(parents=True, exist_ok=True)
        argv = [interpreter.path, "-m", "venv", "--without-pip", "--clear", str(environment)]
        _run(argv, {}, "the virtual environment")
        _run(
            [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input", "--require-hashes",
             "--disable-pip-version-check", f"--timeout={_INDEX_TIMEOUT_SECONDS}", f"--retries={_INDEX_RETRIES}",
             *source.options, "-r", str(lock)],
            {"PYTHONPATH": str(pip), "PIP_USER": "0", **source.env},
            f"the Python packages{source.words}",
        )  # fmt: skip
        listing = _listing(environment)
        write_atomic(environment / _LISTING, listing_text(listing))
        marker = {
            "schema": 2,
            "packages": packages(environment),
            "files_sha256": listing_sha256(listing),
            "lock_sha256": lock_sha256,
        }
        write_atomic(marker_path(environment), pretty_json(marker))
    except OSError as error:
        shutil.rmtree(str(environment), ignore_errors=True)
        raise full_or(error, f"cannot install {environment}") from error
    except HostError:
        shutil.rmtree(str(environment), ignore_errors=True)
        raise


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
        raise _refusal(done.stderr + done.stdout, what, done.returncode)


def _refusal(said: str, what: str, returncode: int) -> HostError:
    """Say in one sentence why pip or venv failed."""
    if os.strerror(errno.ENOSPC) in said:
        return full_or(OSError(errno.ENOSPC, ""), f"cannot install {what}")
    mirror = "without a route to a package index set mlperf_mirror to a folder or URL of package files"
    if any(word in said.lower() for word in _UNREACHABLE):
        return HostError(f"cannot install {what}: the package index does not answer", mirror)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    return HostError(f"cannot install {what}: {'; '.join(errors[-_LAST_LINES:]) or f'exit code {returncode}'}", mirror)
