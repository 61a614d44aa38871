"""A pinned commit of a repository in one file: what of it is needed, and the trees that prove it belongs to the commit.

The file is a git pack. Whoever unpacks it names the commit, and git checks every object by its digest from there on, so
the pack needs no trust. `mlperf_ops.checkout` unpacks it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from mlperf_ops.catalogue import ComponentEntry, GitSource
from mlperf_ops.checkout import obtain
from mlperf_ops.errors import ConfigError, ToolError

_TIMEOUT_SECONDS = 300


def make_pack(component: ComponentEntry, target: Path, work: Path, *, given: str = "") -> None:
    """Write the pack of a component's commit.

    Args:
        component: Catalogue entry with source type git.
        target: The file.
        work: Folder for a checkout, when one has to be fetched.
        given: The user's checkout, or a URL; empty fetches from the component's own.

    Raises:
        ConfigError: What the user gave lacks the commit.
        ToolError: It cannot be fetched, or git fails.
    """
    source = component.source
    if not isinstance(source, GitSource):
        raise ConfigError(f"component '{component.name}' is no git checkout")
    if shutil.which("git") is None:
        raise ToolError("git is not installed", hint="install git, or leave the checkout out: --no-checkouts")
    found = obtain(component, work, given=given)
    if found.path is None:
        raise ToolError(found.note, hint="give a checkout of your own with --checkout, or leave it out: --no-checkouts")
    commit = source.commit
    try:
        trees = _git(found.path, "rev-list", "--objects", "--no-object-names", "--filter=blob:none", "-1", commit)
        listing = _git(found.path, "ls-tree", "-r", commit, "--", source.folder).splitlines()
        objects = trees + b"".join(line.split()[2] + b"\n" for line in listing)  # mode, type, object, name
        with target.open("wb") as out:
            _run(found.path, ["pack-objects", "--quiet", "--stdout", "--threads=1"], objects, out)
    except ToolError as error:
        target.unlink(missing_ok=True)
        raise ToolError(
            f"{found.path} does not hold all of commit {commit[:12]} below {source.folder}: {error.message}",
            hint=f"give a full checkout of {source.repository} at that commit, or leave it out: --no-checkouts",
        ) from error


def _git(folder: Path, *arguments: str) -> bytes:
    return _run(folder, list(arguments), b"", subprocess.PIPE)


def _run(folder: Path, arguments: list[str], stdin: bytes, stdout: object) -> bytes:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607  # the user's git
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"},
            input=stdin,
            stdout=stdout,  # type: ignore[call-overload]  # a file or PIPE
            stderr=subprocess.PIPE,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"git {arguments[0]} took longer than {_TIMEOUT_SECONDS} s") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        raise ToolError((lines or [f"exit code {done.returncode}"])[0].removeprefix("fatal: "))
    return bytes(done.stdout or b"")
