"""A whole run folder for the report: real LoadGen logs, our own aggregation and our own check on top of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from mlperf_ops.aggregate import aggregate
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.checker import CheckReport, check_tree
from mlperf_ops.files import read_json, write_json
from mlperf_ops.model import Cell, Scenario
from mlperf_ops.plan_model import Limit, Plan, PlannedCell
from mlperf_ops.typed import dump, load
from tests.support.attempts import Lab, RealLogs, make_spec

SCENARIOS: tuple[Scenario, ...] = ("SingleStream", "MultiStream", "Server", "Offline")
FEW_IMAGES = "20 of 50,000 images"
LIMITS = (
    Limit("dataset-size", None, FEW_IMAGES),
    Limit("early-stopping", None, "run style test is too short for a statement about the tail latency"),
    Limit("loadgen-validity", None, "run style test is too short for LoadGen to call every run valid"),
    Limit("min-duration", None, "run style test asks for 0 s; the round wants 600 s"),
    Limit("min-queries", None, "run style test asks for 10 of 24,576 Offline samples"),
)
"""As a plan of run style test states them."""
NO_IMAGENET = "the data set imagenet is not given"
TARGET = 75.6954


def sample_run(
    run: Path,
    logs: RealLogs,
    *,
    limits: Sequence[Limit] = LIMITS,
    scenarios: Sequence[Scenario] = SCENARIOS,
    hosts: Sequence[str] = ("node1",),
) -> Path:
    """Build a run as the play leaves it before `mlperf-ops report`; every host has one cell that cannot run."""
    lab = Lab(run, logs)
    for host in hosts:
        for scenario in scenarios:
            for mode in ("performance", "accuracy"):
                spec = make_spec(Cell(host, "efficientnet-lite0", scenario, mode), target=TARGET)
                lab.cell(scenario, mode, host=host, spec=spec)
        cell = Cell(host, "resnet50", "SingleStream", "performance")
        lab.planned.append(PlannedCell(cell, host, "resnet", "impossible", NO_IMAGENET, (), None, None))
    lab.write()
    change_plan(run, limits=tuple(limits))
    pack_and_check(run)
    return run


def read_plan(run: Path) -> Plan:
    """Read a run's plan."""
    return load(Plan, read_json(run / "plan.json"), "plan.json")


def change_plan(run: Path, **changes: object) -> None:
    """Write a run's plan with other values."""
    write_json(run / "plan.json", dump(dataclasses.replace(read_plan(run), **changes)))  # type: ignore[arg-type]


def pack_and_check(run: Path) -> CheckReport:
    """Aggregate and check a run by our own code; write checks.json."""
    catalogue = load_catalogue()
    plan = read_plan(run)
    round_ = catalogue.round(plan.round)
    report = check_tree(aggregate(run, round_, catalogue).tree, round_, plan)
    write_json(run / "report" / "checks.json", dump(report))
    return report


def read_checks(run: Path) -> CheckReport:
    """Read a run's checks.json."""
    return load(CheckReport, read_json(run / "report" / "checks.json"), "checks.json")


def change_checks(run: Path, **changes: object) -> None:
    """Write checks.json with other values."""
    changed = dataclasses.replace(read_checks(run), **changes)  # type: ignore[arg-type]
    write_json(run / "report" / "checks.json", dump(changed))
