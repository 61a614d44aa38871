"""F1 and exact match on SQuAD 1.1 (official: accuracy-squad.py and evaluate-v1.1.py).

A response is [tokens, 2] of start and end logits, or [2, tokens] with `transposed`, for window i of the data set. The
best window and span of each question becomes text by the vocabulary's word pieces and is compared with the answers.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

from mlperf_ops.accuracy.model import Array, Request, Scored, values_of
from mlperf_ops.accuracy.squad_windows import Question, Window, WordPieces, read_questions, windows_of
from mlperf_ops.catalogue.scorer_parameters import Squad
from mlperf_ops.harness.accuracy_log import first_responses

_PADDING = -10000.0  # logit of the places that a response leaves out
_NOTHING = "empty"  # the official answer where no span is valid
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def score(request: Request, parameters: Squad) -> Scored:
    """Return F1 and exact match in percent, over all questions."""
    labels = request.input("labels")
    questions = read_questions(labels)
    pieces = WordPieces(request.input("vocab"))
    windows = windows_of(
        questions, pieces, parameters.max_tokens, parameters.max_question_tokens, parameters.stride_tokens
    )
    best: dict[int, tuple[float, int, int, int]] = {}  # question -> summed logit, window, first and last token
    source = f"the data set {labels}"
    count = 0
    for response in first_responses(request.log, len(windows), source, partial=request.partial):
        count += 1
        logits = _logits(values_of(response, parameters.dtype, request.log, per_item=2), parameters)
        window = windows[response.index]
        span = best_span(logits, window, parameters)
        if span is None:
            continue
        kept = best.get(window.question)
        # of equal sums the earlier window wins, whatever the order of the log
        if kept is None or (span[0], -response.index) > (kept[0], -kept[1]):
            best[window.question] = (span[0], response.index, span[1], span[2])
    answers = {
        number: _answer(questions[number], windows[window], first, last, pieces)
        for number, (_, window, first, last) in best.items()
    }
    return _evaluate(questions, answers, count)


def _logits(values: Array, parameters: Squad) -> Array:
    """Start and end logits [max_tokens, 2], float64."""
    pairs = values.reshape(2, -1).T if parameters.transposed else values.reshape(-1, 2)
    padded = np.full((parameters.max_tokens, 2), _PADDING)
    padded[: len(pairs)] = pairs[: parameters.max_tokens]
    return padded


def best_span(logits: Array, window: Window, parameters: Squad) -> tuple[float, int, int] | None:
    """Return the best valid span of a window: summed logit, first and last token; None when none is valid.

    Among equal sums the first one counts, in the order of the start's rank, then of the end's.
    """
    order = np.argsort(-logits, axis=0, kind="stable")[: parameters.best]
    found: tuple[float, int, int] | None = None
    for start in order[:, 0].tolist():
        if not window.best_context.get(start, False):
            continue
        for end in order[:, 1].tolist():
            if end not in window.word_of_token or not start <= end < start + parameters.max_answer_tokens:
                continue
            total = float(logits[start, 0] + logits[end, 1])
            if found is None or total > found[0]:
                found = total, start, end
    return found


def _answer(question: Question, window: Window, first: int, last: int, pieces: WordPieces) -> str:
    """Text of a span as it stands in the paragraph."""
    said = " ".join(window.tokens[first : last + 1]).replace(" ##", "").replace("##", "")
    original = " ".join(question.words[window.word_of_token[first] : window.word_of_token[last] + 1])
    return project(" ".join(said.split()), original, pieces)


def project(said: str, original: str, pieces: WordPieces) -> str:
    """Return the part of the original text that the joined word pieces stand for.

    The pieces are lower case, without accents, and split at punctuation. Both texts without spaces are compared place
    by place; where their lengths differ, or the pieces are not found, the whole original is the answer.
    """
    split = " ".join(pieces.words(original))
    at = split.find(said)
    if at < 0:
        return original
    places = [place for place, letter in enumerate(original) if letter != " "]
    split_places = [place for place, letter in enumerate(split) if letter != " "]
    if len(places) != len(split_places):
        return original
    nth = {place: number for number, place in enumerate(split_places)}
    first, last = nth.get(at), nth.get(at + len(said) - 1)
    return original if first is None or last is None else original[places[first] : places[last] + 1]


def _evaluate(questions: Sequence[Question], answers: dict[int, str], count: int) -> Scored:
    exact = f1 = 0.0
    for number, question in enumerate(questions):
        said = _normal(answers.get(number, _NOTHING))
        right = [_normal(text) for text in question.answers]
        exact += max(said == text for text in right)
        f1 += max(_f1(said.split(), text.split()) for text in right)
    total = len(questions)
    figures = {"exact_match": 100.0 * exact / total, "f1": 100.0 * f1 / total}
    notes = (f"{total - len(answers)} of {total} questions have no valid span",) if len(answers) < total else ()
    return Scored(json.dumps(figures) + "\n", count, {**figures, "questions": total}, notes)


def _normal(text: str) -> str:
    """Lower case, without punctuation, articles and superfluous white space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split())


def _f1(said: Sequence[str], right: Sequence[str]) -> float:
    shared = sum((Counter(said) & Counter(right)).values())
    if not shared:
        return 0.0
    precision, recall = shared / len(said), shared / len(right)
    return 2 * precision * recall / (precision + recall)
