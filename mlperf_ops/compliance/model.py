"""What goes into the verification of a compliance test, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from mlperf_ops.catalogue.compliance_rules import ComplianceRun
from mlperf_ops.catalogue.round import Round
from mlperf_ops.harness.accuracy_log import AnswerType
from mlperf_ops.model import ComplianceTest, Scenario

Content: TypeAlias = bytes | Path
PASS, FAIL = "TEST PASS", "TEST FAIL"
"""The words that the official checkers look for."""

TEST06_LINES = (
    ("First token check pass: True", "First token check pass: Skipped"),
    ("EOS check pass: True",),
    ("Sample length check pass: True",),
)
"""What the verification of TEST06 has to say, as whole lines: one line of each group."""

SCORE, MEAN_LENGTH = "Accuracy score", "Mean output tokens"
"""How the official texts of TEST07 and TEST09 name the figure that decides; our checker reads it."""

VERIFY_ACCURACY, VERIFY_PERFORMANCE = "verify_accuracy.txt", "verify_performance.txt"
VERIFY_OUTPUT_LENGTH = "verify_output_len.txt"


@dataclass(frozen=True, slots=True)
class Runs:
    """Folders with LoadGen's logs; None: there is no such run."""

    test: Path
    performance: Path | None = None
    accuracy: Path | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What the logs themselves do not say.

    Attributes:
        answer_type: How the SUT writes one number of an answer; None: what the official script takes by default.
        eos_token_id: End-of-sequence token of the tokenizer; None: the round's default.
        score: Returns the accuracy.txt of an accuracy log, which may hold some samples only; None: nothing can.
        baseline_text: accuracy.txt of the accuracy run's answers to the samples of the test, instead of `score`.
        compliance_text: accuracy.txt of the test's answers, instead of `score`.
        accuracy_text: accuracy.txt beside the test's log, with the digest of a log that came truncated.
        answers_text: TEST01: what the official script said of the answers. It counts where a log came truncated, so
            that nothing can compare them any more.
    """

    answer_type: AnswerType | None = None
    eos_token_id: int | None = None
    score: Callable[[Path], str] | None = None
    baseline_text: str | None = None
    compliance_text: str | None = None
    accuracy_text: str | None = None
    answers_text: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One verification."""

    test: ComplianceTest
    round: Round
    official: str  # benchmark of the round
    scenario: Scenario
    runs: Runs
    options: Options

    @property
    def rules(self) -> ComplianceRun:
        """What the round says of the test."""
        return self.round.compliance[self.test]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one part of a verification has found.

    Attributes:
        passed: As the official script, or the official checker on what it leaves, decides.
        lines: For the file that goes into the submission: the figures, without the word that says how it ended.
        reasons: Why it failed, with the figures; one sentence each.
        remedy: What to do about it.
        notes: What a reader should know although it passed.
        files: Further files that it gives, relative to the test's folder.
    """

    passed: bool
    lines: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    remedy: str = ""
    notes: tuple[str, ...] = ()
    files: Mapping[str, Content] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a compliance test is passed.

    Attributes:
        test: The test.
        passed: It is; what it stands on is evidence of this very test, and the official script would say so.
        official_passed: What the official script makes of the same logs. It trusts them: it does not see that a log
            was made without the test's settings, or is a copy.
        reasons: Why it is not passed, with the figures; one sentence each.
        remedy: What to do about it; "" where it is passed.
        notes: What a reader should know although it is passed.
        files: The test's folder in a submission: relative path to bytes, or to the raw file to copy.
    """

    test: ComplianceTest
    passed: bool
    official_passed: bool
    reasons: tuple[str, ...]
    remedy: str
    notes: tuple[str, ...]
    files: Mapping[str, Content]

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        if self.passed:
            return f"{self.test} passed"
        return f"{self.test} failed: {'; '.join(self.reasons)}"
