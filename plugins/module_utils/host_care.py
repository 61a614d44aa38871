"""Look after what a host holds below mlperf_home: list it, read every byte of it, remove what nothing refers to.

Never touches runs/. Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils import host_python, host_store
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError, Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Part:
    """One folder that provisioning made: a component, an environment, the harness."""

    def __init__(self, kind: str, name: str, path: Path) -> None:
        """Hold where it is; its folder is named by the first digits of its digest."""
        self.kind = kind
        self.name = name
        self.path = path

    @property
    def digest(self) -> str:
        """The first 12 digits."""
        return self.path.name

    def size_bytes(self) -> int:
        """Sum the sizes of its files."""
        return sum(
            os.lstat(os.path.join(base, name)).st_size for base, _, names in os.walk(str(self.path)) for name in names
        )

    def faults(self) -> dict[str, str]:
        """Read it in full; return name -> what is wrong."""
        if self.kind == "python":
            if not host_python.is_whole(self.path):
                return {"": "unfinished"}
            return host_python.damage(self.path)
        return host_store.faults_of(self.path, self.digest)


def parts(home: Path) -> list[Part]:
    """List what the home holds."""
    found = [Part("component", folder.parent.name, folder) for folder in _folders(home.glob("store/*/*"))]
    found += [Part("python", "python", folder) for folder in _folders(home.glob("python/*"))]
    found += [Part("harness", "harness", folder) for folder in _folders(home.glob("harness/*"))]
    return found


def _folders(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.is_dir() and not path.name.startswith("."))


def provisioned(home: Path) -> set[tuple[str, str]]:
    """Return (kind, first digits) of what state/provision.json refers to.

    Raises:
        HostError: The file is there and cannot be read, so that nobody knows what is in use.
    """
    path = home / "state" / "provision.json"
    if not path.exists():
        return set()
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        used = {("component", Path(one["path"])) for one in state["components"].values()}
        used |= {("python", Path(state["python"]["path"]).parent.parent), ("harness", Path(state["harness"]["path"]))}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise HostError(f"{path} is damaged", "run the provision playbook first") from error
    return {(kind, name) for kind, path in used for name in (path.name, path.parent.name)}


def runs_using(home: Path) -> dict[str, set[str]]:
    """Return first digits -> ids of the runs whose specs name them."""
    found: dict[str, set[str]] = {}
    for path in home.glob("runs/*/*/*/*/*/*/attempt_*/spec.json"):
        run = path.relative_to(home).parts[1]
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            spec = json.loads(path.read_text(encoding="utf-8"))
            digests = [(spec.get("packages") or {}).get("mlperf_ops.harness", "")]
            digests += [spec[part]["sha256"] for part in ("model", "dataset") if spec.get(part)]
            for digest in digests:
                found.setdefault(str(digest)[:12], set()).add(run)
    return found


class Keep:
    """What the plans of the asking controller refer to."""

    def __init__(self, given: dict[str, Any]) -> None:
        """Take the module's option."""
        self.digests = {str(digest)[:12] for digest in given.get("sha256s") or []}
        self.names = set(given.get("names") or [])  # components that no plan pins
        self.locks = set(given.get("lock_sha256s") or [])

    def holds(self, part: Part) -> bool:
        """Whether a plan refers to a part."""
        if part.kind == "python":
            return host_python.read_marker(part.path).get("lock_sha256") in self.locks
        return part.digest in self.digests or (part.kind == "component" and part.name in self.names)


def listing(home: Path, keep: Keep) -> list[dict[str, Any]]:
    """Describe every part."""
    used, runs = provisioned(home), runs_using(home)
    return [
        {
            "kind": part.kind,
            "name": part.name,
            "digest": part.digest,
            "size_bytes": part.size_bytes(),
            "path": str(part.path),
            "provisioned": (part.kind, part.digest) in used,
            "planned": keep.holds(part),
            "runs": sorted(runs.get(part.digest, ())),
        }
        for part in parts(home)
    ]


def verify(home: Path) -> list[dict[str, str]]:
    """Read every byte; what is damaged is brought anew by the next provision play."""
    faults = []
    ledger = Ledger(home)
    for part in parts(home):
        wrong = part.faults()
        faults += [
            {"kind": part.kind, "name": part.name, "digest": part.digest, "file": name, "what": what}
            for name, what in wrong.items()
        ]
        if wrong:
            ledger.forget(part.path)
    if faults:
        ledger.save()
    return faults


def unused(home: Path, keep: Keep) -> list[Part]:
    """Return what neither state/provision.json nor a plan refers to."""
    used = provisioned(home)
    return [part for part in parts(home) if (part.kind, part.digest) not in used and not keep.holds(part)]


def remove(home: Path, found: Iterable[Part]) -> None:
    """Remove parts, and what a killed module left behind.

    Raises:
        HostError: Another play provisions this home, or a cell runs.
    """
    with host_store.held(home), _no_cell(home):
        for part in found:
            shutil.rmtree(str(part.path))
            with contextlib.suppress(FileNotFoundError):
                host_store.listing_path(part.path).unlink()
            with contextlib.suppress(OSError):  # other versions of the component are there
                if part.kind == "component":
                    part.path.parent.rmdir()
        host_store.remove_leftovers(home)
        Ledger(home).save()


@contextlib.contextmanager
def _no_cell(home: Path) -> Iterator[None]:
    path = home / "runs" / ".lock"
    if not path.exists():
        yield
        return
    with path.open("r+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise HostError(f"a cell runs on this host: {stream.read().strip()}", "wait for it") from error
        yield
