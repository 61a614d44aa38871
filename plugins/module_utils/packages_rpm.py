"""Packages of the RHEL and SUSE families: asked of rpm, changed by dnf or zypper, and only what is missing.

Command lines and parsers are tested against what the tools print; no test has run them on a host of these families.
Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.mlperf_ops.lab.plugins.module_utils import packages_command
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError
from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_apt import INSTALLED, Transaction

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_command import Done

_INSTALL_SECONDS = 3600
_NETWORK_SECONDS = 15  # of one connection attempt
_WRITES_TO = ("/", "/usr", "/var", "/var/lib/rpm", "/usr/lib/sysimage/rpm", "/var/cache", "/tmp", "/boot")  # noqa: S108  # only asked how full it is
_LOCKED = re.compile(r"lock is held|is locked by|locked the application|waiting for process with pid", re.IGNORECASE)
_UNREACHABLE = re.compile(
    r"cannot download|failed to download|no more mirrors|could not resolve|timeout (?:was )?exceeded|curl error|"
    r"valid metadata not found",
    re.IGNORECASE,
)
_DNF_SECTION = re.compile(r"^(Installing|Upgrading|Removing|Downgrading|Reinstalling)\b.*:$", re.IGNORECASE)
_ZYPPER_LIST = re.compile(r"<(?P<list>to-install|to-upgrade|to-remove)>(?P<inside>.*?)</(?P=list)>", re.DOTALL)
_SOLVABLE = re.compile(r"<solvable\b[^>]*>")
_ATTRIBUTE = re.compile(r'\b(type|name|edition-old)="([^"]*)"')
_NEEDED = re.compile(r"^\s+(?P<what>.+?) is needed by (?:\(installed\) )?(?P<by>\S+)$", re.MULTILINE)


def query(names: Iterable[str]) -> list[str]:
    """Return the command that tells which packages are installed."""
    return ["rpm", "--query", "--queryformat", "%{NAME}\\n", *names]


def parse_query(text: str, names: Iterable[str]) -> dict[str, str]:
    """Return the packages among `names` that rpm printed; it says of each other one that it is not installed."""
    lines = set(text.split("\n"))
    return {name: INSTALLED for name in names if name in lines}


def parse_dnf(text: str) -> Transaction:
    """Return what `dnf install --assumeno` (4 or 5) would install, upgrade and remove."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in text.splitlines():
        heading = _DNF_SECTION.match(line)
        fields = line.split()
        if heading:
            section = heading.group(1).lower()
        elif line.startswith("Transaction Summary"):
            break
        elif section and line.startswith(" ") and len(fields) >= 5 and fields[0] != "replacing":  # noqa: PLR2004  # name, arch, version, repository, size
            found.setdefault(section, []).append(fields[0])
    changed = found.get("upgrading", []) + found.get("downgrading", [])
    new, removed = found.get("installing", []), found.get("removing", [])
    return Transaction(tuple(new), dict.fromkeys(changed, "?"), tuple(removed))


def parse_zypper(text: str) -> Transaction:
    """Return what `zypper --xmlout install --dry-run` would install, upgrade and remove."""
    found: dict[str, dict[str, str]] = {"to-install": {}, "to-upgrade": {}, "to-remove": {}}
    for part in _ZYPPER_LIST.finditer(text):
        for solvable in _SOLVABLE.findall(part["inside"]):
            attributes = dict(_ATTRIBUTE.findall(solvable))
            if attributes.get("type", "package") == "package":
                found[part["list"]][attributes["name"]] = attributes.get("edition-old", "?")
    return Transaction(tuple(found["to-install"]), found["to-upgrade"], tuple(found["to-remove"]))


def parse_needed(text: str) -> list[tuple[str, str]]:
    """Return the (capability, package that needs it) of `rpm --erase --test`."""
    return [(found["what"].split(" ", 1)[0], found["by"]) for found in _NEEDED.finditer(text)]


class _Rpm:
    """What dnf and zypper have in common: rpm itself."""

    family = ""
    manager = ""
    install_by_hand = ""

    def __init__(self, lock_seconds: int, index_seconds: int) -> None:
        """Set how long to wait.

        Args:
            lock_seconds: For another package manager on this host.
            index_seconds: For the package index, in all.
        """
        self._lock_seconds = lock_seconds
        self._index_seconds = index_seconds

    def states(self, names: Iterable[str]) -> dict[str, str]:
        """Return package -> state; what is absent is left out."""
        wanted = list(names)
        return parse_query(packages_command.run(query(wanted)).out, wanted) if wanted else {}

    def interrupted(self) -> bool:
        """Tell whether a repair is needed: rpm replays its own journal."""
        return False

    def repair(self) -> None:
        """There is nothing to finish: what is missing is installed again."""

    def removable(self, names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
        """Split packages into those that nothing else needs, and those that are needed -> by what."""
        wanted = set(names)
        needed: dict[str, str] = {}
        while wanted:
            done = packages_command.run(["rpm", "--erase", "--test", *sorted(wanted)])
            before = len(wanted)
            for what, by in parse_needed(done.err + done.out):
                providers = packages_command.run([*query(["--whatprovides", what])]).out.split("\n")
                for name in wanted.intersection(providers):
                    needed[name] = by
                wanted.difference_update(providers)
            if done.code == 0 or len(wanted) == before:
                break
        return sorted(wanted), needed

    def remove(self, purged: list[str], removed: list[str]) -> None:
        """Remove packages.

        Raises:
            HostError: It failed; carries rpm's own last error.
        """
        names = [*purged, *removed]
        if not names:
            return
        done = self._change(["rpm", "--erase", *names])
        if done.code != 0:
            raise self._failure(done, f"cannot remove {', '.join(names)}")

    def _change(self, argv: list[str]) -> Done:
        return packages_command.change(argv, _INSTALL_SECONDS, _LOCKED, self._lock_seconds)

    def _failure(self, done: Done, what: str) -> HostError:
        full = packages_command.disk_full(done, _WRITES_TO)
        if full:
            return HostError(f"{what}: {full}", "free some space and run the play again: it finishes what was begun")
        if _UNREACHABLE.search(done.err + done.out):
            return HostError(
                f"{what}: the package index does not answer: {packages_command.last_error(done)}",
                f"give the host a route or a proxy to its repositories, or run '{self.install_by_hand}' by other means",
            )
        return HostError(f"{what}: {packages_command.last_error(done)}", f"the words are {self.manager}'s own")

    def _asked(self, argv: list[str], what: str) -> Done:
        try:
            return packages_command.run(argv, self._index_seconds)
        except TimeoutError as error:
            raise HostError(
                f"{what}: the package index does not answer: {error}",
                "give the host a route or a proxy to its repositories",
            ) from error


class Dnf(_Rpm):
    """The package manager of the RHEL family."""

    family = "RedHat"
    manager = "dnf"
    install_by_hand = "dnf install --setopt=install_weak_deps=False"

    def command(self, verb: str, *names: str) -> list[str]:
        """Return a dnf command that takes no more than was asked for and does not wait for ever."""
        options = ("install_weak_deps=False", f"timeout={_NETWORK_SECONDS}", "retries=2", "keepcache=False")
        return ["dnf", verb, *(f"--setopt={option}" for option in options), *names]

    def unknown(self, names: Iterable[str], *, may_refresh: bool) -> dict[str, list[str]]:
        """Return the packages that do not exist in this distribution; dnf names no near ones.

        Raises:
            HostError: The index does not answer.
        """
        wanted = sorted(names)
        cached = [] if may_refresh else ["--cacheonly"]
        argv = [*self.command("repoquery"), "--quiet", *cached, "--queryformat", "%{name}\\n", *wanted]
        done = self._asked(argv, "cannot look for packages")
        if done.code != 0:
            raise self._failure(done, "cannot look for packages")
        known = set(done.out.replace("\\n", "\n").split())
        return {name: [] for name in wanted if name not in known}

    def plan(self, names: Iterable[str]) -> Transaction:
        """Ask what an installation would do; dnf ends with code 1 because the answer was no.

        Raises:
            HostError: It is impossible, or would remove other packages.
        """
        wanted = sorted(names)
        done = self._asked([*self.command("install", *wanted), "--assumeno"], f"cannot install {', '.join(wanted)}")
        transaction = parse_dnf(done.out)
        if transaction.removed:
            raise _would_remove(wanted, transaction)
        if not transaction.new:
            raise self._failure(done, f"cannot install {', '.join(wanted)}")
        return transaction

    def install(self, names: Iterable[str]) -> None:
        """Install packages and what they need.

        Raises:
            HostError: It failed; carries the manager's own last error.
        """
        wanted = sorted(names)
        done = self._change([*self.command("install", *wanted), "--assumeyes"])
        if done.code != 0:
            raise self._failure(done, f"cannot install {', '.join(wanted)}")


class Zypper(_Rpm):
    """The package manager of the SUSE family."""

    family = "Suse"
    manager = "zypper"
    install_by_hand = "zypper install --no-recommends"

    def command(self, verb: str, *names: str) -> list[str]:
        """Return a zypper command that never asks and takes no more than was asked for."""
        extra = ["--no-recommends"] if verb == "install" else []
        return ["zypper", "--non-interactive", "--xmlout", verb, *extra, *names]

    def unknown(self, names: Iterable[str], *, may_refresh: bool) -> dict[str, list[str]]:
        """Return the packages that do not exist in this distribution; zypper names no near ones.

        Raises:
            HostError: The index does not answer.
        """
        wanted = sorted(names)
        argv = self.command("search", "--match-exact", "--type", "package", *wanted)
        if not may_refresh:
            argv.insert(1, "--no-refresh")
        done = self._asked(argv, "cannot look for packages")
        if done.code not in (0, 104):  # 104: nothing was found
            raise self._failure(done, "cannot look for packages")
        known = {dict(_ATTRIBUTE.findall(solvable)).get("name") for solvable in _SOLVABLE.findall(done.out)}
        return {name: [] for name in wanted if name not in known}

    def plan(self, names: Iterable[str]) -> Transaction:
        """Ask what an installation would do.

        Raises:
            HostError: It is impossible, or would remove other packages.
        """
        wanted = sorted(names)
        done = self._asked(self.command("install", "--dry-run", *wanted), f"cannot install {', '.join(wanted)}")
        transaction = parse_zypper(done.out)
        if transaction.removed:
            raise _would_remove(wanted, transaction)
        if done.code != 0 or not transaction.new:
            raise self._failure(done, f"cannot install {', '.join(wanted)}")
        return transaction

    def install(self, names: Iterable[str]) -> None:
        """Install packages and what they need.

        Raises:
            HostError: It failed; carries the manager's own last error.
        """
        wanted = sorted(names)
        done = self._change(self.command("install", *wanted))
        if done.code != 0:
            raise self._failure(done, f"cannot install {', '.join(wanted)}")


def _would_remove(wanted: list[str], transaction: Transaction) -> HostError:
    return HostError(
        f"installing {', '.join(wanted)} would remove {', '.join(transaction.removed)}, which is never done",
        "leave out the package that conflicts, or remove the others yourself",
    )
