"""Is the test as fast as the performance run? TEST01 compares detail logs, TEST04 summaries, as the official scripts.

Rules: mlcommons/inference, compliance/TEST01 and TEST04, verify_performance.py and README.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.catalogue.compliance_rules import PerformanceBounds
from mlperf_ops.compliance.bounds import STREAMS, compare
from mlperf_ops.compliance.model import Judgement, Request
from mlperf_ops.loadgen_log import DETAIL_LOG, SUMMARY_LOG, read_detail, read_summary

_LONGER = (
    "run performance and test again on a quiet host, or give the test more time with "
    "compliance_min_duration_ms beside the benchmark ({ms} is the usual second try)"
)
# Names of the summary's figures, as the official script looks for them.
_SUMMARY_KEYS = {
    "SingleStream": re.compile(r".*Early stopping (90th|90\.0th|99\.9th) percentile estimate"),
    "MultiStream": re.compile(r".*Early stopping (99th|99\.0th) percentile estimate"),
    "Server": re.compile(r"Completed samples per second"),
    "Offline": re.compile(r"Samples per second"),
}


@dataclass(frozen=True, slots=True)
class _Speed:
    """A run's own figures."""

    what: str  # "the test" or "the performance run"
    scenario: str
    valid: bool
    score: float | None  # above 0: ns in streams, else per second
    errors: int
    target_latency_ns: object = None


def judge_performance(request: Request, performance: Path) -> Judgement:
    """Compare the test's result with that of the performance run.

    Raises:
        ResultError: A log cannot be read.
    """
    bounds = request.rules.performance
    assert bounds is not None  # noqa: S101  # only called for tests with bounds
    read = _from_summary if bounds.as_rate else _from_detail
    reference = read(request, performance, "the performance run")
    tested = read(request, request.runs.test, "the test")
    remedy = _LONGER.format(ms=request.round.run_styles.compliance.retry_min_duration_ms)
    lines = tuple(f"{one.what}: {_shown(one)}" for one in (reference, tested))
    if (problem := _not_comparable(reference, tested, bounds)) is not None:
        return Judgement(passed=False, lines=lines, reasons=(problem,), remedy=remedy)
    return _compared(reference, tested, bounds, lines, remedy)


def _from_detail(request: Request, folder: Path, what: str) -> _Speed:
    fields = request.round.result_field
    values = read_detail(folder / DETAIL_LOG)
    scenario = str(values.values.get("effective_scenario"))
    score = next((values.values.get(key) for name, key in fields.items() if name == scenario), None)
    errors = values.values.get("num_errors", values.error_count)
    return _Speed(
        what=what,
        scenario=scenario,
        valid=values.values.get("result_validity") == "VALID",
        score=_above_0(score),
        errors=errors if isinstance(errors, int) else values.error_count,
        target_latency_ns=values.values.get("effective_target_latency_ns") if scenario == "Server" else None,
    )


def _from_summary(request: Request, folder: Path, what: str) -> _Speed:  # noqa: ARG001  # one of two readers
    summary = read_summary(folder / SUMMARY_LOG)
    scenario = summary.get("Scenario", "")
    pattern = _SUMMARY_KEYS.get(scenario)
    text = next((value for key, value in summary.items() if pattern is not None and pattern.match(key)), None)
    return _Speed(what, scenario, summary.get("Result is") == "VALID", _above_0(text), errors=0)


def _above_0(value: object) -> float | None:
    try:
        score = float(value)  # type: ignore[arg-type]  # whatever the log holds; anything else is no number
    except (TypeError, ValueError):
        return None
    return score if score > 0 else None


def _not_comparable(reference: _Speed, tested: _Speed, bounds: PerformanceBounds) -> str | None:
    """Say why the two runs cannot be compared, or return None."""
    for one in (reference, tested):
        if not one.valid:
            return f"LoadGen does not call {one.what} VALID"
        if one.errors and not bounds.as_rate:  # the official script for detail logs ends at an error in a log
            return f"LoadGen logged {one.errors} error(s) in {one.what}"
    if tested.scenario != reference.scenario:
        return f"the test ran {tested.scenario} and the performance run {reference.scenario}"
    if tested.target_latency_ns != reference.target_latency_ns:
        return (
            f"the latency bound of the test is {tested.target_latency_ns} ns and that of the performance run "
            f"{reference.target_latency_ns} ns"
        )
    for one in (reference, tested):
        if one.score is None:
            return f"{one.what} states no result for {one.scenario}"
    return None


def _compared(
    reference: _Speed, tested: _Speed, bounds: PerformanceBounds, lines: tuple[str, ...], remedy: str
) -> Judgement:
    assert reference.score is not None  # noqa: S101  # _not_comparable said so
    assert tested.score is not None  # noqa: S101
    found = compare(bounds, reference.scenario, reference.score, tested.score)
    how = f"{abs(found.faster) * 100:.1f} % {'faster' if found.faster >= 0 else 'slower'} than the performance run"
    allowed = f"{found.part * 100:g} % {'either way' if bounds.slower_too else 'faster'}"
    lines = (*lines, f"the test is {how}; allowed: {allowed}")
    if not found.accepted:
        told = f"the test is {how} ({_shown(tested)} against {_shown(reference)}); {allowed} is allowed"
        return Judgement(passed=False, lines=lines, reasons=(told,), remedy=remedy)
    notes: tuple[str, ...] = ()
    if found.meant_part <= found.faster and found.meant_part < found.part:
        told = f"the rules allow {found.meant_part * 100:g} %; it is the official script that lets {found.part * 100:g}"
        notes = (f"the test is {how}: {told} % pass in {reference.scenario}",)
    return Judgement(passed=True, lines=lines, notes=notes)


def _shown(speed: _Speed) -> str:
    if speed.score is None:
        return "no result"
    return f"{speed.score / 1e6:.6g} ms" if speed.scenario in STREAMS else f"{speed.score:.6g} samples per second"
