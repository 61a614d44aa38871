"""Mixtral's three kinds of questions (official: evaluate-accuracy.py of mixtral-8x7b).

OpenOrca is scored by ROUGE, GSM8K by the number that the answer ends in. MBXP runs generated code in many languages:
that stays with the official script, so that `mbxp` is absent here.
"""

from __future__ import annotations

import re

from mlperf_ops.accuracy.model import TOKEN_TYPES, Request, Scored, values_of
from mlperf_ops.accuracy.summary import rouge_figures
from mlperf_ops.accuracy.tables import read_columns
from mlperf_ops.accuracy.texts import Decoder
from mlperf_ops.catalogue.scorer_parameters import MixedAnswers
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json
from mlperf_ops.harness.accuracy_log import first_responses

_NUMBER = re.compile(r"-?[\d,]*\.?\d+")
_DELIMITER = "The answer is"
_NEXT_QUESTION = "\nQ:"  # the model goes on with questions of its own


def score(request: Request, parameters: MixedAnswers) -> Scored:
    """Return ROUGE of the OpenOrca samples, right answers of the GSM8K samples in percent, and tokens per sample."""
    dataset = request.input("labels")
    decoder = Decoder(request.input("tokenizer"))
    table = read_columns(dataset, (parameters.kind_column, parameters.target_column))
    kinds, targets = table[parameters.kind_column], table[parameters.target_column]
    tokens = count = asked = right = 0
    pairs: list[tuple[str, str]] = []
    for response in first_responses(request.log, len(targets), str(dataset), partial=request.partial):
        ids = values_of(response, parameters.dtype, request.log, known=TOKEN_TYPES)
        tokens, count = tokens + len(ids), count + 1
        kind, target = kinds[response.index], targets[response.index]
        if kind not in ("GSM8K", "OpenOrca"):
            continue
        answer = decoder.text(ids, f"{request.log}: entry {response.number}")
        if kind == "OpenOrca":
            pairs.append((answer, str(target)))
        else:
            asked, right = asked + 1, right + is_right_number(answer, target)
    if not asked:
        raise ConfigError(f"{dataset} marks no logged sample as GSM8K in its column '{parameters.kind_column}'")
    figures, length = rouge_figures(pairs, request.jobs) if pairs else ({}, 0)
    shown: dict[str, Json] = {**figures, "gsm8k": 100.0 * right / asked, "gen_len": length, "gen_num": count}
    shown |= {"gen_tok_len": tokens, "tokens_per_sample": round(tokens / count, 1)}
    note = "mbxp is not computed here: it runs generated code, which the official script does by mxeval"
    return Scored(f"{shown}\n", count, {**figures, "gsm8k_right": right, "gsm8k": asked, "tokens": tokens}, (note,))


def is_right_number(answer: str, target: object) -> bool:
    """Whether the answer's number is the target: the one behind "The answer is", else the last one."""
    own = answer.split(_NEXT_QUESTION, maxsplit=1)[0]
    stated = _NUMBER.findall(own.split(_DELIMITER)[-1]) if _DELIMITER in own else []
    numbers = stated[:1] or _NUMBER.findall(own)[-1:]
    found = _float(numbers[0].replace(",", "")) if numbers else None
    return found is not None and found == _float(target)


def _float(text: object) -> float | None:
    try:
        return float(text)  # type: ignore[arg-type]  # whatever the table holds; anything else is no number
    except (TypeError, ValueError):
        return None
