"""accuracy.txt: the metrics that an accuracy script printed, and the digest of the untruncated accuracy log.

Patterns, targets and the form of the hash line are the round's data (`Round.accuracy_regex`, `Round.hash_regex`).
A pattern is matched at the start of a line, as the official checker does.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlperf_ops.errors import ResultError

_SHA256 = re.compile(r"[0-9a-f]{64}")


class Target(Protocol):
    """Bounds of a metric, as `catalogue.round.AccuracyTarget` gives them."""

    @property
    def metric(self) -> str:
        """Key of the round's accuracy patterns."""

    @property
    def min(self) -> float | None:
        """Smallest accepted value; None: no lower bound."""

    @property
    def max(self) -> float | None:
        """Largest accepted value; None: no upper bound."""

    @property
    def share_scale(self) -> float:
        """What turns a share, a number up to 1 without a percent sign, into the unit of the bounds."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """A `Target` in the unit of accuracy.txt."""

    metric: str
    min: float | None
    max: float | None
    share_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Score:
    """A metric that accuracy.txt states.

    Attributes:
        metric: Name in the round's `accuracy_regex`.
        texts: The number as written, once per line that states it.
        read_officially: How many of these the official checker reads: it stops at the line where all metrics have met
            their minimum and the hash line was seen.
        minimum: Smallest accepted value, in the metric's own unit.
        maximum: Largest accepted value.
        values: The numbers in the unit of the bounds; NaN for a text that is none ("76.4.1" fits the patterns).
    """

    metric: str
    texts: tuple[str, ...]
    read_officially: int
    minimum: float | None
    maximum: float | None
    values: tuple[float, ...]

    @property
    def text(self) -> str:
        """The number that the official result table shows."""
        return self.texts[max(self.read_officially, 1) - 1]

    @property
    def value(self) -> float:
        """The worst value of all lines; NaN when a text is no number."""
        bad = (value for value in self.values if not _within(value, self.minimum, self.maximum))
        return next(bad, self.values[0])

    @property
    def met(self) -> bool:
        """Whether every line that states the metric is within the bounds."""
        return _within(self.value, self.minimum, self.maximum)

    @property
    def misses_by(self) -> float:
        """How far the value is outside its bounds, in the metric's own unit: 0 when met, NaN for no number."""
        below = 0.0 if self.minimum is None else self.minimum - self.value
        above = 0.0 if self.maximum is None else self.value - self.maximum
        return math.nan if math.isnan(self.value) else max(below, above, 0.0)

    @property
    def sentence(self) -> str:
        """Value and bounds in words, and by how much the value misses them."""
        if math.isnan(self.value):
            return f"{self.metric} is '{self.text}', which is no number; expected {self.limit}"
        miss = f", missed by {self.misses_by:.6g}" if not self.met else ""
        return f"{self.metric} is {self.value:.10g}; expected {self.limit}{miss}"

    @property
    def met_officially(self) -> bool:
        """Whether the lines that the official checker reads are within the bounds."""
        return all(_within(value, self.minimum, self.maximum) for value in self.values[: self.read_officially])

    @property
    def limit(self) -> str:
        """The bounds in words."""
        low = None if self.minimum is None else f"at least {self.minimum:.10g}"
        high = None if self.maximum is None else f"at most {self.maximum:.10g}"
        return " and ".join(bound for bound in (low, high) if bound)


@dataclass(frozen=True, slots=True)
class AccuracyText:
    """What an accuracy.txt says of the wanted metrics.

    Attributes:
        scores: The wanted metrics that were found, in the order of the targets.
        missing: The wanted metrics that were not; one that has only an upper bound may be left out.
        hash_text: Digest of the hash line, as written; None without such a line.
    """

    scores: tuple[Score, ...]
    missing: tuple[str, ...]
    hash_text: str | None

    @property
    def sha256(self) -> str | None:
        """The digest when it has the form of a sha256 (64 hexadecimal digits), else None."""
        return self.hash_text if self.hash_text is not None and _SHA256.fullmatch(self.hash_text) else None

    @property
    def texts(self) -> dict[str, str]:
        """Metric -> number as written."""
        return {score.metric: score.text for score in self.scores}

    @property
    def recorded(self) -> dict[str, str]:
        """Those that the official table shows: it leaves out what has only an upper bound."""
        return {score.metric: score.text for score in self.scores if score.minimum is not None}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _within(value: float, minimum: float | None, maximum: float | None) -> bool:
    return not math.isnan(value) and (minimum is None or value >= minimum) and (maximum is None or value <= maximum)


def parse_accuracy_text(
    lines: Iterable[str], targets: Iterable[Target], patterns: Mapping[str, str], hash_pattern: str
) -> AccuracyText:
    """Find the metrics and the hash line.

    Unlike the official checker, which stops once it has seen everything, later lines count too: a file that states a
    metric twice is judged by the worse number.

    Args:
        lines: Lines of accuracy.txt.
        targets: The wanted metrics and their bounds.
        patterns: Metric -> regular expression whose first group is the number (`Round.accuracy_regex`).
        hash_pattern: Regular expression of the hash line (`Round.hash_regex`).
    """
    wanted = tuple(targets)
    compiled = {target.metric: re.compile(patterns[target.metric]) for target in wanted}
    hash_line = re.compile(hash_pattern)
    found: dict[str, list[str]] = {target.metric: [] for target in wanted}
    values: dict[str, list[float]] = {target.metric: [] for target in wanted}
    share_scale = {target.metric: target.share_scale for target in wanted}
    read_officially: dict[str, int] | None = None
    met = {target.metric: target.min is None for target in wanted}
    minimum = {target.metric: target.min for target in wanted}
    hash_text: str | None = None
    # Most lines of most scripts' output are neither; one look tells.
    either = _any_of((*compiled.values(), hash_line))
    for line in lines:
        if either is not None and not either.match(line):
            continue
        for metric, pattern in compiled.items():
            if match := pattern.match(line):
                value = _number(match[1])
                if share_scale[metric] != 1 and value <= 1 and not line[match.end(1) :].lstrip().startswith("%"):
                    value *= share_scale[metric]
                found[metric].append(match[1])
                values[metric].append(value)
                met[metric] |= _within(value, minimum[metric], None)
        if match := hash_line.match(line):
            hash_text = match[1]
        if read_officially is None and hash_text is not None and all(met.values()):
            read_officially = {metric: len(texts) for metric, texts in found.items()}
    return AccuracyText(
        scores=tuple(
            Score(
                metric=target.metric,
                texts=tuple(found[target.metric]),
                read_officially=len(found[target.metric])
                if read_officially is None
                else read_officially[target.metric],
                minimum=target.min,
                maximum=target.max,
                values=tuple(values[target.metric]),
            )
            for target in wanted
            if found[target.metric]
        ),
        missing=tuple(target.metric for target in wanted if target.min is not None and not found[target.metric]),
        hash_text=hash_text,
    )


@functools.lru_cache(maxsize=64)
def _any_of(patterns: tuple[re.Pattern[str], ...]) -> re.Pattern[str] | None:
    """Return one pattern for all; None where they cannot be joined, such as for flags of their own."""
    try:
        return re.compile("|".join(f"(?:{pattern.pattern})" for pattern in patterns))
    except re.error:
        return None


def read_accuracy_text(
    path: Path, targets: Iterable[Target], patterns: Mapping[str, str], hash_pattern: str
) -> AccuracyText:
    """Read and parse an accuracy.txt, line by line.

    Raises:
        ResultError: The file cannot be read.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return parse_accuracy_text(stream, targets, patterns, hash_pattern)
    except OSError as error:
        raise ResultError(f"cannot read {path}: {error.strerror or error}") from error


def hash_line(sha256: str) -> str:
    """Return the line that truncation appends to accuracy.txt for an accuracy log of this digest.

    Raises:
        ResultError: The text is not a sha256.
    """
    if not _SHA256.fullmatch(sha256):
        raise ResultError(f"'{sha256}' is not a sha256; expected 64 hexadecimal digits")
    return f"hash={sha256}\n"
