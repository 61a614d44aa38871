"""Check a submission tree by our own rules; nothing in a tree can stop the check of the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar, cast

from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker.metrics import result_metric
from mlperf_ops.checker.model import CheckedResult, CheckReport, Finding, FindingsByPlace, ResultVerdict, TreeVerdict
from mlperf_ops.checker.registry import BROKEN_CHECK, FAMILIES
from mlperf_ops.checker.rules import Family, Findings, Place
from mlperf_ops.checker.subjects import Result, Submission
from mlperf_ops.checker.tree import read_tree
from mlperf_ops.model import Limit, Plan, Scenario

PlaceT = TypeVar("PlaceT", bound=Place)
_ORDER = {"official": 0, "rules": 1, "advice": 2}


def check_tree(
    tree: Path, round_: Round, plan: Plan | None = None, *, families: tuple[Family, ...] = FAMILIES
) -> CheckReport:
    """Apply all rules to a tree.

    Args:
        tree: Folder that holds the divisions.
        round_: Round whose rules apply.
        plan: The plan that the tree was made from; what it already rules out is marked as expected.
        families: Rules to apply.

    Raises:
        SubmissionError: There is no such folder.
    """
    submission = Submission(read_tree(tree), round_)
    findings: list[Finding] = list(_apply((check for family in families for check in family.tree), submission))
    results: list[CheckedResult] = []
    limits = () if plan is None else plan.limits
    for submitter in submission.submitters():
        findings += _apply((check for family in families for check in family.submitter), submitter)
        for system in submitter.systems():
            findings += _apply((check for family in families for check in family.system), system)
            for result in system.results():
                found = _apply((check for family in families for check in family.result), result)
                findings += (_expected(finding, result, limits, plan) for finding in found)
                results.append(_row(result))
    findings.sort(key=lambda finding: (finding.location.split("/"), _ORDER[finding.severity], finding.rule))
    by_place = FindingsByPlace(findings)
    judged = tuple(dataclasses.replace(row, verdict=_verdict(by_place.of(row.location))) for row in results)
    return CheckReport(
        tree=str(tree),
        round=round_.name,
        verdict=_tree_verdict(findings),
        findings=tuple(findings),
        results=judged,
    )


def _apply(checks: Iterator[Callable[[PlaceT], Findings]], place: PlaceT) -> list[Finding]:
    """Run checks at a place; a check that fails itself is a finding and hides nothing but itself."""
    found: list[Finding] = []
    for check in checks:
        try:
            found.extend(check(place))
        except Exception as error:  # noqa: BLE001, PERF203  # a broken check must not hide the rest
            name = f"{check.__module__.rpartition('.')[2]}.{check.__name__}"
            found.append(
                BROKEN_CHECK.at(
                    place, place.location, f"check {name} failed: {type(error).__name__}: {error}", value=name
                )
            )
    return found


def _expected(finding: Finding, result: Result, limits: tuple[Limit, ...], plan: Plan | None) -> Finding:
    """Mark a finding that the plan itself already ruled out."""
    if not finding.rejects or plan is None:
        return finding
    for limit in limits:
        if limit.rule == finding.rule and (limit.benchmark is None or _is_benchmark(limit.benchmark, result, plan)):
            return dataclasses.replace(finding, expected_because=limit.because)
    return finding


def _is_benchmark(name: str, result: Result, plan: Plan) -> bool:
    """Whether a result is of a benchmark of the plan: by its folder, or by what the plan maps it to."""
    if name == result.benchmark:
        return True
    return any(
        planned.cell.benchmark == name
        and planned.cell.system == result.system.name
        and result.round.official_name(planned.official_benchmark) == result.model
        for planned in plan.cells
    )


def _row(result: Result) -> CheckedResult:
    """State what a result claims."""
    log = result.performance.log
    values = {} if log is None else log.values
    claimed, measured = cast("Scenario | None", result.scenario), cast("Scenario | None", result.measured_scenario)
    metric = None
    if result.model_rules is not None and claimed is not None and measured in result.round.result_field:
        metric = result_metric(values, result.round, result.model_rules, claimed, measured)
    validity = values.get("result_validity")
    return CheckedResult(
        location=result.location,
        division=result.submitter.division,
        submitter=result.submitter.name,
        system=result.system.name,
        benchmark=result.benchmark,
        model=result.model,
        scenario=claimed,
        measured_scenario=measured,
        metric=None if metric is None else metric.value,
        unit=None if metric is None else metric.unit,
        accuracy={} if result.accuracy_text is None else result.accuracy_text.texts,
        validity=validity if isinstance(validity, str) else None,
        inferred=metric is not None and metric.inferred,
        verdict="pass",
    )


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
