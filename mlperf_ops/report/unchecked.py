"""What to type when a run was not checked: commands that can be copied. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import PurePath

from mlperf_ops.report.evidence import Run
from mlperf_ops.run_plan import CHECKS, REPORT, TREE


def remedy(run: Run, folder: str) -> tuple[str, ...]:
    """Return the commands that lead from what is there to a checked tree and its report; none for a checked one.

    Args:
        run: What to report.
        folder: The results folder as the reader is to name it.
    """
    return () if run.checks is not None else tuple(_commands(run, PurePath(folder)))


def lines(run: Run, folder: str) -> tuple[str, ...]:
    """Return the same for a terminal, with a heading."""
    commands = remedy(run, folder)
    first = "Check it:" if run.has_tree else "Build the tree and check it:"
    return (first, *(f"  {command}" for command in commands)) if commands else ()


def _commands(run: Run, folder: PurePath) -> Iterator[str]:
    if not run.has_tree:
        yield shlex.join(["mlperf-ops", "aggregate", str(folder)])
    yield shlex.join(
        ["mlperf-ops", "check", str(folder / TREE), "--round", run.plan.round, "--plan", str(folder / run.plan_file),
         "--output", str(folder / REPORT / CHECKS)]
    )  # fmt: skip
    yield shlex.join(["mlperf-ops", "report", str(folder)])
