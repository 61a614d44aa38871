"""From collected results to results/<run_id>/submission: a function of its inputs, byte for byte.

The tree is computed as a whole, compared with the one that is there, and swapped in only when it differs. Raw results
are read, never written; the full accuracy logs are kept beside the tree under full_logs/ with the same relative names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from mlperf_ops import tree
from mlperf_ops.attempts import LeftOut, Selection, select
from mlperf_ops.catalogue import Catalogue, Round
from mlperf_ops.errors import SubmissionError
from mlperf_ops.files import Json, JsonObject, pretty_json, read_json, write_json
from mlperf_ops.model import Plan
from mlperf_ops.packing import Packed, Submission, pack
from mlperf_ops.typed import dump, load

PLAN, TREE, FULL_LOGS, REPORT = "plan.json", "submission", "full_logs", "report"
ORIGINS, SUMMARY = "system_origins.json", "aggregate.json"


@dataclass(frozen=True, slots=True)
class AggregateReport:
    """What aggregation did.

    Attributes:
        tree: The submission's root.
        changed: The tree or a file beside it was written; in a dry run: would be.
        written: Scenarios in the tree.
        missing: Cells without a usable result, and why.
        refused: Cells whose result must not be packed, and why.
        unknown_fields: System to the fields of its description that could not be determined, and why.
    """

    tree: Path
    changed: bool
    written: tuple[Packed, ...]
    missing: tuple[LeftOut, ...]
    refused: tuple[LeftOut, ...]
    unknown_fields: dict[str, dict[str, str]]


def read_plan(run: Path) -> Plan:
    """Read a results folder's plan.

    Raises:
        ResultError: The folder has none, or it has another form.
    """
    path = run / PLAN
    return load(Plan, read_json(path), str(path))


def aggregate(run: Path, round_: Round, catalogue: Catalogue, *, dry_run: bool = False) -> AggregateReport:
    """Build the submission tree of a results folder.

    Args:
        run: results/<run_id>.
        round_: The plan's round.
        catalogue: Benchmarks and implementations.
        dry_run: Write nothing; only say what would be written.

    Raises:
        ResultError: plan.json cannot be read.
        ConfigError: A field of the user's system description is wrong.
        SubmissionError: The plan is of another round, or nothing at all can be packed; the tree of an earlier
            aggregation is then as it was.
        ToolError: The tree cannot be written.
    """
    plan = read_plan(run)
    if plan.round != round_.name:
        raise SubmissionError(f"{run / 'plan.json'} is of round {plan.round}, not {round_.name}")
    selection = select(run, plan, catalogue)
    submission = pack(run, plan, round_, catalogue, selection)
    jsons = {SUMMARY: _summary(submission, selection)}
    if submission.written:
        jsons[ORIGINS] = submission.origins
    recovered = not dry_run and tree.recover(run / TREE)
    changed = _stale(run, submission, jsons) or recovered
    if changed and not dry_run:
        for name, value in jsons.items():
            write_json(run / REPORT / name, value)
    if not submission.written:
        raise _nothing(run, selection)
    if changed and not dry_run:
        for path, log in submission.full_logs.items():
            tree.keep(log.source, run / FULL_LOGS / path, log.sha256)
        if not tree.is_current(run / TREE, submission.files):
            tree.replace(run / TREE, submission.files)
    return AggregateReport(
        tree=run / TREE,
        changed=changed,
        written=submission.written,
        missing=tuple(selection.missing),
        refused=tuple(selection.refused),
        unknown_fields=submission.unknown_fields,
    )


def as_json(report: AggregateReport) -> JsonObject:
    """Return the report as `mlperf-ops aggregate --json` prints it."""
    return {**dump(report), "tree": str(report.tree)}


def _summary(submission: Submission, selection: Selection) -> JsonObject:
    return {
        "schema": 1,
        "tree": TREE,
        "written": cast("Json", [dump(packed) for packed in submission.written]),
        "missing": cast("Json", [dump(cell) for cell in selection.missing]),
        "refused": cast("Json", [dump(cell) for cell in selection.refused]),
    }


def _stale(run: Path, submission: Submission, jsons: dict[str, JsonObject]) -> bool:
    for name, value in jsons.items():
        path = run / REPORT / name
        if not path.is_file() or path.read_text() != pretty_json(value):
            return True
    if not submission.written:
        return False
    kept = all(
        tree.is_kept(log.source, run / FULL_LOGS / path, log.sha256) for path, log in submission.full_logs.items()
    )
    return not kept or not tree.is_current(run / TREE, submission.files)


def _nothing(run: Path, selection: Selection) -> SubmissionError:
    left_out = [*selection.refused, *selection.missing]
    first = f"; first {left_out[0].key}: {left_out[0].reason}" if left_out else "; the plan has no cell that can run"
    kept = f"; {run / TREE} stays as an earlier aggregation left it" if (run / TREE).exists() else ""
    return SubmissionError(
        f"no scenario of {run} can be packed: {len(selection.missing)} cells missing, "
        f"{len(selection.refused)} refused{first}",
        hint=f"{run / REPORT / SUMMARY} has all reasons{kept}",
    )
