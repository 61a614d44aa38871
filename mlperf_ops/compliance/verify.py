"""Is a compliance test passed? A function of the logs of the test and of the runs that it is compared with.

The texts that it gives are read by the official checkers like those of the official scripts; the figures in them are
in our own words. A text says TEST PASS only where the logs are evidence of the test, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.compliance.entropy import judge_entropy
from mlperf_ops.compliance.evidence import judge_evidence
from mlperf_ops.compliance.model import (
    FAIL,
    PASS,
    VERIFY_ACCURACY,
    VERIFY_OUTPUT_LENGTH,
    VERIFY_PERFORMANCE,
    Content,
    Judgement,
    Request,
    Verification,
)
from mlperf_ops.compliance.performance import judge_performance
from mlperf_ops.compliance.sampled import judge_answers, judge_scores, judge_told
from mlperf_ops.compliance.scored import judge_accuracy
from mlperf_ops.compliance.tokens import judge_consistency, judge_length
from mlperf_ops.errors import ResultError
from mlperf_ops.harness.accuracy_log import ACCURACY_LOG
from mlperf_ops.loadgen_log import DETAIL_LOG, SUMMARY_LOG
from mlperf_ops.model import ComplianceTest, Mode
from mlperf_ops.truncate import is_truncated

ACCURACY_TXT = "accuracy.txt"
_NOT_SCORED = "not scored: the answers were compared one by one\n"


@dataclass(frozen=True, slots=True)
class _Part:
    """A judgement and the file that tells of it."""

    file: str
    judgement: Judgement
    decides: bool = True  # False: another part decides where this one fails


def verify(request: Request) -> Verification:
    """Verify a test.

    Raises:
        ResultError: A log is missing or cannot be read, or a run that the test is compared with was not given.
    """
    evidence = judge_evidence(request)
    parts = _TESTS[request.test](request)
    official = all(part.judgement.passed for part in parts if part.decides)
    judgements = (evidence, *(part.judgement for part in parts if part.decides or official))
    failed = [one for one in (evidence, *(part.judgement for part in parts if part.decides)) if not one.passed]
    return Verification(
        test=request.test,
        passed=official and evidence.passed,
        official_passed=official,
        reasons=tuple(reason for one in failed for reason in one.reasons),
        remedy="; ".join(dict.fromkeys(one.remedy for one in failed if one.remedy)),
        notes=tuple(dict.fromkeys(note for one in judgements for note in one.notes)),
        files=_files(request, parts, evidence),
    )


def _files(request: Request, parts: list[_Part], evidence: Judgement) -> dict[str, Content]:
    files: dict[str, Content] = {}
    texts: dict[str, list[_Part]] = {}
    for part in parts:
        texts.setdefault(part.file, []).append(part)
        if evidence.passed:  # scores without evidence would pass for a passed test
            files |= part.judgement.files
    for name, told in texts.items():
        files[name] = _text(request, told, evidence).encode()
    for name in (SUMMARY_LOG, DETAIL_LOG):
        files[f"performance/run_1/{name}"] = request.runs.test / name
    if request.rules.logs_answers:
        files[f"accuracy/{ACCURACY_LOG}"] = request.runs.test / ACCURACY_LOG
        if (text := _accuracy_text(request, files)) is not None:
            files[f"accuracy/{ACCURACY_TXT}"] = text.encode()
    return files


def _text(request: Request, parts: list[_Part], evidence: Judgement) -> str:
    lines = [f"{request.test} tests whether {request.rules.about}."]
    if evidence.passed:
        lines += [line for part in parts for line in part.judgement.lines]
        lines += [reason for part in parts for reason in part.judgement.reasons]
    lines += evidence.reasons
    # A part that does not decide alone says how it ended itself: TEST PASS only where nothing else has to be looked at.
    passed = evidence.passed and all(part.judgement.passed for part in parts)
    return "\n".join([*lines, PASS if passed else FAIL, ""])


def _accuracy_text(request: Request, files: Mapping[str, Content]) -> str | None:
    """Return what the test's accuracy.txt says, where the round wants one beside the accuracy log."""
    wanted = request.round.compliance_files[request.test].folders.get("accuracy", ())
    if ACCURACY_TXT not in wanted:
        return None
    scored = files.get("accuracy/compliance_accuracy.txt")
    if isinstance(scored, bytes) and request.options.accuracy_text is None:
        return scored.decode()
    if request.options.accuracy_text is not None:
        return request.options.accuracy_text
    if request.options.compliance_text is not None:
        return request.options.compliance_text
    if request.options.score is not None:
        return request.options.score(request.runs.test / ACCURACY_LOG)
    return _NOT_SCORED


# --- the tests --------------------------------------------------------------------------------------------------------


def _other_run(request: Request, mode: Mode) -> Path:
    folder = request.runs.performance if mode == "performance" else request.runs.accuracy
    if folder is None:
        raise ResultError(f"{request.test} is compared with the {mode} run, and none was given")
    return folder


def _test01(request: Request) -> list[_Part]:
    accuracy, performance = _other_run(request, "accuracy"), _other_run(request, "performance")
    told = request.options.answers_text
    if told is not None and any(is_truncated(folder / ACCURACY_LOG) for folder in (request.runs.test, accuracy)):
        answers = judge_told(told)
    else:
        answers = judge_answers(request, accuracy)
    parts = [_Part(VERIFY_PERFORMANCE, judge_performance(request, performance))]
    if answers.passed:
        return [_Part(VERIFY_ACCURACY, answers), *parts]
    scores = judge_scores(request, accuracy)
    return [_Part(VERIFY_ACCURACY, answers, decides=False), _Part(VERIFY_ACCURACY, scores), *parts]


def _test04(request: Request) -> list[_Part]:
    return [_Part(VERIFY_PERFORMANCE, judge_performance(request, _other_run(request, "performance")))]


def _test06(request: Request) -> list[_Part]:
    return [_Part(VERIFY_ACCURACY, judge_consistency(request))]


def _test07(request: Request) -> list[_Part]:
    return [_Part(VERIFY_ACCURACY, judge_accuracy(request))]


def _test08(request: Request) -> list[_Part]:
    return [_Part(VERIFY_ACCURACY, judge_entropy(request, _other_run(request, "accuracy")))]


def _test09(request: Request) -> list[_Part]:
    return [_Part(VERIFY_OUTPUT_LENGTH, judge_length(request))]


_TESTS: dict[ComplianceTest, Callable[[Request], list[_Part]]] = {
    "TEST01": _test01,
    "TEST04": _test04,
    "TEST06": _test06,
    "TEST07": _test07,
    "TEST08": _test08,
    "TEST09": _test09,
}
