"""Attempts as a host leaves them and the controller collects them, with LoadGen's numbers given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.files import Json, read_json, write_json
from mlperf_ops.model import LoadgenOutcome, Result, Spec, Verdict
from mlperf_ops.plan import make_plan
from mlperf_ops.plan_model import CollectedCell, CollectedHost, Plan, PlannedCell
from mlperf_ops.typed import dump, load


def plan(**more: Json) -> Plan:
    """Plan one host with the performance cells of the embedded default, and any more variables."""
    variables: dict[str, Json] = {
        "mlperf_round": "v6.1",
        "mlperf_division": "open",
        "mlperf_submitter": "Example",
        "mlperf_home": "/srv/mlperf",
        "mlperf_system_type": "edge",
        "mlperf_test_query_count": 700,
        "mlperf_benchmarks": [{"benchmark": "efficientnet-lite0", "modes": ["performance"]}],
        **{f"mlperf_{key}": value for key, value in more.items()},
    }
    return make_plan({"a": variables}, load_catalogue(), "lab", lambda _host, _path, _value: "")[0]


def cell(made: Plan, scenario: str) -> PlannedCell:
    """Return the cell of a scenario."""
    return next(one for one in made.cells if one.cell.scenario == scenario)


def leave_attempt(  # the parts of a result that tests vary
    run: Path,
    planned: PlannedCell,
    *,
    fields: Mapping[str, Json] | None = None,
    verdict: Verdict = "valid",
    attempt: str = "attempt_1",
    elapsed_seconds: float = 12.0,
    started_at: str = "2026-11-22T10:00:00Z",
    simulated: bool = False,
) -> CollectedCell:
    """Write spec.json and result.json of an attempt below hosts/<host>; return its line of cells.json."""
    assert planned.request is not None
    assert planned.request_sha256 is not None
    spec = replace(load(Spec, planned.request, "request"), packages={"numpy": "2.0"})
    result = Result(
        cell=planned.cell,
        spec_sha256=spec.sha256,
        request_sha256=planned.request_sha256,
        verdict=verdict,
        reasons=() if verdict == "valid" else ("the run was too short",),
        simulated=simulated,
        started_at=started_at,
        elapsed_seconds=elapsed_seconds,
        loadgen=LoadgenOutcome("VALID", dict(fields or {}), (), 0),
        accuracy=None,
        failure=None,
        effective={},
    )
    cell = planned.cell
    path = f"{cell.benchmark}/{cell.scenario}/{cell.mode}/{spec.sha256[:12]}/{attempt}"
    folder = run / "hosts" / planned.host / path
    write_json(folder / "spec.json", dump(spec))
    write_json(folder / "result.json", dump(result))
    return CollectedCell(cell.key, spec.sha256, planned.request_sha256, attempt, path, verdict, simulated)


def taint(run: Path, host: str, cell: CollectedCell, *sentences: str) -> CollectedCell:
    """Mark an attempt's result as tainted."""
    path = run / "hosts" / host / cell.path / "result.json"
    write_json(path, {**read_json(path), "tainted": list(sentences)})
    return cell


def leave_host(run: Path, host: str, *cells: CollectedCell) -> None:
    """Write a host's cells.json."""
    write_json(run / "hosts" / host / "cells.json", dump(CollectedHost(host, host, cells)))
