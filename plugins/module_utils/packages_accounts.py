"""The service user and groups: made when missing, completed, and taken back.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import contextlib
import difflib
import filecmp
import grp
import os
import pwd
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils import packages_command
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError
from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_record import Change

if TYPE_CHECKING:
    from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_record import Record

_SKELETON = Path("/etc/skel")
_ANSIBLE = ".ansible"  # where Ansible keeps its modules while it runs


def find(name: str) -> pwd.struct_passwd | None:
    """Return an account, None when there is none."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def login() -> pwd.struct_passwd:
    """Return the account that Ansible has logged in with, also when it became root for this module."""
    # sudo's variables also stand in the environment of a play that was itself started by sudo.
    if os.geteuid() == 0 and "BECOME-SUCCESS" in os.environ.get("SUDO_COMMAND", ""):
        account = find(os.environ.get("SUDO_USER", ""))
        if account:
            return account
    return pwd.getpwuid(os.geteuid())


def require_group(name: str) -> int:
    """Return a group's id.

    Raises:
        HostError: There is no such group; names the nearest.
    """
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        near = difflib.get_close_matches(name, [group.gr_name for group in grp.getgrall()], 1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise HostError(
            f"this host has no group '{name}'", f"{hint}correct it, or name it in host_packages_groups to make it"
        ) from None


class Accounts:
    """Groups that must exist, and at most one user."""

    def __init__(self, groups: list[str], user: dict[str, Any]) -> None:
        """Keep what is wanted; an empty user is none."""
        self._groups = groups
        self.name: str = user.get("name") or ""
        self._user = user

    @property
    def names(self) -> set[str]:
        """The users and groups that exist once all is made."""
        return {*self._groups, *([self.name] if self.name else [])}

    def changes(self) -> list[Change]:
        """Return what is missing.

        Raises:
            HostError: What is there contradicts what is wanted.
        """
        missing = [name for name in self._groups if not has_group(name)]
        found = [Change(f"group {name}", "absent", "present") for name in missing]
        if not self.name:
            return found
        for group in self._user["groups"]:
            if group not in self._groups:
                require_group(group)
        account = find(self.name)
        if account is None:
            self._require_free_uid()
            told = [f"home {self._home()}", f"shell {self._user['shell']}"]
            if self._user["groups"]:
                told.append(f"groups {', '.join(self._user['groups'])}")
            return [*found, Change(f"user {self.name}", "absent", "; ".join(told))]
        self._require_same(account)
        if account.pw_shell != self._user["shell"]:
            found.append(Change(f"shell of {self.name}", account.pw_shell, self._user["shell"]))
        found += [Change(f"{self.name} in group {name}", "no", "yes") for name in self._lacking()]
        return found

    def apply(self, record: Record) -> None:
        """Make what is missing; each thing is recorded before."""
        missing = [name for name in self._groups if not has_group(name)]
        account = find(self.name) if self.name else None
        record.groups.update({name: {"made": True} for name in missing})
        if self.name and account is None:
            record.users[self.name] = {
                "made": True,
                "home": self._home(),
                "home_made": not os.path.exists(self._home()),
            }
        elif account:
            before = record.users.setdefault(self.name, {"made": False, "groups_added": [], "shell": account.pw_shell})
            if not before["made"]:
                before["groups_added"] = sorted({*before["groups_added"], *self._lacking()})
        record.save()
        for name in missing:
            _run(["groupadd", name], f"cannot make the group {name}")
        if not self.name:
            return
        if account is None:
            _run(self.useradd(), f"cannot make the user {self.name}")
            return
        lacking = self._lacking()
        if lacking:
            _run(["usermod", "--append", "--groups", ",".join(lacking), self.name], f"cannot add {self.name} to groups")
        if account.pw_shell != self._user["shell"]:
            _run(["usermod", "--shell", self._user["shell"], self.name], f"cannot set the shell of {self.name}")

    def useradd(self) -> list[str]:
        """Return the command that makes the user; it has no password, so that only a key or root opens it."""
        argv = ["useradd", "--create-home", "--home-dir", self._home(), "--shell", self._user["shell"]]
        argv += ["--no-user-group", "--gid", self.name] if has_group(self.name) else ["--user-group"]
        if self._user["groups"]:
            argv += ["--groups", ",".join(self._user["groups"])]
        if self._user["uid"] is not None:
            argv += ["--uid", str(self._user["uid"])]
        return [*argv, self.name]

    def _home(self) -> str:
        return self._user["home"] or f"/home/{self.name}"

    def _lacking(self) -> list[str]:
        """Return the groups that an existing user should be in and is not."""
        account = find(self.name)
        if account is None:
            return list(self._user["groups"])
        there = {
            group.gr_name for group in grp.getgrall() if self.name in group.gr_mem or group.gr_gid == account.pw_gid
        }
        return [name for name in self._user["groups"] if name not in there]

    def _require_same(self, account: pwd.struct_passwd) -> None:
        wanted = {"home": self._user["home"], "uid": self._user["uid"]}
        for key, is_now in (("home", account.pw_dir), ("uid", account.pw_uid)):
            if wanted[key] not in (None, "", is_now):
                raise HostError(
                    f"the user '{self.name}' exists with {key} {is_now}, host_packages_user.{key} says {wanted[key]}",
                    "correct it, or take another name: an existing account is not moved",
                )

    def _require_free_uid(self) -> None:
        uid = self._user["uid"]
        if uid is None:
            return
        with contextlib.suppress(KeyError):
            raise HostError(
                f"uid {uid} of host_packages_user belongs to '{pwd.getpwuid(uid).pw_name}' on this host",
                "choose another one",
            )


def revert(record: Record) -> list[str]:
    """Take back what was made; return what stays, one sentence each."""
    kept = []
    for name, before in list(record.users.items()):
        if before["made"]:
            home_kept = _remove_user(name, before)
            if home_kept:
                record.folders[before["home"]] = {"made": True, "home": False}
                kept.append(home_kept)
        elif find(name):
            _restore_user(name, before)
        del record.users[name]
    for name in list(record.groups):
        if has_group(name):
            members = grp.getgrnam(name).gr_mem
            primary = [account.pw_name for account in pwd.getpwall() if account.pw_gid == grp.getgrnam(name).gr_gid]
            if members or primary:
                kept.append(f"group {name}: {', '.join([*members, *primary])} is in it")
                continue
            _run(["groupdel", name], f"cannot remove the group {name}")
        del record.groups[name]
    return kept


def planned_revert(record: Record) -> list[Change]:
    """Return what `revert` would change."""
    found = [
        Change(f"user {name}", "present", "absent") for name, one in record.users.items() if one["made"] and find(name)
    ]
    found += [Change(f"user {name}", "changed", "as before") for name, one in record.users.items() if not one["made"]]
    return found + [Change(f"group {name}", "present", "absent") for name in record.groups if has_group(name)]


def _restore_user(name: str, before: dict[str, Any]) -> None:
    account = pwd.getpwnam(name)
    for group in before["groups_added"]:
        if has_group(group) and name in grp.getgrnam(group).gr_mem:
            _run(["gpasswd", "--delete", name, group], f"cannot take {name} out of the group {group}")
    if account.pw_shell != before["shell"]:
        _run(["usermod", "--shell", before["shell"], name], f"cannot set the shell of {name}")


def _remove_user(name: str, before: dict[str, Any]) -> str:
    """Remove a user that we made; return why its home stays, empty when it does not."""
    if find(name):
        _run(["userdel", name], f"cannot remove the user {name}")
    for spool in (Path("/var/mail") / name, Path("/var/spool/mail") / name):  # some distributions make one
        if spool.is_file() and spool.stat().st_size == 0:
            spool.unlink()
    home = Path(before["home"])
    if not before["home_made"] or not home.is_dir():
        return ""
    own = _not_from_skeleton(home)
    if own:
        return f"folder {home}: it holds {', '.join(own)}"
    shutil.rmtree(home)
    return ""


def _not_from_skeleton(home: Path) -> list[str]:
    """Return the names in a home folder that are not as a new account has them."""
    own = []
    for path in sorted(home.iterdir()):
        pattern = _SKELETON / path.name
        same = pattern.is_file() and path.is_file() and filecmp.cmp(str(pattern), str(path), shallow=False)
        if not same and path.name != _ANSIBLE and not (pattern.is_dir() and path.is_dir() and not any(path.iterdir())):
            own.append(path.name)
    return own


def has_group(name: str) -> bool:
    """Tell whether this host has a group."""
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _run(argv: list[str], what: str) -> None:
    done = packages_command.run(argv)
    if done.code != 0:
        raise HostError(f"{what}: {packages_command.last_error(done)}")
