"""Compliance tests: the logs of their runs, against the test's settings and against the performance run."""

from __future__ import annotations

from mlperf_ops.checker import compliance_rules as rule
from mlperf_ops.checker.detail_logs import LogFile
from mlperf_ops.checker.metrics import number
from mlperf_ops.checker.performance import damage, performance_log, seeds
from mlperf_ops.checker.performance_latency import measured_scenario
from mlperf_ops.checker.rules import Findings
from mlperf_ops.checker.subjects import Result
from mlperf_ops.checker.texts import TextFile
from mlperf_ops.compliance.bounds import STREAMS, compare
from mlperf_ops.compliance.logged import TIME_OF_START, same_run, unmet_settings
from mlperf_ops.files import Json
from mlperf_ops.loadgen_log import DetailLog
from mlperf_ops.model import ComplianceTest

# The tests whose log the official checker judges as it judges a performance run. Their runs are of full length; those
# of the other tests are as long as their audit.config says.
FULL_RUNS = frozenset({"TEST01", "TEST04"})
_SAME_FIGURE = 2e-3  # texts have two decimals, logs six digits
_NS = 1e9


def runs(place: Result, test: ComplianceTest, location: str) -> Findings:
    """Check the log of a compliance test, where it has one.

    Args:
        place: The result.
        test: The test.
        location: Its folder.
    """
    file = place.test_log(test)
    if not file.exists:
        return  # where the test needs one, missing-compliance says so
    if test in FULL_RUNS:
        yield from performance_log(place, file, equal_issue=test != "TEST04")
    else:
        yield from damage(place, file)
    if file.log is None:
        return
    original = place.performance.log
    if original is not None and same_run(original.values, file.log.values):
        yield rule.COPY.at(
            place,
            file.location,
            f"the log of {test} is that of the performance run",
            value=file.log.values.get(TIME_OF_START),
        )
        return  # what a copy lacks needs no findings of its own
    if file.log.complete:  # else log-incomplete says so
        yield from _evidence(place, test, file, file.log)
    if original is not None and test in FULL_RUNS:
        yield from _speed(place, test, location, file, original)


def _evidence(place: Result, test: ComplianceTest, file: LogFile, log: DetailLog) -> Findings:
    """Look for what audit.config sets; a run of the wrong mode is told by log-mode."""
    asked = place.round.compliance[test].settings(place.model or "")
    wrong = [
        one
        for one in unmet_settings(log.values, asked, telling_only=True)
        if test not in FULL_RUNS or one.key != "effective_test_mode"
    ]
    if wrong:
        yield rule.EVIDENCE.at(
            place,
            file.location,
            f"the log of {test} does not show the test's settings: "
            + ", ".join(f"{one.key} is {_shown(one.found)}" for one in wrong),
            value=", ".join(f"{one.key}={_shown(one.found)}" for one in wrong),
            limit=", ".join(f"{one.key}={one.expected}" for one in wrong),
        )
    if test not in FULL_RUNS:
        yield from seeds(place, file.location, log, "rules")  # the official checker does not look at them


def _shown(value: Json) -> str:
    return "missing" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _speed(place: Result, test: ComplianceTest, location: str, file: LogFile, original: DetailLog) -> Findings:
    """Compute the verdict on the speed from the logs, and compare the text with them."""
    assert file.log is not None  # noqa: S101  # for the type checker
    scenario, tested = measured_scenario(original), measured_scenario(file.log)
    if scenario != tested:
        if tested == place.scenario or tested is None or scenario is None:
            return  # an inferred result whose test was run in its own scenario; log-scenario judges others
        yield rule.SPEED.at(
            place,
            file.location,
            f"{test} was run in scenario {tested}, the performance run in {scenario}",
            value=tested,
            limit=scenario,
        )
        return
    if scenario is None or scenario not in place.round.result_field:
        return
    field = place.round.result_field[scenario]
    reference, figure = number(original.values.get(field)), number(file.log.values.get(field))
    if not reference or not figure:
        return  # log-incomplete and result-value say so
    target = "effective_target_latency_ns"
    if test == "TEST01" and scenario == "Server" and original.values.get(target) != file.log.values.get(target):
        yield rule.SPEED.at(
            place,
            file.location,
            f"{test} was run with another target latency than the performance run",
            value=f"{file.log.values.get(target)} ns",
            limit=f"{original.values.get(target)} ns",
        )
    speed_bounds = place.round.compliance[test].performance
    if speed_bounds is None:
        return
    outcome = compare(speed_bounds, scenario, reference, figure)
    if not outcome.accepted:
        low, high = outcome.lowest, f"{outcome.highest:.6g}"
        bounds = f"less than {high}" if low is None else f"at least {low:.6g} and at most {high}"
        yield rule.SPEED.at(
            place,
            file.location,
            f"{test} measured {outcome.test:.6g} {outcome.unit}, the performance run {outcome.reference:.6g} ({field})",
            value=f"{outcome.test:.6g} {outcome.unit}",
            limit=f"{bounds} {outcome.unit}",
        )
    text = place.text(f"{location}/verify_performance.txt")
    yield from _stated(place, test, text, scenario, reference, figure)


def _stated(  # what is compared with what
    place: Result, test: str, text: TextFile, scenario: str, reference: float, figure: float
) -> Findings:
    """Compare the figures of a verification text with those of the logs."""
    for label, value, whose in (
        ("Reference score", reference, "performance run"),
        ("Test score", figure, f"run of {test}"),
    ):
        said = text.number(label)
        # Streams are stated as latency in ns, or as queries per second.
        forms = (value, _NS / value) if scenario in STREAMS else (value,)
        if said is not None and not any(abs(said - form) <= _SAME_FIGURE * abs(form) + 0.01 for form in forms):
            yield rule.TEXT.at(
                place,
                text.location,
                f"the text states a {label.lower()} of {said:.6g}, the log of the {whose} {value:.6g}",
                value=f"{said:.6g}",
                limit=f"{value:.6g}",
                severity="advice",  # the verdict is computed from the logs, see above
            )
