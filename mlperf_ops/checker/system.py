"""System: systems/<system>.json, the description of the machine."""

from __future__ import annotations

import re

from mlperf_ops.checker.accuracy import half_character
from mlperf_ops.checker.rules import Family, Findings, Rule
from mlperf_ops.checker.subjects import Submitter, System
from mlperf_ops.checker.table import FIELDS_SHOWN
from mlperf_ops.checker.texts import is_encodable
from mlperf_ops.errors import nearest
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.system_lint import is_not_applicable, is_placeholder, style, variants, wants_value

_FIELDS = "submission_checker: checks/system_check.py, constants.py"
_WRITE = "Set the field under mlperf_system_description in the inventory and aggregate again."

MISSING = Rule(
    "system-description-missing",
    "official",
    "no description of the system",
    "The official checker ends with a traceback at a system without description and checks nothing after it.",
    "Write systems/<name>.json, or rename it: it must be called like the results folder.",
    _FIELDS,
    own="Aggregate again, or rename the file: systems/<name>.json must be called like the results folder.",
)
UNREADABLE = Rule(
    "system-description-unreadable",
    "official",
    "description is no JSON object",
    "The official checker ends with a traceback at a description that it cannot read.",
    "Correct the file at the place that is named.",
    _FIELDS,
    own="Correct the file at the place that is named, or aggregate again.",
)
FIELD_MISSING = Rule(
    "system-field-missing",
    "official",
    "required field is missing",
    "The published table and the reviewers need every required field, also where its value is empty.",
    "Set the field in systems/<name>.json.",
    _FIELDS,
    own=_WRITE,
)
FIELD_EMPTY = Rule(
    "system-field-empty",
    "official",
    "required field has no value",
    'The field needs a meaningful value. The number 0 counts as empty: write it as the text "0".',
    "Set the field in systems/<name>.json.",
    _FIELDS,
    own=_WRITE,
)
FIELD_TYPE = Rule(
    "system-field-type",
    "official",
    "field has the wrong type",
    "The official checker treats the field as text, or turns it into an integer, and crashes on anything else.",
    "Set the field in systems/<name>.json.",
    _FIELDS,
    own=_WRITE,
)
FIELD_VALUE = Rule(
    "system-field-value",
    "official",
    "field has a value that is not allowed",
    "status and system_type have fixed values; submitter and division must be those of the folder.",
    "Set the field in systems/<name>.json.",
    _FIELDS,
    own=_WRITE,
)
NETWORK = Rule(
    "system-network",
    "official",
    "is_network does not fit",
    'is_network must be "true" in the network division and absent elsewhere; the official checker crashes on a JSON '
    'boolean and takes every text, even "false", as a demand for the network fields.',
    'Leave is_network out, or write "true" in the network division.',
    _FIELDS,
)
PLACEHOLDER = Rule(
    "placeholder",
    "rules",
    "placeholder instead of a value",
    "A placeholder passes every checker and is then published.",
    "Write the real value, or leave an optional field empty.",
    "inference_policies: meaningful responses are required",
)
UNKNOWN_VALUE = Rule(
    "unknown-value",
    "advice",
    "value that nobody could determine",
    "The field says that its value is unknown. The official checker takes any text; a reviewer may ask for the value.",
    "Set the field in systems/<name>.json.",
    "inference_policies: meaningful responses are required",
    own=_WRITE,
)
NO_ANSWER = Rule(
    "not-applicable-value",
    "advice",
    '"N/A" where every system has a value',
    'Every machine has a processor, memory and some kind of cooling. "N/A" is right for the accelerators of a machine '
    "without one. No checker objects, and reviewers ask.",
    "Set the field in systems/<name>.json.",
    "inference_policies: meaningful responses are required",
    own=_WRITE,
)
STYLE = Rule(
    "system-field-style",
    "advice",
    "value is spelled in a way of its own",
    "Published tables are searched and grouped by these texts: 512GB, 512 GB and 512G are three values there.",
    "Set the field in systems/<name>.json.",
    "44 spellings of memory sizes in the published descriptions of v5.1",
    own=_WRITE,
)
SPELLING = Rule(
    "system-field-spelling",
    "advice",
    "two systems say one thing in two spellings",
    "Published tables are searched and grouped by these texts; a reader takes two spellings for two things.",
    "Write the same text in both descriptions.",
    "15 spellings of cooling in the published descriptions of v5.1",
    own=(
        "Write the same text under mlperf_system_description of both systems, best once in their common group, and "
        "aggregate again."
    ),
)
RULES = (
    MISSING, UNREADABLE, FIELD_MISSING, FIELD_EMPTY, FIELD_TYPE, FIELD_VALUE, NETWORK, PLACEHOLDER, UNKNOWN_VALUE,
    NO_ANSWER, STYLE, SPELLING,
)  # fmt: skip

_TEXT_FIELDS = ("status", "submitter", "division", "system_type", "hw_notes", "sw_notes")
_IS_NETWORK = "is_network"
# What the official checker writes into its table, as UTF-8.
_IN_TABLE = frozenset(
    {*FIELDS_SHOWN, "status", "system_type", "system_name", "hw_notes", "sw_notes", "system_power_capacity"}
)
_MOST = 10**12  # nobody has so many of anything; Python cannot write a product of much larger ones
_UNKNOWN = re.compile(r"(?i)\W*(unknown\b.*|undefined)")


def description(place: System) -> Findings:
    """Check the description of a system."""
    file = place.description
    if not file.exists:
        described = [
            name.removesuffix(".json")
            for name in place.submitter.tree.folder(file.location.rpartition("/")[0]).files
            if name.endswith(".json")
        ]
        guess = nearest(place.name, described)
        yield MISSING.at(
            place,
            file.location,
            f"system '{place.name}' has results and no description" + (f"; is it '{guess}.json'?" if guess else ""),
        )
        return
    if file.value is None:
        yield UNREADABLE.at(place, file.location, f"the description cannot be read: {file.problem}")
        return
    yield from _half_characters(place, file.location, file.value)
    yield from _required(place, file.location, file.value)
    yield from _types(place, file.location, file.value)
    yield from _values(place, file.location, file.value)
    yield from _network(place, file.location, file.value)
    non_empty = set(place.submitter.round.system_description.non_empty)
    for key, value in file.value.items():
        if is_placeholder(value):
            yield PLACEHOLDER.at(
                place,
                file.location,
                f"{key} is the placeholder {value!r}",
                value=value,
                severity=None if key in non_empty else "advice",
            )
        odd = None if is_blank(value) else style(key, value)
        if odd is not None:
            yield STYLE.at(place, file.location, f"{odd.message}; {odd.remedy}", value=value)
    yield from _no_answers(place, file.location, file.value)
    unknown = [key for key in file.value if _UNKNOWN.match(str(file.value[key]))]
    if unknown:
        yield UNKNOWN_VALUE.at(
            place, file.location, f"the value is unknown of {', '.join(unknown)}", value=", ".join(unknown)
        )


def spelling(submitter: Submitter) -> Findings:
    """Compare the words of a submitter's systems with each other."""
    described = {place.description.location: place for place in submitter.systems() if place.description.value}
    texts = {location: place.description.value or {} for location, place in described.items()}
    for variant in variants(texts):
        (first, spelled), (second, otherwise) = variant.first, variant.second
        yield SPELLING.at(
            described[second],
            second,
            f"{variant.field} is '{otherwise}' here and '{spelled}' in {first}",
            value=otherwise,
            limit=spelled,
        )


def _half_characters(place: System, location: str, fields: JsonObject) -> Findings:
    for key, value in fields.items():
        if isinstance(value, str) and not is_encodable(value):
            yield half_character(place, location, key, value, in_table=key in _IN_TABLE)


def _no_answers(place: System, location: str, fields: JsonObject) -> Findings:
    rules, accelerators = place.submitter.round.system_description, fields.get("accelerators_per_node")
    for key, value in fields.items():
        if is_not_applicable(value) and wants_value(key, rules, accelerators):
            yield NO_ANSWER.at(place, location, f"{key} is '{value}', and every system has one", value=value)


def _required(place: System, location: str, fields: JsonObject) -> Findings:
    rules = place.submitter.round.system_description
    network = rules.required_network if _says_true(fields) else ()
    for key in (*rules.required, *network):
        if key not in fields:
            guess = nearest(key, set(fields) - {*rules.required, *rules.required_network})
            yield FIELD_MISSING.at(
                place, location, f"field {key} is missing" + (f"; is it '{guess}'?" if guess else ""), limit=key
            )
        elif key in rules.non_empty and (not fields[key] or is_blank(fields[key])):
            yield FIELD_EMPTY.at(
                place,
                location,
                f"field {key} needs a value and is {fields[key]!r}",
                value=repr(fields[key]),
                severity="rules" if fields[key] else None,
            )


def is_blank(value: Json) -> bool:
    """Whether a text has nothing but white space, which the official checker takes for a value."""
    return isinstance(value, str) and value != "" and not value.strip()


def _types(place: System, location: str, fields: JsonObject) -> Findings:
    rules = place.submitter.round.system_description
    for key in rules.integer_fields_used_by_report:
        value = fields.get(key)
        count = _count(value)
        if value and (count is None or abs(count) > _MOST):
            # The checker itself computes with the first two; the third only breaks the report made from its CSV.
            crashes = key in ("number_of_nodes", "accelerators_per_node") and count is None
            yield FIELD_TYPE.at(
                place,
                location,
                f"{key} is {value!r}; expected a whole number",
                value=repr(value),
                limit="a whole number",
                severity=None if crashes else "rules",
            )
    for key, value in fields.items():
        if key in rules.integer_fields_used_by_report or key == _IS_NETWORK:
            continue
        if key in _TEXT_FIELDS and not isinstance(value, str):
            if value or key in rules.non_empty:
                yield FIELD_TYPE.at(
                    place, location, f"{key} is {value!r}; expected a text", value=repr(value), limit="a text"
                )
        elif isinstance(value, (dict, list)):
            yield FIELD_TYPE.at(
                place,
                location,
                f"{key} holds a {type(value).__name__}; expected a text or a number",
                value=repr(value)[:80],
                limit="a text or a number",
                severity="rules",
            )


def _count(value: Json) -> int | None:
    """Return the number that the official checker makes of a value; None where it ends with a traceback."""
    try:
        return None if isinstance(value, bool) else int(value)  # type: ignore[arg-type]  # what it does with it
    except (TypeError, ValueError, OverflowError):
        return None


def _values(place: System, location: str, fields: JsonObject) -> Findings:
    round_, submitter = place.submitter.round, place.submitter
    allowed: dict[str, tuple[str, ...]] = {
        "status": round_.statuses,
        "submitter": (submitter.name,),
        "division": (submitter.division,),
    }
    for key, values in allowed.items():
        value = fields.get(key)
        if isinstance(value, str) and value and value.casefold() not in {name.casefold() for name in values}:
            yield FIELD_VALUE.at(
                place,
                location,
                f"{key} is '{value}'; expected {' or '.join(values)}",
                value=value,
                limit=", ".join(values),
            )
    value = fields.get("system_type")
    if isinstance(value, str) and value and value not in round_.system_types:  # compared with upper and lower case
        yield FIELD_VALUE.at(
            place,
            location,
            f"system_type is '{value}'; expected {' or '.join(round_.system_types)}",
            value=value,
            limit=" or ".join(round_.system_types),
        )


def _says_true(fields: JsonObject) -> bool:
    value = fields.get(_IS_NETWORK)
    return isinstance(value, str) and value.casefold() == "true"


def _network(place: System, location: str, fields: JsonObject) -> Findings:
    value = fields.get(_IS_NETWORK)
    division = place.submitter.division
    if value is not None and not isinstance(value, str):
        yield NETWORK.at(
            place, location, f"is_network is {value!r}; expected a text", value=repr(value), limit='"true"'
        )
        return
    is_network = _says_true(fields)
    lacking = [key for key in place.submitter.round.system_description.required_network if key not in fields]
    if value and not is_network and lacking:
        yield NETWORK.at(
            place,
            location,
            f"is_network is '{value}', for which the official checker demands {len(lacking)} network fields",
            value=value,
            limit="absent",
        )
    if division == "network" and not is_network:
        yield NETWORK.at(
            place, location, 'a system of the network division must say is_network "true"', value=value, limit='"true"'
        )
    if division == "closed" and is_network:
        yield NETWORK.at(place, location, "a system of the closed division is not a network system", value=value)


FAMILY = Family("system", "System description", RULES, submitter=(spelling,), system=(description,))
