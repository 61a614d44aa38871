"""Word accuracy of speech recognition (official: accuracy_eval.py of speech2text).

A response is the transcript as indices into `alphabet`. Both texts are normalised as Whisper's authors do; a word that
one side writes apart is right when its parts, at most three, join to the other side's word.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mlperf_ops.accuracy.model import Array, Request, Scored, another_type, library, values_of
from mlperf_ops.catalogue.scorer_parameters import Speech
from mlperf_ops.errors import ConfigError, ResultError
from mlperf_ops.harness.accuracy_log import first_responses

_PARTS = 3  # words that may be one word on the other side


def score(request: Request, parameters: Speech) -> Scored:
    """Return word errors per reference word, and 1 minus that, in percent."""
    normal = library("whisper_normalizer.english", "whisper-normalizer").EnglishTextNormalizer()
    distance = library("rapidfuzz.distance", "rapidfuzz").Levenshtein.distance
    manifest = request.input("labels")
    transcripts = _transcripts(manifest, parameters)
    errors = words = count = 0
    for response in first_responses(request.log, len(transcripts), str(manifest), partial=request.partial):
        count += 1
        where = f"{request.log}: entry {response.number}"
        said = _text(values_of(response, parameters.dtype, request.log), parameters.alphabet, where)
        right = normal(transcripts[response.index]).split()
        theirs, ours = joined(right, normal(said).split())
        # without a reference word there is nothing to be right about: the official script counts every word as wrong
        errors += int(distance(theirs, ours))
        words += len(right)
    if not words:
        raise ConfigError(f"the transcripts of {manifest} hold no word")
    rate = errors / words
    return Scored(
        f"Word Error Rate: {rate * 100}%, accuracy={(1 - rate) * 100}%\n", count, {"errors": errors, "words": words}
    )


def joined(right: Sequence[str], said: Sequence[str]) -> tuple[list[str], list[str]]:
    """Join the words of either side that the other side writes as one, going from left to right.

    Returns:
        The reference's and the answer's words.
    """
    theirs: list[str] = []
    ours: list[str] = []
    i = j = 0
    while i < len(right) and j < len(said):
        taken = 1, 1
        if right[i] != said[j]:
            for parts in range(2, _PARTS + 1):
                if i + parts <= len(right) and "".join(right[i : i + parts]) == said[j]:
                    taken = parts, 1
                    break
                if j + parts <= len(said) and "".join(said[j : j + parts]) == right[i]:
                    taken = 1, parts
                    break
        theirs.append("".join(right[i : i + taken[0]]))
        ours.append("".join(said[j : j + taken[1]]))
        i, j = i + taken[0], j + taken[1]
    return [*theirs, *right[i:]], [*ours, *said[j:]]


def _text(indices: Array, alphabet: str, where: str) -> str:
    if indices.size and not (indices.min() >= 0 and indices.max() < len(alphabet)):
        raise ResultError(
            f"{where}: {indices.max()} is no character; the alphabet has {len(alphabet)}",
            hint=another_type(indices.nbytes, indices.dtype.name),
        )
    return "".join(alphabet[index] for index in indices.tolist())


def _transcripts(path: Path, parameters: Speech) -> list[str]:
    """Transcripts of the samples, reduced to the alphabet."""
    known = frozenset(parameters.alphabet)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the manifest {path}: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(entries, list):
        raise ConfigError(f"{path} is no manifest: expected a list of recordings")
    transcripts = []
    for number, entry in enumerate(entries):
        try:
            seconds, text = float(entry["original_duration"]), entry["transcript"]
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{path}: recording {number}: expected an object with original_duration and transcript"
            ) from error
        if seconds <= parameters.max_duration_s and isinstance(text, str):
            transcripts.append("".join(letter for letter in text if letter in known))
    if not transcripts:
        raise ConfigError(f"{path} holds no recording of at most {parameters.max_duration_s:g} s")
    return transcripts
