"""When the official script of a compliance test says what we say."""

from __future__ import annotations

from typing import Any

import pytest

from mlperf_ops.commands.compliance import agrees
from mlperf_ops.compliance.model import Verification
from mlperf_ops.compliance.official import OfficialVerification
from mlperf_ops.model import ComplianceTest

SCORES = {"accuracy/baseline_accuracy.txt": b"", "accuracy/compliance_accuracy.txt": b""}


def ours(test: ComplianceTest = "TEST01", **changes: Any) -> Verification:  # noqa: ANN401  # fields of Verification
    told: dict[str, Any] = {"passed": True, "official_passed": True, "reasons": (), "remedy": "", "notes": ()}
    return Verification(test=test, **{**told, "files": {}, **changes})


def theirs(*, passed: bool, performance: bool | None = None) -> OfficialVerification:
    return OfficialVerification(passed=passed, performance_passed=performance, said="", files={})


@pytest.mark.parametrize("performance", [True, False])
def test_answers_that_differ_are_left_to_the_scores_and_only_the_performance_is_compared(*, performance: bool) -> None:
    assert agrees(ours(files=SCORES), theirs(passed=False, performance=performance)) == performance


def test_equal_answers_are_no_matter_of_scores() -> None:
    assert agrees(ours(), theirs(passed=True, performance=True))
    assert not agrees(ours(), theirs(passed=False, performance=True))


@pytest.mark.parametrize("performance", [True, False])
def test_scores_that_fail_agree_with_answers_that_differ(*, performance: bool) -> None:
    failed = ours(passed=False, official_passed=False, files=SCORES)
    assert agrees(failed, theirs(passed=False, performance=performance))
    assert not agrees(failed, theirs(passed=True, performance=True))


def test_logs_that_are_no_evidence_keep_no_scores_and_may_have_been_left_to_them() -> None:
    copied = ours(passed=False)
    assert agrees(copied, theirs(passed=True, performance=True))
    assert agrees(copied, theirs(passed=False, performance=True))
    assert not agrees(copied, theirs(passed=False, performance=False))


@pytest.mark.parametrize("passed", [True, False])
def test_other_tests_are_compared_as_a_whole(*, passed: bool) -> None:
    found = ours("TEST04", passed=False, official_passed=passed)
    assert agrees(found, theirs(passed=passed))
    assert not agrees(found, theirs(passed=not passed))
