"""Reading what the official checkers print and write: log lines on stderr, and their CSV."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from mlperf_ops.checker.rules import printable

_ERRORS_KEPT = 50
_LEVEL = re.compile(r"^\[[^\]]* (?P<level>[A-Z]+)\] (?P<text>.*)$|^(?P<level2>[A-Z]+):[\w.]+:(?P<text2>.*)$")
_PASSED = re.compile(r"^Results (?P<path>.+?) (?P<metric>\S+)(?: with power_metric = .*)?$")
_RELATIVE = re.compile(r"\b(?:closed|open|network)/[^\s,;'\")]+")
_FAILED = re.compile(r"^NoResults (?P<path>.+)$")
_SUMMARY = re.compile(r"^SUMMARY: ")
_USAGE_ERROR = re.compile(r"^\S+\.py: error: ")
_TRACEBACK = "Traceback (most recent call last):"
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit|Warning)?\b.*")
_RESULT_DEPTH = 6  # division/submitter/results/system/benchmark/scenario


class OfficialLog:
    """Verdicts, and error lines by result. Most error lines do not name their result: the line before them does."""

    def __init__(self, root: str | None) -> None:
        """Note the --input folder, with which every path in the log starts; None: paths are relative to it."""
        self._root = "" if root is None else root.rstrip("/") + "/"
        self._path = re.compile(re.escape(self._root) + r"[^\s,;'\")]+") if root is not None else _RELATIVE
        self._current: str | None = None
        self._in_traceback = False
        self.metrics: dict[str, float | None] = {}
        self.failed: set[str] = set()
        self.errors: dict[str, list[str]] = {}
        self.crash: str | None = None
        self.summary: str | None = None

    def line(self, line: str) -> None:
        """Read the next line."""
        match = _LEVEL.match(line)
        if match is None:
            self._bare(line)
            return
        self._in_traceback = False
        level, text = match["level"] or match["level2"], match["text"] if match["level"] else match["text2"]
        if _SUMMARY.match(text):
            self.summary = text
        elif passed := _PASSED.match(text):
            if location := self._location(passed["path"]):
                self.metrics[location] = _number(passed["metric"])
        elif failed := _FAILED.match(text):
            if location := self._location(failed["path"]):
                self.failed.add(location)
        else:
            for path in self._path.finditer(text):
                self._current = self._location(path.group(0)) or self._current
            if level in ("ERROR", "CRITICAL"):
                self._note(text)

    def _bare(self, line: str) -> None:
        """Read a line that is no log message: of a traceback, or of the argument parser."""
        if line == _TRACEBACK:
            self._in_traceback = True
        elif _USAGE_ERROR.match(line):
            self.crash = printable(line)
        elif self._in_traceback and line and not line[0].isspace() and _EXCEPTION.match(line):
            self.crash = printable(self._without_root(line))
            self._note(f"the checker crashed: {line}")
            self._in_traceback = False
        elif "No module named" in line:  # `python -m` reports this without a traceback
            self.crash = printable(line)

    def _note(self, text: str) -> None:
        if self._current is not None:
            kept = self.errors.setdefault(self._current, [])
            if len(kept) < _ERRORS_KEPT:
                kept.append(printable(self._without_root(text)))

    def _without_root(self, text: str) -> str:
        return text.replace(self._root, "") if self._root else text

    def _location(self, path: str) -> str | None:
        """Return the result folder of a path below the root; None for a path above a result."""
        parts = path.removeprefix(self._root).split("/")
        return "/".join(parts[:_RESULT_DEPTH]) if len(parts) >= _RESULT_DEPTH else None

    def passed(self, location: str, *, finished: bool) -> bool | None:
        """Return the verdict on a result.

        Args:
            location: The result's folder, relative to the tree.
            finished: The checker came to its end; a result that it then does not list had the number 0.
        """
        if location in self.metrics:
            return True
        return False if location in self.failed or finished else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def read_csv(path: Path, root: str) -> dict[str, dict[str, str]]:
    """Read the checker's CSV: result folder -> column -> text; a missing file gives nothing.

    The modular checker puts every value in quotes and escapes none, so that a row is cut at quote-comma-quote; a row
    whose values hold just that is left out. The release checkers quote some values.
    """
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    rows: dict[str, dict[str, str]] = {}
    for line in lines[1:]:
        columns, values = lines[0].split(","), line.strip()[1:-1].split('","')
        if not line.startswith('"'):
            values = next(csv.reader([line]), [])
        if len(values) != len(columns):
            continue
        row = dict(zip(columns, values, strict=True))
        row["Location"] = row.get("Location", "").removeprefix(root.rstrip("/") + "/")
        location = "/".join(row["Location"].split("/")[:_RESULT_DEPTH])
        rows.setdefault(location, row)  # a power result has a second row
    return rows
