"""The whole plan of a results folder: what the inventory planned, and what was imported beside it. Only reads.

`plan.json` is the inventory's and is written anew by every planning; `imported.json`, of the same form, is written by
`mlperf-ops import`. Everything after the collecting works on both together.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlperf_ops.errors import ResultError
from mlperf_ops.files import read_json
from mlperf_ops.plan_model import Plan, PlannedCell
from mlperf_ops.typed import load

if TYPE_CHECKING:
    from mlperf_ops.catalogue import Catalogue, Round

PLAN, IMPORTS = "plan.json", "imported.json"
TREE, REPORT, CHECKS = "submission", "report", "checks.json"
EARLIER_CHECKS = "checks.earlier.json"
FULL_LOGS = "full_logs"  # accuracy logs as they were before truncation
"""What was found of a tree that aggregation has changed since: it says nothing of the tree that is there."""


def read_plan(run: Path) -> Plan:
    """Read a results folder's plan.

    Raises:
        ResultError: The folder has none, it has another form, or the imported results cannot be of one submission with
            the planned ones.
    """
    imported = read_part(run / IMPORTS)
    planned = read_part(run / PLAN)
    if imported is None:
        return planned or load(Plan, read_json(run / PLAN), str(run / PLAN))  # without a plan, reading it says why
    return imported if planned is None else joined(planned, imported, run)


def round_of(run: Path, plan: Plan, catalogue: Catalogue) -> Round:
    """Return the round of a results folder's plan.

    Raises:
        ConfigError: The catalogue does not know it; names the file and the key that say so.
    """
    return catalogue.round(plan.round, f"{plan_file(run)}: round")


def plan_file(run: Path) -> Path:
    """Return the file that says what a results folder is of: plan.json, or imported.json where nothing was planned."""
    return run / (IMPORTS if (run / IMPORTS).exists() and not (run / PLAN).exists() else PLAN)


def read_part(path: Path) -> Plan | None:
    """Read plan.json or imported.json; None when there is no such file.

    Raises:
        ResultError: It cannot be read or has another form.
    """
    return load(Plan, read_json(path), str(path)) if path.exists() else None


def joined(planned: Plan, imported: Plan, run: Path) -> Plan:
    """Return a plan with the hosts and cells of both.

    Raises:
        ResultError: They differ in round or submitter, or share a host.
    """
    for what in ("round", "submitter"):
        ours, theirs = getattr(planned, what), getattr(imported, what)
        if ours != theirs:
            raise ResultError(
                f"{run / PLAN} is of {what} '{ours}' and {run / IMPORTS} of '{theirs}'",
                hint="one results folder is one submission; import into another folder",
            )
    both = sorted({host.name for host in planned.hosts} & {host.name for host in imported.hosts})
    if both:
        raise ResultError(
            f"host {both[0]} is in {run / PLAN} and in {run / IMPORTS}",
            hint="give the imported results a host name of their own; `system` joins them to a system",
        )
    own = tuple(_explicit(imported, cell) for cell in imported.cells)
    return replace(
        planned,
        hosts=(*planned.hosts, *imported.hosts),
        cells=(*planned.cells, *own),
        components=(*planned.components, *imported.components),
    )


def _explicit(plan: Plan, cell: PlannedCell) -> PlannedCell:
    return replace(cell, division=plan.division_of(cell))
