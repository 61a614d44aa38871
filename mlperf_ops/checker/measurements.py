"""Measurements: measurements.json beside a result, and marks of simulated parts."""

from __future__ import annotations

from mlperf_ops.checker.accuracy import half_character
from mlperf_ops.checker.rules import At, Family, Findings, Rule
from mlperf_ops.checker.subjects import Result, Submission, System
from mlperf_ops.checker.system import PLACEHOLDER, is_blank
from mlperf_ops.checker.texts import is_encodable
from mlperf_ops.files import JsonObject
from mlperf_ops.system_lint import is_placeholder

_FIELDS = "submission_checker: checks/measurements_checks.py"
_WRITE = "Correct the benchmark's measurements in the catalogue or the inventory and aggregate again."

UNREADABLE = Rule(
    "measurements-unreadable",
    "official",
    "measurements.json is no JSON object",
    "The official checker ends with a traceback at a measurements.json that it cannot read.",
    "Correct the file at the place that is named.",
    _FIELDS,
    own="Aggregate again.",
)
FIELD_MISSING = Rule(
    "measurements-field-missing",
    "official",
    "required field is missing",
    "The published table says from these fields which weights and data types were used.",
    "Set the field in the file.",
    _FIELDS,
    own=_WRITE,
)
FIELD_EMPTY = Rule(
    "measurements-field-empty",
    "official",
    "required field has no value",
    "The field needs a meaningful value; 0 and false count as empty.",
    "Set the field in the file.",
    _FIELDS,
    own=_WRITE,
)
SIMULATED = Rule(
    "simulated",
    "rules",
    "made by a simulated part",
    "An oracle or another stand-in took part: the numbers say nothing about the system and must not be submitted.",
    "Measure with a real implementation and remove the simulated result.",
    "MLPerf: results are of the system under test",
    own="Run the cell with a real implementation and remove the simulated result.",
)
RULES = (UNREADABLE, FIELD_MISSING, FIELD_EMPTY, SIMULATED)

_MARK = "simulated"


def measurements(place: Result) -> Findings:
    """Check measurements.json."""
    file = place.measurements
    if not file.exists:
        return  # missing-file says so
    if file.value is None:
        yield UNREADABLE.at(place, file.location, f"measurements.json cannot be read: {file.problem}")
        return
    for key in place.round.measurements_required_non_empty:
        value = file.value.get(key)
        if key not in file.value:
            yield FIELD_MISSING.at(place, file.location, f"field {key} is missing", limit=key)
        elif not value or is_blank(value):
            yield FIELD_EMPTY.at(
                place,
                file.location,
                f"field {key} needs a value and is {value!r}",
                value=repr(value),
                severity="rules" if value else None,
            )
        elif isinstance(value, str) and not is_encodable(value):
            yield half_character(place, file.location, key, value, in_table=key == "weight_data_types")
        elif is_placeholder(value):
            yield PLACEHOLDER.at(place, file.location, f"{key} is the placeholder {value!r}", value=value)
    yield from _marked(place, file.location, file.value)


def described_as_simulated(place: System) -> Findings:
    """Look for a mark in the description of a system."""
    yield from _marked(place, place.description.location, place.description.value or {})


def _marked(place: Result | System, location: str, fields: JsonObject) -> Findings:
    for key, value in fields.items():
        if key.casefold() == _MARK and value and str(value).casefold() != "false":
            yield SIMULATED.at(place, location, f"{location.rpartition('/')[2]} says that it is simulated", value=value)


def marker_files(submission: Submission) -> Findings:
    """Look for files called SIMULATED."""
    for location, folder in submission.tree.folders.items():
        for name in folder.files:
            if name.partition(".")[0].casefold() == _MARK:
                yield SIMULATED.at(At(location), f"{location}/{name}", "the file marks this folder as simulated")


FAMILY = Family(
    "measurements",
    "Measurements and marks",
    RULES,
    tree=(marker_files,),
    system=(described_as_simulated,),
    result=(measurements,),
)
