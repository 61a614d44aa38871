"""Structure: which folders and files a submission holds, and under which names.

The modular official checker has no rules of tree hygiene; its predecessors reject what the rules here call "rules".
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from mlperf_ops.catalogue.layout import FileSet
from mlperf_ops.checker.model import Finding, Severity
from mlperf_ops.checker.names import BESIDE_DIVISIONS, KEPT
from mlperf_ops.checker.rules import At, Family, Findings, Rule
from mlperf_ops.checker.subjects import Result, Submission, Submitter, System
from mlperf_ops.checker.tree import join
from mlperf_ops.errors import nearest

_LAYOUT = "inference_policies: submission_rules.adoc, directory structure"
_OLD_CHECKS = "submission_checker_old.py: checks of a submitter's folder"

NO_RESULTS = Rule(
    "no-results",
    "rules",
    "nothing to check",
    "The official checker calls a tree without any result OK, so that a mistyped folder looks like a success.",
    "Check the path, and that the tree has <division>/<submitter>/results/<system>/<benchmark>/<scenario>.",
    "observed: an empty folder gives 'submission looks OK'",
)
UNKNOWN_DIVISION = Rule(
    "unknown-division",
    "rules",
    "folder is no division",
    "Results outside the division folders are silently not seen.",
    "Move the folder into one of the divisions, or out of the tree.",
    _LAYOUT,
)
MISSING_RESULTS = Rule(
    "missing-results-folder",
    "official",
    "submitter without results/",
    "The official checker ends with a traceback at a submitter without results/ and checks nothing after it.",
    "Remove the folder, or put the results into it.",
    _LAYOUT,
)
MISSING_SRC = Rule(
    "missing-src",
    "official",
    "submitter without src/",
    "The code that made the results is part of the submission; without src/ every result of the submitter fails.",
    "Put the code, or a README that says where it is, into <division>/<submitter>/src/.",
    _LAYOUT,
)
MISSING_CALIBRATION = Rule(
    "missing-calibration",
    "rules",
    "no calibration document",
    "Closed and network submissions describe their quantisation; reviewers ask for it even when all is fp32.",
    "Write documentation/calibration.md (one line is enough when nothing is quantised).",
    _LAYOUT,
)
MISSING_FILE = Rule(
    "missing-file",
    "official",
    "required file is missing",
    "Each result needs its logs, its accuracy text and the description of how it was made.",
    "Put the file of the same run into its place; where it was not kept, measure again.",
    _LAYOUT,
    own="Aggregate again; when the file is missing in the raw results too, run the cell again.",
)
EMPTY_FILE = Rule(
    "empty-file",
    "rules",
    "required file is empty",
    "An empty file stands for something forgotten; the official checker rejects an empty user.conf or README.md.",
    "Write the file; a log has to be that of the run, or the run is made again.",
    _LAYOUT,
    own="Write the file, or run the cell again when it is a log.",
)
STRAY_FILE = Rule(
    "stray-file",
    "rules",
    "file that does not belong there",
    "Earlier official checkers reject files outside the lists; reviewers cannot tell what they are for.",
    "Move the file out of the tree, or code and notes into src/ or documentation/.",
    _OLD_CHECKS,
)
UNKNOWN_FOLDER = Rule(
    "unknown-folder",
    "advice",
    "folder that the layout does not know",
    "A mistyped folder name hides what is in it from every checker.",
    "Rename or remove the folder.",
    _LAYOUT,
)
OLD_LAYOUT = Rule(
    "old-layout",
    "rules",
    "folder of another round's layout",
    "Since v6.0 measurements and compliance tests are in the results folders and the code is in src/; before, each had "
    "a folder of its own and the code was in code/.",
    "Move the folders to where this round has them; or check the tree by the rules of its own round.",
    "submission_structure.md against submission_checker/constants.py of v6.x",
    own="Aggregate the raw results again for this round.",
)
SYSTEM_WITHOUT_RESULTS = Rule(
    "system-without-results",
    "rules",
    "description of a system without results",
    "Each systems/*.json must belong to a folder of results.",
    "Remove the description, or add the system's results.",
    _OLD_CHECKS,
)
RULES = (
    *(NO_RESULTS, UNKNOWN_DIVISION, MISSING_RESULTS, MISSING_SRC, MISSING_CALIBRATION, MISSING_FILE, EMPTY_FILE),
    *(STRAY_FILE, UNKNOWN_FOLDER, OLD_LAYOUT, SYSTEM_WITHOUT_RESULTS),
)

_DOCUMENTS = ("*.md", "*.pdf")
_ABOUT_SUBMITTER = ("*.md", "*.pdf", "*.txt", "LICENSE*", "NOTICE*", "model_mapping.json")
_RESULT_SLASHES = "division/submitter/results/system/benchmark/scenario".count("/")
_OF_EVERY_LAYOUT = frozenset({"results", "systems", "documentation"})


def _moving_folders(place: Submitter) -> dict[str, str]:
    """Return what has different folders in different rounds: a name of it in some round -> its folder in this one."""
    layout = place.round.layout
    measurements, compliance, source = (
        template.split("/")[2] for template in (layout.measurements_dir, layout.compliance_dir, layout.src_dir)
    )
    return {"measurements": measurements, "compliance": compliance, "code": source, "src": source}


def top(submission: Submission) -> Findings:
    """Look at what is above the submitters."""
    tree = submission.tree
    everything = At("")
    root = tree.folder("")
    for name in root.folders:
        if name not in submission.round.divisions and name not in BESIDE_DIVISIONS:
            guess = nearest(name, submission.round.divisions)
            yield UNKNOWN_DIVISION.at(
                At(name),
                name,
                f"'{name}' is no division" + (f"; did you mean '{guess}'?" if guess else ""),
                value=name,
                limit=", ".join(submission.round.divisions),
            )
    yield from _strays(everything, "", root.files, _DOCUMENTS, "the top folder")
    for division in submission.round.divisions:
        yield from _strays(At(division), division, tree.folder(division).files, (), "a division's folder")
    if not any(
        True for submitter in submission.submitters() for system in submitter.systems() for _ in system.results()
    ):
        yield NO_RESULTS.at(everything, "", "the tree holds no result")


def _strays(
    place: At, location: str, files: Iterable[str], allowed: Iterable[str], where: str, severity: Severity | None = None
) -> Findings:
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


def submitter(place: Submitter) -> Findings:
    """Look at the folders of a submitter."""
    tree, here = place.tree, At(place.location)
    folder = tree.folder(place.location)
    yield from _strays(here, place.location, folder.files, _ABOUT_SUBMITTER, "a submitter's folder", "advice")
    moving = _moving_folders(place)
    known = _OF_EVERY_LAYOUT | set(moving.values())
    for name in folder.folders:
        location = f"{place.location}/{name}"
        if name in known:
            continue
        if name in moving:
            yield OLD_LAYOUT.at(
                At(location),
                location,
                f"{name}/ is not of the layout of {place.round.name}",
                value=name,
                limit=f"{moving[name]}/",
            )
        else:
            guess = nearest(name, known)
            yield UNKNOWN_FOLDER.at(
                At(location),
                location,
                f"the layout has no folder {name}/" + (f"; did you mean '{guess}'?" if guess else ""),
                value=name,
                limit=", ".join(sorted(known)),
            )
    if "results" not in folder.folders:
        yield MISSING_RESULTS.at(here, f"{place.location}/results", "the submitter has no folder results/")
    source = place.place(place.round.layout.src_dir)
    if not tree.has_folder(source):
        yield MISSING_SRC.at(here, source, f"the submitter has no folder {source.rpartition('/')[2]}/")
    documents = [place.place(template) for template in place.round.layout.calibration_any_of]
    if place.rules.calibration and not any(tree.size(document) for document in documents):
        yield MISSING_CALIBRATION.at(
            At(documents[-1]), documents[-1], "there is no calibration document", limit=" or ".join(documents)
        )
    systems = set(tree.folder(f"{place.location}/results").folders)
    yield from _strays(
        here, f"{place.location}/results", tree.folder(f"{place.location}/results").files, (), "results/"
    )
    yield from _strays(
        here,
        f"{place.location}/systems",
        tree.folder(f"{place.location}/systems").files,
        ("*.json", "*_power.yaml"),
        "systems/",
    )
    for name in tree.folder(f"{place.location}/systems").files:
        system, dot, ending = name.rpartition(".")
        if dot and ending == "json" and system not in systems:
            guess = nearest(system, systems)
            location = f"{place.location}/systems/{name}"
            yield SYSTEM_WITHOUT_RESULTS.at(
                At(location),
                location,
                f"there are no results of system '{system}'" + (f"; did you mean '{guess}'?" if guess else ""),
                value=system,
            )


def system(place: System) -> Findings:
    """Look at the files between a system and its results."""
    tree, here = place.submitter.tree, At(place.location)
    yield from _strays(
        here, place.location, tree.folder(place.location).files, ("privateid.json",), "a system's folder"
    )
    for benchmark in place.benchmarks():
        location = f"{place.location}/{benchmark}"
        yield from _strays(here, location, tree.folder(location).files, (), "a benchmark's folder")


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
        yield from _strays(At(place.location), place.location, folder.files, allowed, f"{place.folder}/", "advice")
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
    theirs = tuple(place.round.endpoints.files.values())
    optional = (*place.round.required_files.performance.optional, *(name for name in theirs if "/" not in name))
    yield from _set(place, place.location, FileSet(required=described, optional=optional), strays="advice")
    for name in theirs:
        if place.tree.size(f"{place.location}/{name}") is None:
            yield _missing(place, f"{place.location}/{name}", "official")


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
    yield from _strays(At(place.location), location, present, allowed, f"{location.rpartition('/')[2]}/", strays)


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


FAMILY = Family(
    "structure",
    "Structure",
    RULES,
    tree=(top,),
    submitter=(submitter,),
    system=(system,),
    result=(result,),
)
