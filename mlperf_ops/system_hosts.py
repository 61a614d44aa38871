"""Several hosts of one node type as one system: one description that the facts of all of them agree on. Pure.

A cell runs on one host, so `number_of_nodes` stays 1 however many hosts share the work of a system: each result was
made by one of them, and a reader divides by that number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlperf_ops.catalogue.round import Round
from mlperf_ops.errors import ResultError
from mlperf_ops.files import Json
from mlperf_ops.system import SystemDescription, describe
from mlperf_ops.system_facts import Fact, SystemFacts, Usage

_SAME_MEMORY = 0.01
"""How much the memory that the kernel leaves for use may differ between equal machines: firmware takes a bit more or
less of it on each. Installed modules are compared exactly."""


@dataclass(frozen=True, slots=True)
class SystemHost:
    """A host of a system.

    Attributes:
        name: In the inventory.
        system_type: Of the round.
        given: The user's own fields.
        facts: What the machine says of itself.
        typed: The fields are of the inventory, and not of imported results, which were checked as they came.
    """

    name: str
    system_type: str
    given: Mapping[str, Json]
    facts: SystemFacts
    typed: bool = True


def describe_hosts(
    round_: Round, hosts: Sequence[SystemHost], *, division: str, submitter: str, usage: Usage
) -> SystemDescription:
    """Build the description of a system from all its hosts.

    Args:
        round_: Whose required fields are filled.
        hosts: At least one.
        division: Of the plan.
        submitter: Of the plan.
        usage: What the packed runs of all hosts used.

    Raises:
        ConfigError: A given field is wrong.
        ResultError: Two hosts differ in what the description says; names every such field with both values.
    """
    facts = _level_memory([host.facts for host in hosts])
    made = [
        describe(
            round_,
            fixed={"division": division, "submitter": submitter, "system_type": host.system_type},
            given=host.given,
            facts=own,
            usage=usage,
            where=f"mlperf_system_description of host {host.name}",
            typed=host.typed,
        )
        for host, own in zip(hosts, facts, strict=True)
    ]
    first = made[0]
    for host, other in zip(hosts[1:], made[1:], strict=True):
        _refuse_differences(usage.system, (hosts[0].name, first), (host.name, other))
    return dataclasses.replace(first, hosts=tuple(host.name for host in hosts))


def _refuse_differences(system: str, one: tuple[str, SystemDescription], two: tuple[str, SystemDescription]) -> None:
    (first, ours), (second, theirs) = one, two
    keys = dict.fromkeys([*ours.content, *theirs.content])
    told = [
        f"{key} is '{ours.content.get(key, '')}' on {first} and '{theirs.content.get(key, '')}' on {second}"
        for key in keys
        if ours.content.get(key) != theirs.content.get(key)
    ]
    if told:
        raise ResultError(
            f"hosts {first} and {second} both are system {system}, but {'; '.join(told)}",
            hint="make the hosts equal, give them different mlperf_system names, or give both the same "
            "mlperf_system_description of that field",
        )


def _level_memory(facts: Sequence[SystemFacts]) -> list[SystemFacts]:
    """Let equal machines say one size of usable memory: the smallest."""
    name = "memory_total_bytes"
    sizes = [size for one in facts if isinstance(size := one.get(name), int)]
    if len(sizes) < len(facts) or max(sizes) - min(sizes) > _SAME_MEMORY * max(sizes):
        return list(facts)
    return [
        dataclasses.replace(one, values={**one.values, name: Fact(min(sizes), one.values[name].origin)})
        for one in facts
    ]
