"""`mlperf-ops smoke RUN_DIR`: whether every cell would run, as a smoke run shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mlperf_ops.aggregate import look
from mlperf_ops.campaign.obstacles import obstacles
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.checker import CheckReport
from mlperf_ops.collected import read_collection
from mlperf_ops.commands.tables import print_table
from mlperf_ops.errors import EXIT_VERDICT, ConfigError, MlperfOpsError
from mlperf_ops.files import read_json
from mlperf_ops.matrix import MatrixRow
from mlperf_ops.run_plan import CHECKS, REPORT, read_plan
from mlperf_ops.smoke import Seen, SmokeVerdict, judge
from mlperf_ops.smoke_files import read_lacking, read_left_out
from mlperf_ops.typed import dump, load
from mlperf_ops.wording import plural

_STYLES = {"runs": "green", "would fail": "red", "left out": "dim", "impossible": "dim"}
_THE_SAME = "the same"


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A smoke run's folder: results/<run_id>-smoke.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Say of each host and cell whether it would run, and what is missing.

    A smoke run (mlperf_smoke: true) runs every planned cell for seconds, up to the checked tree, in a results folder of
    its own. What it cannot meet by design, such as durations, counts and accuracy, is listed as not judged. Exit
    code 1: something would fail.

    Example: mlperf-ops smoke results/lab-smoke
    """
    plan = read_plan(run)
    if not plan.smoke:
        raise ConfigError(f"{run} is no smoke run", hint="mlperf-ops run -i INVENTORY --smoke makes one")
    verdict = judge(plan, _seen(run))
    if as_json:
        told = {"ready": verdict.ready, "text": _text(verdict), **dump(verdict)}
        typer.echo(json.dumps(told))
    else:
        reasons = _reasons(verdict)
        rows = [
            (one.state, one.host, one.key, one.step, reason) for one, reason in zip(verdict.cells, reasons, strict=True)
        ]
        print_table(("state", "host", "cell", "fails at", "why"), rows, _STYLES)
        for line in _closing(verdict):
            typer.echo(line)
    if not verdict.ready:
        raise typer.Exit(EXIT_VERDICT)


def _seen(run: Path) -> Seen:
    catalogue = load_catalogue()
    matrix: tuple[MatrixRow, ...] = ()
    checks, problem = None, ""
    try:
        matrix = look(run, catalogue)
        checks = load(CheckReport, read_json(run / REPORT / CHECKS), CHECKS)
    except MlperfOpsError as error:
        problem = f"there is no checked tree: {error}"
    earlier, left_out = read_collection(run).earlier, read_left_out(run)
    return Seen(earlier, read_lacking(run), obstacles(run), matrix, checks, problem, left_out)


def _reasons(verdict: SmokeVerdict) -> list[str]:
    """Return the reason of each cell; one that was told just before, of the same host, is not told again."""
    told: list[str] = []
    before = None
    for one in verdict.cells:
        told.append(_THE_SAME if one.reason and (one.host, one.step, one.reason) == before else one.reason)
        before = one.host, one.step, one.reason
    return told


def _text(verdict: SmokeVerdict) -> str:
    lines = []
    for one, reason in zip(verdict.cells, _reasons(verdict), strict=True):
        at = f" (at: {one.step})" if one.step else ""
        tail = f": {reason}" if reason else ""
        lines.append(f"{one.state:<10}  {one.host}  {one.key}{at}{tail}")
    return "\n".join([*lines, *_closing(verdict)]) + "\n"


def _closing(verdict: SmokeVerdict) -> list[str]:
    rules = sorted({rule for one in verdict.cells for rule in one.not_judged})
    lines = [f"problem: {one}" for one in verdict.problems]
    if rules:
        lines.append(f"not judged by design: {', '.join(rules)}")
    bad = [one for one in verdict.cells if one.state == "would fail"]
    cannot = sum(1 for one in verdict.cells if one.state == "impossible")
    left_out = sum(1 for one in verdict.cells if one.state == "left out")
    good = len(verdict.cells) - len(bad) - cannot - left_out
    told = f"SMOKE: {plural(good, 'cell')} would run, {len(bad)} would fail"
    told += f", {left_out} left out, of which nothing is known" if left_out else ""
    lines.append(told + (f", {cannot} cannot by the plan" if cannot else ""))
    lines.append("No result of a smoke run counts: the real run measures every cell.")
    return lines
