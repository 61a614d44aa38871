"""What a smoke run notes of each host beside its results: what it lacks, and which cells were not asked to run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from mlperf_ops.errors import ResultError
from mlperf_ops.files import Json, read_json, write_json
from mlperf_ops.plan_model import Plan

LACKING = "lacking.json"
"""Below hosts/<host> of a smoke run: which components could not be had, and why."""
LEFT_OUT = "left_out.json"
"""The same of cells that mlperf_only left out of the last play, and that have no result."""


def read_lacking(run: Path) -> dict[str, dict[str, str]]:
    """Return host -> component -> why it is not there.

    Raises:
        ResultError: A file cannot be read.
    """
    return {
        path.parent.name: cast("dict[str, str]", read_json(path).get("components") or {})
        for path in sorted(run.glob(f"hosts/*/{LACKING}"))
    }


def read_left_out(run: Path) -> dict[str, frozenset[str]]:
    """Return host -> keys of the cells that were left out.

    Raises:
        ResultError: A file cannot be read.
    """
    return {
        path.parent.name: frozenset(cast("list[str]", read_json(path).get("cells") or []))
        for path in sorted(run.glob(f"hosts/*/{LEFT_OUT}"))
    }


def note_lacking(run: Path, host: str, lacking: Mapping[str, str]) -> None:
    """Note which components a host could not be given, and why.

    Raises:
        ToolError: The note cannot be written.
    """
    write_json(run / "hosts" / host / LACKING, {"components": cast("Json", dict(lacking))})


def note_left_out(run: Path, host: str, keys: Sequence[str]) -> None:
    """Note which cells of a host the play that goes on leaves out.

    Raises:
        ToolError: The note cannot be written.
    """
    write_json(run / "hosts" / host / LEFT_OUT, {"cells": cast("Json", list(keys))})


def why_lacking(request: Mapping[str, Any] | None, lacking: Mapping[str, str]) -> str:
    """Return why a cell cannot run: what is said of its model and data set; "" where both are there."""
    parts = [(request or {}).get(name) for name in ("model", "dataset")]
    names = [str(part["component"]) for part in parts if isinstance(part, Mapping)]
    return "; ".join(lacking[name] for name in names if name in lacking)


def without_inputs(run: Path, plan: Plan) -> dict[tuple[str, str], str]:
    """Return which cells of a smoke run have no model or data set and why, by host and cell."""
    if not plan.smoke:
        return {}
    try:
        lacking = read_lacking(run)
    except ResultError:
        return {}  # its own command says so; here it is no obstacle that anybody can name
    told = ((one.host, one.cell.key, why_lacking(one.request, lacking.get(one.host, {}))) for one in plan.cells)
    return {(host, key): why for host, key, why in told if why}


def grouped(told: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return reason -> what it is said of, in the order of their first."""
    found: dict[str, list[str]] = {}
    for name, reason in told:
        found.setdefault(reason, []).append(name)
    return found
