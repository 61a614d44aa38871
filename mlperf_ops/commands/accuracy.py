"""`mlperf-ops accuracy`: score an accuracy log, and compare the figures with the targets of the round."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mlperf_ops.accuracy import compute
from mlperf_ops.accuracy.asked import parameters_from, request_for
from mlperf_ops.accuracy.model import Request, Scored
from mlperf_ops.accuracy.official import OfficialOpinion, check_ready, compare, run_script
from mlperf_ops.accuracy.verdict import Judgement, judge, scenarios_of, siblings, targets_of, variants
from mlperf_ops.accuracy_txt import Score
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.catalogue.round import Round
from mlperf_ops.catalogue.scorer import Scorer
from mlperf_ops.errors import EXIT_VERDICT, ConfigError, MlperfOpsError, ResultError, ToolError
from mlperf_ops.files import JsonObject, sha256_file, write_atomic
from mlperf_ops.scratch import scratch_folder


@dataclass(frozen=True, slots=True)
class _Question:
    """The benchmark as the round knows it."""

    scorer: Scorer
    round: Round
    asked: tuple[str, ...]  # variants that were named
    scenario: str


def command(  # typer shows the help of the options
    *,
    benchmark: Annotated[
        str,
        typer.Option(help="Benchmark of the round (bert-99.9), all its variants (bert), or one of `catalogue list`."),
    ],
    round_: Annotated[str, typer.Option("--round", help="Round whose targets apply, such as v6.1.")],
    log: Annotated[Path | None, typer.Option(help="mlperf_log_accuracy.json of an accuracy run, whole.")] = None,
    text: Annotated[Path | None, typer.Option(help="Judge this accuracy.txt instead of computing one.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="The right answers; which file, is said when it is left out.")
    ] = None,
    vocab: Annotated[Path | None, typer.Option(help="vocab.txt of the model (BERT).")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="The model's folder, or its tokenizer.json.")] = None,
    trace: Annotated[Path | None, typer.Option(help="Items of each sample (dlrm-v2, with --labels day_23).")] = None,
    scenario: Annotated[
        str | None, typer.Option(help="A few benchmarks have other targets per scenario; default: Offline.")
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE: how the log is read, such as dtype=int32.")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Score the samples that the log has, as for a compliance test.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=0, help="Processes for ROUGE; 0: one per core.")] = 0,
    output: Annotated[Path | None, typer.Option(help="Write accuracy.txt here; a file that differs is kept.")] = None,
    official_checkout: Annotated[
        Path | None, typer.Option(help="Checkout of mlcommons/inference: its script must say the same.")
    ] = None,
    official_python: Annotated[
        str, typer.Option(help="Python that has the packages of the official script.")
    ] = "python3",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Compute accuracy.txt from LoadGen's accuracy log and the labels, and say how far the targets are missed.

    Exit code 0: all named variants meet their targets; of a whole family: at least one does. 1: they do not, or the
    official script gives another number.

    Example: mlperf-ops accuracy --benchmark resnet --round v6.1 --log mlperf_log_accuracy.json --labels val_map.txt
    """
    catalogue = load_catalogue()
    rules = catalogue.round(round_, "--round")
    scorer, asked = variants(catalogue, rules, benchmark)
    scenario = scenario or scenarios_of(rules, asked[0])[0]
    question = _Question(scorer, rules, asked, scenario)
    for model in asked:
        targets_of(rules, model, scenario)  # a wrong scenario is told before hours of scoring
    if (log is None) == (text is None):
        raise ConfigError("give either --log or --text", hint="--log computes figures, --text judges what is written")
    if official_checkout is not None:
        if log is None:
            raise ConfigError("--official-checkout needs --log", hint="the official script scores the log, too")
        check_ready(scorer, official_checkout, official_python)
    scored, request = None, None
    if text is not None:
        content = _read(text)
    else:
        given = {"labels": labels, "vocab": vocab, "tokenizer": tokenizer, "trace": trace}
        request = request_for(
            scorer,
            log or Path(),
            given,
            parameters_from(parameter or ()),
            sample_count=rules.accuracy_sample_count(asked[0], scenario),
            partial=partial,
            jobs=jobs or os.cpu_count() or 1,
        )
        scored = compute(str(scorer.method), request)
        content = scored.text
    judgements = [judge(content, rules, model, scenario) for model in siblings(scorer, rules, asked)]
    # What was computed is shown whatever happens from here on.
    problems = [] if output is None else _write(output, content)
    opinion = None
    if official_checkout is not None and request is not None:
        try:
            opinion = _official(question, request, judgements[0], official_checkout, official_python)
        except ToolError as error:
            problems.append(error)
    notes = _notes(question, scored)
    if as_json:
        typer.echo(json.dumps(_as_json(question, content, judgements, scored, request, notes, opinion, problems)))
    else:
        _show(content, judgements, asked, notes, opinion)
    for problem in problems:
        typer.echo(f"mlperf-ops: error: {problem}", err=True)
    if problems:
        raise typer.Exit(problems[0].exit_code)
    if not _good(judgements, asked, benchmark) or (opinion is not None and opinion.differences):
        raise typer.Exit(EXIT_VERDICT)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ResultError(f"cannot read {path}: {error.strerror or error}") from error


def _write(path: Path, text: str) -> list[MlperfOpsError]:
    """Write a file unless another one is there; return what prevented it."""
    try:
        if not path.exists():
            write_atomic(path, text)
        elif _read(path) != text:
            raise ConfigError(
                f"{path} exists and says something else; it is not overwritten", hint="name another --output"
            )
    except MlperfOpsError as error:
        return [error]
    return []


def _official(question: _Question, request: Request, ours: Judgement, checkout: Path, python: str) -> OfficialOpinion:
    targets = targets_of(question.round, ours.model, question.scenario)
    numbers = {score.metric: score.text for score in ours.scores}
    with scratch_folder("mlperf-ops-accuracy.") as work:
        said = run_script(question.scorer, request, checkout, work, python=python)
    return compare(question.scorer, numbers, said, targets, question.round)


def _notes(question: _Question, scored: Scored | None) -> tuple[str, ...]:
    notes = [question.scorer.note] if question.scorer.note else []
    if scored is not None:
        notes += scored.notes
        demanded = question.round.accuracy_sample_count(question.asked[0], question.scenario)
        if scored.sample_count != demanded:
            notes.append(
                f"{scored.sample_count} samples were scored; round {question.round.name} demands {demanded} of "
                f"{question.asked[0]}"
            )
    return tuple(notes)


def _good(judgements: list[Judgement], asked: tuple[str, ...], name: str) -> bool:
    met = [one.met for one in judgements if one.model in asked]
    return all(met) if name in asked or len(asked) == 1 else any(met)


def _show(
    text: str,
    judgements: list[Judgement],
    asked: tuple[str, ...],
    notes: tuple[str, ...],
    opinion: OfficialOpinion | None,
) -> None:
    typer.echo(text, nl=not text.endswith("\n"))
    for one in judgements:
        aside = "" if one.model in asked else " (not asked for)"
        typer.echo(f"{one.model}: {'meets its targets' if one.met else 'misses its targets'}{aside}")
        for sentence in one.sentences:
            typer.echo(f"  {sentence}")
    if opinion is not None and not opinion.differences:
        typer.echo(f"{opinion.script} says the same, to the last digit")
    elif opinion is not None:
        for one_ in opinion.differences:
            typer.echo(f"{opinion.script} says {one_.metric} is {one_.official or 'not stated'}, we say {one_.ours}")
    for note in notes:
        typer.echo(f"note: {note}", err=True)


def _as_json(  # all of them stand in the file
    question: _Question,
    text: str,
    judgements: list[Judgement],
    scored: Scored | None,
    request: Request | None,
    notes: tuple[str, ...],
    opinion: OfficialOpinion | None,
    problems: list[MlperfOpsError],
) -> JsonObject:
    return {
        "round": question.round.name,
        "scenario": question.scenario,
        "scorer": question.scorer.name,
        "library": question.scorer.library if scored is not None else None,
        "log_sha256": None if request is None else sha256_file(request.log),
        "parameters": None if request is None else dict(request.parameters),
        "partial": request is not None and request.partial,
        "sample_count": None if scored is None else scored.sample_count,
        "text": text,
        "details": None if scored is None else dict(scored.details),
        "notes": list(notes),
        "variants": [
            {
                "model": one.model,
                "asked": one.model in question.asked,
                "met": one.met,
                "metrics": [_score_json(score) for score in one.scores],
                "missing": list(one.missing),
            }
            for one in judgements
        ],
        "official": None
        if opinion is None
        else {
            "script": opinion.script,
            "text": opinion.text,
            "differences": [
                {"metric": one_.metric, "ours": one_.ours, "official": one_.official} for one_ in opinion.differences
            ],
        },
        "problems": [str(problem) for problem in problems],
    }


def _score_json(score: Score) -> JsonObject:
    number = not math.isnan(score.value)  # NaN is no JSON
    return {
        "metric": score.metric,
        "value": score.value if number else None,
        "text": score.text,
        "minimum": score.minimum,
        "maximum": score.maximum,
        "met": score.met,
        "misses_by": score.misses_by if number else None,
    }
