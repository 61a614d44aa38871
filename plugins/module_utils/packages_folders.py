"""Work directories: made with owner and mode, and taken back when nothing of value is in them.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError
from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_accounts import find, require_group
from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_record import Change

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_record import Record

# What mlperf-ops itself puts below mlperf_home and can bring again; results are in runs.
_BRINGS_AGAIN = ("store", "python", "harness", "state")
_STATE_BRINGS_AGAIN = (
    ".provision.lock",
    "host_packages.json",
    "provision.json",
    "store.json",
    "time_sync.json",
    "tuning.json",  # what is tuned; what was before is in /var/lib/mlperf-ops
)
_DEFAULT_MODE = 0o755


class Folder:
    """One work directory."""

    def __init__(self, wanted: dict[str, Any], login: pwd.struct_passwd, owner: str, *, is_home: bool = False) -> None:
        """Resolve its path.

        Args:
            wanted: The keys path, owner, group and mode; empty ones are left as they are on a folder that exists.
            login: Whose home `~` is.
            owner: Who owns a new folder when nothing else is said.
            is_home: It is mlperf_home, whose content mlperf-ops can bring again, but for results.
        """
        self._is_home = is_home
        text = str(wanted["path"])
        if text == "~" or text.startswith("~/"):
            text = login.pw_dir + text[1:]
        self.path = Path(os.path.normpath(os.path.expanduser(text)))
        if not self.path.is_absolute():
            raise HostError(f"'{text}' in host_packages_folders is not an absolute path", "give one")
        self._wanted_owner: str = wanted.get("owner") or ""
        self._wanted_group: str = wanted.get("group") or ""
        self._new_owner = self._wanted_owner or owner
        try:
            self._wanted_mode = int(wanted["mode"], 8) if wanted.get("mode") else None
        except ValueError:
            raise HostError(f"mode '{wanted['mode']}' of {text} is no octal mode", 'such as "0755"') from None

    def changes(self, coming: set[str]) -> list[Change]:
        """Return what is not as it should be.

        Args:
            coming: Users and groups that will exist then.
        """
        for name in (self._new_owner, self._wanted_owner):
            if name and name not in coming and find(name) is None:
                raise HostError(f"this host has no user '{name}' to own {self.path}", "correct it in the inventory")
        if self._wanted_group and self._wanted_group not in coming:
            require_group(self._wanted_group)
        if not os.path.lexists(self.path):
            mode = _DEFAULT_MODE if self._wanted_mode is None else self._wanted_mode
            return [Change(f"folder {self.path}", "absent", f"{self._new_owner} {mode:04o}")]
        if not self.path.is_dir():
            raise HostError(f"{self.path} is not a folder", "move it away, or choose another path")
        now = _facts(self.path)
        wanted = {
            "owner": self._wanted_owner or now["owner"],
            "group": self._wanted_group or now["group"],
            "mode": now["mode"] if self._wanted_mode is None else f"{self._wanted_mode:04o}",
        }
        if wanted == now:
            return []
        return [Change(f"folder {self.path}", _told(now), _told(wanted))]

    def parents(self) -> list[Path]:
        """Return the folders above that are missing, topmost first."""
        return [parent for parent in reversed(self.path.parents) if not parent.exists()]

    def possible(self) -> bool:
        """Tell whether this account can make or correct it without privileges."""
        if self._new_owner != pwd.getpwuid(os.geteuid()).pw_name or self._wanted_group:
            return False
        makes = [*self.parents(), self.path]
        if self.path.exists():
            return self.path.stat().st_uid == os.geteuid()
        return os.access(makes[0].parent, os.W_OK | os.X_OK)

    def apply(self, record: Record, *, privileged: bool) -> None:
        """Make it or correct it; what was there is recorded before."""
        makes = [folder for folder in [*self.parents(), self.path] if not folder.exists()]
        for folder in makes:
            record.folders[str(folder)] = {"made": True, "home": self._is_home and folder == self.path}
        if not makes:
            record.folders.setdefault(str(self.path), {"made": False, **_facts(self.path)})
        # The record of an unprivileged run is inside of mlperf_home itself.
        inside = self.path in record.path.parents
        if not inside:
            record.save()
        for folder in makes:
            folder.mkdir()
            if privileged and (folder == self.path or _is_below_home(folder, self._new_owner)):
                account = pwd.getpwnam(self._new_owner)
                os.chown(folder, account.pw_uid, account.pw_gid)
        if self.path in makes:
            os.chmod(self.path, _DEFAULT_MODE if self._wanted_mode is None else self._wanted_mode)
        elif self._wanted_mode is not None:
            os.chmod(self.path, self._wanted_mode)
        if privileged and (self._wanted_owner or self._wanted_group):
            uid = pwd.getpwnam(self._wanted_owner).pw_uid if self._wanted_owner else -1
            os.chown(self.path, uid, require_group(self._wanted_group) if self._wanted_group else -1)
        if inside:
            record.save()


def revert(record: Record) -> list[str]:
    """Take back what was made and changed, deepest first; return what stays (and stays recorded), a sentence each."""
    kept: dict[str, str] = {}
    for name in sorted(record.folders, key=len, reverse=True):
        path, before = Path(name), record.folders[name]
        if path.is_dir() and before["made"]:
            reason = why_kept(path, is_home=before["home"])
            if reason:
                kept[name] = "" if all(str(path / inside) in kept for inside in os.listdir(path)) else reason
                continue
            shutil.rmtree(path)
        elif path.is_dir():
            os.chmod(path, int(before["mode"], 8))
            if os.geteuid() == 0:
                os.chown(path, _uid(before["owner"]), _gid(before["group"]))
        del record.folders[name]
    return [f"folder {name}: {reason}" for name, reason in kept.items() if reason]


def planned_revert(record: Record) -> list[Change]:
    """Return what `revert` would change."""
    found: list[Change] = []
    going: set[str] = set()
    for name in sorted(record.folders, key=len, reverse=True):
        path, before = Path(name), record.folders[name]
        if path.is_dir() and before["made"]:
            if not why_kept(path, going, is_home=before["home"]):
                going.add(name)
                found.append(Change(f"folder {name}", "present", "absent"))
        elif path.is_dir():
            now, was = _told(_facts(path)), _told(before)
            found += [Change(f"folder {name}", now, was)] if now != was else []
    return found


def why_kept(path: Path, going: Iterable[str] = (), *, is_home: bool) -> str:
    """Return why a folder is not removed; empty when nothing is in it that mlperf-ops could not bring again.

    Args:
        path: The folder.
        going: Folders that would be gone by then.
        is_home: It is mlperf_home.
    """
    if path.is_symlink():
        return "it was replaced by a link"
    mounts = [inside for inside in (path, *path.iterdir()) if os.path.ismount(inside)]
    if mounts:
        return f"something is mounted on {mounts[0]}"
    names = sorted(name for name in os.listdir(path) if str(path / name) not in going)
    if not is_home:
        others = names
    elif "runs" in names:
        return "it holds results in runs"
    else:
        others = [name for name in names if name not in _BRINGS_AGAIN]
        if (path / "state").is_dir():
            state = sorted(os.listdir(path / "state"))
            others += [f"state/{name}" for name in state if name not in _STATE_BRINGS_AGAIN]
    return f"it holds {', '.join(others[:3])}{' and more' if len(others) > 3 else ''}" if others else ""  # noqa: PLR2004  # enough to know it by


def _facts(path: Path) -> dict[str, str]:
    stat = path.stat()
    try:
        owner = pwd.getpwuid(stat.st_uid).pw_name
    except KeyError:
        owner = str(stat.st_uid)
    try:
        group = grp.getgrgid(stat.st_gid).gr_name
    except KeyError:
        group = str(stat.st_gid)
    return {"owner": owner, "group": group, "mode": f"{stat.st_mode & 0o7777:04o}"}


def _told(facts: Mapping[str, str]) -> str:
    return " ".join((facts["owner"], facts["group"], facts["mode"]))


def _uid(name: str) -> int:
    account = find(name)
    return account.pw_uid if account else int(name)


def _gid(name: str) -> int:
    return int(name) if name.isdigit() else require_group(name)


def _is_below_home(path: Path, owner: str) -> bool:
    """Tell whether a folder is inside the owner's home, where a folder of root's would be in the way."""
    account = find(owner)
    return account is not None and Path(account.pw_dir) in path.parents
