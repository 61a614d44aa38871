"""One attempt, verified: of the plan, complete, not simulated, of the round, and exactly as the host wrote it.

What is not there yet is missing, what is there and must not be packed is refused. Only reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mlperf_ops.catalogue import Catalogue
from mlperf_ops.errors import MlperfOpsError, ResultError
from mlperf_ops.files import JsonObject, read_json, sha256_file
from mlperf_ops.loadgen_log import DETAIL_LOG, read_detail
from mlperf_ops.merits import other_round
from mlperf_ops.model import Mode, Result, Spec
from mlperf_ops.plan_model import CollectedCell, CollectedHost, PlannedCell
from mlperf_ops.power_check import measurement_of, simulated_files
from mlperf_ops.typed import load

SPEC, RESULT, MANIFEST = "spec.json", "result.json", "manifest.json"
IMPORTED = "imported"
"""Stands for the implementation of results that were made elsewhere; `import.json` of the attempt says where."""
MODES: tuple[Mode, ...] = ("performance", "accuracy")
_NEVER = "a stand-in's results are never packed"
_SIMULATED = f"its result is simulated; {_NEVER}"
_PLAIN_NAME = re.compile(
    r"(?!\.{1,2}(?:/|$))[^/\0]+(?:/(?!\.{1,2}$)[^/\0]+)?"
)  # a file, or one in a folder: images/1.png


@dataclass(frozen=True, slots=True)
class Attempt:
    """A verified attempt.

    Attributes:
        planned: Its cell in the plan.
        folder: Where its raw files are.
        spec: What the host ran.
        result: What the host says of it.
        files: Names and sha256 of the raw files, all of them compared.
        log: What the official checker reads of its detail log.
    """

    planned: PlannedCell
    folder: Path
    spec: Spec
    result: Result
    files: Mapping[str, str]
    log: JsonObject = field(default_factory=dict)

    def file(self, name: str) -> Path:
        """Return the path of a verified raw file.

        Raises:
            ResultError: The attempt has no such file.
        """
        if name not in self.files:
            raise ResultError(f"{self.folder} has no {name}", hint="run the cell again")
        return self.folder / name


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A cell that keeps its scenario out of the tree, and why."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class NotUsable:
    """Why a cell has no attempt that could be packed.

    Attributes:
        kind: `missing`: there is none (yet); `failed`: its run failed; `refused`: there is one that must not be packed.
        reason: One sentence.
    """

    kind: Literal["missing", "failed", "refused"]
    reason: str


class _NotUsableError(Exception):
    """An answer of a look-up, never seen by users."""

    def __init__(self, kind: Literal["missing", "failed", "refused"], reason: str) -> None:
        super().__init__(reason)
        self.why = NotUsable(kind, reason)


def collected(run: Path, host: str) -> CollectedHost | str:
    """Return a host's cells.json, or why there is none to use."""
    path = run / "hosts" / host / "cells.json"
    if not path.is_file():
        return f"nothing was collected from host {host}"
    try:
        return load(CollectedHost, read_json(path), str(path))
    except ResultError as error:
        return str(error)


def attempts_of(
    run: Path,
    planned: PlannedCell,
    host: CollectedHost | str,
    catalogue: Catalogue,
    round_name: str,
    *,
    earlier_too: bool = False,
    simulated_too: bool = False,
) -> tuple[Attempt, ...] | NotUsable:
    """Return the verified attempt that stands for a planned cell on its host.

    Args:
        run: The results folder.
        planned: The cell.
        host: Its host's cells.json, or why there is none.
        catalogue: Says which implementations are stand-ins, and whose seeds a log shows.
        round_name: Of the plan.
        earlier_too: Return further attempts of the same spec as well, the oldest last; one that cannot be used is
            left out, as another stands for the cell.
        simulated_too: Return the results of stand-ins as well; only for `mlperf_ops.simulated`.
    """
    if isinstance(host, str):
        return NotUsable("missing", host)
    try:
        chosen = _choose(planned, host.cells)
        newest = _attempt(run, planned, chosen, catalogue, round_name, simulated_too=simulated_too)
    except _NotUsableError as error:
        return error.why
    if not earlier_too:
        return (newest,)
    others = []
    for folder in sorted(newest.folder.parent.glob("attempt_*"), reverse=True):
        if folder != newest.folder and (folder / RESULT).is_file():
            path = folder.relative_to(run / "hosts" / planned.host).as_posix()
            try:
                result = load(Result, read_json(folder / RESULT), str(folder / RESULT))
                other = replace(chosen, attempt=folder.name, path=path, verdict=result.verdict)
                others.append(_attempt(run, planned, other, catalogue, round_name, simulated_too=simulated_too))
            except (_NotUsableError, ResultError):  # each of them may be broken
                continue
    return (newest, *others)


def _attempt(
    run: Path, planned: PlannedCell, cell: CollectedCell, catalogue: Catalogue, round_name: str, *, simulated_too: bool
) -> Attempt:
    if cell.simulated and not simulated_too:
        raise _NotUsableError("refused", _SIMULATED)
    try:
        folder = _folder(run / "hosts" / planned.host, cell.path)
        attempt = read_attempt(planned, folder)
        if attempt.result.verdict == "failed":
            raise _NotUsableError("failed", f"its run failed: {'; '.join(attempt.result.reasons)}")
        _compare(cell, attempt)
        if not simulated_too and _is_simulated(attempt, catalogue):
            raise ResultError(_SIMULATED)
        power = measurement_of(attempt.folder)
        if power is not None and not simulated_too and (marked := simulated_files(power)):
            raise ResultError(f"its power was measured by a stand-in for the meter, as {marked[0][0]} says: {_NEVER}")
        return _with_log(attempt, catalogue, round_name)
    except MlperfOpsError as error:
        raise _NotUsableError("refused", error.message) from error


def _with_log(attempt: Attempt, catalogue: Catalogue, round_name: str) -> Attempt:
    """Read what counts of the detail log, and refuse a run of another round, whatever the other files say."""
    round_ = catalogue.round(round_name)
    log = read_detail(attempt.file(DETAIL_LOG), frozenset({*round_.loadgen_fields_read, "effective_test_mode"})).values
    problem = other_round(log, round_, catalogue.rounds.values())
    if problem is not None:
        raise ResultError(problem)
    return replace(attempt, log=log)


def _choose(planned: PlannedCell, cells: Iterable[CollectedCell]) -> CollectedCell:
    same_key = [cell for cell in cells if cell.key == planned.cell.key]
    if not same_key:
        raise _NotUsableError("missing", f"no result was collected from host {planned.host}")
    for cell in same_key:
        if cell.request_sha256 == planned.request_sha256:
            return cell
    raise _NotUsableError("missing", "the result on hand answers an earlier plan; run the cell again")


def _folder(host: Path, path: str) -> Path:
    """Return an attempt's folder, which a host's own words must not lead out of its collection."""
    folder = host / path
    if not folder.resolve().is_relative_to(host.resolve()):
        raise ResultError(f"cells.json of {host.name} names the folder '{path}' outside of hosts/{host.name}")
    if not (folder / RESULT).is_file():
        raise ResultError(f"{folder} has no {RESULT}, so the attempt never ended")
    return folder


def read_attempt(planned: PlannedCell, folder: Path) -> Attempt:
    """Read an attempt and compare every raw file with the manifest that the host wrote.

    Raises:
        ResultError: A file is missing, was changed since, is a link, or has another form; names it.
    """
    result = load(Result, read_json(folder / RESULT), str(folder / RESULT))
    manifest = read_json(folder / MANIFEST).get("files")
    if not isinstance(manifest, dict):
        raise ResultError(f"{folder / MANIFEST}: expected the key 'files' with an object")
    files: dict[str, str] = {}
    for name, digest in manifest.items():
        path = folder / name
        if not _PLAIN_NAME.fullmatch(name) or path.is_symlink() or path.parent.is_symlink():
            raise ResultError(f"{folder / MANIFEST} names '{name}', which is not a plain file of the attempt")
        if not path.is_file():
            raise ResultError(f"{path} is missing, but {MANIFEST} lists it", hint="collect or run the cell again")
        if sha256_file(path) != digest:
            raise ResultError(f"{path} was changed after the run: its sha256 is not the one in {MANIFEST}")
        files[name] = str(digest)
    if SPEC not in files:
        raise ResultError(f"{folder / MANIFEST} does not list {SPEC}")
    spec = load(Spec, read_json(folder / SPEC), str(folder / SPEC))
    return Attempt(planned, folder, spec, result, files)


def _compare(collected: CollectedCell, attempt: Attempt) -> None:
    """Make sure that plan, cells.json, spec.json and result.json speak of one and the same run."""
    spec, result, planned = attempt.spec, attempt.result, attempt.planned
    path = attempt.folder / RESULT
    for what, found, expected in (
        ("cell", result.cell.key, planned.cell.key),
        ("request_sha256", result.request_sha256, planned.request_sha256),
        ("spec_sha256", result.spec_sha256, spec.sha256),
        ("spec_sha256", result.spec_sha256, collected.spec_sha256),
        ("verdict", result.verdict, collected.verdict),
    ):
        if found != expected:
            raise ResultError(f"{path}: {what} is {found}, expected {expected}")
    if spec.cell != result.cell:
        raise ResultError(f"{attempt.folder / SPEC} is of the cell {spec.cell.key}, expected {result.cell.key}")


def _is_simulated(attempt: Attempt, catalogue: Catalogue) -> bool:
    spec = attempt.spec
    stand_in = spec.implementation != IMPORTED and catalogue.implementation(spec.implementation).simulated
    return spec.simulated or attempt.result.simulated or stand_in
