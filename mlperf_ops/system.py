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

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from mlperf_ops.catalogue.layout import SystemDescription as Fields
from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker.system import is_placeholder
from mlperf_ops.errors import ConfigError, ResultError, nearest
from mlperf_ops.files import Json, JsonObject, read_json
from mlperf_ops.system_fields import Fact, SystemFacts, Usage, derive

UNKNOWN_PREFIX = "unknown: "
"""How the value of a field starts that could not be determined."""

_FROM_PLAN = {"division": "mlperf_division", "submitter": "mlperf_submitter", "system_type": "mlperf_system_type"}
# What predecessors and templates leave behind, beside the words that the checker calls placeholders.
_LEFT_BEHIND = re.compile(r"(?i)undefined|unknown|insert .*")


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
    """

    content: dict[str, Json]
    origins: dict[str, Origin]
    unknown: dict[str, str]


def load_facts(path: Path) -> SystemFacts:
    """Read a host's facts.json.

    Raises:
        ResultError: The file is missing or has another form; names the key.
    """
    raw = read_json(path)
    values, unknown = raw.get("values"), raw.get("unknown")
    if not isinstance(values, dict) or not isinstance(unknown, dict):
        raise ResultError(f"{path}: expected the keys 'values' and 'unknown'", hint="collect the host's facts again")
    facts: dict[str, Fact] = {}
    for name, entry in values.items():
        if not isinstance(entry, dict) or "value" not in entry or not isinstance(entry.get("origin"), str):
            raise ResultError(f"{path}: values.{name}: expected an object with 'value' and 'origin'")
        facts[name] = Fact(entry["value"], str(entry["origin"]))
    return SystemFacts(facts, {name: str(reason) for name, reason in unknown.items()})


def check_given(given: Mapping[str, Json], round_: Round, where: str) -> dict[str, Json]:
    """Check the fields that the user gave and return them in their JSON form.

    Args:
        given: `mlperf_system_description` of a host.
        round_: Whose fields are meant.
        where: For the error message, such as "mlperf_system_description of host node1".

    Raises:
        ConfigError: A field is unknown, is set elsewhere, or its value is empty, a placeholder or of a wrong kind.
    """
    fields = round_.system_description
    known = {*fields.required, *fields.required_power_not_enforced, *fields.required_network}
    checked: dict[str, Json] = {}
    for key, value in given.items():
        if key in _FROM_PLAN:
            raise ConfigError(f"{where}: '{key}' is set by {_FROM_PLAN[key]}", hint="remove it here")
        if key not in known:
            guess = nearest(key, known - set(_FROM_PLAN))
            raise ConfigError(
                f"{where}: '{key}' is not a field of a {round_.name} system description",
                hint=f"did you mean '{guess}'?" if guess else "see system_description of the round in the catalogue",
            )
        told = _value(key, value, fields, where)
        if told is not None:
            checked[key] = told
    status = checked.get("status")
    if status is not None and str(status).lower() not in round_.statuses:
        guess = nearest(str(status), round_.statuses)
        raise ConfigError(
            f"{where}: status '{status}' is not one of {', '.join(round_.statuses)}",
            hint=f"did you mean '{guess}'?" if guess else None,
        )
    return checked


def _value(key: str, value: Json, fields: Fields, where: str) -> Json:
    """Return a given value as the file holds it, None when it says the same as no value."""
    if key == "is_network":
        # The official checkers read a string, and take any that is not empty for a network system.
        if str(value).lower() not in {"true", "false"}:
            raise ConfigError(f"{where}: is_network is {value!r}; expected true or false")
        return "true" if str(value).lower() == "true" else None
    if isinstance(value, (dict, list)):
        raise ConfigError(f"{where}: {key} is a {type(value).__name__}; expected a text or a number")
    if key in fields.integer_fields_used_by_report:
        if isinstance(value, bool) or not re.fullmatch(r"\s*\d+\s*", str(value)):
            raise ConfigError(f"{where}: {key} is {value!r}; expected a whole number")
        return int(str(value))
    text = "" if value is None else str(value).strip()
    if not text and key in fields.non_empty:
        raise ConfigError(f"{where}: {key} is empty", hint="give the value, or leave the field out")
    if is_placeholder(text) or _LEFT_BEHIND.fullmatch(text):
        raise ConfigError(f"{where}: {key} is the placeholder '{text}'", hint="give the value, or leave the field out")
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else text


def describe(
    round_: Round,
    *,
    fixed: Mapping[str, str],
    given: Mapping[str, Json],
    facts: SystemFacts,
    usage: Usage,
    where: str,
) -> SystemDescription:
    """Build a system's description.

    Args:
        round_: Whose required fields are filled.
        fixed: division, submitter and system_type of the plan.
        given: The user's own fields; they win over facts.
        facts: What the machine says of itself.
        usage: What the packed runs used: system id, frameworks, software, devices.
        where: Where `given` was written, for error messages.

    Raises:
        ConfigError: A given field is wrong.
    """
    told = check_given(given, round_, where)
    fields = round_.system_description
    wanted = [*fields.required, *(fields.required_network if fixed["division"] == "network" else ())]
    extra = [key for key in told if key not in wanted]
    origins: dict[str, Origin] = {}
    unknown: dict[str, str] = {}
    for key in [*wanted, *extra]:
        if key in fixed:
            origins[key] = Origin(fixed[key], f"inventory: {_FROM_PLAN[key]}")
            continue
        if key in told:
            origins[key] = Origin(_filled(key, told[key], fields), "inventory: mlperf_system_description")
            continue
        if key == "is_network":
            origins[key] = Origin("true", "inventory: mlperf_division is network")
            continue
        derived = derive(key, facts, usage, round_.statuses)
        if derived.value is None:
            unknown[key] = derived.origin
            origins[key] = Origin(f"{UNKNOWN_PREFIX}{derived.origin}", "not determined")
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
            }
            for system, description in descriptions.items()
        },
    }
