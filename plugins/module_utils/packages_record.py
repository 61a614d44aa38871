"""What host_packages has added to a host: written before each change, read by revert.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError, pretty_json, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator

MACHINE_FOLDER = Path("/var/lib/mlperf-ops")
NAME = "host_packages.json"
_LOCK = Path("/run/mlperf-ops.host_packages.lock")  # of root; gone with the next boot, as is who held it
_PARTS = ("packages", "upgraded", "groups", "users", "files", "folders")


class Change(NamedTuple):
    """One thing that is not as the inventory says."""

    what: str
    before: str
    after: str


class Record:
    """host_packages.json: what was there before our first change, by kind and name."""

    def __init__(self, path: Path) -> None:
        """Read it; there is none before the first change.

        Raises:
            HostError: It is damaged. It is never overwritten then: it says how to put the host back.
        """
        self.path = path
        self.packages: dict[str, str] = {}
        self.upgraded: dict[str, str] = {}
        self.groups: dict[str, Any] = {}
        self.users: dict[str, Any] = {}
        self.files: dict[str, Any] = {}
        self.folders: dict[str, Any] = {}
        if not os.path.lexists(path):
            return
        try:
            loaded = json.loads(path.read_text(encoding="utf-8"))
            parts = {part: dict(loaded[part]) for part in _PARTS}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HostError(
                f"{path}, which says how to put this host back, cannot be read: {error}",
                "restore it from a backup, or move it away when nothing has to be put back",
            ) from error
        if loaded["schema"] != 1:
            raise HostError(f"{path} is of a newer mlperf-ops", "use that one to put this host back")
        for part, content in parts.items():
            setattr(self, part, content)

    def save(self) -> None:
        """Write it, whole or not at all."""
        try:
            write_atomic(self.path, pretty_json({"schema": 1, **{part: getattr(self, part) for part in _PARTS}}))
        except OSError as error:
            raise HostError(f"{self.path} cannot be written: {error.strerror}", "nothing was changed") from error

    @property
    def empty(self) -> bool:
        """Whether nothing has to be put back."""
        return not any(getattr(self, part) for part in _PARTS)

    def remove(self) -> None:
        """Remove the file, and its folder when nothing else is in it."""
        with contextlib.suppress(OSError):
            self.path.unlink()
            self.path.parent.rmdir()


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Let one play at a time change the host.

    Raises:
        HostError: Another one is at it.
    """
    with _LOCK.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise HostError("another play changes packages or users of this host", "wait until it has ended") from error
        yield
