"""Archives that the controller makes for hosts: harness code, components, the installer.

Equal content gives equal bytes: names are sorted, times and owners are left out.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import tarfile
from collections.abc import Iterable
from pathlib import Path

from ansible.errors import AnsibleActionFail

# The part of the package that runs on hosts.
HARNESS_MODULES = ("__init__", "errors", "files", "typed", "model", "loadgen_log", "power_log")
_HARNESS_FOLDER = "harness"
_IGNORED = {"__pycache__"}
_CONTROLLER_ONLY = "harness/generic/"  # `mlperf-ops loadgen-onnx`; a change there must not make cells stale


def harness_files(package: Path) -> list[tuple[str, Path]]:
    """List what is shipped: (name below the host's harness folder, file)."""
    files = [package / f"{name}.py" for name in HARNESS_MODULES]
    files += [path for path in (package / _HARNESS_FOLDER).rglob("*") if path.is_file()]
    named = [
        (f"mlperf_ops/{path.relative_to(package).as_posix()}", path)
        for path in files
        if _CONTROLLER_ONLY not in path.as_posix()
    ]
    return sorted((name, path) for name, path in named if not _IGNORED & set(Path(name).parts) and path.is_file())


def tree_sha256(files: Iterable[tuple[str, Path]]) -> str:
    """Return what `mlperf_ops.files.sha256_tree` gives for the folder that these files make."""
    listing = [[name, hashlib.sha256(path.read_bytes()).hexdigest()] for name, path in sorted(files)]
    return hashlib.sha256(json.dumps(listing, separators=(",", ":")).encode()).hexdigest()


def folder_files(folder: Path, prefix: str = "") -> list[tuple[str, Path]]:
    """List a folder's files as `harness_files` does."""
    found = [(path.relative_to(folder), path) for path in folder.rglob("*") if path.is_file()]
    return sorted((prefix + name.as_posix(), path) for name, path in found if not _IGNORED & set(name.parts))


def write_tar(archive: Path, files: Iterable[tuple[str, Path]]) -> int:
    """Write an archive and return its size in bytes."""
    with tarfile.open(archive, "w") as tar:
        for name, path in sorted(files):
            info = tarfile.TarInfo(name)
            info.size = path.stat().st_size
            info.mode = 0o644
            with path.open("rb") as stream:
                tar.addfile(info, stream)
    return archive.stat().st_size


def installer_files(lock: Path, mirror: Path | None, python_tag: str = "", machine: str = "") -> list[tuple[str, Path]]:
    """List what a host needs to make its Python environment: pip, the lock, and the package files of a mirror.

    Args:
        lock: Requirements with hashes.
        mirror: Folder of package files; None when the host has its own source.
        python_tag: Of the host's interpreter, such as "cp311"; with `machine` it leaves out what is for others.
        machine: Of the host, such as "x86_64".

    Raises:
        AnsibleActionFail: This Python has no pip, or the mirror holds no package of the lock.
    """
    spec = importlib.util.find_spec("pip")
    if spec is None or spec.origin is None:
        raise AnsibleActionFail(
            "Ansible's own Python has no pip to bring to the hosts (install it beside ansible-core)"
        )
    files = [("lock.txt", lock), *folder_files(Path(spec.origin).parent, "pip/pip/")]
    if mirror is not None:
        wanted = _pinned(lock.read_text(encoding="utf-8"))
        held = [
            path
            for path in sorted(mirror.rglob("*"))
            if path.is_file() and _project(path.name) in wanted and _fits(path.name, python_tag, machine)
        ]
        if not held:
            raise AnsibleActionFail(
                f"mlperf_mirror {mirror} holds no package file of {lock.name} for {python_tag or 'this Python'} "
                "(fill it with: mlperf-ops mirror fetch)"
            )
        files += [(f"mirror/{path.name}", path) for path in held]
    return files


def _fits(file_name: str, python_tag: str, machine: str) -> bool:
    """Whether a package file may be for an interpreter; pip on the host judges exactly."""
    if not file_name.endswith(".whl") or not python_tag:
        return True
    pythons, abi, platform = file_name[: -len(".whl")].split("-")[-3:]
    right_python = python_tag in pythons.split(".") or "py3" in pythons.split(".") or abi == "abi3"
    return right_python and (platform == "any" or machine in platform)


def _pinned(lock: str) -> set[tuple[str, str]]:
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock, re.MULTILINE)
    return {(_normal(name), version) for name, version in pins}


def _project(file_name: str) -> tuple[str, str]:
    """Return name and version of a wheel or source archive by its file name."""
    stem = re.sub(r"\.(whl|tar\.gz|zip)$", "", file_name)
    wheel = stem.split("-")
    if file_name.endswith(".whl") and len(wheel) > 1:
        return _normal(wheel[0]), wheel[1]
    name, _, version = stem.rpartition("-")
    return _normal(name), version


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
