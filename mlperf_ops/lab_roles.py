"""Variables of roles in the inventory, and hosts that no play would touch. Pure.

Ansible itself says nothing of `host_tuning_manage_swapp: false`: it is a variable that nobody reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from mlperf_ops.errors import ConfigError, unknown_name
from mlperf_ops.files import Json
from mlperf_ops.lab_problems import Locate, Place

# What the plays act on; the first are the hosts that run cells.
GROUPS = ("sut", "services", "power_directors")
_ALL, _UNGROUPED = "all", "ungrouped"


def check_role_variables(
    hosts: Mapping[str, Mapping[str, Mapping[str, Json]]], roles: Mapping[str, Sequence[str]], locate: Locate
) -> None:
    """Refuse a variable that starts with a role's name and that the role does not know, or not with this value.

    Args:
        hosts: host -> variable -> {value, objection}, of the variables that start with the name of a role. The
            objection is what Ansible says against the value by the role's argument_specs; "" where there is none.
        roles: role -> its options.
        locate: Finds the file and line of a value.

    Raises:
        ConfigError: The first such variable, with file, line and the nearest option of the role.
    """
    for host, variables in hosts.items():
        for name in sorted(variables):
            role, told = role_of(name, roles), variables[name]
            if role is None:
                continue
            where = Place(host, {name: told["value"]}, locate).at(name)
            if name not in roles[role]:
                raise unknown_name(f"variable of role {role}", name, roles[role], where=where)
            if told["objection"]:
                raise ConfigError(f"{where}: {_in_words(str(told['objection']), name)}")


# How Ansible begins what it says of a value; the place is named already.
_ANSIBLES_HEAD = re.compile(r"^(argument|Elements value for option|value of) '?[\w.]+'? ?")


def _in_words(objection: str, name: str) -> str:
    """Leave out of Ansible's sentence the name of the variable, which stands before it."""
    said = _ANSIBLES_HEAD.sub("", " ".join(objection.split())).removesuffix(f" found in '{name}'")
    return said or objection


def role_of(variable: str, roles: Mapping[str, object] | Sequence[str]) -> str | None:
    """Return the role that a variable is named after: of host_x and host_x_y the longer one."""
    return max((role for role in roles if variable.startswith(f"{role}_")), key=len, default=None)


def idle_hosts(groups: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Say of each host that no play would touch why, in a sentence.

    Args:
        groups: group -> its hosts, those of its children included, as Ansible's `groups`.
    """
    used = {host for group in GROUPS for host in groups.get(group, ())}
    for host in groups.get(_ALL, ()):
        if host in used:
            continue
        own = sorted(group for group, hosts in groups.items() if host in hosts and group not in {_ALL, _UNGROUPED})
        told = f"is in {', '.join(own)} but in none of {', '.join(GROUPS)}" if own else "is in no group"
        yield f"host {host} {told}, so nothing is done with it (put it into {GROUPS[0]} to run cells on it)"
