"""The result table: the official checker's CSV, by the same columns and with one row per accepted result.

A result with a power measurement has a second row: the power metric, its unit, and all else the same. Unlike in the
official file, every value is quoted so that any CSV reader gives it back, and `inferred` says whether the number comes
from a run of another scenario.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker.model import CheckedResult, CheckReport
from mlperf_ops.checker.subjects import Result, Submission, Submitter, System
from mlperf_ops.checker.walk import read_tree
from mlperf_ops.files import Json, JsonObject

COLUMNS = (
    *("Organization", "Availability", "Division", "SystemType", "SystemName", "Platform", "Model", "MlperfModel"),
    *("Scenario", "Result", "Accuracy", "number_of_nodes", "host_processor_model_name", "host_processors_per_node"),
    *("host_processor_core_count", "accelerator_model_name", "accelerators_per_node", "total_accelerators", "Location"),
    *("framework", "operating_system", "notes", "compliance", "errors", "version", "inferred", "has_power", "Units"),
    *("weight_data_types", "design_power_watts", "PrivateID"),
)
# Of a description, under their own names.
FIELDS_SHOWN = (
    *("number_of_nodes", "host_processor_model_name", "host_processors_per_node", "host_processor_core_count"),
    *("accelerator_model_name", "accelerators_per_node", "framework", "operating_system"),
)


def table_rows(report: CheckReport, round_: Round) -> Iterator[JsonObject]:
    """Yield the rows of the accepted results, by `COLUMNS`, in the order of the tree.

    Args:
        report: What the check said; the tree that it names is read again.
        round_: Round of the report.

    Raises:
        SubmissionError: The tree is no longer there.
    """
    submission = Submission(read_tree(Path(report.tree)), round_)
    for row in report.results:
        if row.verdict == "pass" and row.metric is not None:
            first = _row(submission, row)
            yield first
            if row.has_power:
                yield first | {"Result": "" if row.power is None else row.power, "Units": row.power_unit}


def _row(submission: Submission, row: CheckedResult) -> JsonObject:
    division, name, _, system_name, benchmark, folder = row.location.split("/")
    system = System(Submitter(submission, division, name), system_name)
    result = Result(system, benchmark, folder)
    fields, measured = system.description.value or {}, result.measurements.value or {}
    return {
        "Organization": name,
        "Availability": fields.get("status"),
        "Division": division,
        "SystemType": fields.get("system_type"),
        "SystemName": fields.get("system_name"),
        "Platform": system_name,
        "Model": benchmark,
        "MlperfModel": row.model,
        "Scenario": row.scenario,
        "Result": row.metric,
        "Accuracy": "  ".join(f"{metric}: {text}" for metric, text in row.accuracy.items()),
        **{key: fields.get(key) for key in FIELDS_SHOWN},
        "total_accelerators": total_accelerators(fields),
        "Location": result.place(submission.round.layout.perf_detail).rpartition("/")[0],
        "notes": ". ".join(str(fields[key]) for key in ("hw_notes", "sw_notes") if fields.get(key)),
        "compliance": division,  # what the official checker writes there
        "errors": 0,
        "version": submission.round.checker.version,
        "inferred": int(row.inferred),
        "has_power": row.has_power,
        "Units": row.unit,
        "weight_data_types": measured.get("weight_data_types"),
        "design_power_watts": design_power_watts(result) if row.has_power else "",
        "PrivateID": _private_id(submission, result),
    }


def total_accelerators(fields: JsonObject) -> int | str:
    """Return the accelerators of all nodes; "" when the description does not give numbers."""
    try:
        total = int(str(fields["number_of_nodes"])) * int(str(fields["accelerators_per_node"]))
        str(total)  # Python writes no number of thousands of digits
    except (KeyError, ValueError):
        return ""
    return total


def design_power_watts(result: Result) -> float | str:
    """Return the nameplate power of a result's system; "" where the round or the submitter states none.

    Source: checks/system_check.py. `system_power_capacity` of the description, otherwise systems/<system>_power.yaml:
    of each component the sum of its largest supplies, as many as it needs.
    """
    template = result.round.layout.nameplate_power
    if template is None:
        return ""
    stated = (result.system.description.value or {}).get("system_power_capacity")
    if isinstance(stated, (int, float, str)):
        return str(stated)
    location = result.place(template)
    if result.tree.size(location) is None:
        return ""
    try:
        return _supplies_watts(yaml.safe_load(result.path(location).read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError, RecursionError, TypeError, AttributeError, OverflowError):
        return ""  # nameplate-power says what is wrong with it


def _supplies_watts(node: Any, known: dict[int, float] | None = None) -> float:  # noqa: ANN401  # whatever the YAML holds
    """Sum up a part; `known` are the sums by identity: YAML's aliases of aliases are more parts than can be visited."""
    known = {} if known is None else known
    if id(node) not in known:
        known[id(node)] = _sum_watts(node, known)
    return known[id(node)]


def _sum_watts(node: Any, known: dict[int, float]) -> float:  # noqa: ANN401  # as above
    if isinstance(node, list):
        return sum(_supplies_watts(one, known) for one in node)
    if not isinstance(node, dict):
        return 0
    lower = {str(key).lower(): value for key, value in node.items()}
    if "psus" in lower and "min psus needed" in lower:
        capacities = sorted((one.get("PowerCapacityWatts", 0) for one in lower["psus"]), reverse=True)
        return float(sum(capacities[: int(lower["min psus needed"])]))
    return sum(_supplies_watts(value, known) for value in node.values())


def _private_id(submission: Submission, result: Result) -> Json:
    return (submission.json(result.place(submission.round.layout.private_id)).value or {}).get(result.system.name)


def csv_text(rows: Iterable[JsonObject]) -> str:
    """Return the table as CSV, every value in quotes, a quote inside of one doubled."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(["" if row.get(column) is None else row[column] for column in COLUMNS])
    return out.getvalue()
