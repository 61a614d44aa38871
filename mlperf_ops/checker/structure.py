"""Structure: which folders and files a submission holds, and under which names.

The modular official checker has no rules of tree hygiene; its predecessors reject what the rules here call "rules".
"""

from __future__ import annotations

from mlperf_ops.checker.names import BESIDE_DIVISIONS
from mlperf_ops.checker.result_files import (
    EMPTY_FILE,
    LAYOUT,
    MISSING_FILE,
    OLD_CHECKS,
    STRAY_FILE,
    UNKNOWN_FOLDER,
    find_strays,
    result,
)
from mlperf_ops.checker.rules import At, Family, Findings, Rule
from mlperf_ops.checker.subjects import Submission, Submitter, System
from mlperf_ops.errors import nearest

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
    LAYOUT,
)
MISSING_RESULTS = Rule(
    "missing-results-folder",
    "official",
    "submitter without results/",
    "The official checker ends with a traceback at a submitter without results/ and checks nothing after it.",
    "Remove the folder, or put the results into it.",
    LAYOUT,
)
MISSING_SRC = Rule(
    "missing-src",
    "official",
    "submitter without src/",
    "The code that made the results is part of the submission; without src/ every result of the submitter fails.",
    "Put the code, or a README that says where it is, into <division>/<submitter>/src/.",
    LAYOUT,
)
MISSING_CALIBRATION = Rule(
    "missing-calibration",
    "rules",
    "no calibration document",
    "Closed and network submissions describe their quantisation; reviewers ask for it even when all is fp32.",
    "Write documentation/calibration.md (one line is enough when nothing is quantised).",
    LAYOUT,
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
    OLD_CHECKS,
)
RULES = (
    *(NO_RESULTS, UNKNOWN_DIVISION, MISSING_RESULTS, MISSING_SRC, MISSING_CALIBRATION, MISSING_FILE, EMPTY_FILE),
    *(STRAY_FILE, UNKNOWN_FOLDER, OLD_LAYOUT, SYSTEM_WITHOUT_RESULTS),
)

_DOCUMENTS = ("*.md", "*.pdf")
_ABOUT_SUBMITTER = ("*.md", "*.pdf", "*.txt", "LICENSE*", "NOTICE*", "model_mapping.json")
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
    yield from find_strays(everything, "", root.files, _DOCUMENTS, "the top folder")
    for division in submission.round.divisions:
        yield from find_strays(At(division), division, tree.folder(division).files, (), "a division's folder")
    if not any(
        True for submitter in submission.submitters() for system in submitter.systems() for _ in system.results()
    ):
        yield NO_RESULTS.at(everything, "", "the tree holds no result")


def submitter(place: Submitter) -> Findings:
    """Look at the folders of a submitter."""
    tree, here = place.tree, At(place.location)
    folder = tree.folder(place.location)
    yield from find_strays(here, place.location, folder.files, _ABOUT_SUBMITTER, "a submitter's folder", "advice")
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
    yield from find_strays(
        here, f"{place.location}/results", tree.folder(f"{place.location}/results").files, (), "results/"
    )
    yield from find_strays(
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
    yield from find_strays(
        here, place.location, tree.folder(place.location).files, ("privateid.json",), "a system's folder"
    )
    for benchmark in place.benchmarks():
        location = f"{place.location}/{benchmark}"
        yield from find_strays(here, location, tree.folder(location).files, (), "a benchmark's folder")


FAMILY = Family(
    "structure",
    "Structure",
    RULES,
    tree=(top,),
    submitter=(submitter,),
    system=(system,),
    result=(result,),
)
