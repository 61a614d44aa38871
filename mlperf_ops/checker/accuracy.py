"""Accuracy: the accuracy run's log, accuracy.txt and what is handed in beside them."""

from __future__ import annotations

import hashlib
import math

from mlperf_ops.accuracy_txt import AccuracyText
from mlperf_ops.checker import performance_rules as log_rule
from mlperf_ops.checker.metrics import number
from mlperf_ops.checker.model import Finding
from mlperf_ops.checker.performance import other_errors
from mlperf_ops.checker.rules import Family, Findings, Place, Rule
from mlperf_ops.checker.subjects import Result
from mlperf_ops.checker.texts import TextFile
from mlperf_ops.errors import ToolError

_CHECK = "submission_checker: checks/accuracy_check.py"
_TRUNCATE = "truncate_accuracy_log.py"

DATASET_SIZE = Rule(
    "dataset-size",
    "official",
    "accuracy run does not cover the data set",
    "Accuracy is stated for the whole data set; a part of it may be easier or harder.",
    "Make the accuracy run again over the whole data set.",
    _CHECK,
    own="Give the whole data set (mlperf_components in the inventory) and run the accuracy cell again.",
)
TARGET = Rule(
    "accuracy-target",
    "official",
    "accuracy outside its bounds",
    "In the closed and network divisions a result below the target does not count; the open division only states it.",
    "Use the benchmark's own model and preprocessing, or submit to the open division.",
    _CHECK,
)
METRIC_MISSING = Rule(
    "accuracy-metric-missing",
    "official",
    "accuracy.txt does not state the metric",
    "The official checker finds the metric by a pattern at the start of a line; without it a result has no accuracy. "
    "In the open division it passes all the same.",
    "Write accuracy.txt with the benchmark's accuracy script.",
    _CHECK,
    own="Write accuracy.txt with the benchmark's accuracy script, or score the accuracy cell again.",
)
HASH = Rule(
    "accuracy-hash",
    "official",
    "no digest of the whole accuracy log",
    "The line hash=<sha256> ties the truncated accuracy log to the whole one, which reviewers may ask for. In the open "
    "division the official checker passes without it.",
    "Truncate the log with the official truncate_accuracy_log.py, which appends the line.",
    _TRUNCATE,
    own="Aggregate again: it truncates the log and appends the line.",
)
HASH_MISMATCH = Rule(
    "accuracy-hash-mismatch",
    "rules",
    "digest is of another accuracy log",
    "The accuracy log is so short that it was not truncated, and its sha256 is not the one in accuracy.txt.",
    "Put accuracy.txt and accuracy log of one run together.",
    _TRUNCATE,
    own="Aggregate again from the raw results; do not copy accuracy files by hand.",
)
ARTIFACTS = Rule(
    "accuracy-artifacts",
    "official",
    "samples of the output are missing",
    "Image and video benchmarks hand in some of the generated samples for inspection.",
    "Add the samples of the accuracy run; where they were not kept, make it again.",
    _CHECK,
    own="Aggregate again from an accuracy run that kept its samples.",
)
ENCODING = Rule(
    "text-encoding",
    "official",
    "text is not UTF-8",
    "The official checker reads and writes texts as UTF-8 and ends with a traceback at anything else.",
    "Write the file again as UTF-8; the finding names the byte or the field.",
    _CHECK,
)
RULES = (DATASET_SIZE, TARGET, METRIC_MISSING, HASH, HASH_MISMATCH, ARTIFACTS, ENCODING)

_CUT = b"\n\n...\n\n"  # between head and tail of a truncated accuracy log


def accuracy_log(place: Result) -> Findings:
    """Apply the rules of the accuracy run's detail log."""
    file = place.accuracy
    if file.problem is not None:
        yield log_rule.LOG_UNREADABLE.at(
            place, file.location, f"the log cannot be read: {file.problem}", severity="rules" if file.foreign else None
        )
    if file.log is None:
        return
    log, here = file.log, file.location
    mode = log.values.get("effective_test_mode")
    if mode is not None and mode != "AccuracyOnly":
        yield log_rule.LOG_MODE.at(
            place, here, f"the run's mode is {mode}; expected AccuracyOnly", value=mode, limit="AccuracyOnly"
        )
    elif not log.complete:
        yield log_rule.LOG_INCOMPLETE.at(
            place,
            here,
            "the log does not reach the end of the test",
            severity="official" if log.cut_line else None,
        )
    scenario = log.values.get("effective_scenario")
    if scenario is not None and scenario not in (place.scenario, place.measured_scenario):
        yield log_rule.LOG_SCENARIO.at(
            place,
            here,
            f"the accuracy run is of scenario {scenario}, the folder is {place.scenario or place.folder}",
            value=scenario,
            limit=place.scenario,
            severity="rules",
        )
    covered = log.values.get("effective_accuracy_sample_count", log.values.get("qsl_reported_total_count"))
    yield from coverage(place, here, number(covered))
    yield from other_errors(place, here, log, log_rule.LOADGEN_ERRORS, "official")


def coverage(place: Result, here: str, samples: float | None) -> Findings:
    """Compare how many samples an accuracy run covers with what the round wants."""
    if place.model is None:
        return
    required = place.round.accuracy_sample_count(place.model, place.scenario or place.folder)
    if samples != required:
        shown = None if samples is None else f"{samples:.10g}"
        yield DATASET_SIZE.at(
            place,
            here,
            f"the accuracy run covers {shown or 'an unknown number'} of {required} samples",
            value=shown,
            limit=required,
        )
    yield from _count_by_spelling(place, here)


def _count_by_spelling(place: Result, here: str) -> Findings:
    """Report a scenario for which the official checker finds no number of samples: it looks for the folder's name."""
    counts = {} if place.model_rules is None else place.model_rules.accuracy_sample_count_per_scenario
    if counts and not any(scenario == place.folder for scenario in counts):
        yield DATASET_SIZE.at(
            place,
            here,
            f"the official checker knows how many samples {place.model} has in {', '.join(counts)}, by the name of the "
            f"folder, and not in '{place.folder}'",
            value=place.folder,
            limit=", ".join(counts),
        )


def half_character(place: Place, location: str, key: str, value: str, *, in_table: bool) -> Finding:
    """Return the finding on a field that holds half of a character; the official checker writes some into its table."""
    told = f"{key} holds half of a character, which is no text: {value!r}"
    return ENCODING.at(place, location, told, value=repr(value), severity=None if in_table else "advice")


def accuracy_text(place: Result) -> Findings:
    """Apply the rules of accuracy.txt."""
    location, text = place.place(place.round.layout.accuracy_txt), place.accuracy_text
    if text is None:
        return  # missing-file or unknown-model says so
    gate = place.submitter.rules.accuracy_target
    for metric in text.missing:
        yield METRIC_MISSING.at(
            place,
            location,
            f"accuracy.txt does not state the metric {metric}",
            limit=metric,
            severity=None if gate else "rules",
        )
    for score in text.scores:
        if not score.met:
            shown = "no number" if math.isnan(score.value) else f"{score.value:.10g}"
            yield TARGET.at(
                place,
                location,
                f"{score.metric} is {shown}; expected {score.limit}",
                value=shown,
                limit=score.limit,
                severity=("rules" if score.met_officially else None) if gate else "advice",
            )
    yield from _by_rules(place, location, text)
    if text.hash_text is None:
        yield HASH.at(
            place,
            location,
            "accuracy.txt has no line hash=<sha256>",
            limit="hash=…",
            severity=None if gate else "rules",
        )
    elif text.sha256 is None:
        yield HASH.at(
            place,
            location,
            f"hash={text.hash_text} is no sha256 of 64 hexadecimal digits",
            value=text.hash_text,
            limit="64 hexadecimal digits",
            severity="rules",
        )
    else:
        yield from _digest(place, location, text.sha256)


def _by_rules(place: Result, location: str, text: AccuracyText) -> Findings:
    """Compare metrics that the official checker compares in another unit, or bounds from the wrong side only."""
    if place.model is None or not place.submitter.rules.accuracy_target:
        return
    targets = place.round.accuracy_targets(place.model, place.scenario or place.folder)
    others = {target.metric: target for target in targets if target.is_compared_otherwise}
    meant = place.read_accuracy([target.by_rules() for target in others.values()]) if others else None
    told = {score.metric for score in text.scores if not score.met}
    for score in () if meant is None else meant.scores:
        if score.met or score.metric in told:
            continue
        low = score.minimum is not None and score.value < score.minimum
        limit = f"at least {score.minimum:.10g}" if low else f"at most {score.maximum:.10g}"
        target = others[score.metric]
        why = f"the target of {target.min:.10g} is a share, and the text states percent" if low else "lower is better"
        yield TARGET.at(
            place,
            location,
            f"{score.metric} is {score.value:.10g}; expected {limit}: {why}",
            value=f"{score.value:.10g}",
            limit=limit,
            severity="rules",
        )


def _digest(place: Result, location: str, stated: str) -> Findings:
    """Compare the digest where the log is whole: shorter than what truncation keeps."""
    log = place.place(place.round.layout.accuracy_json)
    size_bytes = place.tree.size(log)
    if size_bytes is None or size_bytes > place.round.limits.accuracy_log_max_bytes:
        return
    try:
        content = place.tree.read(log)
    except OSError as error:
        raise ToolError(f"cannot read {log}: {error.strerror or error}") from error
    if _CUT in content.replace(b"\r\n", b"\n"):
        return
    real = hashlib.sha256(content).hexdigest()
    if real != stated:
        yield HASH_MISMATCH.at(
            place,
            location,
            f"hash={stated[:12]}… is not the sha256 of {log.rpartition('/')[2]}",
            value=stated,
            limit=real,
        )


def encoding(place: Result, text: TextFile) -> Findings:
    """Report a text file that is not UTF-8."""
    if text.problem is not None:
        yield ENCODING.at(place, text.location, f"the file cannot be read as text: {text.problem}", value=text.problem)


def accuracy_encoding(place: Result) -> Findings:
    """Look at the bytes of accuracy.txt."""
    yield from encoding(place, place.accuracy_file)


def artifacts(place: Result) -> Findings:
    """Look for the samples of the output that some benchmarks hand in."""
    if place.model_rules is None:
        return
    accuracy = place.place(place.round.layout.acc_detail).rpartition("/")[0]
    for folder, wanted in place.model_rules.required_accuracy_artifacts.items():
        stems = {name.split(".")[0] for name in place.tree.folder(f"{accuracy}/{folder}").files}
        missing = [stem for stem in wanted.stems if stem not in stems]
        notes = [stem for stem in wanted.also if stem not in stems]
        if missing or notes:
            names = [f"{stem}{wanted.ext}" for stem in missing] + notes
            yield ARTIFACTS.at(
                place,
                f"{accuracy}/{folder}",
                f"the folder {folder}/ lacks {', '.join(names)}",
                value=", ".join(sorted(stems)),
                limit=", ".join((*wanted.stems, *wanted.also)),
                severity=None if missing else "rules",
            )


FAMILY = Family("accuracy", "Accuracy run", RULES, result=(accuracy_log, accuracy_text, accuracy_encoding, artifacts))
