"""The three kinds of questions of llama3.1-405b (official: evaluate-accuracy.py of llama3.1-405b).

The data set says how each sample is scored: `rouge` (ROUGE-L), `niah_em` (identifiers found in a long text) or `qa_em`
(one of the right answers is in the answer).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from mlperf_ops.accuracy.model import TOKEN_TYPES, Request, Scored, values_of
from mlperf_ops.accuracy.tables import read_columns
from mlperf_ops.accuracy.texts import Decoder, rouge_of, sentences
from mlperf_ops.catalogue.scorer_parameters import LongContext
from mlperf_ops.errors import unknown_name
from mlperf_ops.files import Json
from mlperf_ops.harness.accuracy_log import first_responses

_IDENTIFIER = re.compile(r"\w{8}-\w{4}-\w{4}-\w{4}-\w{12}")
_ANSWER = "Answer: "
_SPACE = re.compile(r"\s+")


def score(request: Request, parameters: LongContext) -> Scored:
    """Return ROUGE-L and exact match in percent, each over its own samples, the length and the tokens per sample."""
    dataset = request.input("labels")
    decoder = Decoder(request.input("tokenizer"))
    table = read_columns(dataset, (parameters.target_column, parameters.method_column))
    found: list[tuple[str, float]] = []
    tokens = length = 0
    for response in first_responses(
        request.log, len(table[parameters.target_column]), str(dataset), partial=request.partial
    ):
        ids = values_of(response, parameters.dtype, request.log, known=TOKEN_TYPES)
        where = f"{request.log}: entry {response.number}"
        method = str(table[parameters.method_column][response.index])
        if method not in METHODS:
            raise unknown_name("metric", method, METHODS, where=f"{dataset}: row {response.index}")
        answer = sentences(decoder.text(ids, where))
        target = sentences(str(table[parameters.target_column][response.index]))
        tokens, length = tokens + len(ids), length + len(answer)
        name, value = METHODS[method]
        found.append((name, value(target, answer)))
    figures: dict[str, Json] = {name: _mean(found, name) for name in sorted({name for name, _ in found})}
    shown = {**figures, "gen_len": length, "gen_num": len(found), "gen_tok_len": tokens}
    shown["tokens_per_sample"] = round(tokens / len(found), 1)
    return Scored(f"{shown}\n", len(found), {**figures, "tokens": tokens, "characters": length})


def _mean(found: list[tuple[str, float]], name: str) -> float:
    # the sum goes over all rows, as pandas adds a column with gaps: the last digit depends on the order of adding
    column = np.array([value if own == name else 0.0 for own, value in found])
    return float(column.sum() / sum(own == name for own, _ in found))


def rouge_l(target: str, answer: str) -> float:
    """ROUGE-L in percent."""
    return 100 * rouge_of([(answer, target)], ["rougeL"])[0]["rougeL"]


def identifiers(target: str, answer: str) -> float:
    """Compare the identifiers of both texts pair by pair, in percent with two digits.

    Of each right identifier the share of its characters that are in the answer's counts: that is what the official
    formula comes to, where it goes over a text as if it were a list of answers.
    """
    said, right = _IDENTIFIER.findall(answer), _IDENTIFIER.findall(target)
    if not said:
        return 0.0
    shares = [
        sum(1.0 if letter.lower() in one.lower() else 0.0 for letter in other) / len(other)
        for one, other in zip(said, right, strict=False)
    ]
    return round(sum(shares) / len(said) * 100, 2)


def contains_answer(target: str, answer: str) -> float:
    """100 when what follows the last "Answer: " holds one of the answers that | separates, else 0."""
    own = answer.rpartition(_ANSWER)[2]
    if own in target:
        return 100.0
    plain = _SPACE.sub("", own).lower()
    return 100.0 if any(_SPACE.sub("", entry).lower() in plain for entry in target.split("|")) else 0.0


METHODS: dict[str, tuple[str, Callable[[str, str], float]]] = {
    "rouge": ("rougeL", rouge_l),
    "niah_em": ("exact_match", identifiers),
    "qa_em": ("exact_match", contains_answer),
}
