"""Do the logs prove what the test is about? The official scripts trust them; a copy of another run would pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlperf_ops.catalogue.round import SEEDS
from mlperf_ops.compliance.logged import LOG_KEYS, TIME_OF_START, same_run, unmet_settings
from mlperf_ops.compliance.model import Judgement, Request
from mlperf_ops.files import JsonObject
from mlperf_ops.loadgen_log import DETAIL_LOG, read_detail

_WANTED = LOG_KEYS | {*SEEDS.values(), "effective_scenario"}


def judge_evidence(request: Request) -> Judgement:
    """Find out whether the test's log is of a run of this test, in this round, and not of another run.

    Raises:
        ResultError: A log cannot be read.
    """
    log = _values(request.runs.test)
    reasons = [*_settings(request, log), *_round(request, log)]
    others = (("performance", request.runs.performance), ("accuracy", request.runs.accuracy))
    for name, folder in others:
        if folder is not None and (folder / DETAIL_LOG).is_file() and same_run(log, _values(folder)):
            reasons.append(f"the test's log is a copy of the {name} run's: both started at {log[TIME_OF_START]}")
    return Judgement(
        passed=not reasons,
        reasons=tuple(reasons),
        remedy=f"run the test with its own audit.config (`mlperf-ops compliance audit --test {request.test} "
        f"--round {request.round.name} --benchmark {request.official}` prints it)",
    )


def _values(folder: Path) -> JsonObject:
    return read_detail(folder / DETAIL_LOG, _WANTED).values


def _settings(request: Request, log: JsonObject) -> Iterator[str]:
    # One is enough: either audit.config was read or it was not.
    unmet = next(unmet_settings(log, request.rules.settings(request.official)), None)
    if unmet is not None:
        said = "is not in the log" if unmet.found is None else f"is {unmet.found}"
        yield f"{request.test} was not run with its settings: {unmet.key} {said}, expected {unmet.expected}"


def _round(request: Request, log: JsonObject) -> Iterator[str]:
    for seed, (found, expected) in request.round.seeds.wrong_in(log).items():
        yield f"{seed} of the test is {found}, and that of round {request.round.name} is {expected}"
        break
    run_as = "Server" if request.scenario == "Interactive" else request.scenario
    scenario = log.get("effective_scenario")
    if scenario != run_as:
        yield f"the test ran scenario {scenario}, not {run_as}"
