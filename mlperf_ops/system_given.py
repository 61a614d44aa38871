"""What people typed of a system: checked, and put into the form of the file. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from mlperf_ops.catalogue.layout import SystemDescription as Fields
from mlperf_ops.catalogue.round import Round
from mlperf_ops.errors import ConfigError, nearest
from mlperf_ops.files import Json
from mlperf_ops.system_lint import is_left_behind, is_not_applicable, is_placeholder, wants_value

FROM_PLAN = {"division": "mlperf_division", "submitter": "mlperf_submitter", "system_type": "mlperf_system_type"}
"""Fields that the plan decides, and the variable that does."""

Where: TypeAlias = Callable[[str], str]
"""Field -> where its value was written, for error messages."""


def check_given(
    given: Mapping[str, Json],
    round_: Round,
    where: str | Where,
    set_by: Mapping[str, str] = FROM_PLAN,
    *,
    typed: bool = True,
) -> dict[str, Json]:
    """Check the fields that the user gave and return them in their JSON form.

    Args:
        given: `mlperf_system_description` of a host.
        round_: Whose fields are meant.
        where: For the error message, such as "mlperf_system_description of host node1", or where each field stands.
        set_by: Field -> what sets it, of the fields that are not given here.
        typed: Somebody typed the values for this. Else they are of a finished file, and "N/A" or "undefined", on which
            a check only advises, may stay.

    Raises:
        ConfigError: A field is unknown, is set elsewhere, or its value is empty, a placeholder or of a wrong kind.
    """
    at: Where = where if callable(where) else lambda _key: str(where)
    fields = round_.system_description
    known = {*fields.required, *fields.required_power_not_enforced, *fields.required_network}
    checked: dict[str, Json] = {}
    for key, value in given.items():
        if key in set_by:
            raise ConfigError(f"{at(key)}: '{key}' is set by {set_by[key]}", hint="remove it here")
        if key not in known:
            guess = nearest(key, known - set(FROM_PLAN))
            raise ConfigError(
                f"{at(key)}: '{key}' is not a field of a {round_.name} system description",
                hint=f"did you mean '{guess}'?" if guess else "see system_description of the round in the catalogue",
            )
        told = _value(key, value, fields, at(key), typed=typed)
        if told is not None:
            checked[key] = told
    for key, value in checked.items() if typed else ():
        if is_not_applicable(value) and wants_value(key, fields, checked.get("accelerators_per_node")):
            raise ConfigError(
                f"{at(key)}: {key} is '{value}', and every system has one",
                hint="say what is the case, or leave the field out and let the facts of the machine say it",
            )
    status = checked.get("status")
    if status is not None and str(status).lower() not in round_.statuses:
        guess = nearest(str(status), round_.statuses)
        raise ConfigError(
            f"{at('status')}: status '{status}' is not one of {', '.join(round_.statuses)}",
            hint=f"did you mean '{guess}'?" if guess else None,
        )
    return checked


def _value(key: str, value: Json, fields: Fields, where: str, *, typed: bool) -> Json:
    """Return a given value as the file holds it, None when it says the same as no value."""
    if key == "is_network":
        # The official checkers read a string, and take any that is not empty for a network system.
        if str(value).lower() not in {"true", "false"}:
            raise ConfigError(f"{where}: is_network is {value!r}; expected true or false")
        return "true" if str(value).lower() == "true" else None
    if isinstance(value, (dict, list)):
        raise ConfigError(f"{where}: {key} is a {type(value).__name__}; expected a text or a number")
    if key in fields.integer_fields_used_by_report:
        digits = re.match(r"\s*(\d+)\s*", str(value))
        if isinstance(value, bool) or digits is None or digits.end() != len(str(value)):
            guess = f"write {digits[1]}" if digits and isinstance(value, str) and "." not in value else None
            raise ConfigError(f"{where}: {key} is {value!r}; expected a whole number", hint=guess)
        return int(str(value))
    text = "" if value is None else str(value).strip()
    if not text and key in fields.non_empty:
        raise ConfigError(f"{where}: {key} is empty", hint="give the value, or leave the field out")
    if is_placeholder(text) or (typed and is_left_behind(text)):
        raise ConfigError(f"{where}: {key} is the placeholder '{text}'", hint="give the value, or leave the field out")
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else text
