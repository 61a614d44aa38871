"""Package files as data: bring one from a package index or a mirror, and unpack single members of it.

Wheels only. A source package would run its build code already when it is asked for its metadata.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TypeAlias
from urllib.parse import quote

from mlperf_ops.catalogue import ComponentEntry, PypiSource
from mlperf_ops.errors import ConfigError, ToolError

Mirror: TypeAlias = Path | str
"""A folder, or the URL at which `mlperf-ops mirror serve` serves one."""

MIRROR_PACKAGES = "packages"  # where a fetched mirror keeps them; a folder that was filled by hand has them at its top
_CHUNK_BYTES = 1 << 20
_URL_TIMEOUT_SECONDS = 30.0
_PIP_TIMEOUT_SECONDS = 30
# What pip says when it could not talk to its index, as opposed to an index that has no such file.
_UNREACHABLE = (
    "connection",
    "retrying (retry",
    "timed out",
    "name resolution",
    "proxyerror",
    "sslerror",
    "network is unreachable",
)


def mirror_place(text: str | None) -> Mirror | None:
    """Read the value of mlperf_mirror: a folder, a URL, or nothing.

    Raises:
        ConfigError: It is neither.
    """
    if not text:
        return None
    if text.startswith(("http://", "https://")):
        return text.rstrip("/")
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise ConfigError(
            f"mlperf_mirror {text} is not a folder",
            hint="fill one with 'mlperf-ops mirror fetch', or give its http URL",
        )
    return folder


def download(component: ComponentEntry, folder: Path, *, mirror: Mirror | None = None, offline: bool = False) -> Path:
    """Bring the package file of a component into a folder, such as a mirror that is being filled; not yet verified.

    Returns:
        The file; with a folder as `mirror` the one in it, which is not copied.

    Raises:
        ConfigError: The component does not come as a package file.
        ToolError: The source cannot be reached or lacks the file.
    """
    source = package_source(component)
    name = component.name
    own = f"or set mlperf_components.{name}.path to a prepared copy on the host"
    if mirror is not None:
        lacks = ToolError(
            f"the mirror {mirror} lacks {source.file} of component '{name}'",
            hint=f"fill it with 'mlperf-ops mirror fetch', {own}",
        )
        if isinstance(mirror, str):
            return _from_url(mirror, source.file, folder, lacks)
        for held in (mirror / MIRROR_PACKAGES / source.file, mirror / source.file):
            if held.is_file():
                return held
        raise lacks
    if offline:
        raise ToolError(
            f"component '{name}' is not in the cache, and fetching is switched off",
            hint=f"set mlperf_mirror to a folder that holds {source.file}, {own}",
        )
    return _pip_download(source, folder, name, own)


def package_source(component: ComponentEntry) -> PypiSource:
    """Return where the component's package file comes from.

    Raises:
        ConfigError: Only the user can give the component, or it is no package file.
    """
    if isinstance(component.source, PypiSource):
        return component.source
    if component.from_user:
        raise ConfigError(
            f"component '{component.name}' has to be given by you: mlperf_components.{component.name}.path is not set",
            hint=component.how_to_get,
        )
    raise ConfigError(
        f"component '{component.name}' comes from {component.source.type}; the store holds package files only",
        hint=f"set mlperf_components.{component.name}.path",
    )


def unpack(archive: Path, member: str, expected: str, folder: Path, name: str) -> Path:
    """Unpack one member into a new folder, under its own base name and never by its path in the archive.

    Args:
        archive: A wheel.
        member: Path in the archive.
        expected: Its sha256.
        folder: Made here.
        name: Of the component, for messages.

    Raises:
        ToolError: The archive is broken, lacks the member, or the digest differs.
    """
    target = folder / PurePosixPath(member).name
    folder.mkdir()
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(member) as stream, target.open("wb") as out:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
                out.write(chunk)
    except (KeyError, zipfile.BadZipFile) as error:
        what = f"lacks {member}" if isinstance(error, KeyError) else f"cannot be unpacked: {error}"
        raise ToolError(
            f"{archive.name} of component '{name}' {what}", hint="fetch it again, or correct the mirror (mlperf_mirror)"
        ) from error
    if digest.hexdigest() != expected:
        raise ToolError(
            f"{member} in {archive.name} of component '{name}' has sha256 {digest.hexdigest()}, expected {expected}",
            hint="fetch it again, or correct the mirror (mlperf_mirror)",
        )
    return target


def _from_url(mirror: str, file: str, folder: Path, lacks: ToolError) -> Path:
    """Bring a file from a served mirror, directly: proxies lead out of a lab, not into it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not fetch_url(mirror, f"{MIRROR_PACKAGES}/{file}", folder / file):
        raise lacks
    return folder / file


def fetch_url(mirror: str, name: str, target: Path) -> bool:
    """Bring a file from a served mirror; say whether the mirror has it.

    Args:
        mirror: URL of the mirror.
        name: Name of the file in its manifest.
        target: File to write; not yet verified.

    Raises:
        ToolError: The mirror does not answer.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{mirror}/{quote(name)}", timeout=_URL_TIMEOUT_SECONDS) as answer, target.open("wb") as out:
            shutil.copyfileobj(answer, out, _CHUNK_BYTES)
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise ToolError(
            f"the mirror {mirror} does not answer: {getattr(error, 'reason', error)}",
            hint="start it with 'mlperf-ops mirror serve' or playbooks/mirror.yml, or correct mlperf_mirror",
        ) from error
    return True


def run_pip(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run this Python's pip, without questions and with bounded waiting for an index that does not answer."""
    own = ["--disable-pip-version-check", "--no-input", "--progress-bar=off", "--retries=2"]
    argv = [sys.executable, "-m", "pip", *arguments, *own, f"--timeout={_PIP_TIMEOUT_SECONDS}"]
    return subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)


def pip_refusal(done: subprocess.CompletedProcess[str]) -> ToolError | None:
    """Return why pip could not even ask its index; None when something else is wrong.

    Raises:
        OSError: The disk is full.
    """
    said = done.stdout + done.stderr
    if os.strerror(errno.ENOSPC) in said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if "No module named pip" in said:
        return ToolError(f"{sys.executable} has no pip", hint="install pip there")
    if any(word in said.lower() for word in _UNREACHABLE):
        return ToolError(
            "the package source cannot be reached", hint="check the network and pip's index and proxy settings"
        )
    return None


def _pip_download(source: PypiSource, folder: Path, name: str, own: str) -> Path:
    """Download a wheel; `--only-binary` because a source package would run its build code for its metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.iterdir())
    wanted = f"{source.package}=={source.version}"
    options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--dest", str(folder)]
    done = run_pip(["download", *options, wanted])
    target = folder / source.file
    if done.returncode == 0:
        if target.is_file():
            return target
        got = ", ".join(sorted(path.name for path in set(folder.iterdir()) - before)) or "nothing"
        raise ToolError(
            f"the package source delivered {got} for {wanted}; expected {source.file}",
            hint=f"set mlperf_mirror to a folder that holds {source.file}, {own}",
        )
    said = done.stdout + done.stderr
    mirror = f"set mlperf_mirror to a folder that holds {source.file}"
    refusal = pip_refusal(done)
    if refusal is not None:
        raise ToolError(
            f"component '{name}': {refusal.message} to fetch {wanted}", hint=f"{refusal.hint}, or {mirror}, {own}"
        )
    if "No matching distribution" in said:
        raise ToolError(f"component '{name}': the package source has no wheel {wanted}", hint=f"{mirror}, {own}")
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), f"exit code {done.returncode}")
    raise ToolError(f"component '{name}': pip cannot download {wanted}: {last}", hint=f"{mirror}, {own}")
