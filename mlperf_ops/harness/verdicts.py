"""From what a run left behind to its verdict. Pure apart from reading the attempt folder.

Standard library only.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from mlperf_ops.errors import ResultError
from mlperf_ops.files import Json, sha256_file
from mlperf_ops.harness import constraints, failures, scoring
from mlperf_ops.harness.accuracy_log import ACCURACY_LOG
from mlperf_ops.harness.failures import CellError
from mlperf_ops.harness.run_figures import KEYS, LoadgenScenario
from mlperf_ops.loadgen_log import DETAIL_LOG, ENDED_EARLY, SUMMARY_LOG, DetailLog, read_detail
from mlperf_ops.model import AccuracyOutcome, LoadgenOutcome, Spec, Verdict

ACCURACY_TXT = "accuracy.txt"
LABELS = "labels.txt"
_TEST_QUERIES = "mlperf_test_query_count"
_SAMPLING_TARGET = "effective_accuracy_log_sampling_target"

# Keys of the detail log that a result shows; those that LoadGen does not write for a scenario are absent.
RESULT_KEYS = frozenset(
    {
        "loadgen_version",
        "result_validity",
        "result_invalid_reason",
        "result_min_duration_met",
        "result_min_queries_met",
        "result_perf_constraints_met",
        "early_stopping_met",
        "early_stopping_latency_ss",
        "early_stopping_latency_ms",
        "early_stopping_result",
        "result_query_count",
        "result_samples_per_second",
        "result_scheduled_samples_per_sec",
        "result_completed_samples_per_sec",
        "result_qps_with_loadgen_overhead",
        "result_qps_without_loadgen_overhead",
        "result_min_latency_ns",
        "result_max_latency_ns",
        "result_mean_latency_ns",
        "result_min_query_latency_ns",
        "result_max_query_latency_ns",
        "result_mean_query_latency_ns",
        *(f"result_{p}_percentile_latency_ns" for p in ("50.00", "90.00", "95.00", "97.00", "99.00", "99.90")),
        *(
            f"result_{p}_percentile_per_query_latency_ns"
            for p in ("50.00", "90.00", "95.00", "97.00", "99.00", "99.90")
        ),
        "power_begin",
        "power_end",
        "num_errors",
        "effective_samples_per_query",
        "effective_target_qps",
        "effective_target_latency_ns",
        "effective_min_duration_ms",
        "effective_accuracy_sample_count",
        "qsl_reported_total_count",
        *KEYS,
    }
)


def read_loadgen(spec: Spec, attempt: Path) -> tuple[DetailLog, LoadgenOutcome]:
    """Read LoadGen's logs of the attempt.

    Raises:
        CellError: A log is missing or cut short, so the run did not end as LoadGen ends.
    """
    path = attempt / DETAIL_LOG
    wanted = RESULT_KEYS | frozenset(spec.loadgen.expect)
    try:
        detail = read_detail(path, wanted)
    except ResultError as error:
        raise CellError("no_log", error.message, "LoadGen did not run, or its log was cut") from error
    if not detail.complete or not (attempt / SUMMARY_LOG).is_file():
        raise CellError(
            "incomplete_log", f"{DETAIL_LOG} ends before the test did", "the process was stopped, or disk full"
        )
    fields = {key: value for key, value in detail.values.items() if key in RESULT_KEYS}
    measured = spec.loadgen.mode == "PerformanceOnly"
    validity = detail.values.get("result_validity") if measured else None
    if measured and validity not in ("VALID", "INVALID"):
        raise CellError("incomplete_log", f"{DETAIL_LOG} holds no result_validity", "the process was stopped")
    return detail, LoadgenOutcome(
        validity=validity,  # type: ignore[arg-type]  # one of the two words, checked above
        fields=fields,
        errors=detail.errors,
        warnings=detail.warnings,
    )


def check_settings(spec: Spec, detail: DetailLog) -> None:
    """Compare what LoadGen says it did with what was asked, seeds included.

    Raises:
        CellError: A setting differs; names each with both values.
    """
    differing = [
        f"{key} is {detail.values.get(key, 'absent')}, expected {expected}"
        for key, expected in sorted(spec.loadgen.expect.items())
        if not _equal(detail.values.get(key), expected)
    ]
    if differing:
        raise CellError(
            "settings_mismatch",
            f"LoadGen ran with other settings than {spec.round} asks for: {'; '.join(differing)}",
            "is the LoadGen wheel the one that the round pins?",
        )


def _equal(found: Json, expected: Json) -> bool:
    if isinstance(found, (int, float)) and isinstance(expected, float):
        return abs(found - expected) <= 1e-5 * max(1.0, abs(expected))  # LoadGen prints six significant digits
    return found == expected


def score(spec: Spec, attempt: Path) -> AccuracyOutcome:
    """Score the accuracy log and write accuracy.txt in the form of the official script."""
    log = attempt / ACCURACY_LOG
    scored = scoring.score(spec, log)
    (attempt / ACCURACY_TXT).write_text(scored.text)
    minimum, maximum = spec.accuracy.minimum, spec.accuracy.maximum
    met: bool | None = None
    if minimum is not None or maximum is not None:
        met = (minimum is None or scored.value >= minimum) and (maximum is None or scored.value <= maximum)
    return AccuracyOutcome(
        metric=spec.accuracy.metric,
        value=scored.value,
        unit=scored.unit,
        met=met,
        sample_count=scored.sample_count,
        full_log_sha256=sha256_file(log),
    )


def logs_answers(spec: Spec) -> bool:
    """Whether a performance run logs answers as well, as compliance tests ask."""
    return bool(spec.loadgen.expect.get(_SAMPLING_TARGET))


def keep_labels(spec: Spec, attempt: Path) -> None:
    """Keep the right answers beside those that a compliance test has logged.

    The controller scores both this run's answers and the accuracy run's to the same samples, and has no data set.
    """
    source = Path(spec.dataset.path, spec.dataset.label_file)
    if spec.dataset.label_file and source.is_file():
        shutil.copyfile(source, attempt / LABELS)


def judge(spec: Spec, outcome: LoadgenOutcome, accuracy: AccuracyOutcome | None) -> tuple[Verdict, tuple[str, ...]]:
    """Say whether the cell counts, and why not; one of a smoke run, which is too short by design, only has to run."""
    if spec.smoke:
        return "valid", ()
    reasons: list[str] = []
    # A run that user.conf cuts short by count or time ends with an error line, VALID or not; only style valid is not
    # cut short, so only there does the line say that something went wrong.
    errors = [text for text in outcome.errors if spec.run_style == "valid" or ENDED_EARLY not in text]
    if errors:
        reasons.append(f"LoadGen logged {len(errors)} error(s): {errors[0]}")
    if outcome.validity == "INVALID":
        # The inventory fixes the number of queries of a short run by a variable of its own.
        knobs = constraints.Knobs(queries=_TEST_QUERIES) if spec.run_style == "test" else None
        reasons.append(invalid_reason(spec.loadgen.scenario, outcome, knobs))
    if accuracy is not None and accuracy.met is False and spec.accuracy.gate:
        reasons.append(
            f"{accuracy.metric} is {accuracy.value:g}{accuracy.unit}, the target is "
            f"{_range(spec.accuracy.minimum, spec.accuracy.maximum)}"
        )
    return ("invalid" if reasons else "valid"), tuple(reasons)


def _range(minimum: float | None, maximum: float | None) -> str:
    if minimum is not None and maximum is not None:
        return f"{minimum:g} to {maximum:g}"
    return f"at least {minimum:g}" if minimum is not None else f"at most {maximum:g}"


def invalid_reason(scenario: LoadgenScenario, outcome: LoadgenOutcome, knobs: constraints.Knobs | None = None) -> str:
    """Say which of LoadGen's conditions a performance run missed, by how much, and what to change.

    Args:
        scenario: LoadGen's.
        outcome: What its logs show.
        knobs: What the user calls the settings.
    """
    causes = constraints.missed(scenario, outcome.fields, outcome.errors, knobs)
    return "LoadGen says INVALID" + (f": {'; '.join(causes)}" if causes else "")


def last_lines(console: Path, count: int = 12) -> tuple[str, ...]:
    """Return the end of the console log."""
    if not console.is_file():
        return ()
    with console.open("rb") as stream:
        stream.seek(max(0, console.stat().st_size - 8192))
        return tuple(stream.read().decode(errors="replace").splitlines()[-count:])


def explain_exit(returncode: int, attempt: Path, *, oom_kills: int) -> CellError:
    """Say why the process ended other than by itself."""
    told = failures.read(attempt, ())
    if told is not None:
        return CellError(told.kind, told.message, told.hint)
    if returncode == -9:  # noqa: PLR2004  # SIGKILL
        cause = "the kernel's out-of-memory killer ended it" if oom_kills else "it was killed (signal 9)"
        hint = "lower max_batch, streams or the sample count" if oom_kills else "see the kernel log for who did it"
        return CellError("out_of_memory" if oom_kills else "killed", cause, hint)
    console = "\n".join(last_lines(attempt / "console.log"))
    if failures.tells_of_memory(console):
        return CellError("out_of_memory", "memory ran out", "lower max_batch, streams or the sample count")
    if returncode < 0:
        return CellError("crash", f"the process died of signal {-returncode}", "see the last lines")
    return CellError("crash", f"the process ended with exit code {returncode}", "see the last lines")
