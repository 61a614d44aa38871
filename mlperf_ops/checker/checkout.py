"""A checkout of mlcommons/inference: where its checker is, and whether it is the one that the round names."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker.defects import CheckerKind
from mlperf_ops.errors import ConfigError

_PACKAGE = Path("tools/submission/submission_checker/main.py")
_SCRIPT = Path("tools/submission/submission_checker.py")  # until the end of 2025; the tag of a round has its own
_GIT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout.

    Attributes:
        package_folder: Folder from which it runs.
        kind: "modular": `python -m submission_checker.main`; "release": the script `submission_checker.py`.
        commit: Its commit; None without git.
        note: What to know about it; None when it is exactly what the round names.
    """

    package_folder: Path
    kind: CheckerKind
    commit: str | None
    note: str | None


def inspect(checkout: Path, round_: Round) -> Checkout:
    """Find the checker in a checkout and compare its commit with the round's. Nothing is written.

    Raises:
        ConfigError: The folder is no such checkout.
    """
    if not (checkout / _PACKAGE).is_file() and (checkout / _SCRIPT).is_file():
        return _release(checkout)
    if not (checkout / _PACKAGE).is_file():
        raise ConfigError(
            f"{checkout} has no {_PACKAGE}; expected a checkout of {round_.checker.repository}",
            hint=f"git clone it and check out {round_.checker.commit[:12]}",
        )
    folder = (checkout / _PACKAGE).resolve().parent.parent
    pinned = round_.checker.commit
    top = _git(checkout, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != checkout.resolve():
        return Checkout(folder, "modular", None, f"the checkout has no git; it should be commit {pinned[:12]}")
    commit = _git(checkout, "rev-parse", "HEAD")
    notes = []
    if commit != pinned:
        notes.append(f"the checkout is at commit {(commit or 'unknown')[:12]}; round {round_.name} names {pinned[:12]}")
    if changed := _changed_files(checkout):
        notes.append(f"{_PACKAGE.parent} differs from its commit: {', '.join(changed)}")
    return Checkout(folder, "modular", commit, "; ".join(notes) or None)


def _release(checkout: Path) -> Checkout:
    """Describe a checkout with the single-file checker, which belongs to the tag that it was taken from."""
    top = _git(checkout, "rev-parse", "--show-toplevel")
    own = top is not None and Path(top).resolve() == checkout.resolve()
    commit = _git(checkout, "rev-parse", "HEAD") if own else None
    note = "the release checker of an earlier tag, which knows the round under the same name"
    return Checkout((checkout / _SCRIPT).resolve().parent, "release", commit, note)


def _changed_files(checkout: Path) -> list[str]:
    """Return the files of the checker that are not as committed; git's index is not asked, it may be sparse."""
    listed = _git(checkout, "ls-tree", "-r", "HEAD", "--", str(_PACKAGE.parent)) or ""
    committed = {path: head.split()[2] for head, _, path in (line.partition("\t") for line in listed.splitlines())}
    present = {
        path.relative_to(checkout).as_posix(): path
        for path in (checkout / _PACKAGE.parent).rglob("*.py")
        if path.is_file()
    }
    return sorted(
        name
        for name in {*committed, *present}
        if name not in committed or not (checkout / name).is_file() or _blob(checkout / name) != committed[name]
    )


def _blob(path: Path) -> str:
    """Return git's digest of a file."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _git(folder: Path, *arguments: str) -> str | None:
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}  # so that `status` does not write the index
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607  # the user's git
            check=True,
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
