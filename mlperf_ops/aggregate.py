"""From collected results to results/<run_id>/submission: a function of its inputs, byte for byte.

The tree is computed as a whole, compared with the one that is there, and swapped in only when it differs; what people
wrote into it stays (`handwork`). Raw results are read, never written; the full accuracy logs are kept beside the tree
under full_logs/ with the same relative names.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from mlperf_ops import handwork, tree
from mlperf_ops.catalogue import Catalogue, Round
from mlperf_ops.errors import SubmissionError
from mlperf_ops.files import Json, JsonObject, pretty_json, write_json
from mlperf_ops.handwork import RECORD, Edit, Settled
from mlperf_ops.matrix import MatrixRow, matrix
from mlperf_ops.packing import Packed, Submission, pack
from mlperf_ops.run_plan import CHECKS, EARLIER_CHECKS, FULL_LOGS, REPORT, TREE, read_plan, round_of
from mlperf_ops.selection import ComplianceOutcome, Conflict, LeftOut, Selection, select
from mlperf_ops.typed import dump

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
        conflicts: Scenarios with several results, which they are, and by which rule one counts.
        tests: What became of the compliance tests that were run.
        matrix: What is there and what is missing of a valid submission.
        unknown_fields: System to the fields of its description that could not be determined, and why.
        edits: Files of the tree that were changed by hand, and what became of them.
    """

    tree: Path
    changed: bool
    written: tuple[Packed, ...]
    missing: tuple[LeftOut, ...]
    refused: tuple[LeftOut, ...]
    conflicts: tuple[Conflict, ...]
    tests: tuple[ComplianceOutcome, ...]
    matrix: tuple[MatrixRow, ...]
    unknown_fields: dict[str, dict[str, str]]
    edits: tuple[Edit, ...]


def aggregate(
    run: Path, round_: Round, catalogue: Catalogue, *, dry_run: bool = False, take_ours: Sequence[str] = ()
) -> AggregateReport:
    """Build the submission tree of a results folder.

    Args:
        run: results/<run_id>.
        round_: The plan's round.
        catalogue: Benchmarks and implementations.
        dry_run: Write nothing; only say what would be written.
        take_ours: Files of the tree, or folders, that were edited by hand and whose edits shall give way.

    Raises:
        ResultError: plan.json cannot be read.
        ConfigError: A field of the user's system description is wrong, or a name in `take_ours` was not edited.
        SubmissionError: The plan is of another round, or nothing at all can be packed; the tree of an earlier
            aggregation is then as it was.
        ToolError: The tree cannot be written.
    """
    plan = read_plan(run)
    _refuse_other_round(run, plan.round, round_)
    selection = select(run, plan, catalogue)
    submission = pack(run, plan, round_, catalogue, selection)
    rows = matrix(plan, round_, selection)
    recovered = not dry_run and tree.recover(run / TREE)
    record = handwork.read_record(run / REPORT / RECORD)
    settled = handwork.settle(run / TREE, submission.files, submission.documents, record, take_ours)
    jsons = {SUMMARY: _summary(submission, selection, rows, settled.edits)}
    if submission.written:
        jsons[ORIGINS] = submission.origins
    changed = _stale(run, submission, settled, jsons) or recovered
    if changed and not dry_run:
        for name, value in jsons.items():
            write_json(run / REPORT / name, value)
    if not submission.written:
        raise _nothing(run, selection)
    if changed and not dry_run:
        for path, log in submission.full_logs.items():
            tree.keep(log.source, run / FULL_LOGS / path, log.sha256)
        _write_tree(run, settled)
    return AggregateReport(
        tree=run / TREE,
        changed=changed,
        written=submission.written,
        missing=tuple(selection.missing),
        refused=tuple(selection.refused),
        conflicts=tuple(selection.conflicts),
        tests=tuple(selection.tests.values()),
        matrix=rows,
        unknown_fields=submission.unknown_fields,
        edits=settled.edits,
    )


def _write_tree(run: Path, settled: Settled) -> None:
    """Write the tree and what was written; what was found of the tree before says nothing of this one."""
    current = tree.is_current(run / TREE, settled.files)
    if not current:
        handwork.put_aside(run, run / TREE, settled.edits)
    if not current or settled.record is None:
        write_json(run / REPORT / RECORD, settled.new_record())
    if not current:
        with contextlib.suppress(FileNotFoundError):
            (run / REPORT / CHECKS).replace(run / REPORT / EARLIER_CHECKS)
        tree.replace(run / TREE, settled.files)


def look(run: Path, catalogue: Catalogue) -> tuple[MatrixRow, ...]:
    """Return what is there and what is missing of a results folder, also when nothing can be packed; writes nothing.

    Raises:
        ResultError: plan.json cannot be read.
        ConfigError: A field of the user's system description is wrong, or a name is not in the catalogue.
        SubmissionError: A name cannot be part of a path.
    """
    plan = read_plan(run)
    round_ = round_of(run, plan, catalogue)
    selection = select(run, plan, catalogue)
    pack(run, plan, round_, catalogue, selection)  # adds what packing refuses
    return matrix(plan, round_, selection)


def _refuse_other_round(run: Path, planned: str, wanted: Round) -> None:
    if planned == wanted.name:
        return
    raise SubmissionError(
        f"{run} was measured for round {planned} and cannot be rendered as {wanted.name}: the seeds of a round are "
        f"compiled into its LoadGen, so the checker of {wanted.name} would reject every result",
        hint=f"set mlperf_round: {wanted.name} and an mlperf_run_id of its own in the inventory, and run it again",
    )


def as_json(report: AggregateReport) -> JsonObject:
    """Return the report as `mlperf-ops aggregate --json` prints it."""
    return {**dump(report), "tree": str(report.tree)}


def _summary(
    submission: Submission, selection: Selection, rows: Sequence[MatrixRow], edits: Sequence[Edit]
) -> JsonObject:
    return {
        "schema": 1,
        "tree": TREE,
        "written": cast("Json", [dump(packed) for packed in submission.written]),
        "missing": cast("Json", [dump(cell) for cell in selection.missing]),
        "refused": cast("Json", [dump(cell) for cell in selection.refused]),
        "conflicts": cast("Json", [dump(one) for one in selection.conflicts]),
        "tests": cast("Json", [dump(one) for one in selection.tests.values()]),
        "matrix": cast("Json", [dump(row) for row in rows]),
        "edits": cast("Json", [dump(one) for one in edits if one.state != "ours"]),  # those that stay
    }


def _stale(run: Path, submission: Submission, settled: Settled, jsons: dict[str, JsonObject]) -> bool:
    for name, value in jsons.items():
        path = run / REPORT / name
        if not path.is_file() or path.read_text() != pretty_json(value):
            return True
    if not submission.written:
        return False
    kept = all(
        tree.is_kept(log.source, run / FULL_LOGS / path, log.sha256) for path, log in submission.full_logs.items()
    )
    return not kept or settled.record is None or not tree.is_current(run / TREE, settled.files)


def _nothing(run: Path, selection: Selection) -> SubmissionError:
    left_out = [*selection.refused, *selection.missing]
    first = f"; first {left_out[0].key}: {left_out[0].reason}" if left_out else "; the plan has no cell that can run"
    kept = f"; {run / TREE} stays as an earlier aggregation left it" if (run / TREE).exists() else ""
    return SubmissionError(
        f"no scenario of {run} can be packed: {len(selection.missing)} cells missing, "
        f"{len(selection.refused)} refused{first}",
        hint=f"{run / REPORT / SUMMARY} has all reasons{kept}",
    )
