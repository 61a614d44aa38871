"""Which packages a host should have: the sets of its family, and what this very distribution calls them.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError
from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_apt import Apt
from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_rpm import Dnf, Zypper

if TYPE_CHECKING:
    from collections.abc import Mapping

    Manager = Apt | Dnf | Zypper

_OS_RELEASE = Path("/etc/os-release")
_LINE = re.compile(r"""^(?P<key>[A-Z_]+)=["']?(?P<value>[^"'\n]*)""", re.MULTILINE)
# ID and ID_LIKE of os-release(5) -> family; the first word that is known decides.
_FAMILIES = {
    "debian": "Debian",
    "ubuntu": "Debian",
    "rhel": "RedHat",
    "fedora": "RedHat",
    "centos": "RedHat",
    "suse": "Suse",
    "sles": "Suse",
    "opensuse": "Suse",
}
_MANAGERS: Mapping[str, type[Manager]] = {"Debian": Apt, "RedHat": Dnf, "Suse": Zypper}
# What Debian policy 5.6.1 and rpm have in common; versions and options are not names.
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9+._-]*(?::[a-z0-9-]+)?$")


class Distribution:
    """What os-release says of a host."""

    def __init__(self, text: str) -> None:
        """Parse it."""
        values = {found["key"]: found["value"] for found in _LINE.finditer(text)}
        self.id = values.get("ID", "")
        words = [self.id, *values.get("ID_LIKE", "").split()]
        self.base = next((word for word in words if word in _FAMILIES), "")
        self.family = _FAMILIES.get(self.base, "")
        self.release = f"{self.base}{values.get('VERSION_ID', '').partition('.')[0]}"

    def manager(self, lock_seconds: int, index_seconds: int) -> Manager | None:
        """Return the package manager, None when the family is not known."""
        found = _MANAGERS.get(self.family)
        return None if found is None else found(lock_seconds, index_seconds)


def distribution() -> Distribution:
    """Read os-release of this host."""
    try:
        return Distribution(_OS_RELEASE.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return Distribution("")


def wanted(
    host: Distribution, families: Mapping[str, Mapping[str, list[dict[str, Any]]]], sets: list[str], extra: list[str]
) -> dict[str, str]:
    """Return the packages that a host should have -> why.

    Args:
        host: Its distribution.
        families: Family -> set -> entries with name, why and, where names differ inside a family, only.
        sets: Sets to take.
        extra: Further packages, by their names in this distribution.

    Raises:
        HostError: A set or a name is wrong, or nothing is known of the distribution.
    """
    if not sets and not extra:
        return {}
    if not host.family:
        raise HostError(
            f"nothing is known of the packages of distribution '{host.id or 'without os-release'}'",
            "install them yourself and set host_packages_sets: [] for this host; known are the families "
            f"{', '.join(_MANAGERS)}",
        )
    found: dict[str, str] = {}
    known = families.get(host.family, {})
    for name in sets:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), 1)
            raise HostError(
                f"host_packages_sets names '{name}'; there are {', '.join(known)}",
                f"did you mean '{near[0]}'?" if near else "correct it",
            )
        for entry in known[name]:
            if {host.base, host.release} & set(entry.get("only", [host.base])):
                found[entry["name"]] = entry["why"]
    for name in extra:
        if not _NAME.match(name):
            raise HostError(f"host_packages_extra names '{name}', which is no package name", "give names, no versions")
        found.setdefault(name, "asked for in host_packages_extra")
    return found
