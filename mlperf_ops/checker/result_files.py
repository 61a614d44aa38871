"""Files of a result: those that are missing or empty, and those that do not belong where they are."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from mlperf_ops.catalogue.layout import FileSet
from mlperf_ops.checker.model import Finding, Severity
from mlperf_ops.checker.names import KEPT
from mlperf_ops.checker.rules import At, Findings, Rule
from mlperf_ops.checker.subjects import Result
from mlperf_ops.checker.tree import join
from mlperf_ops.errors import nearest

LAYOUT = "inference_policies: submission_rules.adoc, directory structure"
OLD_CHECKS = "submission_checker_old.py: checks of a submitter's folder"

MISSING_FILE = Rule(
    "missing-file",
    "official",
    "required file is missing",
    "Each result needs its logs, its accuracy text and the description of how it was made.",
    "Put the file of the same run into its place; where it was not kept, measure again.",
    LAYOUT,
    own="Aggregate again; when the file is missing in the raw results too, run the cell again.",
)
EMPTY_FILE = Rule(
    "empty-file",
    "rules",
    "required file is empty",
    "An empty file stands for something forgotten; the official checker rejects an empty user.conf or README.md.",
    "Write the file; a log has to be that of the run, or the run is made again.",
    LAYOUT,
    own="Write the file, or run the cell again when it is a log.",
)
STRAY_FILE = Rule(
    "stray-file",
    "rules",
    "file that does not belong there",
    "Earlier official checkers reject files outside the lists; reviewers cannot tell what they are for.",
    "Move the file out of the tree, or code and notes into src/ or documentation/.",
    OLD_CHECKS,
)
UNKNOWN_FOLDER = Rule(
    "unknown-folder",
    "advice",
    "folder that the layout does not know",
    "A mistyped folder name hides what is in it from every checker.",
    "Rename or remove the folder.",
    LAYOUT,
)

_RESULT_SLASHES = "division/submitter/results/system/benchmark/scenario".count("/")


def find_strays(
    place: At, location: str, files: Iterable[str], allowed: Iterable[str], where: str, severity: Severity | None = None
) -> Findings:
    """Find files of a folder that are not of the allowed names or patterns; `where` is the folder in words."""
    exact = {KEPT, *allowed}
    patterns = [pattern for pattern in allowed if "*" in pattern]
    for name in files:
        if name not in exact and not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            here = join(location, name)
            # Above the results it is the submission that is not as it should be, and none of its results.
            yield STRAY_FILE.at(
                place if place.location.count("/") >= _RESULT_SLASHES else At(here),
                here,
                f"{name} does not belong into {where}",
                value=name,
                limit=", ".join(allowed) or "no files",
                severity=severity,
            )


def result(place: Result) -> Findings:
    """Look at the files of a result."""
    files, power = place.round.required_files, place.has_power
    with_power = files.measurements_dir.with_power_also_glob if power else ()
    folder = place.tree.folder(place.location)
    described = place.place(place.round.layout.measurements_dir)
    if place.is_endpoints:
        yield from _endpoints(place)
        return
    # A folder of their own (before v6.0) also holds notes, mlperf.conf and the like; nobody listed what may be there.
    own = described != place.location
    yield from _set(place, described, files.measurements_dir, strays=None if own else "advice", patterns=with_power)
    if place.round.layout.measurements_also and not place.measurements.exists:
        yield _missing(place, place.measurements.location, "official")
    for pattern in with_power:
        if not _nearby(place, described, pattern):
            yield _missing(place, join(described, pattern), "rules")
    if own:
        allowed = place.round.required_files.performance.optional
        yield from find_strays(At(place.location), place.location, folder.files, allowed, f"{place.folder}/", "advice")
    tests: set[str] = set(place.round.compliance_files)
    runs, tested = {"accuracy", "performance"}, place.compliance_folder
    if tested == place.location:
        yield from _unknown_folders(place, tested, tests | runs, "a result")
    else:
        yield from _unknown_folders(place, place.location, runs, "a result")
        yield from _unknown_folders(place, tested, tests, "the compliance folder of a result")
    run = place.place(place.round.layout.perf_detail).rpartition("/")[0]
    accuracy = place.place(place.round.layout.acc_detail).rpartition("/")[0]
    yield from _set(place, accuracy, files.accuracy, strays="rules")
    if not power:
        yield from _set(place, run, files.performance, strays="rules")
        return
    # Of a power measurement the modular checker lists the folders itself.
    measured = place.place(place.round.layout.power_dir)
    yield from _set(place, run, files.performance, strays="official", also=files.performance.with_power_also)
    yield from _set(place, run.rpartition("/")[0] + "/ranging", files.ranging, strays="official")
    yield from _set(place, measured, files.power, strays="official")


def _unknown_folders(place: Result, location: str, known: set[str], what: str) -> Findings:
    for name in place.tree.folder(location).folders:
        if name not in known:
            guess = nearest(name, known)
            yield UNKNOWN_FOLDER.at(
                place,
                f"{location}/{name}",
                f"{what} has no folder {name}/" + (f"; did you mean '{guess}'?" if guess else ""),
                value=name,
            )


def _endpoints(place: Result) -> Findings:
    """Look at the files of a result of MLPerf Endpoints, which has neither logs nor user.conf."""
    files = place.round.required_files.measurements_dir
    described = tuple(name for name in files.required if name != "user.conf")
    theirs = [name for names in place.round.endpoints.files.values() for name in names]
    optional = (*place.round.required_files.performance.optional, *(name for name in theirs if "/" not in name))
    yield from _set(place, place.location, FileSet(required=described, optional=optional), strays="advice")
    for file in () if place.figures is None else place.figures.files.values():
        if not file.exists:
            yield _missing(place, file.location, "official")


# Files whose absence only earlier official checkers reject; the modular one does without.
_NOT_READ = frozenset({"mlperf_log_summary.txt"})
# Files of which the modular checker only wants to know the size, so that a folder will do.
_ONLY_SIZE = frozenset({"mlperf_log_accuracy.json"})
# Files that other families read, and so miss what should be in them.
_READ_ELSEWHERE = frozenset(
    {"mlperf_log_detail.txt", "accuracy.txt", "measurements.json", "client.json", "server.json", "spl.txt"}
)
# Files whose emptiness the modular checker rejects itself.
_EMPTY_REJECTED = frozenset({"user.conf", "README.md"})


def _set(
    place: Result,
    location: str,
    files: FileSet,
    *,
    strays: Severity | None,
    also: tuple[str, ...] = (),
    patterns: tuple[str, ...] = (),
) -> Findings:
    present, listed = place.tree.folder(location).files, strays == "official"
    for name in (*files.required, *also):
        if name not in present:
            unread = (not listed and name in _NOT_READ) or (
                name in _ONLY_SIZE and place.tree.has_folder(join(location, name))
            )
            yield _missing(place, join(location, name), "rules" if unread else "official")
        elif not present[name] and name not in _READ_ELSEWHERE:
            yield EMPTY_FILE.at(
                place,
                join(location, name),
                f"{name} is empty",
                value="0 bytes",
                severity="official" if name in _EMPTY_REJECTED else None,
            )
    if strays is None:
        return
    optional = files.optional or place.round.required_files.performance.optional
    if files is place.round.required_files.power:
        optional = tuple(name for name in optional if name != "mlperf_log_accuracy.json")
    allowed = (*files.required, *optional, *also, *patterns)
    yield from find_strays(At(place.location), location, present, allowed, f"{location.rpartition('/')[2]}/", strays)


def _missing(place: Result, location: str, severity: Severity) -> Finding:
    return MISSING_FILE.at(place, location, f"{location.rpartition('/')[2]} is missing", severity=severity)


def _nearby(place: Result, location: str, pattern: str) -> bool:
    """Whether a file of the pattern is in a folder or one of the three above it."""
    parts = location.split("/")
    return any(
        fnmatch.fnmatchcase(name, pattern)
        for depth in range(4)
        for name in place.tree.folder("/".join(parts[: len(parts) - depth])).files
    )
