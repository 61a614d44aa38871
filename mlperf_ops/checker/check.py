"""Check a submission tree by our own rules; nothing in a tree can stop the check of the rest."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Collection, Iterable
from pathlib import Path

from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker.cache import Cache
from mlperf_ops.checker.hidden import without_hidden
from mlperf_ops.checker.model import CheckedResult, CheckReport, Finding, FindingsByPlace, ResultVerdict, TreeVerdict
from mlperf_ops.checker.parallel import judge
from mlperf_ops.checker.registry import FAMILIES
from mlperf_ops.checker.remedies import with_remedies
from mlperf_ops.checker.rules import Family
from mlperf_ops.checker.subjects import Submission
from mlperf_ops.checker.tree import Tree
from mlperf_ops.checker.units import Outcome, list_units
from mlperf_ops.checker.walk import read_tree
from mlperf_ops.errors import ConfigError, nearest
from mlperf_ops.plan_model import Plan

_ORDER = {"official": 0, "rules": 1, "advice": 2}


def check_tree(  # all but two are by name and have defaults
    tree: Path,
    round_: Round,
    plan: Plan | None = None,
    *,
    families: tuple[Family, ...] = FAMILIES,
    submitter: str | None = None,
    only: Collection[str] = (),
    cache: Path | None = None,
    processes: int | None = None,
) -> CheckReport:
    """Apply all rules to a tree.

    Args:
        tree: Folder that holds the divisions.
        round_: Round whose rules apply.
        plan: The plan that the tree was made from; what it already rules out is marked as expected.
        families: Rules to apply.
        submitter: Check only this submitter's folders.
        only: Ids of the rules that count; empty: all.
        cache: Folder that keeps what was found; only what has changed since is judged again.
        processes: How many processes judge; None: one a core where that is worth it.

    Raises:
        SubmissionError: There is no such folder.
        ConfigError: The tree has no such submitter.
    """
    kept = None
    gc.disable()  # what is read here stays until the end: no collection has to look at it, and no process copies it
    try:
        if cache is not None and families is FAMILIES:
            kept = Cache.read(cache, tree, round_, submitter)
        read = read_tree(tree, submitter, stamps=kept is not None, known=None if kept is None else kept.folders)
    finally:
        gc.freeze()
        gc.enable()
    if submitter is not None:
        _require(submitter, tree, read, round_)
    submission = Submission(read, round_)
    findings: list[Finding] = []
    results: list[CheckedResult] = []
    for outcome in _outcomes(submission, families, kept, processes):
        if outcome.row is None:
            findings += outcome.findings
        else:
            findings += (_expected(finding, outcome.row, plan, round_) for finding in outcome.findings)
            results.append(outcome.row)
    findings = without_hidden(findings, read, round_)
    if only:
        findings = [finding for finding in findings if finding.rule in only]
    findings = with_remedies(findings, submission, planned=plan is not None)
    findings.sort(key=lambda finding: (finding.location.split("/"), _ORDER[finding.severity], finding.rule))
    by_place = FindingsByPlace(findings)
    judged = tuple(_judged(row, _verdict(by_place.of(row.location))) for row in results)
    return CheckReport(
        tree=str(tree),
        round=round_.name,
        verdict=_tree_verdict(findings),
        findings=tuple(findings),
        results=judged,
    )


def _outcomes(
    submission: Submission, families: tuple[Family, ...], cache: Cache | None, processes: int | None
) -> Iterable[Outcome]:
    units = list(list_units(submission, families))
    if cache is None:
        return judge(submission, families, units, processes)
    compared = cache.compared(submission.tree)
    submission.tree.facts = compared.facts()
    known = compared.valid(units)
    fresh = [unit for unit in units if unit not in known]
    for unit, outcome in zip(fresh, judge(submission, families, fresh, processes), strict=True):
        known[unit] = outcome
    compared.keep(known, fresh)
    return [known[unit] for unit in units]


def _require(submitter: str, tree: Path, read: Tree, round_: Round) -> None:
    if any(submitter in read.folder(division).folders for division in round_.divisions):
        return
    everybody = sorted(
        {
            entry.name
            for division in round_.divisions
            if (tree / division).is_dir()
            for entry in (tree / division).iterdir()
            if entry.is_dir() and not entry.is_symlink()
        },
        key=str.casefold,
    )
    if not everybody:
        raise ConfigError(
            f"{tree} has no submitter '{submitter}', nor any other",
            hint=f"a submitter is a folder in {', '.join(f'{division}/' for division in round_.divisions)}",
        )
    guess = nearest(submitter, everybody)
    raise ConfigError(
        f"{tree} has no submitter '{submitter}'; it has {', '.join(everybody)}",
        hint=f"did you mean '{guess}'?" if guess else None,
    )


def _expected(finding: Finding, row: CheckedResult, plan: Plan | None, round_: Round) -> Finding:
    """Mark a finding that the plan itself already ruled out."""
    if not finding.rejects or plan is None:
        return finding
    for limit in plan.limits:
        if limit.rule == finding.rule and (
            limit.benchmark is None or _is_benchmark(limit.benchmark, row, plan, round_)
        ):
            return dataclasses.replace(finding, expected_because=limit.because)
    return finding


def _is_benchmark(name: str, row: CheckedResult, plan: Plan, round_: Round) -> bool:
    """Whether a result is of a benchmark of the plan: by its folder, or by what the plan maps it to."""
    if name == row.benchmark:
        return True
    return any(
        planned.cell.benchmark == name
        and planned.cell.system == row.system
        and round_.official_name(planned.official_benchmark) == row.model
        for planned in plan.cells
    )


def _judged(row: CheckedResult, verdict: ResultVerdict) -> CheckedResult:
    return row if row.verdict == verdict else dataclasses.replace(row, verdict=verdict)


def _verdict(findings: list[Finding]) -> ResultVerdict:
    objections = [finding for finding in findings if finding.rejects]
    if not objections:
        return "pass"
    return "expected" if all(finding.expected_because for finding in objections) else "fail"


def _tree_verdict(findings: list[Finding]) -> TreeVerdict:
    objections = [finding for finding in findings if finding.rejects]
    if not objections:
        return "submittable"
    return "demonstration" if all(finding.expected_because for finding in objections) else "rejected"
