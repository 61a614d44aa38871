"""`mlperf-ops smoke RUN_DIR`: whether every cell would run, as a smoke run shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, cast

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
from mlperf_ops.typed import dump, load
from mlperf_ops.wording import plural

LACKING = "lacking.json"
"""Below hosts/<host> of a smoke run: which components could not be had, and why."""
_STYLES = {"runs": "green", "would fail": "red", "impossible": "dim"}


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
        rows = [
            (one.state, one.host, one.key, one.step, one.reason or _not_judged(one.not_judged)) for one in verdict.cells
        ]
        print_table(("state", "host", "cell", "fails at", "why"), rows, _STYLES)
        for line in _closing(verdict):
            typer.echo(line)
    if not verdict.ready:
        raise typer.Exit(EXIT_VERDICT)


def _seen(run: Path) -> Seen:
    catalogue = load_catalogue()
    lacking: dict[str, dict[str, str]] = {}
    for path in sorted(run.glob(f"hosts/*/{LACKING}")):
        lacking[path.parent.name] = cast("dict[str, str]", read_json(path).get("components") or {})
    matrix: tuple[MatrixRow, ...] = ()
    checks, problem = None, ""
    try:
        matrix = look(run, catalogue)
        checks = load(CheckReport, read_json(run / REPORT / CHECKS), CHECKS)
    except MlperfOpsError as error:
        problem = f"there is no checked tree: {error}"
    return Seen(read_collection(run).earlier, lacking, obstacles(run), matrix, checks, problem)


def _text(verdict: SmokeVerdict) -> str:
    lines = []
    for one in verdict.cells:
        at = f" (at: {one.step})" if one.step else ""
        tail = f": {one.reason}" if one.reason else ""
        lines.append(f"{one.state:<10}  {one.host}  {one.key}{at}{tail}")
    return "\n".join([*lines, *_closing(verdict)]) + "\n"


def _closing(verdict: SmokeVerdict) -> list[str]:
    rules = sorted({rule for one in verdict.cells for rule in one.not_judged})
    lines = [f"problem: {one}" for one in verdict.problems]
    if rules:
        lines.append(_not_judged(tuple(rules)))
    bad = [one for one in verdict.cells if one.state == "would fail"]
    cannot = sum(1 for one in verdict.cells if one.state == "impossible")
    good = len(verdict.cells) - len(bad) - cannot
    told = f"SMOKE: {plural(good, 'cell')} would run, {len(bad)} would fail"
    lines.append(told + (f", {cannot} cannot by the plan" if cannot else ""))
    lines.append("No result of a smoke run counts: the real run measures every cell.")
    return lines


def _not_judged(rules: tuple[str, ...]) -> str:
    return f"not judged by design: {', '.join(rules)}" if rules else ""
