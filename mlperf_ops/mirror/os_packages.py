"""Debian packages with everything that they depend on, as a flat repository that apt reads.

apt itself resolves and verifies (signatures and digests of its own sources), against an empty system, so that the
packages are enough for a host that has nothing. Only for the family and release that this machine runs.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.errors import ConfigError, ToolError
from mlperf_ops.files import sha256_file

FOLDER = "apt"
_FAMILY = "debian"
_TIMEOUT_SECONDS = 1800
_OS_RELEASE = Path("/etc/os-release")
_LICENSE_LINE = re.compile(r"^License: *(\S.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Described:
    """What a package says of itself."""

    package: str
    version: str
    license: str


def own_release(os_release: Path = _OS_RELEASE) -> str:
    """Return the code name of this machine's release, such as "bookworm".

    Raises:
        ConfigError: It is of another family, or apt is missing.
    """
    try:
        lines = os_release.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    values = {key: value.strip("\"'") for key, _, value in (line.partition("=") for line in lines)}
    family = {values.get("ID", ""), *values.get("ID_LIKE", "").split()}
    missing = [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]
    if _FAMILY not in family or missing or not values.get("VERSION_CODENAME"):
        raise ConfigError(
            f"OS packages are fetched on Debian and its family only, this machine runs {values.get('ID', 'another')}",
            hint="run the fetch on a machine with the hosts' release, or leave --os-packages out",
        )
    return values["VERSION_CODENAME"]


def download(names: Sequence[str], folder: Path) -> list[Path]:
    """Bring packages and all that they depend on into a folder.

    Raises:
        ConfigError: A name that apt does not know.
        ToolError: apt cannot reach its sources.
        OSError: The disk is full.
    """
    for bad in (name for name in names if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", name)):
        raise ConfigError(f"--os-packages: '{bad}' is no package name")
    (folder / "partial").mkdir(parents=True)
    status = folder / "status"
    status.write_text("")
    options = {
        "Dir::State::status": str(status),
        "Dir::Cache::archives": str(folder),
        "Dir::Cache::pkgcache": "",  # another status would spoil the system's own
        "Dir::Cache::srcpkgcache": "",
        "Debug::NoLocking": "1",
        "APT::Install-Recommends": "0",
        "APT::Sandbox::User": "root",
        "Acquire::Retries": "2",
        "Acquire::http::Timeout": "30",
    }
    argv = ["apt-get", "--quiet=2", "--yes", "--download-only"]
    for key, value in options.items():
        argv += ["-o", f"{key}={value}"]
    done = _run([*argv, "install", *names])
    if done.returncode != 0:
        said = done.stderr + done.stdout
        unknown = re.search(r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate", said)
        if unknown is not None:
            raise ConfigError(
                f"apt knows no package '{unknown[1] or unknown[2]}'",
                hint="correct the name, or run 'apt-get update' first",
            )
        if os.strerror(28) in said or "enough free space" in said:
            raise OSError(28, os.strerror(28))
        errors = [line[3:] for line in said.splitlines() if line.startswith("E: ")]
        raise ToolError(
            f"apt cannot download {', '.join(names)}: {(errors or ['it said nothing'])[0]}",
            hint="check apt's sources and proxy, and run 'apt-get update'",
        )
    return sorted(folder.glob("*.deb"))


def describe(path: Path) -> Described:
    """Read name, version and licences out of a package file.

    Raises:
        ToolError: It is no package.
    """
    package, version = _field(path, "Package").strip(), _field(path, "Version").strip()
    listing = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", str(path)],  # noqa: S607  # the system's own
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    shown = subprocess.run(
        ["tar", "-xO", f"./usr/share/doc/{package}/copyright"],  # noqa: S607
        input=listing.stdout, capture_output=True, check=False,
    )  # fmt: skip
    named = sorted({name.strip() for name in _LICENSE_LINE.findall(shown.stdout.decode(errors="replace"))})
    return Described(package, version, ", ".join(named)[:200] or f"see usr/share/doc/{package}/copyright in it")


def write_index(packages: Iterable[Path], folder: Path, release: str) -> list[Path]:
    """Write Packages, Packages.gz and Release of a flat repository.

    Args:
        packages: Its files.
        folder: Where the index is written.
        release: Code name.
    """
    stanzas = []
    for path in sorted(packages):
        fields = _field(path).rstrip("\n")
        stanzas.append(f"{fields}\nFilename: ./{path.name}\nSize: {path.stat().st_size}\nSHA256: {sha256_file(path)}\n")
    text = "\n".join(stanzas).encode()
    made = {"Packages": text, "Packages.gz": gzip.compress(text, mtime=0)}
    listed = "".join(f" {hashlib.sha256(raw).hexdigest()} {len(raw)} {name}\n" for name, raw in sorted(made.items()))
    head = f"Origin: mlperf-ops mirror\nLabel: mlperf-ops mirror\nSuite: {release}\nCodename: {release}\n"
    made["Release"] = f"{head}SHA256:\n{listed}".encode()
    for name, raw in made.items():
        (folder / name).write_bytes(raw)
    return [folder / name for name in sorted(made)]


def _field(path: Path, *names: str) -> str:
    done = _run(["dpkg-deb", "--field", str(path), *names])
    if done.returncode != 0:
        raise ToolError(f"{path.name} is no Debian package: {done.stderr.strip()}", hint="fetch it again")
    return done.stdout


def _run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        return subprocess.run(
            argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=_TIMEOUT_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{argv[0]} took longer than {_TIMEOUT_SECONDS} s") from error
