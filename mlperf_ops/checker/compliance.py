"""Compliance tests: their folders, their files and what the verification texts say.

The logs beside the texts are judged by `compliance_runs`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mlperf_ops.catalogue.layout import ComplianceFiles
from mlperf_ops.checker import compliance_rules as rule
from mlperf_ops.checker.accuracy import encoding
from mlperf_ops.checker.compliance_runs import FULL_RUNS, runs
from mlperf_ops.checker.model import Severity
from mlperf_ops.checker.performance import damage
from mlperf_ops.checker.result_files import EMPTY_FILE, STRAY_FILE
from mlperf_ops.checker.rules import Family, Findings, Rule
from mlperf_ops.checker.subjects import Result
from mlperf_ops.checker.texts import TextFile
from mlperf_ops.compliance.bounds import score_delta_perc, usable_score
from mlperf_ops.compliance.model import (
    MEAN_LENGTH,
    PASS,
    SCORE,
    TEST06_LINES,
    VERIFY_ACCURACY,
    VERIFY_OUTPUT_LENGTH,
    VERIFY_PERFORMANCE,
)
from mlperf_ops.model import ComplianceTest

_RUN_FOLDER = "performance/run_1"
_ALWAYS_ALLOWED = frozenset({"mlperf_log_trace.json", "results.json", ".gitkeep"})
_ALLOWED_IN_RUN = _ALWAYS_ALLOWED | {"mlperf_log_accuracy.json"}


def compliance(place: Result) -> Findings:
    """Check the compliance tests of a result, where the division wants them."""
    if place.is_endpoints:
        return  # endpoints has rules of its own
    wanted = place.model_rules.compliance if place.model_rules and place.submitter.rules.compliance_tests else ()
    yield from _read_anyway(place, wanted)
    if place.model_rules is None or not place.submitter.rules.compliance_tests:
        return
    for test in wanted:
        location = place.test_folder(test)
        if not place.tree.has_folder(location):
            yield rule.MISSING.at(place, location, f"compliance test {test} is missing", limit=test)
            continue
        text = place.text(f"{location}/{VERIFY_ACCURACY}")
        deterministic = test != "TEST01" or not text.exists or PASS in text.lines
        yield from _files(place, test, location, deterministic=deterministic)
        yield from _texts(place, test, location, deterministic=deterministic)
        yield from runs(place, test, location)
    for test in place.round.compliance_files:
        if test not in wanted and place.tree.has_folder(place.test_folder(test)):
            yield rule.NOT_NEEDED.at(
                place,
                place.test_folder(test),
                f"{place.model} has no {test} in {place.round.name}",
                value=test,
                limit=", ".join(wanted) or "no test",
            )


def _read_anyway(place: Result, wanted: tuple[ComplianceTest, ...]) -> Findings:
    """Look at what the official checker reads of every result, in any division, and whose damage ends it."""
    for test in place.round.compliance_files:
        if not place.tree.has_folder(place.test_folder(test)):
            continue
        if test in FULL_RUNS and test not in wanted:
            yield from damage(place, place.test_log(test))
        names = {VERIFY_ACCURACY, *place.round.compliance_files[test].files} - {VERIFY_PERFORMANCE}
        for name in sorted(names):
            yield from encoding(place, place.text(f"{place.test_folder(test)}/{name}"))


def _files(place: Result, test: ComplianceTest, location: str, *, deterministic: bool) -> Findings:
    files = place.round.compliance_files[test]
    for name in files.files:
        size = place.tree.size(f"{location}/{name}")
        if size is None:
            yield rule.MISSING.at(place, f"{location}/{name}", f"{test} lacks {name}", limit=name)
    for folder, names in _folders(files, deterministic=deterministic).items():
        is_run = folder == _RUN_FOLDER
        # The modular checker lists the folder of the run, and that of accuracy where it compares accuracies itself.
        severity: Severity = "official" if is_run or not deterministic else "rules"
        yield from _folder(place, test, f"{location}/{folder}", names, severity, is_run=is_run)


def _folders(files: ComplianceFiles, *, deterministic: bool) -> dict[str, tuple[str, ...]]:
    return files.folders if deterministic else files.folders_if_nondeterministic


def _folder(  # one folder of a test
    place: Result, test: str, location: str, names: Iterable[str], severity: Severity, *, is_run: bool
) -> Findings:
    present = place.tree.folder(location).files
    for name in names:
        if name not in present:
            yield rule.MISSING.at(place, f"{location}/{name}", f"{test} lacks {name}", limit=name, severity=severity)
        elif not present[name] and name != "mlperf_log_detail.txt":  # an empty detail log is a damaged one
            yield EMPTY_FILE.at(place, f"{location}/{name}", f"{name} is empty", value="0 bytes")
    allowed = _ALLOWED_IN_RUN if is_run else _ALWAYS_ALLOWED
    for name in present:
        if name not in names and name not in allowed:
            yield STRAY_FILE.at(
                place,
                f"{location}/{name}",
                f"{name} does not belong into {test}/{location.rpartition(f'{test}/')[2]}/",
                value=name,
                limit=", ".join(names),
                # Nobody lists the answers of the tests whose verdict is a text.
                severity=severity if is_run or test == "TEST01" else "advice",
            )


def _texts(place: Result, test: ComplianceTest, location: str, *, deterministic: bool) -> Findings:
    names = place.round.compliance_files[test].files
    if VERIFY_PERFORMANCE in names:
        text = place.text(f"{location}/{VERIFY_PERFORMANCE}")
        yield from encoding(place, text)
        yield from _says_pass(place, test, text, whole=False, broken=rule.PERFORMANCE)
    if VERIFY_OUTPUT_LENGTH in names:
        text = place.text(f"{location}/{VERIFY_OUTPUT_LENGTH}")
        yield from _says_pass(place, test, text, whole=False)
        yield from _output_length(place, test, text)
    if VERIFY_ACCURACY not in names:
        return
    text = place.text(f"{location}/{VERIFY_ACCURACY}")
    if test == "TEST01" and not deterministic:
        yield from _accuracies(place, test, location)
    elif test == "TEST06":
        yield from _test06(place, test, text)
    else:
        # The modular checker looks for a line of TEST01 and TEST08, and anywhere in the text of TEST07.
        yield from _says_pass(place, test, text, whole=test != "TEST07")
        yield from _figures(place, test, text)


def _says_pass(place: Result, test: str, text: TextFile, *, whole: bool, broken: Rule = rule.FAILED) -> Findings:
    """Look for TEST PASS, as a whole line or anywhere."""
    if not text.exists:
        return  # missing-compliance says so
    if PASS not in (text.lines if whole else text.text):
        yield broken.at(
            place,
            text.location,
            f"{test} did not pass: {text.location.rpartition('/')[2]} has no line '{PASS}'",
            value=_verdict_line(text),
            limit=PASS,
        )


def _verdict_line(text: TextFile) -> str | None:
    """Return the line that states another verdict, or the last one that says anything."""
    said = [line for line in text.lines if line]
    return next((line for line in said if "FAIL" in line or "Error" in line), said[-1] if said else None)


def _test06(place: Result, test: str, text: TextFile) -> Findings:
    if not text.exists:
        return
    lines = set(text.lines)
    lacking = [group[0] for group in TEST06_LINES if not lines & set(group)]
    if lacking:
        yield rule.FAILED.at(
            place,
            text.location,
            f"{test} did not pass: no line '{lacking[0]}'",
            value="; ".join(line for line in text.lines if "check pass" in line) or None,
            limit="; ".join(lacking),
        )


def _accuracies(place: Result, test: str, location: str) -> Findings:
    """Compare the accuracy of TEST01's answers with that of the same samples in the accuracy run."""
    if place.model is None:
        return
    accuracy = f"{location}/accuracy"
    baseline = place.text(f"{accuracy}/baseline_accuracy.txt")
    tested = place.text(f"{accuracy}/compliance_accuracy.txt")
    if not baseline.exists or not tested.exists:
        return  # missing-compliance says so
    metrics = dict.fromkeys(
        target.metric for target in place.round.accuracy_targets(place.model, place.scenario or place.folder)
    )
    for metric in metrics:
        pattern = re.compile(place.round.accuracy_regex[metric])
        before, after = _last(pattern, baseline), _last(pattern, tested)
        limit = place.round.accuracy_delta_perc(place.model, metric)
        if before is None or after is None:
            lacking = (baseline if before is None else tested).location
            yield rule.ACCURACY.at(
                place, lacking, f"{test}: no usable {metric} in {lacking.rpartition('/')[2]}", limit=metric
            )
            return
        delta = score_delta_perc(before, after)
        if not delta <= limit:
            yield rule.ACCURACY.at(
                place,
                tested.location,
                f"{test}: {metric} is {after:.10g}, and {before:.10g} of the same samples in the accuracy run",
                value=f"{delta:.4g} %",
                limit=f"at most {limit:g} %",
            )
            return


def _last(pattern: re.Pattern[str], text: TextFile) -> float | None:
    """Return the last score that the pattern finds, as the official checker does; None where it is not usable."""
    value: float | None = None
    for line in text.rows:
        if match := pattern.match(line):
            try:
                value = float(match[1])
            except ValueError:
                return None
    return usable_score(value)


def _figures(place: Result, test: ComplianceTest, text: TextFile) -> Findings:
    """Look for figures that contradict a verdict of pass."""
    if PASS not in text.text:
        return
    for label in ("num_perf_log_data_mismatch", "num_missing_qsl_idxs", "num_unmatched", "num_ne_mismatch"):
        if text.number(label):
            yield rule.TEXT.at(
                place,
                text.location,
                f"{test} is said to have passed with {label} = {text.number(label):g}",
                value=f"{label} = {text.number(label):g}",
                limit=f"{label} = 0",
            )
    least = place.round.compliance[test].least_score(place.model or "")
    score = text.number(SCORE)
    if least is not None and score is not None and score < least:
        yield rule.TEXT.at(
            place,
            text.location,
            f"{test} is said to have passed with a score of {score:g}; at least {least:g} is required",
            value=f"{score:g}",
            limit=f"at least {least:g}",
        )


def _output_length(place: Result, test: ComplianceTest, text: TextFile) -> Findings:
    bounds = place.round.compliance_files[test].mean_output_tokens.get(place.model or "")
    mean = text.number(MEAN_LENGTH)
    if bounds is None or PASS not in text.text:
        return
    if mean is None:
        yield rule.TEXT.at(place, text.location, f"{test} states no mean output length", limit=f"{MEAN_LENGTH}: …")
    elif not bounds[0] <= mean <= bounds[1]:
        yield rule.TEXT.at(
            place,
            text.location,
            f"{test} is said to have passed with a mean output length of {mean:g} tokens",
            value=f"{mean:g}",
            limit=f"{bounds[0]:g} to {bounds[1]:g}",
        )


FAMILY = Family("compliance", "Compliance tests", rule.RULES, result=(compliance,))
