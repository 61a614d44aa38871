"""What host_packages does to a host as a whole: compare, apply, verify, revert.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils import (
    packages_accounts,
    packages_family,
    packages_folders,
    packages_limits,
    packages_record,
)
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError
from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_apt import ABSENT, BROKEN, INSTALLED
from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_folders import Folder
from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_record import Change, Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_family import Manager


class Host:
    """One host: what it should hold, and what it does."""

    def __init__(self, parameters: dict[str, Any], *, check_mode: bool) -> None:
        """Read what the host is, and what it should be.

        Raises:
            HostError: What is asked for is impossible here.
        """
        self._state: str = parameters["state"]
        self._check_mode = check_mode
        self._strict: bool = parameters["strict"]
        self._privileged: bool = parameters["privileged"]
        if self._privileged and os.geteuid() != 0:
            raise HostError(
                f"Ansible works as {packages_accounts.login().pw_name} on this host and not as root",
                "let it become root, or set mlperf_become: false, and what needs root is listed instead",
            )
        distribution = packages_family.distribution()
        self._manager = distribution.manager(parameters["lock_seconds"], parameters["index_seconds"])
        reverting = self._state == "reverted"  # must also work when the inventory is not what it was
        self._packages: dict[str, str] = {}
        if not reverting and (self._manager or self._privileged):
            sets, extra = parameters["sets"], parameters["extra"]
            self._packages = packages_family.wanted(distribution, parameters["families"], sets, extra)
        self._accounts = packages_accounts.Accounts(parameters["groups"], parameters["user"])
        login = packages_accounts.login()
        owner = (self._privileged and self._accounts.name) or login.pw_name
        homes = [{"path": parameters["home"]}] if parameters["home"] else []
        self._folders = [Folder(one, login, owner, is_home=True) for one in homes]
        self._folders += [Folder(one, login, owner) for one in parameters["folders"]]
        asked = {} if reverting else parameters["limits"]
        self._limits = packages_limits.Limits(asked, {login.pw_name, owner})
        self._notes: list[str] = []
        self._by_hand = ""
        self._kept: list[str] = []
        self._unprivileged: list[str] = []
        home = self._folders[0].path if homes else None
        if self._privileged or home is None:
            self._record = Record(packages_record.MACHINE_FOLDER / packages_record.NAME)
        else:
            self._record = Record(home / "state" / packages_record.NAME)

    def run(self) -> dict[str, Any]:
        """Do what the state asks for; return the module's result."""
        changes = {
            "applied": self._apply if self._privileged else self._apply_unprivileged,
            "verified": self._verify,
            "reverted": self._revert,
        }[self._state]()
        clamped = self._limits.clamped if self._privileged else []
        refused = [*self._unprivileged, *clamped]
        if self._strict and refused:
            raise HostError(f"not done: {'; '.join(refused)}", "set host_packages_strict: false to accept that")
        return {
            "changed": bool(changes),
            "msg": f"{len(changes)} changes" if changes else "as it should be",
            "packages": [change.what.partition(" ")[2] for change in changes if change.what.startswith("package ")],
            "unprivileged": self._unprivileged,
            "clamped": clamped,
            "kept": self._kept,
            "notes": self._notes,
            "by_hand": self._by_hand,
            "diff": {
                "before": "".join(f"{change.what}: {change.before}\n" for change in changes),
                "after": "".join(f"{change.what}: {change.after}\n" for change in changes),
            },
        }

    def _missing(self) -> dict[str, str]:
        """Return the packages that are not there -> their state."""
        states = {} if self._manager is None else self._manager.states(self._packages)
        return {name: states.get(name, ABSENT) for name in self._packages if states.get(name) != INSTALLED}

    def _changes(self) -> list[Change]:
        found = [Change(f"package {name}", state, INSTALLED) for name, state in sorted(self._missing().items())]
        found += self._accounts.changes()
        for folder in self._folders:
            found += folder.changes(self._accounts.names)
        return found + self._limits.changes(self._record)

    def _apply(self) -> list[Change]:
        changes = self._changes()
        missing = self._missing() if changes else {}
        if changes and not self._check_mode:
            with packages_record.held():
                self._record = Record(self._record.path)  # another play may have ended since
                self._require_known(missing, may_refresh=True)
                self._install(missing)
                self._accounts.apply(self._record)
                for folder in self._folders:
                    if folder.changes(self._accounts.names):
                        folder.apply(self._record, privileged=True)
                self._limits.apply(self._record)
        elif missing:
            self._require_known(missing, may_refresh=False)
        if not self._check_mode:
            not_taken = self._limits.not_taken()
            if not_taken:
                raise HostError("; ".join(not_taken))
        return changes

    def _require_known(self, missing: Mapping[str, str], *, may_refresh: bool) -> None:
        """Make sure that every package exists in this distribution, before anything is changed."""
        absent = [name for name, state in missing.items() if state != BROKEN]
        if not absent or self._manager is None:
            return
        unknown = self._manager.unknown(absent, may_refresh=may_refresh)
        if not unknown:
            return
        told = [f"{name}{f' (nearest: {near[0]})' if near else ''}" for name, near in unknown.items()]
        if not may_refresh:
            if len(unknown) < len(absent):  # a host whose index was never read knows none at all
                self._notes.append(f"the package index as it is now does not know {', '.join(told)}")
            return
        raise HostError(
            f"this host's distribution has no package {', '.join(told)}",
            "correct host_packages_extra, or add the repository that has it; nothing was installed",
        )

    def _install(self, missing: Mapping[str, str]) -> None:
        if not missing or self._manager is None:
            return
        if BROKEN in missing.values() or self._manager.interrupted():
            self._manager.repair()
            self._notes.append("an installation that was interrupted was finished")
        wanted = self._missing()
        if not wanted:
            return
        plan = self._manager.plan(wanted)
        states = self._manager.states(plan.new)
        for name in plan.new:
            if states.get(name) != BROKEN:  # what was half installed was ours or was there before
                self._record.packages.setdefault(name, states.get(name, ABSENT))
        for name, version in plan.upgraded.items():
            self._record.upgraded.setdefault(name, version)
        self._record.save()
        self._manager.install(wanted)
        still = self._missing()
        if still:
            raise HostError(
                f"{', '.join(still)} is not installed although the package manager says so",
                "is it the name of a virtual package? Name the package that provides it",
            )

    def _verify(self) -> list[Change]:
        changes = self._changes()
        if not self._privileged:
            self._list_unprivileged()
            return []
        differs = [
            f"{change.what} differs" if "\n" in change.before else f"{change.what} is {change.before}"
            for change in changes
        ]
        differs += [] if changes else self._limits.not_taken()
        if differs:
            raise HostError(f"not as the inventory says: {'; '.join(differs)}", "run provision.yml")
        return []

    def _apply_unprivileged(self) -> list[Change]:
        """Make the folders that this account can make; list the rest."""
        self._list_unprivileged()
        changes = []
        for folder in self._folders:
            found = folder.changes(self._accounts.names)
            if found and folder.possible():
                changes += found
                if not self._check_mode:
                    folder.apply(self._record, privileged=False)
            else:
                self._unprivileged += [f"{change.what}: {change.before} instead of {change.after}" for change in found]
        return changes

    def _list_unprivileged(self) -> None:
        missing = self._missing()
        self._unprivileged += [f"package {name}: {self._packages[name]}" for name in sorted(missing)]
        self._unprivileged += [f"{change.what}: {change.after}" for change in self._accounts.changes()]
        self._unprivileged += self._limits.unprivileged()
        if missing and self._manager is not None:
            sudo = "" if os.geteuid() == 0 else "sudo "
            self._by_hand = f"{sudo}{self._manager.install_by_hand} {' '.join(sorted(missing))}"

    def _revert(self) -> list[Change]:
        record = self._record
        machine = packages_record.MACHINE_FOLDER / packages_record.NAME
        if not self._privileged and machine.exists():
            self._unprivileged.append(f"what {machine} records stays: it was added by root")
        if record.empty:
            return []
        changes = self._planned_revert()
        if self._check_mode:
            return changes
        if self._privileged:
            with packages_record.held():
                self._record = record = Record(record.path)  # another play may have ended since
                self._put_back()
        else:
            self._kept += packages_folders.revert(record)
        if record.empty:
            record.remove()
        elif record.path.parent.is_dir():
            record.save()
        return changes

    def _planned_revert(self) -> list[Change]:
        found = [*packages_limits.planned_revert(self._record), *packages_folders.planned_revert(self._record)]
        found += packages_accounts.planned_revert(self._record)
        purged, removed, _ = self._removable()
        return found + [Change(f"package {name}", INSTALLED, ABSENT) for name in sorted([*purged, *removed])]

    def _removable(self) -> tuple[list[str], list[str], dict[str, str]]:
        """Return the packages of ours to remove with and without their configuration, and those that stay -> why."""
        manager: Manager | None = self._manager
        if manager is None or not self._record.packages:
            return [], [], {}
        there = [name for name, state in manager.states(self._record.packages).items() if state in (INSTALLED, BROKEN)]
        names, needed = manager.removable([name for name in there if name in self._record.packages])
        purged = [name for name in names if self._record.packages[name] == ABSENT]
        return purged, [name for name in names if name not in purged], needed

    def _put_back(self) -> None:
        record = self._record
        packages_limits.revert(record)
        self._kept += packages_folders.revert(record)
        record.save()
        self._kept += packages_accounts.revert(record)
        record.save()
        purged, removed, needed = self._removable()
        if self._manager is not None and (purged or removed):
            self._manager.remove(purged, removed)
        record.packages = {name: before for name, before in record.packages.items() if name in needed}
        self._kept += [f"package {name}: {by} needs it" for name, by in sorted(needed.items())]
        self._kept += [f"package {name}: was upgraded from {old}" for name, old in sorted(record.upgraded.items())]
        record.upgraded = {}
        record.save()
