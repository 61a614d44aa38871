"""A lab: the checked `mlperf_*` variables of all its hosts. Pure.

Ansible resolves the variables; this module judges them. A mistake is one sentence with the file and line where the
value was written, when the inventory's files tell (`mlperf_ops.lab_source`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from pydantic import ValidationError

from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json
from mlperf_ops.lab_problems import Locate, Place, sentence
from mlperf_ops.lab_vars import PREFIX, HostVars
from mlperf_ops.model import Division, RunStyle
from mlperf_ops.patterns import PATH_NAME
from mlperf_ops.plan_model import OnConflict, run_name
from mlperf_ops.wording import in_order

_PATH_NAME = re.compile(PATH_NAME)
_INVENTORY_SUFFIXES = {".yml", ".yaml", ".ini", ".json"}


@dataclass(frozen=True, slots=True)
class LabHost:
    """A SUT with its checked variables."""

    name: str
    vars: HostVars
    place: Place

    @property
    def system(self) -> str:
        """The system's id, which names its directory."""
        return self.vars.system or self.name


@dataclass(frozen=True, slots=True)
class Lab:
    """All SUTs, and what they have in common.

    `division` is the first host's; another host, or a benchmark of it, may have its own.
    """

    inventory: str
    round: str
    division: Division
    submitter: str
    run_id: str
    run_style: RunStyle
    smoke: bool
    on_conflict: OnConflict
    hosts: tuple[LabHost, ...]


def load_lab(
    hosts_vars: Mapping[str, Mapping[str, Json]], inventory: str, locate: Locate, *, default_run_id: str | None = None
) -> Lab:
    """Check the variables of all hosts of a lab.

    Args:
        hosts_vars: host -> variable -> value, for every host of group `sut`.
        inventory: The inventory as the user wrote it.
        locate: Finds the file and line of a value.
        default_run_id: Used where mlperf_run_id is not set; default: the name of the inventory's folder.

    Raises:
        ConfigError: No hosts, a mistake in a variable, or hosts that contradict each other.
    """
    if not hosts_vars:
        raise ConfigError(
            f"{inventory}: no host is in group 'sut'", hint="put the machines to measure into group 'sut'"
        )
    hosts = tuple(
        LabHost(name, check_host(name, variables, locate), Place(name, variables, locate))
        for name, variables in sorted(hosts_vars.items(), key=lambda one: in_order(one[0]))
    )
    for host in hosts:
        if not _PATH_NAME.fullmatch(host.system):
            raise ConfigError(
                f"host {host.name}: its name cannot be the directory of a system",
                hint="set mlperf_system for it: letters, digits, '.', '_', '+' and '-'",
            )
    default_id = default_run_id or _folder_name(inventory)
    for name in ("round", "submitter", "run_style", "run_id", "smoke", "on_conflict"):
        _same_everywhere(hosts, name)
    first = hosts[0].vars
    return Lab(
        inventory=inventory,
        round=first.round,
        division=first.division,
        submitter=first.submitter,
        run_id=run_name(first.run_id or default_id, smoke=first.smoke),
        run_style="test" if first.smoke else first.run_style,
        smoke=first.smoke,
        on_conflict=first.on_conflict,
        hosts=hosts,
    )


def run_id_of(hosts_vars: Mapping[str, Mapping[str, Json]], default: str) -> str:
    """Return the run id of a lab before its variables are checked: that of its first host."""
    first = hosts_vars[min(hosts_vars, key=in_order)] if hosts_vars else {}
    return run_name(str(first.get(f"{PREFIX}run_id") or default), smoke=first.get(f"{PREFIX}smoke", False))


def _folder_name(inventory: str) -> str:
    folder = PurePath(inventory)
    return (folder.parent if folder.suffix in _INVENTORY_SUFFIXES else folder).name or "run"


def _same_everywhere(hosts: Sequence[LabHost], name: str) -> None:
    first = hosts[0]
    for other in hosts[1:]:
        ours, theirs = getattr(first.vars, name), getattr(other.vars, name)
        if ours != theirs:
            raise ConfigError(
                f"{other.place.at(PREFIX + name)}: host {other.name} has '{theirs}' but host {first.name} has '{ours}'",
                hint="one run is one submission: set it once, in group_vars/all",
            )


def check_host(host: str, variables: Mapping[str, Json], locate: Locate) -> HostVars:
    """Check one host's variables.

    Raises:
        ConfigError: The first mistake, in one sentence.
    """
    try:
        return HostVars.model_validate(dict(variables))
    except ValidationError as error:
        raise sentence(error, Place(host, variables, locate)) from error
