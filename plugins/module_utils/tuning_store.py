"""What a tuned host remembers: the values from before, what is tuned now, and who is at it.

The backup describes the machine as a whole, so it lies in /var/lib/mlperf-ops and survives reboots and a second
mlperf_home. It is written, to the disk, before a knob is changed for the first time; the first value wins.
Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError, pretty_json, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_knob import Machine

FOLDER = "/var/lib/mlperf-ops"
_BACKUP = "tuning.json"
_STATE = "state/tuning.json"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_LOCK_FOLDERS = ("/run/lock", "/run", "/tmp")  # noqa: S108  # the first that can be written; a lock holds nothing
_LOCK = "mlperf-ops-tuning.lock"
_LOCK_WAIT_SECONDS = 10.0


def boot_id(machine: Machine) -> str:
    """Return what names the time since the last boot."""
    return machine.read(_BOOT_ID) if machine.has(_BOOT_ID) else ""


class Backup:
    """/var/lib/mlperf-ops/tuning.json: the value of each knob from before its first change."""

    def __init__(self, machine: Machine) -> None:
        """Read it.

        Raises:
            HostError: It is there and cannot be used; nothing may be changed then, as it could not be put back.
        """
        self.path = Path(machine.path(f"{FOLDER}/{_BACKUP}"))
        self.boot_id = boot_id(machine)
        self.entries: dict[str, dict[str, str]] = {}
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            if found["schema"] != 1:
                raise HostError(f"{self.path} is of a newer mlperf-ops (schema {found['schema']})", "upgrade this one")
            self.entries = {str(key): dict(entry) for key, entry in found["previous"].items()}
        except FileNotFoundError:
            pass
        except OSError as error:
            raise HostError(f"{self.path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"{self.path} is damaged, so the values from before are not known"
            raise HostError(message, "put the host back by hand or reboot it, then remove the file") from error
        self._on_disk = pretty_json(self._document()) if self.entries else ""

    def _document(self) -> dict[str, Any]:
        return {"schema": 1, "previous": self.entries}

    def keep(self, key: str, setting: str, value: str, *, lasts_over_boots: bool) -> None:
        """Remember a value, unless an earlier one is held; call `save` before anything is changed."""
        held = self.entries.get(key)
        if held is None or (not lasts_over_boots and held["boot_id"] != self.boot_id):
            self.entries[key] = {"value": value, "setting": setting, "boot_id": self.boot_id}

    def note(self, key: str, value: str) -> None:
        """Remember what was set on a knob that no tool can read."""
        self.entries[key].update(set=value, boot_id=self.boot_id)

    def last_set(self, key: str) -> str | None:
        """Return what was set on a knob that no tool can read, since the last boot."""
        entry = self.entries.get(key, {})
        return entry.get("set") if entry.get("boot_id") == self.boot_id else None

    def save(self) -> None:
        """Bring it to the disk, file and name; an empty one is removed.

        Raises:
            OSError: It cannot be written.
        """
        text = pretty_json(self._document()) if self.entries else ""
        if text == self._on_disk:
            return
        if text:
            write_atomic(self.path, text)
        else:
            self.path.unlink()
        _sync_folder(self.path.parent)
        if not text:
            with contextlib.suppress(OSError):
                self.path.parent.rmdir()  # stays when something else of ours is in it
        self._on_disk = text


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def state_path(home: Path) -> Path:
    """Return where a host says what is tuned, for whoever runs or reports cells."""
    return home / _STATE


def write_state(home: Path, document: dict[str, Any] | None) -> None:
    """Write state/tuning.json; None removes it. Folders that are made belong to whom the home belongs to."""
    path = state_path(home)
    if document is None:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        return
    made = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    for folder in reversed(made):
        owner = folder.parent.stat()
        folder.mkdir()
        if os.geteuid() == 0:
            os.chown(folder, owner.st_uid, owner.st_gid)
    write_atomic(path, pretty_json({"schema": 1, **document}))


def tuned(home: Path, machine: Machine) -> dict[str, Any] | None:
    """Return state/tuning.json; None where nothing is tuned, or where a reboot has undone it."""
    try:
        found: dict[str, Any] = json.loads(state_path(home).read_text(encoding="utf-8"))
        return found if found["boot_id"] == boot_id(machine) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def held(machine: Machine) -> Iterator[None]:
    """Let one controller at a time tune a host.

    Raises:
        HostError: Another one is still at it after some seconds.
    """
    deadline = time.monotonic() + _LOCK_WAIT_SECONDS
    with _lock_file(machine).open("a") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise HostError("another play is tuning this host", "wait until it has ended") from error
                time.sleep(0.1)
        yield


def _lock_file(machine: Machine) -> Path:
    for name in _LOCK_FOLDERS:
        folder = machine.path(name)
        if os.path.isdir(folder) and os.access(folder, os.W_OK):
            return Path(folder) / _LOCK
    raise HostError("no folder for a lock file can be written", f"one of {', '.join(_LOCK_FOLDERS)} is needed")
