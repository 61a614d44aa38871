"""Do the logs prove what the test is about? The official scripts trust them; a copy of another run would pass.

Source: the tests' pages in mlcommons/inference, compliance/ ("Verification that audit.config was properly read can be
done by checking … mlperf_log_detail.txt"), and the settings of Round.compliance.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlperf_ops.compliance.model import Judgement, Request
from mlperf_ops.files import Json
from mlperf_ops.loadgen_log import DETAIL_LOG, DetailLog, read_detail

# audit.config key -> the detail log's. Counts and durations are compared as the run was asked for them.
_LOGGED = {
    "accuracy_log_rng_seed": "effective_accuracy_log_rng_seed",
    "accuracy_log_sampling_target": "effective_accuracy_log_sampling_target",
    "performance_issue_unique": "effective_performance_issue_unique",
    "performance_issue_same": "effective_performance_issue_same",
    "performance_issue_same_index": "effective_performance_issue_same_index",
    "sample_concatenate_permutation": "effective_sample_concatenate_permutation",
    "min_query_count": "requested_min_query_count",
    "min_duration": "effective_min_duration_ms",
}
_MODES = {0: "SubmissionRun", 1: "AccuracyOnly", 2: "PerformanceOnly"}
_SEEDS = ("qsl_rng_seed", "sample_index_rng_seed", "schedule_rng_seed")
# What two runs cannot share: LoadGen writes each once per run, with the time of day.
_OF_ONE_RUN = ("test_datetime", "power_begin")
_WANTED = frozenset(
    {*_LOGGED.values(), *_OF_ONE_RUN, *(f"effective_{seed}" for seed in _SEEDS)}
    | {"effective_test_mode", "effective_scenario", "result_mean_latency_ns"}
)


def judge_evidence(request: Request) -> Judgement:
    """Find out whether the test's log is of a run of this test, in this round, and not of another run.

    Raises:
        ResultError: A log cannot be read.
    """
    log = read_detail(request.runs.test / DETAIL_LOG, _WANTED)
    reasons = [*_settings(request, log), *_round(request, log)]
    others = (("performance", request.runs.performance), ("accuracy", request.runs.accuracy))
    for name, folder in others:
        if folder is not None and (folder / DETAIL_LOG).is_file() and _same_run(log, folder):
            reasons.append(
                f"the test's log is a copy of the {name} run's: both started at {log.values[_OF_ONE_RUN[0]]}"
            )
    return Judgement(
        passed=not reasons,
        reasons=tuple(reasons),
        remedy=f"run the test with its own audit.config (`mlperf-ops compliance audit --test {request.test} "
        f"--round {request.round.name} --benchmark {request.official}` prints it)",
    )


def _settings(request: Request, log: DetailLog) -> Iterator[str]:
    for key, asked in request.rules.settings(request.official).items():
        name = _LOGGED.get(key, "effective_test_mode")
        expected: Json = _MODES.get(asked) if key == "mode" else asked
        found = log.values.get(name)
        if found is None or not _equal(found, expected):
            said = "is not in the log" if found is None else f"is {found}"
            yield f"{request.test} was not run with its settings: {name} {said}, expected {expected}"
            return  # one is enough: either audit.config was read or it was not


def _equal(found: Json, expected: Json) -> bool:
    if isinstance(found, bool) and isinstance(expected, int):
        return found is bool(expected)
    return found == expected


def _round(request: Request, log: DetailLog) -> Iterator[str]:
    seeds = request.round.seeds
    for seed in _SEEDS:
        found, expected = log.values.get(f"effective_{seed}"), getattr(seeds, seed)
        if found != expected:
            yield f"{seed} of the test is {found}, and that of round {request.round.name} is {expected}"
            break
    run_as = "Server" if request.scenario == "Interactive" else request.scenario
    scenario = log.values.get("effective_scenario")
    if scenario != run_as:
        yield f"the test ran scenario {scenario}, not {run_as}"


def _same_run(log: DetailLog, folder: Path) -> bool:
    other = read_detail(folder / DETAIL_LOG, _WANTED)
    known = [key for key in _OF_ONE_RUN if key in log.values]
    return bool(known) and all(log.values[key] == other.values.get(key) for key in known)
