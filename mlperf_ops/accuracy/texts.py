"""Generated tokens to text, text to sentences, and ROUGE of both.

The official scripts decode with transformers and score with `evaluate`; what these do is in the libraries tokenizers,
nltk and rouge-score, and is used here directly.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

from mlperf_ops.accuracy.model import TOKEN_TYPES, Array, another_type, library
from mlperf_ops.errors import ConfigError, ResultError, ToolError

# What transformers calls clean_up_tokenization_spaces, in its order.
_CLEAN_UP = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")
_PAIRS_PER_TASK = 64
_WORTH_PROCESSES = 500  # below this, starting processes takes longer than scoring

Rouge: TypeAlias = dict[str, float]
"""ROUGE type -> F-measure, 0..1."""


class Decoder:
    """The model's tokenizer, for decoding."""

    def __init__(self, path: Path) -> None:
        """Open a tokenizer.json, or a model folder that has one.

        Raises:
            ConfigError: There is none, or it cannot be read.
        """
        tokenizers: Any = library("tokenizers", "tokenizers")
        file = path / "tokenizer.json" if path.is_dir() else path
        if not file.is_file():
            raise ConfigError(f"there is no tokenizer at {file}", hint="give the model's folder, or its tokenizer.json")
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:  # tokenizers raises plain Exception
            raise ConfigError(f"{file} is no tokenizer: {error}") from error
        self._clean_up = _cleans_up(file.with_name("tokenizer_config.json"))

    def text(self, tokens: Array, where: str) -> str:
        """Decode token ids [n], leaving special tokens out.

        Raises:
            ResultError: An id cannot be a token; names `where`.
        """
        try:
            text: str = self._tokenizer.decode([int(token) for token in tokens.tolist()], skip_special_tokens=True)
        except (OverflowError, ValueError) as error:
            raise ResultError(
                f"{where}: the data holds numbers that are no token ids: {error}",
                hint=another_type(tokens.nbytes, tokens.dtype.name, TOKEN_TYPES),
            ) from error
        if self._clean_up:
            for spaced in _CLEAN_UP:
                text = text.replace(spaced, spaced.strip())
        return text


def _cleans_up(config: Path) -> bool:
    try:
        return bool(json.loads(config.read_text(encoding="utf-8")).get("clean_up_tokenization_spaces", False))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"cannot read {config}: {error}") from error


def sentences(text: str) -> str:
    """Put each sentence on a line of its own, as ROUGE-Lsum wants it.

    Raises:
        ToolError: nltk or its data is missing.
    """
    nltk = library("nltk", "nltk")
    try:
        return "\n".join(nltk.sent_tokenize(text.strip()))
    except LookupError as error:
        raise ToolError(
            "the data punkt_tab of the Python package nltk is missing",
            hint="python -m nltk.downloader punkt_tab, or name a folder that has tokenizers/punkt_tab in NLTK_DATA",
        ) from error


def rouge_of(pairs: Sequence[tuple[str, str]], types: Sequence[str]) -> list[Rouge]:
    """Return ROUGE F-measures with stemming of (answer, target) pairs, each in lines by sentence."""
    scorer = library("rouge_score.rouge_scorer", "rouge-score").RougeScorer(list(types), use_stemmer=True)
    return [
        {name: float(score.fmeasure) for name, score in scorer.score(target, answer).items()}
        for answer, target in pairs
    ]


def _summary_chunk(chunk: tuple[list[tuple[str, str]], tuple[str, ...]]) -> list[tuple[int, Rouge]]:
    pairs, types = chunk
    split = [(sentences(answer), sentences(target)) for answer, target in pairs]
    return [(len(pair[0]), rouge) for pair, rouge in zip(split, rouge_of(split, types), strict=True)]


def summaries(pairs: Iterable[tuple[str, str]], types: tuple[str, ...], jobs: int) -> Iterator[tuple[int, Rouge]]:
    """Yield the length in characters and the ROUGE of each (answer, target) pair, in order."""
    given = list(pairs)
    chunks = [(given[i : i + _PAIRS_PER_TASK], types) for i in range(0, len(given), _PAIRS_PER_TASK)]
    if jobs > 1 and len(given) >= _WORTH_PROCESSES:
        with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
            for result in pool.map(_summary_chunk, chunks):
                yield from result
    else:
        for chunk in chunks:
            yield from _summary_chunk(chunk)
