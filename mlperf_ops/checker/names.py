"""Names: links, hidden files, spaces, leftovers and empty folders anywhere in the tree.

The modular official checker has no such rules; its predecessors reject what the rules here call "rules".
"""

from __future__ import annotations

from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker.rules import At, Family, Findings, Rule
from mlperf_ops.checker.subjects import Submission
from mlperf_ops.checker.texts import is_encodable
from mlperf_ops.checker.tree import Link, Tree, join

_OLD_CHECKS = "submission_checker_old.py: checks of a submitter's folder"

LINK = Rule(
    "symlink",
    "rules",
    "symbolic link",
    "A link that leads out of the tree, or nowhere, is broken on the reviewers' machines. One to a folder is followed "
    "by the official checker and not by us, so that what is behind it is not judged; below src/ or documentation/ it "
    "stays.",
    "Replace the link by the file or folder that it leads to.",
    _OLD_CHECKS,
)
HIDDEN_NAME = Rule(
    "hidden-name",
    "rules",
    "name starts with a dot",
    "Hidden files are mostly leftovers and get lost in archives; earlier official checkers reject them.",
    "Remove or rename it.",
    _OLD_CHECKS,
)
SPACE_IN_NAME = Rule(
    "space-in-name",
    "rules",
    "name has a space",
    "The submission tools break at spaces; earlier official checkers reject them.",
    "Rename it with '_' or '-'.",
    _OLD_CHECKS,
)
NAME_ENCODING = Rule(
    "name-encoding",
    "official",
    "name is not UTF-8",
    "The names of the folders down to the scenario stand in the official table, and the official checker ends with a "
    "traceback when it writes one that is no UTF-8; elsewhere such a name differs from machine to machine.",
    "Rename it with letters, digits, '_', '-' and '.'.",
    "submission_checker: results.py export_row",
)
PYCACHE = Rule(
    "pycache",
    "rules",
    "compiled Python files",
    "__pycache__ is made by running code, it is no part of it; earlier official checkers reject it.",
    "Remove the folder.",
    _OLD_CHECKS,
)
EMPTY_FOLDER = Rule(
    "empty-folder",
    "rules",
    "empty folder",
    "git does not keep empty folders, so the published tree would differ; earlier official checkers reject them.",
    "Remove the folder, or put in what is missing.",
    _OLD_CHECKS,
)
UNREADABLE = Rule(
    "unreadable",
    "rules",
    "cannot be read",
    "Neither a checker nor a reviewer can look at it.",
    "Correct its permissions, or replace it by a regular file.",
    "file permissions",
)
RULES = (LINK, HIDDEN_NAME, SPACE_IN_NAME, NAME_ENCODING, PYCACHE, EMPTY_FOLDER, UNREADABLE)

BESIDE_DIVISIONS = frozenset({".git", ".github", "assets"})  # of a repository that holds the tree
_PYCACHE = "__pycache__"
_SUBMITTER_DEPTH = 2
_RESULT_DEPTH = 6  # division/submitter/results/system/benchmark/scenario
_FREE = frozenset({"src", "code", "documentation"})  # of a submitter; what is in them is not judged
_PARTS_OF_FREE = 3
KEPT = ".gitkeep"  # allowed everywhere by the official lists of files


def _owner(location: str) -> At:
    """Return what a name affects: the result that it lies in; elsewhere the submission, and no result of it."""
    parts = location.split("/")
    return At("/".join(parts[:_RESULT_DEPTH]) if parts[2:3] == ["results"] else location)


def _hidden(location: str) -> At:
    """Return what cannot be judged without the folder at a place: a result, or all of a submitter's."""
    parts = location.split("/")
    return _owner(location) if parts[2:3] == ["results"] else At("/".join(parts[:_SUBMITTER_DEPTH]))


def hides(link: Link, tree: Tree, round_: Round) -> bool:
    """Whether a link stands for a folder in a place that is judged: links to folders are not followed."""
    parts = link.location.split("/")
    judged = parts[0] in round_.divisions and not (len(parts) > _PARTS_OF_FREE and parts[2] in _FREE)
    return judged and (tree.root / link.location).is_dir()


def _of_results(location: str) -> bool:
    parts = location.split("/")
    return parts[2:3] == ["results"] and len(parts) <= _RESULT_DEPTH


def names(submission: Submission) -> Findings:
    """Look at every name of the tree."""
    tree = submission.tree
    for link in tree.links:
        hidden = link.problem is None and hides(link, tree, submission.round)
        problem = link.problem or ("nothing behind a link to a folder is judged here" if hidden else None)
        yield LINK.at(
            _hidden(link.location) if hidden else _owner(link.location),
            link.location,
            f"the symbolic link to {link.target} " + (f"cannot be submitted: {problem}" if problem else "stays"),
            value=link.target,
            severity=None if problem else "advice",
        )
    for location, problem in tree.unreadable.items():
        yield UNREADABLE.at(_owner(location), location, f"cannot be read: {problem}")
    held = {place.rpartition("/")[0] for place in (*(link.location for link in tree.links), *tree.unreadable)}
    held |= tree.narrowed
    told = {
        name
        for location, folder in tree.folders.items()
        if location.count("/") == _SUBMITTER_DEPTH and location.endswith("/results")
        for name in folder.folders
        if not is_encodable(name)
    }
    usual: set[str] = set()  # most names are in many folders
    for location in sorted(tree.folders):
        folder = tree.folders[location]
        if location.split("/", 1)[0] in BESIDE_DIVISIONS:
            continue
        if location and not (folder.folders or folder.files or location in held or location in tree.unreadable):
            yield EMPTY_FOLDER.at(_owner(location), location, "the folder is empty")
        for name in (*folder.folders, *folder.files):
            if name in usual:
                continue
            if name[0] == "." or name == _PYCACHE or name.split() != [name] or not is_encodable(name):
                yield from _name(join(location, name), name, told)
            else:
                usual.add(name)


def _name(location: str, name: str, told: set[str]) -> Findings:
    """Look at a name; `told` are systems whose name is no UTF-8: what else is called like them needs no word."""
    if name in BESIDE_DIVISIONS and "/" not in location:
        return
    if name.startswith(".") and name != KEPT:
        yield HIDDEN_NAME.at(_owner(location), location, f"the name '{name}' starts with a dot", value=name)
    if any(character.isspace() for character in name):
        yield SPACE_IN_NAME.at(_owner(location), location, f"the name '{name}' has a space", value=name)
    if not is_encodable(name):
        # Of the folders that the official table names: submitter, system, benchmark, scenario.
        named = location.count("/") == 1 or _of_results(location)
        if named or not any(name.startswith(one) for one in told):
            yield NAME_ENCODING.at(
                At(location) if named else _owner(location),
                location,
                f"the name {name!r} is not UTF-8",
                value=repr(name),
                severity=None if named else "advice",
            )
    if name == _PYCACHE:
        yield PYCACHE.at(_owner(location), location, "compiled Python files are no part of a submission")


FAMILY = Family("names", "Names and leftovers", RULES, tree=(names,))
