"""One folder of LoadGen logs, verified as the supervisor of a host verifies its own: what an attempt is made from.

Nothing is written, and no file of the folder is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

from mlperf_ops.accuracy_txt import read_accuracy_text
from mlperf_ops.attempts import IMPORTED
from mlperf_ops.catalogue import Catalogue, Round
from mlperf_ops.claims import ORIGIN
from mlperf_ops.compliance.audit import audit_settings, audit_text
from mlperf_ops.compliance.logged import keys_of
from mlperf_ops.errors import ConfigError, ResultError
from mlperf_ops.files import Json, JsonObject, pretty_json, sha256_json
from mlperf_ops.harness import verdicts
from mlperf_ops.harness.accuracy_log import ACCURACY_LOG
from mlperf_ops.harness.failures import CellError
from mlperf_ops.importing.names import measured_as
from mlperf_ops.importing.wanted import USER_CONF, Wanted, files_of
from mlperf_ops.loadgen_log import DETAIL_LOG, read_detail
from mlperf_ops.loadgen_settings import TEST_MODES
from mlperf_ops.merits import other_round
from mlperf_ops.model import (
    AccuracyOutcome,
    AccuracyRequest,
    BackendRequest,
    DatasetRequest,
    LoadgenRequest,
    Result,
    Scenario,
    Spec,
)
from mlperf_ops.power_log import power_time
from mlperf_ops.truncate import truncate
from mlperf_ops.typed import dump

# A stray audit.config beside the harness would change these; LoadGen logs what it really used.
_NO_AUDIT: Mapping[str, Json] = {
    "effective_accuracy_log_rng_seed": 0,
    "effective_accuracy_log_probability": 0,
    "effective_accuracy_log_sampling_target": 0,
    "effective_performance_issue_same": False,
    "effective_performance_issue_unique": False,
}
_ALSO_READ = frozenset({"test_datetime", "power_begin", "power_end", "effective_test_mode"})


@dataclass(frozen=True, slots=True)
class Verified:
    """An attempt that is not written yet.

    Attributes:
        spec: What ran, as far as logs and map tell.
        result: The verdict.
        request: Its identity in the plan.
        files: Name -> the file to copy, or the text to write.
    """

    spec: Spec
    result: Result
    request: JsonObject
    files: Mapping[str, Path | str]


def verify(wanted: Wanted, round_: Round, catalogue: Catalogue) -> Verified:
    """Verify a folder of logs and make an attempt of it.

    Raises:
        ResultError: A file is missing or damaged, the run is of another round, scenario or mode, or LoadGen ran with
            settings that the round does not allow; one sentence with the place in the map.
    """
    try:
        return _verify(wanted, round_, catalogue)
    except CellError as error:
        raise ResultError(f"{wanted.where}: {wanted.folder_name}: {error.message}", hint=_hint(error)) from error
    except (ResultError, ConfigError) as error:
        raise ResultError(f"{wanted.where}: {error.message}", hint=error.hint) from error


def _hint(error: CellError) -> str | None:
    return None if error.kind == "settings_mismatch" else error.hint or None


def _verify(wanted: Wanted, round_: Round, catalogue: Catalogue) -> Verified:
    found = files_of(wanted, round_)
    user_conf = _text(found[USER_CONF]) if USER_CONF in found else ""
    whole = read_detail(found[DETAIL_LOG], frozenset(round_.loadgen_fields_read) | _ALSO_READ)
    if not whole.complete:
        raise ResultError(f"{wanted.folder_name}: {DETAIL_LOG} ends before the test did", hint="was it copied whole?")
    log = whole.values
    problem = other_round(log, round_, catalogue.rounds.values())
    try:
        ran = _scenario(wanted, log, round_)
    except ResultError as error:
        if problem is None:
            raise
        said = error.message.removeprefix(f"{wanted.folder_name} ")
        raise ResultError(f"{wanted.folder_name}: {problem}; and it {said}") from error
    if problem is not None:
        raise ResultError(f"{wanted.folder_name}: {problem}")
    spec = _spec(wanted, round_, ran, user_conf, log)
    detail, loadgen = verdicts.read_loadgen(spec, found[DETAIL_LOG].parent)
    verdicts.check_settings(spec, detail)
    figures = {key: value for key, value in log.items() if key.startswith("result_")}  # those of language models, too
    loadgen = replace(loadgen, fields=loadgen.fields | figures)
    accuracy = _accuracy(wanted, spec, round_, log) if wanted.mode == "accuracy" else None
    verdict, reasons = verdicts.judge(spec, loadgen, accuracy)
    started_at, elapsed_seconds = _times(log)
    files: dict[str, Path | str] = {**found, ORIGIN: pretty_json(_origin(wanted))}
    request = dump(spec)
    result = Result(
        cell=wanted.cell,
        spec_sha256=spec.sha256,
        request_sha256=sha256_json(request),
        verdict=verdict,
        reasons=reasons,
        simulated=spec.simulated,
        started_at=started_at,
        elapsed_seconds=elapsed_seconds,
        loadgen=loadgen,
        accuracy=accuracy,
        failure=None,
        effective={},
    )
    return Verified(spec, result, request, files)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError as error:
        raise ResultError(f"cannot read {path}: {error.strerror or error}") from error


def _scenario(wanted: Wanted, log: JsonObject, round_: Round) -> Scenario:
    """Return what LoadGen ran: the cell's scenario, or one that the round lets it be inferred from."""
    ran, claimed = log.get("effective_scenario"), wanted.cell.scenario
    expected = measured_as(claimed)
    if ran == expected:
        return expected
    for source, target in round_.inference_allowed_edge:
        if (source, target) == (ran, claimed) and "edge" in wanted.system_type.split(","):
            return source
    raise ResultError(f"{wanted.folder_name} is a run of {ran}, and the result is to be {claimed}")


def _spec(wanted: Wanted, round_: Round, ran: Scenario, user_conf: str, log: JsonObject) -> Spec:
    rules, maker = round_.rules(wanted.benchmark.official), wanted.maker
    assert ran != "Interactive"  # noqa: S101  # LoadGen has no such scenario
    audit = {} if wanted.test is None else audit_settings(round_, wanted.test, wanted.benchmark.official)
    expect = _expected(wanted, round_, ran, audit)
    least_ms = log.get("effective_min_duration_ms")
    full = isinstance(least_ms, (int, float)) and least_ms >= round_.min_duration_ms(wanted.benchmark.official)
    target = round_.accuracy_targets(wanted.benchmark.official, wanted.cell.scenario)[0].by_rules()
    version = {maker.framework: maker.framework_version} if maker.framework_version else {}
    return Spec(
        cell=wanted.cell,
        official_benchmark=wanted.benchmark.official,
        round=round_.name,
        division=wanted.division,
        run_style="valid" if full else "fast",
        implementation=IMPORTED,
        simulated=maker.simulated,
        argv=maker.argv,
        env={},
        loadgen=LoadgenRequest(
            conf_model=rules.loadgen_conf.conf_model or wanted.benchmark.official,
            scenario=ran,
            mode=TEST_MODES[wanted.mode],
            user_conf=user_conf,
            expect=expect,
            audit_conf=audit_text(audit),
        ),
        model=None,
        dataset=DatasetRequest("", "", "", "", None, {}),
        task="",
        backend=BackendRequest(name=maker.framework, device=maker.device, provider=maker.provider or maker.device),
        accuracy=AccuracyRequest(
            target.metric, target.min, target.max, gate=round_.divisions[wanted.division].accuracy_target
        ),
        cpu_affinity=None,
        warmup_seconds=0.0,
        packages={**maker.packages, **version},
        host_profile={},
    )


def _expected(wanted: Wanted, round_: Round, ran: Scenario, audit: Mapping[str, int]) -> dict[str, Json]:
    """Return what LoadGen has to have logged. What a test's own settings ask for is judged with its evidence."""
    own = keys_of(audit)
    expect: dict[str, Json] = {key: value for key, value in _NO_AUDIT.items() if key not in own}
    expect |= {"effective_scenario": ran, "effective_test_mode": TEST_MODES[wanted.mode]}
    if wanted.mode != "accuracy":
        expect |= {f"effective_{name}": value for name, value in round_.seeds.model_dump().items()}
    rules = round_.rules(wanted.benchmark.official)
    if wanted.mode == "performance" and rules.equal_issue and round_.divisions[wanted.division].official_models_only:
        expect["effective_sample_concatenate_permutation"] = True
    if wanted.mode == "performance" and rules.requires_token_latencies:
        expect["requested_use_token_latencies"] = True
    return expect


def _accuracy(wanted: Wanted, spec: Spec, round_: Round, log: JsonObject) -> AccuracyOutcome:
    """Take the score from accuracy.txt, whose hash line, where it has one, has to be of the log beside it."""
    text = wanted.folder / "accuracy.txt"
    targets = round_.accuracy_targets(wanted.benchmark.official, wanted.cell.scenario)
    found = read_accuracy_text(text, [one.by_rules() for one in targets], round_.accuracy_regex, round_.hash_regex)
    if found.missing:
        raise ResultError(f"{wanted.folder_name}: accuracy.txt states no {' and no '.join(found.missing)}")
    digest = truncate(wanted.folder / ACCURACY_LOG, text, round_.limits, round_.hash_regex).sha256
    count = log.get("effective_accuracy_sample_count", log.get("qsl_reported_total_count"))
    if not isinstance(count, int):
        raise ResultError(f"{wanted.folder_name}: {DETAIL_LOG} does not say how many samples were scored")
    worst = next((score for score in found.scores if not score.met), found.scores[0])
    return AccuracyOutcome(
        metric=spec.accuracy.metric if worst is found.scores[0] else worst.metric,
        value=worst.value,
        unit="",
        met=all(score.met for score in found.scores),
        sample_count=count,
        full_log_sha256=digest,
    )


def _times(log: JsonObject) -> tuple[str, float]:
    """Return start (RFC 3339, as far as LoadGen tells) and duration in seconds."""
    began, ended = (_clock(log.get(name)) for name in ("power_begin", "power_end"))
    elapsed = max((ended - began).total_seconds(), 0.0) if began is not None and ended is not None else 0.0
    said = log.get("test_datetime")
    try:
        start = datetime.fromisoformat(str(said).replace("Z", "+00:00"))
    except ValueError:
        start = began or datetime.fromtimestamp(0, timezone.utc)
    return start.isoformat(timespec="seconds"), round(elapsed, 3)


def _clock(text: Json) -> datetime | None:
    try:
        return power_time(str(text)).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def _origin(wanted: Wanted) -> JsonObject:
    """Return import.json. It names no folder of this machine: only the one below --from."""
    maker = wanted.maker
    return {
        "schema": 1,
        "from": PurePosixPath(wanted.folder_name).as_posix(),
        "made_by": maker.made_by,
        "source": maker.source,
        "directory": wanted.benchmark.directory,
        "measurements": dict(wanted.numbers),
        "calibration": wanted.calibration,
        **wanted.answers,
    }
