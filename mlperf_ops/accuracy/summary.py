"""ROUGE and length of generated texts (official: evaluation.py of llama3.1-8b, evaluate-accuracy.py of llama2-70b).

A response is the generated token ids. Row i of the data set is sample i.
"""

from __future__ import annotations

import numpy as np

from mlperf_ops.accuracy.model import TOKEN_TYPES, Request, Scored, values_of
from mlperf_ops.accuracy.tables import read_columns
from mlperf_ops.accuracy.texts import Decoder, summaries
from mlperf_ops.catalogue.scorer_parameters import Summary
from mlperf_ops.files import Json
from mlperf_ops.harness.accuracy_log import first_responses

ROUGES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


def score(request: Request, parameters: Summary) -> Scored:
    """Return ROUGE in percent, rounded to four digits, the summed length in characters, and the tokens."""
    dataset = request.input("labels")
    decoder = Decoder(request.input("tokenizer"))
    targets = read_columns(dataset, (parameters.target_column,))[parameters.target_column]
    tokens = 0
    pairs: list[tuple[str, str]] = []
    for response in first_responses(request.log, len(targets), str(dataset), partial=request.partial):
        ids = values_of(response, parameters.dtype, request.log, known=TOKEN_TYPES)
        tokens += len(ids)
        answer = decoder.text(ids, f"{request.log}: entry {response.number}")
        pairs.append((answer, str(targets[response.index])))
    figures, length = rouge_figures(pairs, request.jobs)
    shown: dict[str, Json] = {
        name: str(value) if parameters.form == "texts" else value for name, value in figures.items()
    }
    shown |= {"gen_len": length, "gen_num": len(pairs)}
    if parameters.form == "numbers":
        shown |= {"gen_tok_len": tokens, "tokens_per_sample": round(tokens / len(pairs), 1)}
    return Scored(f"{shown}\n", len(pairs), {**figures, "characters": length, "tokens": tokens})


def rouge_figures(pairs: list[tuple[str, str]], jobs: int) -> tuple[dict[str, float], int]:
    """Return the mean ROUGEs in percent, four digits, and the summed length of the answers in characters."""
    length = 0
    values: dict[str, list[float]] = {name: [] for name in ROUGES}
    for characters, rouge in summaries(pairs, ROUGES, jobs):
        length += characters
        for name in ROUGES:
            values[name].append(rouge[name])
    return {name: round(float(np.mean(column)) * 100, 4) for name, column in values.items()}, length
