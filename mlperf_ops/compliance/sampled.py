"""TEST01: are the answers of a performance run those of the accuracy run?

Where each answer is the same (by its first number, as the official script compares), the run is deterministic and the
test passed. Else the answers of the accuracy run to the same samples, the baseline, are scored as well, and the two
scores may differ by the round's percentage. Rules: mlcommons/inference, compliance/TEST01 (verify_accuracy.py,
create_accuracy_baseline.sh) and the checker's checks/compliance_check.py.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mlperf_ops.accuracy_txt import parse_accuracy_text
from mlperf_ops.compliance.bounds import score_delta_perc, usable_score
from mlperf_ops.compliance.model import FAIL, PASS, Judgement, Request
from mlperf_ops.errors import MlperfOpsError, ResultError
from mlperf_ops.harness.accuracy_log import ACCURACY_LOG, NUMBER_FORMATS, AnswerType, read_responses
from mlperf_ops.scratch import scratch_folder

_DEFAULT_TYPE: AnswerType = "byte"
_SHOWN = 5
BASELINE, COMPLIANCE = "baseline_accuracy.txt", "compliance_accuracy.txt"


@dataclass(slots=True)
class _Compared:
    """The comparison of two accuracy logs, sample by sample."""

    logged: int = 0  # answers of the test
    differing: list[int] = field(default_factory=list)
    differing_later: int = 0  # equal by their first number only
    missing: list[int] = field(default_factory=list)  # the accuracy run has no answer
    matched: int = 0
    accuracy_answers: int = 0


def judge_answers(request: Request, accuracy: Path) -> Judgement:
    """Compare the test's answers with those of the accuracy run.

    Raises:
        ResultError: A log cannot be read.
    """
    kind = request.options.answer_type or _DEFAULT_TYPE
    compared = _compare(request.runs.test / ACCURACY_LOG, accuracy / ACCURACY_LOG, kind)
    deterministic = not compared.differing and compared.matched > 0
    lines = (
        f"answers logged in the accuracy run: {compared.accuracy_answers}",
        f"answers logged in the test: {compared.logged}",
        f"compared by their first number ({kind}): {compared.matched}",
        f"differing: {len(compared.differing)}",
        f"without an answer in the accuracy run: {len(compared.missing)}",
    )
    notes = _notes(compared)
    if deterministic:
        return Judgement(passed=True, lines=lines, notes=notes)
    if not compared.matched:
        reason = f"none of the {compared.logged} answers of the test can be compared with the accuracy run's"
        return Judgement(passed=False, lines=lines, reasons=(reason,), remedy="do the two logs belong together?")
    count = f"{len(compared.differing)} of {compared.matched} answers"
    told = f"{count} differ from the accuracy run's ({_names(compared.differing)})"
    return Judgement(
        passed=False,
        lines=lines,
        reasons=(told,),
        notes=notes,
        remedy="run accuracy and test again with the same model, data and options",
    )


def judge_told(text: str) -> Judgement:
    """Take over what the official script said of answers whose logs came truncated: nothing can compare them again."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and line.strip() not in {PASS, FAIL}]
    passed = any(line.strip() == PASS for line in text.splitlines())
    came = "an accuracy log came truncated, so this is what the tool that made it found"
    return Judgement(
        passed=passed,
        lines=(f"{came}:", *lines),
        reasons=() if passed else (f"{came}: no {PASS}",),
        notes=(f"{came}: {PASS}",) if passed else (),
        remedy="import the whole logs, or run accuracy and test again",
    )


def _compare(test_log: Path, accuracy_log: Path, kind: AnswerType) -> _Compared:
    """Compare in two passes: what the test asked for is small, the accuracy log may be huge."""
    wanted = {answer.index for answer in read_responses(test_log)}
    known: dict[int, tuple[float | int | None, bytes]] = {}
    made = _Compared()
    for answer in read_responses(accuracy_log):
        made.accuracy_answers += 1
        if answer.index in wanted and answer.index not in known:
            known[answer.index] = (_first(answer.data, kind, accuracy_log), _digest(answer.data))
    for answer in read_responses(test_log):
        made.logged += 1
        first, digest = _first(answer.data, kind, test_log), _digest(answer.data)
        before = known.get(answer.index)
        if before is None:
            made.missing.append(answer.index)
        else:
            made.matched += 1
            if before[0] != first:
                made.differing.append(answer.index)
            elif before[1] != digest:
                made.differing_later += 1
        known[answer.index] = (first, digest)  # the official script compares a repeated sample with its last answer
    return made


def _first(data: bytes, kind: AnswerType, log: Path) -> float | int | None:
    """Return the first number of an answer; None where it has none, as the official script compares."""
    size = struct.calcsize(NUMBER_FORMATS[kind])
    if len(data) % size:
        raise ResultError(
            f"{log}: an answer of {len(data)} bytes is no list of {kind}, which have {size} bytes each",
            hint="name the type of the answers with --answer-type",
        )
    found: float | int | None = struct.unpack_from(NUMBER_FORMATS[kind], data)[0] if data else None
    return found


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _notes(compared: _Compared) -> tuple[str, ...]:
    notes = []
    if compared.missing:
        notes.append(f"the accuracy run has no answer to {len(compared.missing)} samples ({_names(compared.missing)})")
    if compared.differing_later:
        notes.append(
            f"{compared.differing_later} answers differ behind their first number, which is all that is compared"
        )
    return tuple(notes)


def _names(indices: Iterable[int]) -> str:
    listed = sorted(set(indices))
    return f"qsl_idx {', '.join(map(str, listed[:_SHOWN]))}" + (", …" if len(listed) > _SHOWN else "")


# --- non-deterministic ------------------------------------------------------------------------------------------------


def write_baseline(test_log: Path, accuracy_log: Path, target: Path) -> int:
    """Write the accuracy run's answers to the samples of the test as an accuracy log; return their number.

    Raises:
        ResultError: A log cannot be read.
    """
    wanted = {answer.index for answer in read_responses(test_log)}
    count = 0
    with target.open("w", encoding="utf-8") as stream:
        stream.write("[\n")
        for answer in read_responses(accuracy_log, with_text=True):
            if answer.index in wanted:
                stream.write(("" if count == 0 else ",\n") + answer.text)
                count += 1
        stream.write("\n]\n")
    return count


def judge_scores(request: Request, accuracy: Path) -> Judgement:
    """Compare the score of the test's answers with that of the accuracy run's answers to the same samples.

    Raises:
        ResultError: A log cannot be read or scored.
        ToolError: There is no room for temporary files.
    """
    test_log, options = request.runs.test / ACCURACY_LOG, request.options
    baseline, tested = options.baseline_text, options.compliance_text
    if baseline is None or tested is None:
        if options.score is None:
            return Judgement(
                passed=False,
                reasons=("nothing here can score the answers of both runs",),
                remedy="write the baseline with `mlperf-ops compliance baseline`, score it and the test's accuracy log "
                "with the benchmark's own script, and give both texts with --baseline-text and --compliance-text",
            )
        with scratch_folder() as scratch:
            log = scratch / ACCURACY_LOG
            write_baseline(test_log, accuracy / ACCURACY_LOG, log)
            try:
                baseline, tested = options.score(log), options.score(test_log)
            except MlperfOpsError as error:
                told = f"the answers cannot be scored: {error.message}"
                return Judgement(passed=False, reasons=(told,), remedy=error.hint or "")
    return _compare_texts(request, baseline, tested)


def _compare_texts(request: Request, baseline: str, tested: str) -> Judgement:
    round_ = request.round
    targets = round_.accuracy_targets(request.official, request.scenario)
    read = [
        parse_accuracy_text(text.splitlines(), targets, round_.accuracy_regex, round_.hash_regex)
        for text in (baseline, tested)
    ]
    lines: list[str] = []
    reasons: list[str] = []
    for target in targets:
        values = [one.texts.get(target.metric) for one in read]
        numbers = [usable_score(value) for value in values]
        if numbers[0] is None or numbers[1] is None:
            which = "the baseline" if numbers[0] is None else "the test"
            reasons.append(f"{target.metric} is not stated, or 0, for {which}")
            continue
        delta_perc = score_delta_perc(numbers[0], numbers[1])
        allowed = round_.accuracy_delta_perc(request.official, target.metric)
        line = f"{target.metric} is {values[1]} in the test and {values[0]} in the baseline: {delta_perc:.3g} % apart"
        lines.append(f"{line}; allowed: {allowed:g} %")
        if delta_perc > allowed:
            reasons.append(f"{line}, and {allowed:g} % is allowed")
    return Judgement(
        passed=not reasons,
        lines=tuple(lines),
        reasons=tuple(reasons),
        remedy="run accuracy and test again with the same model, data and options",
        files={f"accuracy/{BASELINE}": baseline.encode(), f"accuracy/{COMPLIANCE}": tested.encode()},
    )
