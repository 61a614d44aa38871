"""`mlperf-ops compliance`: what each test asks for, and whether the logs of a run pass it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from mlperf_ops.catalogue import Round, load_catalogue
from mlperf_ops.catalogue.history import unknown_benchmark
from mlperf_ops.compliance.audit import audit_settings, audit_text, named_test, problem_of
from mlperf_ops.compliance.model import Options, Request, Runs, Verification
from mlperf_ops.compliance.official import OfficialVerification, run_official
from mlperf_ops.compliance.sampled import BASELINE, write_baseline
from mlperf_ops.compliance.scoring import by_labels, options_of
from mlperf_ops.compliance.verify import verify
from mlperf_ops.errors import EXIT_VERDICT, ConfigError, ResultError, ToolError, unknown_name
from mlperf_ops.files import Json, JsonObject, read_json
from mlperf_ops.harness.accuracy_log import ACCURACY_LOG, AnswerType
from mlperf_ops.loadgen_log import DETAIL_LOG, read_detail
from mlperf_ops.model import SCENARIOS, ComplianceTest, Scenario, Spec
from mlperf_ops.typed import load

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Verify compliance tests by hand, and print what their runs are asked for.\n\n"
    "In a lab the tests are cells of the plan, and aggregation verifies them; this is for logs made elsewhere.\n\n"
    "Example: mlperf-ops compliance list --round v6.1",
)

_TEST = Annotated[str, typer.Option("--test", help="TEST01, TEST04, …")]
_ROUND = Annotated[str, typer.Option("--round", help="Round whose rules apply, such as v6.1.")]
_BENCHMARK = Annotated[str, typer.Option("--benchmark", help="Benchmark of the round, or of the catalogue.")]
_JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


@app.command("list")
def list_tests(
    round_: _ROUND,
    benchmark: Annotated[str | None, typer.Option("--benchmark", help="Only what this one needs.")] = None,
    as_json: _JSON = False,
) -> None:
    """List the compliance tests of a round: what each proves and which benchmarks need it.

    Example: mlperf-ops compliance list --round v6.1
    """
    rules = load_catalogue().round(round_, "--round")
    wanted = set(rules.models) if benchmark is None else {_official(rules, benchmark)}
    rows = []
    for test, run in rules.compliance.items():
        models = [name for name, model in rules.models.items() if test in model.compliance and name in wanted]
        if models:
            rows.append((test, f"that {run.about}", models))
    if as_json:
        tests: list[Json] = [
            {"test": test, "about": about, "benchmarks": cast("Json", models)} for test, about, models in rows
        ]
        typer.echo(json.dumps({"round": rules.name, "tests": tests}))
        return
    table = Table("test", "proves", "benchmarks", box=box.SIMPLE)
    for test, about, models in rows:
        table.add_row(test, about, " ".join(models))
    if not rows:
        typer.echo(f"round {rules.name} has no compliance test for {benchmark}")
        return
    Console(width=None if Console().is_terminal else 160).print(table)


@app.command()
def audit(test: _TEST, round_: _ROUND, benchmark: _BENCHMARK, as_json: _JSON = False) -> None:
    """Print the audit.config of a test. Put it into the folder where LoadGen runs, and remove it afterwards.

    Example: mlperf-ops compliance audit --test TEST01 --round v6.1 --benchmark resnet50 > audit.config
    """
    rules, known, official = _named(test, round_, benchmark)
    settings = audit_settings(rules, known, official)
    if as_json:
        typer.echo(json.dumps({"test": known, "benchmark": official, "settings": settings}))
    else:
        typer.echo(audit_text(settings), nl=False)


@app.command()
def baseline(
    accuracy: Annotated[Path, typer.Option("--accuracy", help="Folder of the accuracy run.")],
    run: Annotated[Path, typer.Option("--run", help="Folder of the test's run.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Accuracy log to write; must not exist.")],
    as_json: _JSON = False,
) -> None:
    """Write the accuracy run's answers to the samples of a TEST01 run, to be scored where the answers differ.

    Example: mlperf-ops compliance baseline --accuracy accuracy --run TEST01 -o baseline.json
    """
    if output.exists():
        raise ConfigError(f"{output} exists already", hint="name a new file; nothing is overwritten")
    test_log = _folder(run, "--run", ACCURACY_LOG, ()) / ACCURACY_LOG
    accuracy_log = _folder(accuracy, "--accuracy", ACCURACY_LOG, ("accuracy",)) / ACCURACY_LOG
    try:
        count = write_baseline(test_log, accuracy_log, output)
    except OSError as error:
        raise ToolError(f"cannot write {output}: {error.strerror or error}") from error
    typer.echo(json.dumps({"path": str(output), "answers": count}) if as_json else f"{output}: {count} answers")


@app.command("verify")
def verify_command(  # noqa: PLR0917  # typer makes an option of each
    test: _TEST,
    round_: _ROUND,
    benchmark: _BENCHMARK,
    run: Annotated[Path, typer.Option("--run", help="Folder with LoadGen's logs of the test.")],
    performance: Annotated[Path | None, typer.Option("--performance", help="Folder of the performance run.")] = None,
    accuracy: Annotated[Path | None, typer.Option("--accuracy", help="Folder of the accuracy run.")] = None,
    scenario: Annotated[
        str | None, typer.Option(help="Default: the one in the log; Interactive has to be named.")
    ] = None,
    answer_type: Annotated[
        str | None, typer.Option("--answer-type", help="Type of the numbers in an answer: byte, int32, int64, float32.")
    ] = None,
    eos_token_id: Annotated[int | None, typer.Option(help="TEST06: end-of-sequence token of the tokenizer.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Label file of an image classification, to score answers that differ.")
    ] = None,
    baseline_text: Annotated[
        Path | None, typer.Option(help="What the benchmark's accuracy script says of the baseline's log.")
    ] = None,
    compliance_text: Annotated[
        Path | None, typer.Option(help="What the benchmark's accuracy script says of the test's log.")
    ] = None,
    official_checkout: Annotated[
        Path | None, typer.Option(help="Checkout of mlcommons/inference, whose script gives a second opinion.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the folder TESTxx of a submission below this one.")
    ] = None,
    as_json: _JSON = False,
) -> None:
    """Find out whether a compliance test is passed, and say why not.

    A folder is one with LoadGen's logs, such as an attempt, or a scenario's folder with accuracy/ and
    performance/run_1/. Exit code 0: passed. 1: not passed, or the official script says otherwise. 5: that script could
    not be run; our verdict is shown all the same.

    Example: mlperf-ops compliance verify --test TEST01 --round v6.1 --benchmark resnet50 --accuracy accuracy
    --performance performance --run TEST01
    """
    rules, known, official = _named(test, round_, benchmark)
    runs = Runs(
        test=_folder(run, "--run", DETAIL_LOG, ("performance/run_1",)),
        performance=None
        if performance is None
        else _folder(performance, "--performance", DETAIL_LOG, ("performance/run_1",)),
        accuracy=None if accuracy is None else _folder(accuracy, "--accuracy", ACCURACY_LOG, ("accuracy",)),
    )
    options = _options(runs.test, answer_type, eos_token_id, labels, (baseline_text, compliance_text))
    request = Request(known, rules, official, _scenario(scenario, runs.test), runs, options)
    found = verify(request)
    if output is not None:
        _write(found, output)
    second, problem = None, None
    try:
        second = None if official_checkout is None else run_official(request, official_checkout)
    except ToolError as error:
        problem = error  # our own word does not depend on the script's
    if as_json:
        typer.echo(json.dumps(_as_json(found, second) | ({} if problem is None else {"official_note": str(problem)})))
    else:
        _show(found, second, official_checkout)
    if problem is not None:
        typer.echo(f"mlperf-ops: error: {problem}", err=True)
        raise typer.Exit(problem.exit_code)
    if not found.passed or (second is not None and not agrees(found, second)):
        raise typer.Exit(EXIT_VERDICT)


# --- what was given ---------------------------------------------------------------------------------------------------


def _official(rules: Round, benchmark: str) -> str:
    """Return the benchmark of the round that a name stands for: its own, an alias, or one of the catalogue."""
    official = rules.official_name(benchmark)
    if official is None:
        known = load_catalogue().benchmarks
        official = known[benchmark].maps_to if benchmark in known and known[benchmark].maps_to in rules.models else None
    if official is None:
        names = [*rules.models, *rules.model_aliases]
        raise unknown_benchmark(benchmark, rules, names, load_catalogue(), where="--benchmark")
    return official


def _named(test: str, round_: str, benchmark: str) -> tuple[Round, ComplianceTest, str]:
    rules = load_catalogue().round(round_, "--round")
    known, official = named_test(rules, test, "--test"), _official(rules, benchmark)
    if (problem := problem_of(rules, known, official)) is not None:
        raise ConfigError(f"--test: {problem}")
    return rules, known, official


def _folder(given: Path, option: str, needed: str, below: tuple[str, ...]) -> Path:
    """Return the folder with a log: the given one, or one of its usual places below it.

    Raises:
        ConfigError: There is none.
    """
    if not given.is_dir():
        raise ConfigError(f"{option}: {given} is not a folder")
    for folder in (given, *(given / place for place in below)):
        if (folder / needed).is_file():
            return folder
    raise ConfigError(f"{option}: there is no {needed} in {given}", hint="give the folder with LoadGen's logs")


def _scenario(given: str | None, test: Path) -> Scenario:
    name = given
    if name is None:
        name = str(read_detail(test / DETAIL_LOG, frozenset({"effective_scenario"})).values.get("effective_scenario"))
    for known in SCENARIOS:
        if known.casefold() == name.casefold():
            return known
    raise unknown_name("scenario", name, SCENARIOS, where="--scenario" if given is not None else str(test / DETAIL_LOG))


def _options(
    run: Path,
    answer_type: str | None,
    eos_token_id: int | None,
    labels: Path | None,
    texts: tuple[Path | None, Path | None],
) -> Options:
    kind: AnswerType | None = None
    if answer_type is not None:
        kind = next((one for one in get_args(AnswerType) if one == answer_type), None)
        if kind is None:
            raise unknown_name("type", answer_type, get_args(AnswerType), where="--answer-type")
    made = _known(run)
    if kind is not None:
        made = replace(made, answer_type=kind)
    if eos_token_id is not None:
        made = replace(made, eos_token_id=eos_token_id)
    if labels is not None:  # texts that the attempt brought would be taken instead
        made = replace(made, score=by_labels(labels, made.answer_type), baseline_text=None, compliance_text=None)
    if (baseline := _text(texts[0], "--baseline-text")) is not None:
        made = replace(made, baseline_text=baseline)
    if (compliance := _text(texts[1], "--compliance-text")) is not None:
        made = replace(made, compliance_text=compliance)
    return made


def _known(run: Path) -> Options:
    """Return what a run says of its answers: an attempt of ours, or an imported one, does."""
    if not (run / "spec.json").is_file():
        return Options()
    return options_of(load(Spec, read_json(run / "spec.json"), str(run / "spec.json")), run)


def _text(path: Path | None, option: str) -> str | None:
    try:
        return None if path is None else path.read_text(errors="replace")
    except OSError as error:
        raise ConfigError(f"{option}: cannot read {path}: {error.strerror or error}") from error


# --- what came out ----------------------------------------------------------------------------------------------------


def agrees(found: Verification, second: OfficialVerification) -> bool:
    """Whether the official script makes of the logs what we say that it makes of them.

    A TEST01 whose answers differ is left to their scores, which the script does not know: its word on performance
    counts then. Of logs that are no evidence of the test no scores are kept, so they may have decided there, too.
    """
    may_be_scored = f"accuracy/{BASELINE}" in found.files or not found.passed
    scored = found.official_passed and may_be_scored and second.performance_passed is True
    return found.official_passed == (second.passed or scored)


def _write(found: Verification, output: Path) -> None:
    folder = output / found.test
    if folder.exists():
        raise ConfigError(f"--output: {folder} exists already", hint="name another folder; nothing is overwritten")
    try:
        for name, content in found.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            elif content.is_file():
                shutil.copyfile(content, target)
            else:
                raise ResultError(f"{content} is missing")
    except OSError as error:
        raise ToolError(f"cannot write {folder}: {error.strerror or error}") from error


def _as_json(found: Verification, second: OfficialVerification | None) -> JsonObject:
    texts = {name: content.decode() for name, content in found.files.items() if isinstance(content, bytes)}
    official: Json = None
    if second is not None:
        official = {"passed": second.passed, "agrees": agrees(found, second), "said": second.said}
    return {
        "test": found.test,
        "passed": found.passed,
        "reasons": list(found.reasons),
        "remedy": found.remedy,
        "notes": list(found.notes),
        "texts": cast("Json", texts),
        "official": official,
    }


def _show(found: Verification, second: OfficialVerification | None, checkout: Path | None) -> None:
    for name, content in found.files.items():
        if isinstance(content, bytes) and name.startswith("verify_"):
            typer.echo(f"--- {name}\n{content.decode()}", nl=False)
    typer.echo(f"{found.sentence}{f' ({found.remedy})' if found.remedy else ''}")
    for note in found.notes:
        typer.echo(f"note: {note}")
    if second is None:
        return
    word = "passed" if second.passed else "not passed"
    if agrees(found, second):
        typer.echo(f"official script of {checkout}: {word}{_why_not_ours(found, second)}")
        return
    typer.echo(f"official script of {checkout} DISAGREES: {word}. It said:\n{second.said}", nl=False)


def _why_not_ours(found: Verification, second: OfficialVerification) -> str:
    """Say why the script's word is not our verdict although the two agree."""
    if found.passed == second.passed:
        return ""
    if found.passed:
        return "; the performance is, and answers that differ are left to their scores, which it does not know"
    return "; it does not look at what the logs are evidence of"
