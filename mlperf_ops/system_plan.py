"""What the plan says of systems: typed fields are checked with file and line, hosts that share a system agree. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mlperf_ops.catalogue.round import Round
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json
from mlperf_ops.lab import LabHost
from mlperf_ops.lab_vars import PREFIX
from mlperf_ops.plan_model import PlannedCell
from mlperf_ops.system_given import check_given
from mlperf_ops.system_lint import style, variants

_VARIABLE = f"{PREFIX}system_description"
_NODES = "number_of_nodes"


def check_typed(host: LabHost, round_: Round) -> dict[str, Json]:
    """Check the system description that was typed for a host, and return it in its JSON form.

    Raises:
        ConfigError: The first mistake, with file and line.
    """
    return check_given(host.vars.system_description, round_, lambda key: _place(host, key))


def nodes_problem(host: LabHost) -> str | None:
    """Return why no cell of a host can run: its system claims more nodes than a cell uses."""
    nodes = host.vars.system_description.get(_NODES)
    if nodes is None or not str(nodes).strip().isdigit() or int(str(nodes)) == 1:
        return None
    return (
        f"{_NODES} of its system is {nodes}, but a cell runs on one host: one result over several is not supported yet"
    )


def with_system_notes(cells: Sequence[PlannedCell], hosts: Sequence[LabHost], round_: Round) -> tuple[PlannedCell, ...]:
    """Return the cells with what the user should know of their systems as further notes.

    Raises:
        ConfigError: Two hosts of one system are typed differently.
    """
    notes = _notes(hosts, round_)
    return tuple(replace(cell, notes=(*cell.notes, *notes[cell.host])) for cell in cells)


def _notes(hosts: Sequence[LabHost], round_: Round) -> dict[str, list[str]]:
    notes: dict[str, list[str]] = {host.name: [] for host in hosts}
    by_name = {host.name: host for host in hosts}
    typed = {host.name: check_typed(host, round_) for host in hosts}
    for system in dict.fromkeys(host.system for host in hosts):
        shared = [host for host in hosts if host.system == system]
        for other in shared[1:]:
            _refuse_differences(shared[0], other, typed)
        if len(shared) > 1:
            names = ", ".join(host.name for host in shared)
            for host in shared:
                notes[host.name].append(
                    f"hosts {names} are system {system}: each result is of one of them, and {_NODES} stays 1; "
                    "one result over several hosts is not supported yet"
                )
    for name, fields in typed.items():
        for key, value in fields.items():
            odd = style(key, value)
            if odd is not None:
                notes[name].append(f"{_place(by_name[name], key)}: {odd.message}; {odd.remedy}")
    for variant in variants(typed):
        (first, spelled), (second, otherwise) = variant.first, variant.second
        notes[second].append(
            f"{_place(by_name[second], variant.field)}: {variant.field} is '{otherwise}' here and '{spelled}' in "
            f"{_place(by_name[first], variant.field)}; write one of them in both places"
        )
    return notes


def _refuse_differences(first: LabHost, other: LabHost, typed: Mapping[str, Mapping[str, Json]]) -> None:
    """Refuse two descriptions of one system; what only one of them says is compared with the other's facts later."""
    hint = "type it once for both, in their common group, or give them different mlperf_system names"
    ours, theirs = typed[first.name], typed[other.name]
    for key, value in theirs.items():
        if key in ours and ours[key] != value:
            raise ConfigError(
                f"{_place(other, key)}: hosts {first.name} and {other.name} both are system {first.system}, but {key} "
                f"is '{value}' here and '{ours[key]}' in {_place(first, key)}",
                hint=hint,
            )
    if first.vars.system_type != other.vars.system_type:
        raise ConfigError(
            f"{other.place.at(PREFIX + 'system_type')}: hosts {first.name} and {other.name} both are system "
            f"{first.system}, but it is '{other.vars.system_type}' here and '{first.vars.system_type}' there",
            hint=hint,
        )


def _place(host: LabHost, key: str) -> str:
    """Return file and line of a field, and the variable that holds it."""
    return host.place.at(_VARIABLE, key).removesuffix(f".{key}")
