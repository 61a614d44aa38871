"""SQuAD questions cut into windows, as the BERT reference feeds them to the model (create_squad_data.py).

A window is [CLS] question [SEP] part of the paragraph [SEP]. Long paragraphs give several windows that overlap; of the
windows that hold a token, the one that gives it the most context is its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlperf_ops.accuracy.model import library
from mlperf_ops.errors import ConfigError

_SPACES = frozenset(" \t\r\n\u202f")
_SPECIAL_TOKENS = 3  # [CLS], [SEP] and [SEP]
_LENGTH_BONUS = 0.01  # of two windows with equal context the longer one wins
_WORDPIECE_MAX_CHARACTERS = 100
_UNKNOWN = "[UNK]"


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the words of its paragraph, and the right answers."""

    text: str
    words: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """A sample of the library."""

    question: int
    tokens: tuple[str, ...]
    word_of_token: Mapping[int, int]  # place in the window -> place in the paragraph's words
    best_context: Mapping[int, bool]  # place in the window -> whether this window is the token's own


class WordPieces:
    """BERT's uncased word pieces of a vocab.txt."""

    def __init__(self, vocab: Path) -> None:
        """Read the vocabulary.

        Raises:
            ConfigError: The file cannot be read or has no [UNK].
        """
        tokenizers: Any = library("tokenizers", "tokenizers")
        try:
            lines = vocab.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the vocabulary {vocab}: {error}") from error
        ids = {line.strip(): number for number, line in enumerate(lines)}
        if _UNKNOWN not in ids:
            raise ConfigError(f"{vocab} is no vocabulary of BERT: it has no line [UNK]")
        self._normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
        self._splitter = tokenizers.pre_tokenizers.BertPreTokenizer()
        self._pieces = tokenizers.models.WordPiece(
            ids,
            unk_token=_UNKNOWN,
            max_input_chars_per_word=_WORDPIECE_MAX_CHARACTERS,
        )
        self._known: dict[str, tuple[str, ...]] = {}

    def words(self, text: str) -> list[str]:
        """Split text into words, lower case and without accents; punctuation stands alone."""
        return [word for word, _ in self._splitter.pre_tokenize_str(self._normalizer.normalize_str(text))]

    def pieces(self, text: str) -> tuple[str, ...]:
        """Split text into word pieces."""
        found = self._known.get(text)
        if found is None:
            found = tuple(token.value for word in self.words(text) for token in self._pieces.tokenize(word))
            self._known[text] = found
        return found


def read_questions(path: Path) -> list[Question]:
    """Read a SQuAD 1.1 file.

    Raises:
        ConfigError: The file cannot be read, is no such file, or a question has no answer.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the data set {path}: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    try:
        questions = [
            Question(qa["question"], words, tuple(answer["text"] for answer in qa["answers"]))
            for article in content["data"]
            for paragraph in article["paragraphs"]
            for words in (_words(paragraph["context"]),)
            for qa in paragraph["qas"]
        ]
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no SQuAD file: {error!r}", hint="expected dev-v1.1.json") from error
    for number, question in enumerate(questions):
        if not question.answers:
            raise ConfigError(f"{path}: question {number} ({question.text[:40]!r}) has no answer")
    if not questions:
        raise ConfigError(f"{path} holds no question")
    return questions


def _words(text: str) -> tuple[str, ...]:
    words: list[str] = []
    inside = False
    for letter in text:
        if letter in _SPACES:
            inside = False
        elif inside:
            words[-1] += letter
        else:
            words.append(letter)
            inside = True
    return tuple(words)


def windows_of(
    questions: Sequence[Question], pieces: WordPieces, max_tokens: int, max_question_tokens: int, stride_tokens: int
) -> list[Window]:
    """Return all windows, in LoadGen's sample order."""
    windows: list[Window] = []
    for number, question in enumerate(questions):
        asked = pieces.pieces(question.text)[:max_question_tokens]
        tokens: list[str] = []
        word_of: list[int] = []
        for place, word in enumerate(question.words):
            for piece in pieces.pieces(word):
                tokens.append(piece)
                word_of.append(place)
        spans = list(_spans(len(tokens), max_tokens - len(asked) - _SPECIAL_TOKENS, stride_tokens))
        head = ("[CLS]", *asked, "[SEP]")
        for own, (start, length) in enumerate(spans):
            places = range(start, start + length)
            windows.append(
                Window(
                    number,
                    (*head, *tokens[start : start + length], "[SEP]"),
                    {len(head) + i: word_of[place] for i, place in enumerate(places)},
                    {len(head) + i: _own_window(spans, place) == own for i, place in enumerate(places)},
                )
            )
    return windows


def _spans(count: int, longest: int, stride: int) -> Iterator[tuple[int, int]]:
    """Yield start and length of the windows over a paragraph of `count` tokens."""
    start = 0
    while start < count:
        length = min(count - start, longest)
        yield start, length
        if start + length == count:
            return
        start += min(length, stride)


def _own_window(spans: Sequence[tuple[int, int]], place: int) -> int:
    """Return the window that gives a token the most context; the first of equals."""
    if len(spans) == 1:
        return 0
    best, best_score = 0, -1.0
    for number, (start, length) in enumerate(spans):
        if start <= place < start + length:
            context = min(place - start, start + length - 1 - place) + _LENGTH_BONUS * length
            if context > best_score:
                best, best_score = number, context
    return best
