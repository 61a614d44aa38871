"""Sizes: limits on files of the tree."""

from __future__ import annotations

from mlperf_ops.checker.rules import At, Family, Findings, Rule
from mlperf_ops.checker.subjects import Result, Submission
from mlperf_ops.checker.tree import join

_MIB = 1 << 20
_ACCURACY_LOG = "mlperf_log_accuracy.json"

FILE_SIZE = Rule(
    "file-size",
    "rules",
    "file is too large",
    "The submission repository refuses large files; earlier official checkers reject them.",
    "Keep the file outside of the tree and say in a README where it is.",
    "submission_checker: FILE_SIZE_LIMIT_MB, enforced by submission_checker_old.py",
)
ACCURACY_LOG_SIZE = Rule(
    "accuracy-log-size",
    "official",
    "accuracy log is not truncated",
    "Accuracy logs go into the tree truncated, with the sha256 of the whole log in accuracy.txt.",
    "Truncate it with the official truncate_accuracy_log.py, and keep the whole log elsewhere.",
    "submission_checker: MAX_ACCURACY_LOG_SIZE; truncate_accuracy_log.py",
    own="Aggregate again: it truncates the copy and keeps the whole log under full_logs/.",
)
RULES = (FILE_SIZE, ACCURACY_LOG_SIZE)


def file_sizes(submission: Submission) -> Findings:
    """Compare every file with the limit of the repository."""
    limit_mb = submission.round.limits.file_size_limit_mb
    for location, folder in submission.tree.folders.items():
        for name, size_bytes in folder.files.items():
            if size_bytes > limit_mb * _MIB:
                yield FILE_SIZE.at(
                    At(join(location, name)),
                    join(location, name),
                    f"{name} has {size_bytes / _MIB:.1f} MiB; at most {limit_mb} MiB are allowed",
                    value=f"{size_bytes} bytes",
                    limit=f"{limit_mb * _MIB} bytes",
                )


def accuracy_logs(place: Result) -> Findings:
    """Compare the accuracy logs of a result, and of its compliance tests, with the limit of truncation."""
    limit_bytes = place.round.limits.accuracy_log_max_bytes
    own = place.place(place.round.layout.accuracy_json)
    parent = place.place(place.round.layout.compliance_dir)
    tests = [
        f"{parent}/{test}/accuracy/{_ACCURACY_LOG}"
        for test, files in place.round.compliance_files.items()
        if not files.whole_accuracy_log
    ]
    for location in (own, *tests):
        size_bytes = place.tree.size(location)
        if size_bytes is not None and size_bytes > limit_bytes:
            yield ACCURACY_LOG_SIZE.at(
                place,
                location,
                f"the accuracy log has {size_bytes} bytes; at most {limit_bytes} are allowed",
                value=f"{size_bytes} bytes",
                limit=f"{limit_bytes} bytes",
                severity=None if location == own else "advice",
            )


FAMILY = Family("sizes", "Sizes", RULES, tree=(file_sizes,), result=(accuracy_logs,))
