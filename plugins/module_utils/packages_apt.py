"""Packages of Debian and Ubuntu: asked of dpkg, changed by apt-get, and only what is missing.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import difflib
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.mlperf_ops.lab.plugins.module_utils import packages_command
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_command import Done

ABSENT, CONFIG_FILES, INSTALLED, BROKEN = "absent", "config-files", "installed", "half-installed"
_INSTALL_SECONDS = 3600
_NETWORK_SECONDS = 15  # of one connection attempt
_JOURNAL = "/var/lib/dpkg/updates"  # files here: dpkg was interrupted
_WRITES_TO = ("/", "/usr", "/var", "/var/lib/dpkg", "/var/cache/apt/archives", "/var/lib/apt/lists", "/tmp", "/boot")  # noqa: S108  # only asked how full it is
_NOT_SETTLED = ("unpacked", "half-configured", "half-installed", "triggers-awaited", "triggers-pending")
_LOCKED = re.compile(r"Could not get lock|is another process using it|lock was locked by another process")
_INST = re.compile(r"^Inst (?P<name>\S+) (?:\[(?P<old>[^\]]+)\] )?\(")
_STALE = re.compile(r"404 +Not Found|Hash Sum mismatch|Unable to fetch some archives")
_NEEDED = re.compile(r"^ (?P<by>\S+) (?:pre-)?depends on (?P<what>[^ ;.]+)", re.MULTILINE | re.IGNORECASE)
_PREVENTED = re.compile(r"dependency problems prevent removal of (?P<name>\S+?):?$", re.MULTILINE)
NEAREST = 3


class Transaction(NamedTuple):
    """What an installation will do, as the manager says beforehand."""

    new: tuple[str, ...]
    upgraded: dict[str, str]  # name -> version before
    removed: tuple[str, ...]


def query(names: Iterable[str]) -> list[str]:
    """Return the command that tells the state of packages."""
    form = "${Package}\\t${Architecture}\\t${db:Status-Eflag}\\t${db:Status-Status}\\n"
    return ["dpkg-query", "--show", f"--showformat={form}", *names]


def parse_query(text: str) -> dict[str, str]:
    """Return package -> installed, half-installed or config-files; what is absent is left out.

    A package of several architectures counts as its best one.
    """
    order = (CONFIG_FILES, BROKEN, INSTALLED)
    found: dict[str, str] = {}
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) != 4:  # noqa: PLR2004  # the fields of `query`
            continue
        name, architecture, flag, status = fields
        if status == "installed" and flag == "ok":
            state = INSTALLED
        elif status in _NOT_SETTLED or flag != "ok":
            state = BROKEN
        elif status == "config-files":
            state = CONFIG_FILES
        else:
            continue
        for key in (name, f"{name}:{architecture}"):
            if order.index(state) >= order.index(found.get(key, CONFIG_FILES)):
                found[key] = state
    return found


def parse_cut_off(text: str) -> list[str]:
    """Return the packages that were cut off while unpacked, as apt-get takes them, out of what `query` printed."""
    lines = [line.split("\t") for line in text.splitlines()]
    found = [fields for fields in lines if len(fields) == 4]  # noqa: PLR2004  # the fields of `query`
    return sorted(
        name if architecture == "all" else f"{name}:{architecture}"
        for name, architecture, flag, status in found
        if flag == "reinstreq" or status == "half-installed"
    )


def parse_policy(text: str) -> set[str]:
    """Return the packages of `apt-cache policy` that could be installed."""
    found, name = set(), ""
    for line in text.splitlines():
        if line and not line.startswith(" "):
            name = line.rstrip(":")
        elif line.strip().startswith("Candidate:") and "(none)" not in line:
            found.add(name)
    return found


def parse_simulation(text: str) -> Transaction:
    """Return what `apt-get --simulate` would install, upgrade and remove."""
    new, upgraded, removed = [], {}, []
    for line in text.splitlines():
        found = _INST.match(line)
        if found and found["old"]:
            upgraded[found["name"]] = found["old"]
        elif found:
            new.append(found["name"])
        elif line.startswith(("Remv ", "Purg ")):
            removed.append(line.split()[1])
    return Transaction(tuple(new), upgraded, tuple(removed))


def parse_prevented(text: str) -> dict[str, str]:
    """Return what `dpkg --simulate --purge` refuses to remove -> the package that needs it."""
    found: dict[str, str] = {}
    parts = _PREVENTED.split(text)
    for name, reason in zip(parts[1::2], parts[2::2]):  # noqa: B905  # strict= is of Python 3.10
        needed = _NEEDED.search(reason)
        found[name] = needed["by"] if needed else "another package"
    return found


class Apt:
    """The package manager of the Debian family."""

    family = "Debian"
    install_by_hand = "apt-get install --no-install-recommends"

    def __init__(self, lock_seconds: int, index_seconds: int) -> None:
        """Set how long to wait.

        Args:
            lock_seconds: For another package manager on this host.
            index_seconds: For the package index, in all.
        """
        self._lock_seconds = lock_seconds
        self._index_seconds = index_seconds
        self._index_error = ""

    def states(self, names: Iterable[str]) -> dict[str, str]:
        """Return package -> state; what is absent is left out."""
        wanted = list(names)
        return parse_query(packages_command.run(query(wanted)).out) if wanted else {}

    def interrupted(self) -> bool:
        """Tell whether dpkg says that it was interrupted."""
        try:
            return any(name.isdigit() for name in os.listdir(_JOURNAL))
        except OSError:
            return False

    def command(self, verb: str, *names: str) -> list[str]:
        """Return an apt-get command that never asks, waits for locks, and takes no more than was asked for."""
        options = {
            "DPkg::Lock::Timeout": self._lock_seconds,
            "Dpkg::Use-Pty": 0,
            "Acquire::Retries": 1,
            "Acquire::http::Timeout": _NETWORK_SECONDS,
            "Acquire::https::Timeout": _NETWORK_SECONDS,
            "APT::Update::Error-Mode": "any",
            "APT::Keep-Downloaded-Packages": "false",
            "APT::Get::AutomaticRemove": "false",
        }
        argv = ["apt-get", verb, "--quiet", "--yes"]
        for name, value in options.items():
            argv += ["-o", f"{name}={value}"]
        for name in ("confdef", "confold"):  # a configuration file that was edited stays as it is
            argv += ["-o", f"Dpkg::Options::=--force-{name}"]
        return [*argv, "--no-install-recommends", *names]

    def unknown(self, names: Iterable[str], *, may_refresh: bool) -> dict[str, list[str]]:
        """Return the packages that do not exist in this distribution -> the nearest names that do.

        The package index is read again only when one is not known, and only when `may_refresh`.

        Raises:
            HostError: One is not known, and the index does not answer.
        """
        wanted = sorted(names)
        missing = self._without_candidate(wanted)
        if missing and may_refresh:
            self._refresh()
            missing = self._without_candidate(wanted)
        if missing and self._index_error:
            raise HostError(
                f"the package index does not answer: {self._index_error}",
                "give the host a route or a proxy to what /etc/apt/sources.list and sources.list.d name, or run "
                f"'{self.install_by_hand} {' '.join(wanted)}' by other means",
            )
        return {name: self._nearest(name) for name in missing}

    def plan(self, names: Iterable[str]) -> Transaction:
        """Ask what an installation would do.

        Raises:
            HostError: It is impossible, or would remove other packages.
        """
        wanted = sorted(names)
        done = packages_command.run([*self.command("install", *wanted), "--simulate"])
        if done.code != 0:
            raise self._failure(done, f"cannot install {', '.join(wanted)}")
        transaction = parse_simulation(done.out)
        if transaction.removed:
            raise HostError(
                f"installing {', '.join(wanted)} would remove {', '.join(transaction.removed)}, which is never done",
                "leave out the package that conflicts, or remove the others yourself",
            )
        return transaction

    def install(self, names: Iterable[str]) -> None:
        """Install packages and what they need.

        Raises:
            HostError: It failed; carries the manager's own last error.
        """
        wanted = sorted(names)
        argv = [*self.command("install", *wanted), "--no-remove"]
        done = self._change(argv)
        if done.code != 0 and _STALE.search(done.err + done.out) and not self._index_error:
            self._refresh()
            done = self._change(argv)
        if done.code != 0:
            raise self._failure(done, f"cannot install {', '.join(wanted)}")

    def repair(self) -> None:
        """Finish what an interrupted package manager has begun.

        Raises:
            HostError: It failed; carries the manager's own last error.
        """
        configure = ["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"]
        self._change(configure)  # what cannot be configured yet lacks a package that the next commands bring
        # What was cut off while it was unpacked is left alone by --fix-broken, and refused by dpkg.
        cut_off = parse_cut_off(packages_command.run(query(())).out)
        done = self._change([*self.command("install", *cut_off), "--reinstall", "--no-remove"]) if cut_off else None
        if done is None or done.code == 0:
            done = self._change([*self.command("install"), "--fix-broken", "--no-remove"])
        if done.code == 0:
            done = self._change(configure)
        if done.code != 0:
            raise self._failure(done, "cannot finish an installation that was interrupted")

    def removable(self, names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
        """Split packages into those that nothing else needs, and those that are needed -> by what."""
        wanted = set(names)
        needed: dict[str, str] = {}
        while wanted:
            done = packages_command.run(["dpkg", "--simulate", "--purge", *sorted(wanted)])
            prevented = {  # dpkg adds the architecture where apt does not
                name if name in wanted else name.partition(":")[0]: by
                for name, by in parse_prevented(done.err + done.out).items()
            }
            if not wanted & set(prevented):
                break
            needed.update({name: by for name, by in prevented.items() if name in wanted})
            wanted -= set(prevented)
        return sorted(wanted), needed

    def remove(self, purged: list[str], removed: list[str]) -> None:
        """Remove packages, of the first list also the configuration files.

        Raises:
            HostError: It failed, or would remove others as well.
        """
        for verb, names in (("purge", purged), ("remove", removed)):
            if not names:
                continue
            argv = self.command(verb, *names)
            planned = parse_simulation(packages_command.run([*argv, "--simulate"]).out).removed
            others = sorted(set(planned) - {*purged, *removed})
            if others:
                raise HostError(f"removing {', '.join(names)} would also remove {', '.join(others)}")
            done = self._change(argv)
            if done.code != 0:
                raise self._failure(done, f"cannot remove {', '.join(names)}")

    def _without_candidate(self, names: list[str]) -> list[str]:
        known = parse_policy(packages_command.run(["apt-cache", "policy", *names]).out)
        return [name for name in names if name not in known]

    def _nearest(self, name: str) -> list[str]:
        names = packages_command.run(["apt-cache", "pkgnames", name[:2]]).out.split()
        return difflib.get_close_matches(name, sorted(names), NEAREST, 0.7)

    def _refresh(self) -> None:
        """Read the package index again; remember why it failed."""
        argv = self.command("update")
        try:
            done = packages_command.run_locked(
                lambda: packages_command.run(argv, self._index_seconds), _LOCKED, self._lock_seconds
            )
        except TimeoutError as error:
            self._index_error = str(error)
            return
        full = packages_command.disk_full(done, _WRITES_TO)
        if full:
            raise HostError(f"cannot read the package index: {full}", "free some space and run the play again")
        if done.code != 0:
            self._index_error = packages_command.last_error(done)

    def _change(self, argv: list[str]) -> Done:
        return packages_command.change(argv, _INSTALL_SECONDS, _LOCKED, self._lock_seconds)

    def _failure(self, done: Done, what: str) -> HostError:
        full = packages_command.disk_full(done, _WRITES_TO)
        if full:
            return HostError(f"{what}: {full}", "free some space and run the play again: it finishes what was begun")
        if _LOCKED.search(done.err + done.out):
            return HostError(
                f"{what}: another package manager works on this host for more than {self._lock_seconds} s: "
                f"{packages_command.last_error(done)}",
                "wait until it has ended, or raise host_packages_lock_seconds",
            )
        hint = "the package index of the host does not answer" if _STALE.search(done.err + done.out) else ""
        return HostError(f"{what}: {packages_command.last_error(done)}", hint or "the words are apt-get's own")
