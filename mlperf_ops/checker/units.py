"""Units of a check: a check of the whole tree, a submitter, a system, a result.

Each is judged by itself, in any process and in any order. What one unit finds depends on nothing but the round, the
rules and what it looks at in the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar, cast

from mlperf_ops.checker.endpoints_figures import endpoints_metric, stated_scores
from mlperf_ops.checker.metrics import number, result_metric
from mlperf_ops.checker.model import CheckedResult, Finding
from mlperf_ops.checker.rules import At, Family, Findings, Place, Rule
from mlperf_ops.checker.subjects import Result, Submission, Submitter, System
from mlperf_ops.checker.tree import Touched
from mlperf_ops.errors import ResultError
from mlperf_ops.model import Scenario
from mlperf_ops.power_metrics import PowerMetric, power_metric

PlaceT = TypeVar("PlaceT", bound=Place)

BROKEN_CHECK = Rule(
    "check-failed",
    "rules",
    "our own check failed",
    "A defect of mlperf-ops: one check could not be made here; all others were.",
    "Report it with the message; until it is mended, rely on the official checker for this place.",
    "mlperf-ops",
)


@dataclass(frozen=True, slots=True)
class Unit:
    """What is judged by itself; `location` of a check of the whole tree is the check's name."""

    kind: Literal["tree", "submitter", "system", "result"]
    location: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a unit gave.

    Attributes:
        findings: In the order of the rules.
        row: What a result claims; None for other units.
        folders: Folders that were looked at; none where the tree has no stamps.
        files: Files that were read; likewise.
        facts: What a check of the whole tree found out about single files, by location; likewise.
    """

    findings: tuple[Finding, ...]
    row: CheckedResult | None
    folders: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()


def list_units(submission: Submission, families: tuple[Family, ...]) -> Iterator[Unit]:
    """Yield the units of a tree: what takes the whole tree first, then its places in their order."""
    for family in families:
        for check in family.tree:
            yield Unit("tree", _name(check))
    for submitter in submission.submitters():
        yield Unit("submitter", submitter.location)
        for system in submitter.systems():
            yield Unit("system", system.location)
            for result in system.results():
                yield Unit("result", result.location)


def run_unit(submission: Submission, families: tuple[Family, ...], unit: Unit) -> Outcome:
    """Apply the rules to a unit. Nothing that is in a tree, and no defect of a check, raises here."""
    submission.tree.touched = touched = Touched()
    if unit.kind == "tree":
        checks = (check for family in families for check in family.tree if _name(check) == unit.location)
        found = tuple(apply(checks, submission))
        return Outcome(found, None, facts=tuple(touched.facts.items()) if submission.tree.stamped else ())
    division, name, *rest = unit.location.split("/")
    submitter = Submitter(submission, division, name)
    row = None
    if unit.kind == "submitter":
        findings = apply((check for family in families for check in family.submitter), submitter)
    else:
        system = System(submitter, rest[1])
        if unit.kind == "system":
            findings = apply((check for family in families for check in family.system), system)
        else:
            result = Result(system, rest[2], rest[3])
            findings = apply((check for family in families for check in family.result), result)
            try:
                row = _row(result)
            except Exception as error:  # noqa: BLE001  # a row that cannot be stated must not hide the rest
                broken = broken_unit(unit, f"{type(error).__name__}: {error}")
                findings += broken.findings
                row = broken.row
    if not submission.tree.stamped:  # nobody asks for it, and it would be sent to another process
        return Outcome(tuple(findings), row)
    return Outcome(tuple(findings), row, tuple(sorted(touched.folders)), tuple(sorted(touched.files)))


def broken_unit(unit: Unit, why: str) -> Outcome:
    """Return the outcome of a unit that could not be judged, such as one that ended its process."""
    location = "" if unit.kind == "tree" else unit.location
    finding = BROKEN_CHECK.at(At(location), location, f"the check of this {unit.kind} failed: {why}", value=why)
    if unit.kind != "result":
        return Outcome((finding,), None)
    division, submitter, _, system, benchmark, _ = unit.location.split("/")
    row = CheckedResult(
        location=unit.location,
        division=division,
        submitter=submitter,
        system=system,
        benchmark=benchmark,
        model=None,
        scenario=None,
        measured_scenario=None,
        metric=None,
        unit=None,
        accuracy={},
        validity=None,
        inferred=False,
        verdict="fail",
    )
    return Outcome((finding,), row)


def apply(checks: Iterable[Callable[[PlaceT], Findings]], place: PlaceT) -> list[Finding]:
    """Run checks at a place; a check that fails itself is a finding and hides nothing but itself."""
    found: list[Finding] = []
    for check in checks:
        try:
            found.extend(check(place))
        except Exception as error:  # noqa: BLE001, PERF203  # a broken check must not hide the rest
            name = _name(check)
            found.append(
                BROKEN_CHECK.at(
                    place, place.location, f"check {name} failed: {type(error).__name__}: {error}", value=name
                )
            )
    return found


def _name(check: Callable[..., Findings]) -> str:
    return f"{check.__module__.rpartition('.')[2]}.{check.__name__}"


def _row(result: Result) -> CheckedResult:
    """State what a result claims."""
    log = result.performance.log
    values = {} if log is None else log.values
    claimed, measured = cast("Scenario | None", result.scenario), cast("Scenario | None", result.measured_scenario)
    metric, figures = None, result.figures
    if figures is not None:
        measured = result.submitter.submission.scenario_by_folded.get(str(measured).casefold())
        if result.model_rules is not None and claimed is not None:
            metric = endpoints_metric(figures, result.round, result.model_rules, claimed)
    elif result.model_rules is not None and claimed is not None and measured in result.round.result_field:
        metric = result_metric(values, result.round, result.model_rules, claimed, measured)
    validity = values.get("result_validity")
    power = result_power(result)
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
        accuracy=_accuracy(result),
        validity=validity if isinstance(validity, str) else None,
        inferred=metric is not None and metric.inferred,
        verdict="pass",
        has_power=result.has_power,
        power=None if power is None else power.value,
        power_unit=None if power is None or claimed is None else result.round.power_units[claimed],
    )


def _accuracy(result: Result) -> dict[str, str]:
    """Return metric -> number as the result states it."""
    if result.figures is not None:
        return stated_scores(result.figures)
    return {} if result.accuracy_text is None else result.accuracy_text.recorded


def result_power(result: Result) -> PowerMetric | None:
    """Return the power metric of a result; None where it claims none, or the logs for it are missing."""
    log, spl = result.performance.log, f"{result.performance.location.rpartition('/')[0]}/spl.txt"
    if not result.has_power or log is None or result.scenario is None or result.tree.size(spl) is None:
        return None
    begin, end = log.values.get("power_begin"), log.values.get("power_end")
    if not isinstance(begin, str) or not isinstance(end, str):
        return None
    queries = number(log.values.get("result_query_count"))
    count = int(queries) if queries is not None and abs(queries) < float("inf") else None
    run = result.power_measurement.testing
    watts = None if run.problem else run.watts
    try:
        return power_metric(result.path(spl), begin, end, result.scenario, count, result.measured_scenario, watts)
    except ResultError as error:
        return PowerMetric(None, None, 0.0, 0, error.message)
