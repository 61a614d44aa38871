"""systems/<id>.json of a round, from the facts of a machine and the fields that only people know. Pure.

What stands in a field, in this order:

1. what the user gave in `mlperf_system_description`;
2. what the plan decides (division, submitter, system_type) or the packed runs show (framework, software);
3. what the facts of the machine say, or what follows from them ("N/A" for the accelerators of a machine without one);
4. "unknown: <reason>". This is the choice for fields that nobody could determine: an official checker only looks
   whether a field is empty, so a demonstration on any machine still gets past it, but with a sentence that no reader
   can take for a fact. Each such field is listed in the origins file, and our checker and report name it.

A notes field that nobody filled stays empty: no note is a true statement. Every value has its origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from mlperf_ops.catalogue.layout import SystemDescription as Fields
from mlperf_ops.catalogue.round import Round
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.system_facts import SystemFacts, Usage
from mlperf_ops.system_fields import derive
from mlperf_ops.system_given import FROM_PLAN, check_given

UNKNOWN_PREFIX = "unknown: "
"""How the value of a field starts that could not be determined."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A field's value and where it comes from."""

    value: Json
    origin: str


@dataclass(frozen=True, slots=True)
class SystemDescription:
    """A system's description for a round.

    Attributes:
        content: What systems/<id>.json holds; only keys that the round knows.
        origins: Field to its value and origin.
        unknown: Field to the reason why its value could not be determined.
        hosts: Whose facts agree on it.
    """

    content: dict[str, Json]
    origins: dict[str, Origin]
    unknown: dict[str, str]
    hosts: tuple[str, ...] = ()


def describe(
    round_: Round,
    *,
    fixed: Mapping[str, str],
    given: Mapping[str, Json],
    facts: SystemFacts,
    usage: Usage,
    where: str,
    typed: bool = True,
) -> SystemDescription:
    """Build a system's description.

    Args:
        round_: Whose required fields are filled.
        fixed: division, submitter and system_type of the plan.
        given: The user's own fields; they win over facts.
        facts: What the machine says of itself.
        usage: What the packed runs used: system id, frameworks, software, devices.
        where: Where `given` was written, for error messages.
        typed: See `check_given`.

    Raises:
        ConfigError: A given field is wrong.
    """
    told = check_given(given, round_, where, typed=typed)
    fields = round_.system_description
    wanted = [*fields.required, *(fields.required_network if fixed["division"] == "network" else ())]
    extra = [key for key in told if key not in wanted]
    origins: dict[str, Origin] = {}
    unknown: dict[str, str] = {}
    for key in [*wanted, *extra]:
        if key in fixed:
            origins[key] = Origin(fixed[key], f"inventory: {FROM_PLAN[key]}")
            continue
        if key in told:
            origins[key] = Origin(_filled(key, told[key], fields), "inventory: mlperf_system_description")
            continue
        if key == "is_network":
            origins[key] = Origin("true", "inventory: mlperf_division is network")
            continue
        derived = derive(key, facts, usage, round_.statuses)
        if derived.value is None:
            # Imported results have no inventory in which it could be given.
            asked = f"; give {key} in mlperf_system_description" if derived.untold and typed else ""
            why = f"{derived.origin}{asked}"
            unknown[key] = why
            origins[key] = Origin(f"{UNKNOWN_PREFIX}{why}", "not determined")
        else:
            origins[key] = Origin(_filled(key, derived.value, fields), derived.origin)
    content = {key: origin.value for key, origin in origins.items()}
    return SystemDescription(content=content, origins=origins, unknown=unknown)


def _filled(key: str, value: Json, fields: Fields) -> Json:
    """Write the number 0 as text where a value is required: the official checkers take a JSON 0 for an empty field."""
    return "0" if value == 0 and not isinstance(value, bool) and key in fields.non_empty else value


def origins_json(descriptions: Mapping[str, SystemDescription]) -> JsonObject:
    """Return what report/system_origins.json holds: fields with value and origin, and unknown ones."""
    return {
        "schema": 1,
        "systems": {
            system: {
                "fields": {
                    key: cast("Json", {"value": origin.value, "origin": origin.origin})
                    for key, origin in description.origins.items()
                },
                "unknown": cast("Json", dict(description.unknown)),
                "hosts": list(description.hosts),
            }
            for system, description in descriptions.items()
        },
    }
