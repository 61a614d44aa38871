"""Tests of language models: TEST06, consistent answers, and TEST09, answers of the right length.

Rules: mlcommons/inference, compliance/TEST06 and TEST09, run_verification.py.
"""

from __future__ import annotations

import struct
from typing import cast

from mlperf_ops.compliance.model import MEAN_LENGTH, Judgement, Request
from mlperf_ops.errors import ResultError
from mlperf_ops.harness.accuracy_log import ACCURACY_LOG, NUMBER_FORMATS, AnswerType, Logged, read_responses

_DEFAULT_TYPE: AnswerType = "int32"
_TOKEN_BYTES = 4
_OF_SIZE: dict[float, AnswerType] = {2.0: "int16", 4.0: "int32", 8.0: "int64"}
_CHANGE = "see how the SUT counts and reports its tokens, correct it, and run the benchmark again"


def judge_consistency(request: Request) -> Judgement:
    """TEST06: at most one end token, the first token as it was reported, and as many tokens as were counted.

    Raises:
        ResultError: The accuracy log cannot be read.
    """
    kind = request.options.answer_type or _DEFAULT_TYPE
    eos = request.options.eos_token_id if request.options.eos_token_id is not None else request.rules.eos_token_id
    needs_first = request.scenario != "Offline"
    bad: dict[str, list[str]] = {"first": [], "eos": [], "length": []}
    sizes: set[float] = set()  # bytes per counted token
    count = 0
    log = request.runs.test / ACCURACY_LOG
    for answer in read_responses(log):
        count += 1
        where = f"qsl_idx {answer.index}"
        tokens = _tokens(answer.data, kind)
        if tokens is None:
            told = f"{where}: {len(answer.data)} bytes are no list of {kind}"
            bad["eos"].append(told)
            bad["length"].append(told)
            if needs_first:
                bad["first"].append(told)
            continue
        if eos is not None and tokens[1:][-2:] == (eos, eos):
            bad["eos"].append(f"{where} ends with more than one token {eos}")
        counted = answer.others.get("token_count")
        sizes.add(len(answer.data) / counted if isinstance(counted, int) and counted else 0.0)
        if not isinstance(counted, int) or counted != len(tokens):
            bad["length"].append(f"{where} has {len(tokens)} tokens and reports {counted}")
        if needs_first and (different := _first_token(answer, tokens, kind)):
            bad["first"].append(f"{where}: {different}")
    words = {name: not found for name, found in bad.items()}
    # These three lines are what the official checker reads.
    lines = (
        f"answers: {count}, tokens as {kind}, end token {eos}",
        f"First token check pass: {words['first'] if needs_first else 'Skipped'}",
        f"EOS check pass: {words['eos']}",
        f"Sample length check pass: {words['length']}",
    )
    reasons = tuple(f"{len(found)} of {count} answers: {found[0]}" for found in bad.values() if found)
    remedy = _CHANGE
    if count and len(sizes) == 1 and (size := sizes.pop()) in _OF_SIZE and _OF_SIZE[size] != kind:
        remedy = f"each token seems to have {size} bytes: name their type with --answer-type {_OF_SIZE[size]}"
    return Judgement(passed=not reasons, lines=lines, reasons=reasons, remedy=remedy)


def _tokens(data: bytes, kind: AnswerType) -> tuple[float | int, ...] | None:
    form = NUMBER_FORMATS[kind]
    size = struct.calcsize(form)
    if len(data) % size:
        return None
    return struct.unpack(f"<{len(data) // size}{form[-1]}", data)


def _first_token(answer: Logged, tokens: tuple[float | int, ...], kind: AnswerType) -> str | None:
    """Return how what was reported as the first token differs from the answer's beginning, or None."""
    reported = answer.others.get("token_data")
    if reported is None:
        return "no first token was reported"
    try:
        first = _tokens(bytes.fromhex(cast("str", reported)), kind)
    except (TypeError, ValueError):
        return f"the first token is reported as {reported!r}"
    if first is None:
        return f"the first token is no {kind}"
    pairs = zip(tokens, first, strict=False)  # the official script compares as many as both have
    different = next(((ours, theirs) for ours, theirs in pairs if ours != theirs), None)
    return None if different is None else f"the first token is {different[0]} and was reported as {different[1]}"


def judge_length(request: Request) -> Judgement:
    """TEST09: the mean length of the answers is within the round's bounds for the benchmark.

    Raises:
        ResultError: The accuracy log cannot be read, or the round has no bounds for the benchmark.
    """
    bounds = request.round.compliance_files[request.test].mean_output_tokens.get(request.official)
    if bounds is None:
        raise ResultError(f"round {request.round.name} states no output length of {request.official}")
    lengths = [len(answer.data) // _TOKEN_BYTES for answer in read_responses(request.runs.test / ACCURACY_LOG)]
    if not lengths:
        return Judgement(passed=False, reasons=("the test logged no answer",), remedy=_CHANGE)
    mean, (low, high) = sum(lengths) / len(lengths), bounds
    lines = (
        f"answers: {len(lengths)}",
        f"{MEAN_LENGTH}: {mean:.2f}; allowed: {low} to {high}",
        f"shortest: {min(lengths)}, longest: {max(lengths)}",
    )
    asked = request.rules.settings(request.official).get("min_query_count")
    notes: tuple[str, ...] = ()
    if asked is not None and len(lengths) < asked:
        notes = (f"{len(lengths)} answers were logged; the test asks for {asked}",)
    if low <= mean <= high:
        return Judgement(passed=True, lines=lines, notes=notes)
    off = f"{low - mean:.2f} less" if mean < low else f"{mean - high:.2f} more"
    reason = f"the answers have {mean:.2f} tokens on average, {off} than allowed ({low} to {high})"
    return Judgement(
        passed=False,
        lines=lines,
        reasons=(reason,),
        notes=notes,
        remedy="generate with the round's own settings (end token, longest answer), and run the benchmark again",
    )
