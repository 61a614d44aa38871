"""Package files as data: bring one from a package index or a mirror folder, and unpack single members of it.

Wheels only. A source package would run its build code already when it is asked for its metadata.
"""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

from mlperf_ops.catalogue import ComponentEntry, PypiSource
from mlperf_ops.errors import ConfigError, ToolError

_CHUNK_BYTES = 1 << 20
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


def download(component: ComponentEntry, folder: Path, *, mirror: Path | None = None, offline: bool = False) -> Path:
    """Bring the package file of a component into a folder, such as a mirror that is being filled; not yet verified.

    Returns:
        The file; with `mirror` the one in the mirror, which is not copied.

    Raises:
        ConfigError: The component does not come as a package file.
        ToolError: The source cannot be reached or lacks the file.
    """
    source = package_source(component)
    name = component.name
    own = f"or set mlperf_components.{name}.path to a prepared copy on the host"
    if mirror is not None:
        held = mirror / source.file
        if not held.is_file():
            raise ToolError(
                f"the mirror {mirror} lacks {source.file} of component '{name}'",
                hint=f"fill it with 'pip download --no-deps -d {mirror} {source.package}=={source.version}', {own}",
            )
        return held
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


def _pip_download(source: PypiSource, folder: Path, name: str, own: str) -> Path:
    """Download a wheel; `--only-binary` because a source package would run its build code for its metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.iterdir())
    wanted = f"{source.package}=={source.version}"
    argv = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python"]
    argv += ["--disable-pip-version-check", "--no-input", "--progress-bar=off", "--retries=2", "--dest", str(folder)]
    done = subprocess.run([*argv, wanted], capture_output=True, text=True, errors="replace", check=False)
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
    if "No module named pip" in said:
        raise ToolError(
            f"component '{name}' cannot be fetched: {sys.executable} has no pip",
            hint=f"install pip there, {mirror}, {own}",
        )
    if os.strerror(errno.ENOSPC) in said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if any(word in said.lower() for word in _UNREACHABLE):
        raise ToolError(
            f"component '{name}': the package source cannot be reached to fetch {wanted}",
            hint=f"check the network and pip's index and proxy settings, or {mirror}, {own}",
        )
    if "No matching distribution" in said:
        raise ToolError(f"component '{name}': the package source has no wheel {wanted}", hint=f"{mirror}, {own}")
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), f"exit code {done.returncode}")
    raise ToolError(f"component '{name}': pip cannot download {wanted}: {last}", hint=f"{mirror}, {own}")
