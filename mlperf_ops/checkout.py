"""The pinned official checkout: from a folder, a mirror, or by git where git reaches it.

Only what the submission checker needs is fetched, shallow and sparse, into `<cache>/<component>/<commit>`. A checkout
that cannot be had is no error: the caller is told why, in one sentence, and does without.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mlperf_ops.catalogue import ComponentEntry, GitSource
from mlperf_ops.errors import ConfigError, ToolError
from mlperf_ops.package_files import Mirror, fetch_url

MIRROR_CHECKOUTS = "checkouts"  # where a mirror keeps the packs of commits
_PACK = ".pack"
_TIMEOUT_SECONDS = 300
# A route that is dropped instead of refused must not hold up a play: give up below 1 kB/s for 15 s.
_GIT_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
    "GIT_HTTP_LOW_SPEED_TIME": "15",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=15",
}
_LOCAL_UPLOAD = "git -c uploadpack.allowFilter=true -c uploadpack.allowAnySHA1InWant=true upload-pack"


@dataclass(frozen=True, slots=True)
class Checkout:
    """Where it is, or why it is nowhere."""

    path: Path | None
    note: str  # one sentence; empty when all is as pinned
    fetched: bool = False


def pack_name(source: GitSource) -> str:
    """Return the file name of a commit's pack in a mirror."""
    return f"{source.repository.rpartition('/')[2]}-{source.commit[:12]}{_PACK}"


def obtain(
    component: ComponentEntry,
    cache: Path,
    *,
    given: str = "",
    mirror: Mirror | None = None,
    variable: str = "mlperf_inference_checkout",
    what: str = "the official checker",
) -> Checkout:
    """Return a checkout of a component's pinned commit.

    Args:
        component: Catalogue entry with source type git.
        cache: Folder where fetched checkouts are kept.
        given: The user's own: a folder that is used as it is, or a URL to fetch from; empty for neither.
        mirror: May hold the commit as a pack; a folder also the repository as `<name>.git` or `<name>`.
        variable: Where the user gave it.
        what: What it is for, in words.

    Raises:
        ConfigError: What the user gave is no such checkout, or the component is none.
    """
    source = component.source
    if not isinstance(source, GitSource):
        raise ConfigError(f"component '{component.name}' is no git checkout")
    folder = Path(given).expanduser()
    if given and folder.is_dir() and not _is_bare(folder):
        if not (folder / source.folder).is_dir():
            raise ConfigError(
                f"{variable}: {given} has no {source.folder}",
                hint=f"give a checkout of {source.repository} at commit {source.commit[:12]}",
            )
        return Checkout(folder.resolve(), "")
    target = cache / component.name / source.commit
    if (target / source.folder).is_dir():
        return Checkout(target, "")
    if shutil.which("git") is None:
        return Checkout(None, f"git is not installed, so {what} cannot be fetched")
    failures = []
    for origin in _origins(source, given, mirror):
        failure = _fetch(origin, source, target)
        if failure is None:
            return Checkout(target, "", fetched=True)
        failures.append(failure)
    return Checkout(None, f"{what} could not be fetched: {'; '.join(failures)}")


def _origins(source: GitSource, given: str, mirror: Mirror | None) -> Iterator[str]:
    if given:
        yield given
        return
    if isinstance(mirror, str):
        yield f"{mirror}/{MIRROR_CHECKOUTS}/{pack_name(source)}"
    elif mirror is not None:
        name = source.repository.rpartition("/")[2]
        pack = mirror / MIRROR_CHECKOUTS / pack_name(source)
        yield from [str(pack)] if pack.is_file() else []
        yield from (str(path) for path in (mirror / f"{name}.git", mirror / name) if path.is_dir())
    yield source.url


def _is_bare(folder: Path) -> bool:
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir()


def _fetch(origin: str, source: GitSource, target: Path) -> str | None:
    """Fetch one commit, whole or not at all; return why not."""
    commit = source.commit
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=target.parent, prefix=".new."))
    except OSError as error:
        return f"cannot write {target.parent}: {error.strerror}"
    try:
        _git(work, "init", "--quiet")
        _git(work, "remote", "add", "origin", origin)
        _git(work, "config", "remote.origin.promisor", "true")
        _git(work, "config", "remote.origin.partialclonefilter", "blob:none")
        if Path(origin.removeprefix("file://")).is_dir():  # a repository on disk does not filter unless told to
            _git(work, "config", "remote.origin.uploadpack", _LOCAL_UPLOAD)
        _git(work, "sparse-checkout", "set", "--no-cone", f"/{source.folder}/")
        if origin.endswith(_PACK):
            (work / ".git" / "shallow").write_text(f"{commit}\n")  # its parents are not in the pack
            with _pack(origin, work / ".git" / "fetched").open("rb") as pack:
                _git(work, "index-pack", "--stdin", "--promisor", stdin=pack)
        else:
            _git(work, "fetch", "--quiet", "--depth=1", "--filter=blob:none", "origin", commit)
        _git(work, "checkout", "--quiet", "--detach", commit)
        os.chmod(work, 0o755)  # noqa: S103  # mkdtemp's 0700 is for secrets; a cache may be shared
        os.replace(work, target)
    except ToolError as error:
        return error.message
    except OSError as error:
        return f"cannot keep {target}: {error.strerror}"
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return None


def _pack(origin: str, fetched: Path) -> Path:
    """Return a pack of a mirror as a file; one of a served mirror is fetched first."""
    if "://" not in origin:
        return Path(origin)
    mirror, _, name = origin.rpartition(f"/{MIRROR_CHECKOUTS}/")
    if not fetch_url(mirror, f"{MIRROR_CHECKOUTS}/{name}", fetched):
        raise ToolError(f"the mirror {mirror} lacks {MIRROR_CHECKOUTS}/{name}")
    return fetched


def _git(folder: Path, *arguments: str, stdin: IO[bytes] | None = None) -> None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607  # the user's git
            env={**os.environ, **_GIT_ENVIRONMENT},
            stdin=stdin or subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"git {arguments[0]} took longer than {_TIMEOUT_SECONDS} s") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        raise ToolError(lines[-1].removeprefix("fatal: ").removeprefix("error: "))
