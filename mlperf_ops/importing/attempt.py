"""One folder of LoadGen logs, verified as the supervisor of a host verifies its own: what an attempt is made from.

Nothing is written, and no file of the folder is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

from mlperf_ops.accuracy_txt import read_accuracy_text
from mlperf_ops.attempts import IMPORTED
from mlperf_ops.catalogue import Catalogue, Round
from mlperf_ops.claims import ORIGIN
from mlperf_ops.compliance.logged import LOG_KEYS, unmet_settings
from mlperf_ops.errors import ConfigError, ResultError
from mlperf_ops.files import Json, JsonObject, pretty_json, sha256_json
from mlperf_ops.harness import verdicts
from mlperf_ops.harness.accuracy_log import ACCURACY_LOG
from mlperf_ops.harness.failures import CellError
from mlperf_ops.importing.import_map import Maker
from mlperf_ops.importing.names import NamedBenchmark, measured_as
from mlperf_ops.importing.tests_beside import files_of, logs_of, needed_of
from mlperf_ops.loadgen_log import DETAIL_LOG, SUMMARY_LOG, read_detail
from mlperf_ops.loadgen_settings import TEST_MODES
from mlperf_ops.merits import other_round
from mlperf_ops.model import (
    COMPLIANCE_TESTS,
    AccuracyOutcome,
    AccuracyRequest,
    BackendRequest,
    Cell,
    ComplianceTest,
    DatasetRequest,
    Division,
    LoadgenRequest,
    Mode,
    Result,
    Scenario,
    Spec,
)
from mlperf_ops.power_log import power_time
from mlperf_ops.truncate import truncate
from mlperf_ops.typed import dump

USER_CONF = "user.conf"
_NEEDED: Mapping[Mode, tuple[str, ...]] = {
    "performance": (SUMMARY_LOG, DETAIL_LOG),
    "accuracy": (SUMMARY_LOG, DETAIL_LOG, ACCURACY_LOG, "accuracy.txt"),
}
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
class Wanted:
    """One cell of a map with its names looked up.

    Attributes:
        where: Place in the map, for error messages.
        cell: The cell.
        host: The host that it is filed under.
        benchmark: Its benchmark.
        system_type: Of the system; only edge systems have inferred results.
        division: Where it goes.
        folder: Its logs.
        folder_name: The same below --from, as the map says it.
        user_conf: Its user.conf; None: among the logs.
        maker: What made it.
        numbers: Fields of measurements.json.
        calibration: What was calibrated how.
        options: What only its maker knows of a compliance test's answers.
        runs: Performance and accuracy folders of the same result, with which a compliance test is compared.
        found: The map does not name the folder; it was found by its name.
    """

    where: str
    cell: Cell
    host: str
    benchmark: NamedBenchmark
    system_type: str
    division: Division
    folder: Path
    folder_name: str
    user_conf: Path | None
    maker: Maker
    numbers: Mapping[str, Json]
    calibration: str
    options: Mapping[str, Json] = field(default_factory=dict)
    runs: Mapping[Mode, Path] = field(default_factory=dict)
    found: bool = False

    @property
    def mode(self) -> Mode:
        """Its mode."""
        return self.cell.mode

    @property
    def test(self) -> ComplianceTest | None:
        """The compliance test that it is a run of."""
        return next((test for test in COMPLIANCE_TESTS if test == self.cell.mode), None)

    @property
    def logs(self) -> Path:
        """Folder of LoadGen's logs."""
        return self.folder if self.test is None else logs_of(self.folder)


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
    files = _files(wanted, round_)
    conf = files.get(USER_CONF)
    user_conf = _text(conf) if isinstance(conf, Path) else ""
    keys = frozenset(round_.loadgen_fields_read) | _ALSO_READ | LOG_KEYS
    whole = read_detail(wanted.logs / DETAIL_LOG, keys)
    if not whole.complete:
        raise ResultError(f"{wanted.folder_name}: {DETAIL_LOG} ends before the test did", hint="was it copied whole?")
    log = whole.values
    _refuse_what_ran(wanted, log, round_, catalogue)
    spec = _spec(wanted, round_, _scenario(wanted, log, round_), user_conf, log)
    detail, loadgen = verdicts.read_loadgen(spec, wanted.logs)
    verdicts.check_settings(spec, detail)
    figures = {key: value for key, value in log.items() if key.startswith("result_")}  # those of language models, too
    loadgen = replace(loadgen, fields=loadgen.fields | figures)
    accuracy = _accuracy(wanted, spec, round_, log) if wanted.mode == "accuracy" else None
    verdict, reasons = verdicts.judge(spec, loadgen, accuracy)
    started_at, elapsed_seconds = _times(log)
    files[ORIGIN] = pretty_json(_origin(wanted))
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


def _files(wanted: Wanted, round_: Round) -> dict[str, Path | str]:
    """Return name in the attempt -> file of the folder.

    Raises:
        ResultError: Files are missing; names all of them.
    """
    found: dict[str, Path] = {}
    if wanted.test is not None:
        answers = round_.compliance[wanted.test].logs_answers
        needed, found = needed_of(answers=answers), files_of(wanted.folder, answers=answers)
    else:
        needed = _NEEDED[wanted.mode]
        found = {name: wanted.folder / name for name in needed if _is_plain(wanted.folder / name)}
    lacking = [name for name in needed if name not in found]
    conf = wanted.user_conf or wanted.logs / USER_CONF
    if _is_plain(conf):
        found[USER_CONF] = conf
    elif wanted.test is None:
        lacking.append(USER_CONF)
    if lacking:
        hint = f"where {USER_CONF} lies elsewhere, name it as user_conf of the result" if USER_CONF in lacking else None
        raise ResultError(f"{wanted.folder_name} has no file {' and no '.join(lacking)}", hint=hint)
    if wanted.mode == "accuracy":
        found |= _artifacts(wanted, round_)
    return dict(found)


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _refuse_what_ran(wanted: Wanted, log: JsonObject, round_: Round, catalogue: Catalogue) -> None:
    """Refuse a run of another round, of another scenario, or of no compliance test; everything at once.

    Raises:
        ResultError: See above.
    """
    problems = [] if (other := other_round(log, round_, catalogue.rounds.values())) is None else [other]
    try:
        _scenario(wanted, log, round_)
    except ResultError as error:
        problems.append(error.message.removeprefix(f"{wanted.folder_name} "))
    if wanted.test is not None:
        settings = round_.compliance[wanted.test].settings(wanted.benchmark.official)
        for unmet in unmet_settings(log, settings):
            said = "is not in the log" if unmet.found is None else f"is {unmet.found}"
            what = f"it was not run with the settings of {wanted.test}"
            problems.append(f"{what}: {unmet.key} {said}, expected {unmet.expected}")
    if problems:
        raise ResultError(f"{wanted.folder_name}: {'; '.join(problems)}")


def _artifacts(wanted: Wanted, round_: Round) -> dict[str, Path]:
    """Return the pictures or videos that the round wants beside the accuracy log, as far as they are there."""
    found: dict[str, Path] = {}
    for folder, asked in round_.rules(wanted.benchmark.official).required_accuracy_artifacts.items():
        for path in sorted((wanted.folder / folder).glob("*")):
            if path.name.split(".")[0] in {*asked.stems, *asked.also} and path.is_file() and not path.is_symlink():
                found[f"{folder}/{path.name}"] = path
    return found


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
    expect: dict[str, Json] = {
        **(_NO_AUDIT if wanted.test is None else {}),
        "effective_scenario": ran,
        "effective_test_mode": TEST_MODES[wanted.mode],
    }
    if wanted.mode != "accuracy":
        expect |= {f"effective_{name}": value for name, value in round_.seeds.model_dump().items()}
    if wanted.test is None and rules.equal_issue and round_.divisions[wanted.division].official_models_only:
        expect["effective_sample_concatenate_permutation"] = True
    if rules.requires_token_latencies:
        expect["requested_use_token_latencies"] = True
    least_ms = log.get("effective_min_duration_ms")
    full = isinstance(least_ms, (int, float)) and least_ms >= round_.min_duration_ms(wanted.benchmark.official)
    target = round_.accuracy_targets(wanted.benchmark.official, wanted.cell.scenario)[0]
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


def _accuracy(wanted: Wanted, spec: Spec, round_: Round, log: JsonObject) -> AccuracyOutcome:
    """Take the score from accuracy.txt, whose hash line, where it has one, has to be of the log beside it."""
    text = wanted.folder / "accuracy.txt"
    targets = round_.accuracy_targets(wanted.benchmark.official, wanted.cell.scenario)
    found = read_accuracy_text(text, targets, round_.accuracy_regex, round_.hash_regex)
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
        **wanted.options,
    }
