"""summary_results.json and summary.xlsx: the final report that MLCommons makes from the official checker's CSV.

Contents are those of generate_final_report.py, with two differences, both in favour of the submitter: it drops results
of scenarios that its own table does not list for a category, and from the workbook benchmarks that its list of columns
lacks; here every result stays. Values are typed as its CSV reader types them: by whole columns, and a text that stands
for a missing value becomes empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker.model import CheckReport
from mlperf_ops.checker.table import COLUMNS, table_rows
from mlperf_ops.checker.workbook import Sheet, write_workbook
from mlperf_ops.errors import ResultError
from mlperf_ops.files import Json, JsonObject, read_json, write_atomic, write_json

WORKBOOK = "summary.xlsx"

_RENAMED = {
    "Organization": "Submitter",
    "Division": "Category",
    "SystemType": "Suite",
    "SystemName": "System",
    "number_of_nodes": "Nodes",
    "host_processor_model_name": "Processor",
    "accelerator_model_name": "Accelerator",
    "accelerators_per_node": "a#",
    "total_accelerators": "Total Accelerators",
    "notes": "Notes",
    "framework": "Software",
    "Model": "UsedModel",
    "MlperfModel": "Model",
}
# Texts that the official report's CSV reader (pandas) takes for a missing value.
_MISSING = frozenset(
    {
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A"),
        *("NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    }
)
_INTEGER, _FLOAT = re.compile(r"[+-]?\d{1,18}"), re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_UNIQUE = "Unique ID (e.g. for Audit)"
_POWER_UNITS = frozenset({"Watts", "millijoules"})
SUITES = ("datacenter", "edge")
_INDEX = (
    *("ID", _UNIQUE, "ColorKey", "PrivateID", "Submitter", "Availability", "System", "Nodes", "Processor", "p#"),
    *("Accelerator", "a#", "Total Accelerators", "Software", "Notes"),
)
_LINKS = ("Details", "Code")
_OPEN = ("UsedModel", "Accuracy")


def write_summary(report: CheckReport, round_: Round, folder: Path) -> list[str]:
    """Write summary_results.json and summary.xlsx; ids.json beside them keeps the numbers of earlier reports.

    Args:
        report: What the check said; its accepted results are reported.
        round_: Round of the report.
        folder: Where to; made when missing.

    Returns:
        Locations of results that the official report drops and that are kept here.

    Raises:
        ToolError: The folder cannot be written, or openpyxl is not installed (the JSON is written before).
    """
    ids = _ids(folder / "ids.json")
    rows = report_rows(table_rows(report, round_), round_, ids)
    # Also of systems that this report leaves out: a number that was published is nobody else's.
    new = {str(row[_UNIQUE]): int(str(row["ID"]).rpartition("-")[2]) for row in rows}
    write_json(folder / "ids.json", {**ids, **new})
    write_atomic(folder / "summary_results.json", json.dumps(merged(rows), indent=2) + "\n")
    write_workbook(folder / WORKBOOK, list(sheets(rows, round_)))
    return sorted({str(row["Location"]) for row in rows if not any(_listed(row, suite, round_) for suite in SUITES)})


def _ids(path: Path) -> dict[str, int]:
    if not path.is_file():
        return {}
    found = read_json(path)
    if not all(isinstance(number, int) for number in found.values()):
        raise ResultError(f"{path} is no table of numbers; remove it to number the systems anew")
    return {name: int(str(number)) for name, number in found.items()}


def report_rows(table: Iterable[JsonObject], round_: Round, ids: dict[str, int]) -> list[JsonObject]:
    """Return the rows of the report, performance and power apart, in its order.

    Args:
        table: Rows of the result table.
        round_: Its round.
        ids: Unique ID -> number that it had before.
    """
    rows = _typed(list(table))
    links = f"https://github.com/mlcommons/inference_results_{round_.name}/tree/main"
    source = round_.layout.src_dir.rpartition("/")[2]
    for row in rows:
        _clean(row)
        home = f"{links}/{row['Category']}/{row['Submitter']}"
        row["Details"], row["Code"] = f"{home}/results/{row['Platform']}", f"{home}/{source}"
        parts = ["Suite", "Category", "Submitter", "Platform", *(["UsedModel"] if row["Category"] == "open" else [])]
        row[_UNIQUE] = "/".join(str(row[part]) for part in parts)
        row["ColorKey"] = f"{row['Availability']}{row['Submitter']}"
    rows.sort(key=_by("Category", "Availability", "Submitter", _UNIQUE))
    numbers, following = dict(ids), max(ids.values(), default=0) + 1
    for row in rows:
        unique = str(row[_UNIQUE])
        if unique not in numbers:
            numbers[unique], following = following, following + 1
        row["ID"] = f"{round_.name.removeprefix('v')}-{numbers[unique]:04}"
    rows.sort(key=_by("ID", "UsedModel", "Scenario", "Units"))
    return [{"ID": row.pop("ID"), **row} for row in rows]


def _by(*keys: str) -> Callable[[JsonObject], list[str]]:
    return lambda row: [str(row[key]) for key in keys]


def _typed(table: Sequence[JsonObject]) -> list[JsonObject]:
    """Return the rows under the report's names, each column typed by all of its values."""
    made: list[JsonObject] = [{} for _ in table]
    for column in COLUMNS:
        name = _RENAMED.get(column, column)
        texts = [_text(row[column]) for row in table]
        convert = _converter([text for text in texts if text], gaps="" in texts)
        for row, text in zip(made, texts, strict=True):
            row[name] = convert(text) if text else ""
    return made


def _text(value: Json) -> str:
    text = "" if value is None else str(value)
    return "" if text in _MISSING else text


def _converter(texts: Sequence[str], *, gaps: bool) -> Callable[[str], Json]:
    if texts and all(_INTEGER.fullmatch(text) for text in texts):
        return float if gaps else int  # a column with gaps has no integers there
    if texts and all(_FLOAT.fullmatch(text) for text in texts):
        return float
    if texts and not gaps and all(text in ("True", "False") for text in texts):
        return lambda text: text == "True"
    return str


def _clean(row: JsonObject) -> None:
    """Make a row's values what the official report makes of them."""
    if row["host_processor_core_count"] == "2 (big); 4 (LITTLE)":
        row["host_processor_core_count"] = 2
    if row["Availability"] == "on-premise":
        row["Availability"] = "available"
    if row["Accelerator"] == "-":
        row["Accelerator"] = ""
    accelerators = row["a#"]
    if str(accelerators).isdecimal():
        accelerators = int(str(accelerators))
    row["a#"] = "" if accelerators == 0 else accelerators
    try:
        row["p#"] = int(float(str(row["host_processors_per_node"])))
    except (ValueError, OverflowError):
        row["p#"] = ""


def merged(rows: Iterable[JsonObject]) -> list[JsonObject]:
    """Return the rows with performance and power of a result in one."""
    found: list[JsonObject] = []
    for row in rows:
        rest = {key: value for key, value in row.items() if key not in ("Result", "Units")}
        kind = "Power" if row["Units"] in _POWER_UNITS else "Performance"
        last = found[-1] if found else {}
        if not all(last.get(key) == row[key] for key in ("ID", "UsedModel", "Scenario")):
            found.append(last := rest)
        earlier = {key: last.pop(key) for key in list(last) if key.startswith("Performance_")}
        last |= {f"{kind}_Result": row["Result"], f"{kind}_Units": row["Units"]} | earlier
    return found


def _suites(row: JsonObject) -> list[str]:
    return [suite for suite in SUITES if suite in str(row["Suite"])]


def _listed(row: JsonObject, suite: str, round_: Round) -> bool:
    """Whether the round lists the scenario for the benchmark in a category."""
    scenarios = round_.scenarios(str(row["Model"]), suite)
    return suite in _suites(row) and scenarios is not None and row["Scenario"] in scenarios.all


def _belongs(row: JsonObject, suite: str, round_: Round) -> bool:
    """Whether a row is on the sheets of a category: where it is listed, or on its first one when nowhere."""
    listed = [one for one in SUITES if _listed(row, one, round_)]
    return suite in (listed or _suites(row)[:1])


def sheets(rows: Sequence[JsonObject], round_: Round) -> Iterator[Sheet]:
    """Yield the sheets of the workbook that have results: by division and category, and those with power again."""
    for category in ("closed", "open", "network"):
        for suite in SUITES:
            here = [row for row in rows if row["Category"] == category and _belongs(row, suite, round_)]
            index = (*_INDEX, *(_OPEN if category == "open" else ()), *_LINKS)
            performance = [row for row in here if row["Units"] not in _POWER_UNITS]
            power = [row for row in here if row["has_power"] is True]
            for name, chosen in ((f"{suite} - {category}", performance), (f"{suite} - {category} - power", power)):
                if chosen:
                    yield _pivot(name, index, chosen, round_)


def _pivot(name: str, index: tuple[str, ...], rows: Sequence[JsonObject], round_: Round) -> Sheet:
    """Return one line per system (and in the open division model), one column per benchmark, scenario and unit."""
    models, scenarios = list(round_.models), list(round_.scenario_names)
    cells: dict[tuple[Json, ...], dict[tuple[str, str, str], list[float]]] = {}
    for row in rows:
        column = (str(row["Model"]), str(row["Scenario"]), str(row["Units"]))
        line = cells.setdefault(tuple(row[key] for key in index), {})
        if isinstance(row["Result"], (int, float)):
            line.setdefault(column, []).append(row["Result"])
    columns = sorted(
        {column for line in cells.values() for column in line},
        key=lambda column: (models.index(column[0]), scenarios.index(column[1]), column[2]),  # type: ignore[arg-type]
    )
    lines = [
        (key, tuple(sum(line[column]) / len(line[column]) if column in line else "" for column in columns))
        for key, line in sorted(cells.items(), key=lambda item: [str(value) for value in item[0]])
    ]
    return Sheet(name, index, tuple(columns), tuple(lines))
