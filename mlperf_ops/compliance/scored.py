"""TEST07: the answers of a performance run, over the test's own data set, are as accurate as they have to be.

Rule: mlcommons/inference, compliance/TEST07, run_verification.py; the least score is in its audit.config.
"""

from __future__ import annotations

from mlperf_ops.accuracy_txt import parse_accuracy_text
from mlperf_ops.compliance.model import SCORE, Judgement, Request
from mlperf_ops.errors import ResultError
from mlperf_ops.harness.accuracy_log import ACCURACY_LOG, read_responses


def judge_accuracy(request: Request) -> Judgement:
    """Score the test's answers and compare with the least score.

    Raises:
        ResultError: The accuracy log cannot be read, or the round states no least score for the benchmark.
    """
    round_, options = request.round, request.options
    least = request.rules.least_score(request.official)
    if least is None:
        raise ResultError(f"round {round_.name} states no least score of {request.official} for {request.test}")
    log = request.runs.test / ACCURACY_LOG
    count = sum(1 for _ in read_responses(log))
    text = options.compliance_text
    if text is None and options.score is not None:
        text = options.score(log)
    if text is None:
        return Judgement(
            passed=False,
            lines=(f"answers: {count}",),
            reasons=("nothing here can score the answers",),
            remedy="score the test's accuracy log with the benchmark's own script and give its text with "
            "--compliance-text",
        )
    target = round_.accuracy_targets(request.official, request.scenario)[0]
    read = parse_accuracy_text(text.splitlines(), (target,), round_.accuracy_regex, round_.hash_regex)
    stated = read.texts.get(target.metric)
    lines = (f"answers: {count}", *text.splitlines(), f"{SCORE}: {stated} ({target.metric}); at least {least:g}")
    try:
        value = None if stated is None else float(stated)
    except ValueError:
        value = None
    if value is not None and value >= least:
        return Judgement(passed=True, lines=lines)
    told = (
        f"{target.metric} is {stated}, and at least {least:g} is asked for"
        if stated
        else f"{target.metric} is not in the scores"
    )
    return Judgement(
        passed=False,
        lines=lines,
        reasons=(told,),
        remedy="run the test again with the model, data and options of the accuracy run",
    )
