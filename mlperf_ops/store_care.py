"""Look after the controller's component store: list it, read every byte of it, remove what no plan refers to."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from mlperf_ops.catalogue import Catalogue, GitSource
from mlperf_ops.errors import BusyError, ResultError, ToolError
from mlperf_ops.files import read_json, sha256_file, sha256_json
from mlperf_ops.plan_model import Plan
from mlperf_ops.store import LOCK, NEW_PREFIX, listing_path
from mlperf_ops.typed import load

_DIGEST = re.compile(r"[0-9a-f]{12}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_GIT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Part:
    """A prepared component, or a checkout."""

    kind: str  # "component" or "checkout"
    name: str
    digest: str  # first 12 digits of the sha256, or the commit
    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Fault:
    """A file that is not as it was prepared."""

    kind: str
    name: str
    digest: str
    file: str  # empty when nothing says which file it is
    what: str  # "damaged", "missing" or "foreign"


def parts(cache: Path) -> list[Part]:
    """List what the cache holds."""
    found = []
    for path in sorted(cache.glob("*/*")):
        if not path.is_dir() or path.is_symlink():
            continue
        kind = "component" if _DIGEST.fullmatch(path.name) else "checkout" if _COMMIT.fullmatch(path.name) else ""
        if kind:
            found.append(Part(kind, path.parent.name, path.name, path, _size_bytes(path)))
    return found


def _size_bytes(folder: Path) -> int:
    return sum(os.lstat(Path(base, name)).st_size for base, _, names in os.walk(folder) for name in names)


def read_plans(results: Path) -> list[tuple[str, Plan]]:
    """Read every plan below a folder of results folders.

    Returns:
        Pairs of the run's id and its plan.

    Raises:
        ResultError: A plan cannot be read, so that nobody knows what it refers to.
    """
    return [(path.parent.name, load(Plan, read_json(path), str(path))) for path in sorted(results.glob("*/plan.json"))]


def used_by(part: Part, plans: Iterable[tuple[str, Plan]], catalogue: Catalogue) -> list[str]:
    """Return the ids of the runs whose plans refer to a part."""
    runs = []
    for run, plan in plans:
        if part.kind == "checkout":
            checker = plan.round in catalogue.rounds and catalogue.round(plan.round).checker.commit == part.digest
            hit = checker or (plan.power is not None and part.name == catalogue.round(plan.round).power.software)
        else:
            hit = any(
                one.name == part.name and one.path is None and (one.sha256 or part.digest).startswith(part.digest)
                for one in plan.components
            )
        if hit:
            runs.append(run)
    return runs


def verify(part: Part, catalogue: Catalogue) -> list[Fault]:
    """Read every byte of a part and name what is wrong.

    Raises:
        ToolError: It cannot be read.
    """
    try:
        wrong = _checkout_faults(part, catalogue) if part.kind == "checkout" else _component_faults(part)
    except OSError as error:
        raise ToolError(f"{part.path} cannot be read: {error.strerror or error}", hint="check the disk") from error
    return [Fault(part.kind, part.name, part.digest, name, what) for name, what in wrong.items()]


def _component_faults(part: Part) -> dict[str, str]:
    found = {
        path.relative_to(part.path).as_posix(): sha256_file(path) for path in part.path.rglob("*") if path.is_file()
    }
    single = next(iter(found.values())) if len(found) == 1 else ""
    if single.startswith(part.digest) or _tree(found).startswith(part.digest):
        return {}
    if single:
        return {next(iter(found)): "damaged"}
    try:
        rows = (line.partition("  ") for line in listing_path(part.path).read_text().splitlines())
        wanted = {name: sha256 for sha256, _, name in rows}
    except (OSError, ValueError):
        wanted = {}
    return _differences(wanted, found) if _tree(wanted).startswith(part.digest) else {"": "damaged"}


def _tree(listing: Mapping[str, str]) -> str:
    return sha256_json([[name, listing[name]] for name in sorted(listing)])


def _differences(wanted: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    faults = {name: "missing" for name in wanted if name not in found}
    faults |= {name: "foreign" for name in found if name not in wanted}
    faults |= {name: "damaged" for name in wanted if name in found and wanted[name] != found[name]}
    return dict(sorted(faults.items()))


def _checkout_faults(part: Part, catalogue: Catalogue) -> dict[str, str]:
    """Compare the files of a checkout with the commit, by git's own digests."""
    known = {one.source.commit for one in catalogue.components.values() if isinstance(one.source, GitSource)}
    if part.digest not in known:
        return {}
    wanted = {}
    for line in _git(part.path, "ls-files", "--stage", "-t", "-z").split("\0"):
        tag, _, rest = line.partition(" ")
        if tag == "H":  # in the work tree, unlike what a sparse checkout leaves out
            mode, sha1, _ = rest.partition("\t")[0].split()
            if not mode.startswith("12"):
                wanted[rest.partition("\t")[2]] = sha1
    found = {name: _blob(part.path / name) for name in wanted if (part.path / name).is_file()}
    return _differences(wanted, found)


def _blob(path: Path) -> str:
    raw = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(raw) + raw, usedforsecurity=False).hexdigest()


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607  # the user's git
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_GIT_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"git cannot look at {folder}: {error}", hint="install git") from error
    if done.returncode != 0:
        raise ToolError(f"git cannot look at {folder}: {done.stderr.strip()}", hint="remove the folder")
    return done.stdout


def remove(cache: Path, found: Iterable[Part]) -> None:
    """Remove parts, and what killed processes left.

    Raises:
        BusyError: A component is being prepared just now.
        ToolError: Something cannot be removed.
    """
    for part in found:
        home = part.path.parent
        try:
            with FileLock(home / LOCK, timeout=0):
                shutil.rmtree(part.path)
                listing_path(part.path).unlink(missing_ok=True)
                for index in home.glob(".made.*.json"):
                    if _names(index, part.digest):
                        index.unlink()
        except Timeout as error:
            raise BusyError(f"component '{part.name}' is being prepared", hint="wait for it") from error
        except OSError as error:
            raise ToolError(f"{part.path} cannot be removed: {error.strerror or error}") from error
    for left in leftovers(cache):
        with contextlib.suppress(Timeout), FileLock(left.parent / LOCK, timeout=0):  # else it is being prepared
            shutil.rmtree(left, ignore_errors=True)


def leftovers(cache: Path) -> list[Path]:
    """Return temporary folders that nobody finished, or finishes just now."""
    return [path for path in sorted(cache.glob(f"*/{NEW_PREFIX}*")) if path.is_dir()]


def _names(index: Path, digest: str) -> bool:
    try:
        return str(read_json(index).get("sha256", "")).startswith(digest)
    except ResultError:
        return True
