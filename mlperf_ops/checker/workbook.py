"""The workbook of the final report; needs openpyxl (the extra `xlsx`)."""

from __future__ import annotations

import importlib.util
import io
import re
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.errors import ToolError
from mlperf_ops.files import Json, write_atomic

_HIDDEN = ("B", "C")  # unique ID and colour key
_NUMBERS = "#,##0.000"
_LINKS = {"Details": "details", "Code": "code"}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # not allowed in XML


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet: four header rows over the results, one row of index names, then a line per system.

    Attributes:
        name: Title of the sheet.
        index: Names of the columns that describe the system.
        columns: Benchmark, scenario and unit of each result column.
        lines: Values of the index, and results in the order of `columns`; "" where there is none.
    """

    name: str
    index: tuple[str, ...]
    columns: tuple[tuple[str, str, str], ...]
    lines: tuple[tuple[tuple[Json, ...], tuple[float | str, ...]], ...]


def require_openpyxl(name: str) -> None:
    """Say so where the library is missing, before the work and not after it.

    Args:
        name: The workbook, for the sentence.

    Raises:
        ToolError: openpyxl is not installed.
    """
    # It is not imported yet: with NumPy come threads, and a check in several processes wants none.
    if importlib.util.find_spec("openpyxl") is None:
        raise ToolError(f"{name} needs openpyxl, which is not installed", hint="pip install 'mlperf-ops[xlsx]'")


def write_workbook(path: Path, sheets: list[Sheet]) -> None:
    """Write the sheets; an empty workbook when there are none.

    Raises:
        ToolError: The file cannot be written, or openpyxl is not installed.
    """
    require_openpyxl(path.name)
    from openpyxl import Workbook  # noqa: PLC0415  # an extra
    from openpyxl.worksheet.worksheet import Worksheet  # noqa: PLC0415

    def fill(page: Worksheet, sheet: Sheet) -> None:
        blank = [""] * len(sheet.index)
        page.append([*blank[1:], "", *("Result" for _ in sheet.columns)])
        for level, title in enumerate(("Model", "Scenario", "Units")):
            page.append([*blank[1:], title, *(column[level] for column in sheet.columns)])
        page.append([*sheet.index])
        for values, results in sheet.lines:
            page.append([*map(_cell, sheet.index, values), *results])
        for row in page.iter_rows(min_row=page.max_row - len(sheet.lines) + 1):
            for cell in row:
                if cell.column <= len(sheet.index):
                    # Texts of a submission never become formulas; the links are our own.
                    if isinstance(cell.value, str) and sheet.index[cell.column - 1] not in _LINKS:
                        cell.data_type = "s"
                else:
                    cell.number_format = _NUMBERS
        for column in _HIDDEN:
            page.column_dimensions[column].hidden = True
        page.freeze_panes = page.cell(row=len(("Result", "Model", "Scenario", "Units", "index")) + 1, column=1)

    book = Workbook()
    if sheets and book.active is not None:
        book.remove(book.active)
    for sheet in sheets:
        fill(book.create_sheet(sheet.name), sheet)
    out = io.BytesIO()
    book.save(out)
    write_atomic(path, out.getvalue())


def _cell(name: str, value: Json) -> str | int | float | None:
    if isinstance(value, str) and name in _LINKS:
        quoted = value.replace('"', "%22")
        return f'=HYPERLINK("{quoted}","{_LINKS[name]}")'
    if isinstance(value, (str, int, float)):
        return _CONTROL.sub("", value.encode(errors="replace").decode()) if isinstance(value, str) else value
    return None if value is None else str(value)
