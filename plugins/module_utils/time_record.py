"""What a host had before the role time_sync changed it, and how its files are written.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils import packages_command
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError, pretty_json, write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping

RECORD = Path("/var/lib/mlperf-ops/time_sync.json")


def text_of(path: Path) -> str | None:
    """Return a file's text, None when there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None


def _of_schema_1(loaded: dict[str, Any]) -> dict[str, Any]:
    if loaded["schema"] != 1:
        raise ValueError(f"schema {loaded['schema']}")
    return loaded


class Record:
    """What was there before our first change."""

    def __init__(self, path: Path = RECORD) -> None:
        """Read it; there is none before the first change.

        Raises:
            HostError: It is damaged. It is never overwritten then.
        """
        self.path = path
        self.packages: list[str] = []  # that we installed
        self.files: dict[str, str | None] = {}
        self.folders: list[str] = []  # that we made
        self.service: dict[str, Any] = {}
        self.exists = os.path.lexists(path)
        if not self.exists:
            return
        try:
            loaded = _of_schema_1(json.loads(path.read_text(encoding="utf-8")))
            self.packages, self.folders = list(loaded["packages"]), list(loaded["folders"])
            self.files, self.service = dict(loaded["files"]), dict(loaded["service"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HostError(
                f"{path}, which says how to put this host's clock service back, cannot be read: {error}",
                "restore it from a backup, or move it away when nothing has to be put back",
            ) from error

    def save(self) -> None:
        """Write it, whole or not at all."""
        document = {
            "schema": 1,
            "packages": self.packages,
            "files": self.files,
            "folders": self.folders,
            "service": self.service,
        }
        try:
            write_atomic(self.path, pretty_json(document))
        except OSError as error:
            raise HostError(f"{self.path} cannot be written: {error.strerror}", "nothing was changed") from error
        self.exists = True

    def remove(self) -> None:
        """Remove the file, and its folder when nothing else is in it."""
        with contextlib.suppress(OSError):
            self.path.unlink()
            self.path.parent.rmdir()


def write(changes: Mapping[Path, tuple[str | None, str | None]]) -> None:
    """Write or remove files, and let systemd read its units again when one of them is a unit's.

    Raises:
        HostError: A file cannot be written.
    """
    for path, (now, after) in changes.items():
        _write_one(path, now, after)
    if any("systemd" in path.parts for path in changes):
        packages_command.run(["systemctl", "daemon-reload"])


def _write_one(path: Path, now: str | None, after: str | None) -> None:
    try:
        if after is not None:
            write_atomic(path, after)
        elif now is not None:
            path.unlink()
    except OSError as error:
        raise HostError(f"{path} cannot be written: {error.strerror}") from error
