"""The attempts that may be packed: those of the plan, complete, not simulated, and exactly as the host wrote them.

A scenario needs its performance and its accuracy cell. What is not there yet is missing, what is there and must not be
packed is refused; in both cases the scenario is left out, with the reason. An INVALID result is packed: its verdict is
LoadGen's and is shown, not hidden. Only reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mlperf_ops.catalogue import Catalogue
from mlperf_ops.errors import MlperfOpsError, ResultError, SubmissionError
from mlperf_ops.files import read_json, sha256_file
from mlperf_ops.model import CollectedCell, CollectedHost, Mode, Plan, PlannedCell, Result, Spec
from mlperf_ops.typed import load

SPEC, RESULT, MANIFEST = "spec.json", "result.json", "manifest.json"
MODES: tuple[Mode, ...] = ("performance", "accuracy")
_SIMULATED = "its result is simulated; a stand-in's results are never packed"
_PLAIN_NAME = re.compile(r"[^/\0]+")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A verified attempt.

    Attributes:
        planned: Its cell in the plan.
        folder: Where its raw files are.
        spec: What the host ran.
        result: What the host says of it.
        files: Names and sha256 of the raw files, all of them compared.
    """

    planned: PlannedCell
    folder: Path
    spec: Spec
    result: Result
    files: Mapping[str, str]

    def file(self, name: str) -> Path:
        """Return the path of a verified raw file.

        Raises:
            ResultError: The attempt has no such file.
        """
        if name not in self.files:
            raise ResultError(f"{self.folder} has no {name}", hint="run the cell again")
        return self.folder / name


@dataclass(frozen=True, slots=True)
class ScenarioAttempts:
    """The two attempts of a (system, benchmark, scenario)."""

    performance: Attempt
    accuracy: Attempt


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A cell that keeps its scenario out of the tree, and why."""

    key: str
    reason: str


@dataclass(slots=True)
class Selection:
    """What can be packed, what is not there yet, and what must not be packed."""

    scenarios: list[ScenarioAttempts] = field(default_factory=list)
    missing: list[LeftOut] = field(default_factory=list)
    refused: list[LeftOut] = field(default_factory=list)


class _NotUsable(Exception):  # noqa: N818  # an answer of a look-up, never seen by users
    def __init__(self, kind: Literal["missing", "refused"], reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


def select(run: Path, plan: Plan, catalogue: Catalogue) -> Selection:
    """Choose and verify the attempts of a plan.

    Args:
        run: The results folder.
        plan: Its plan.
        catalogue: Says which implementations are stand-ins.

    Raises:
        SubmissionError: The plan has a cell twice.
    """
    hosts = {host.name: _collected(run, host.name) for host in plan.hosts}
    selection = Selection()
    for cells in _scenarios(plan).values():
        found: dict[Mode, Attempt] = {}
        cell = next(iter(cells.values())).cell
        for mode in MODES:
            attempt = _attempt_or_reason(run, cells.get(mode), hosts, catalogue)
            if isinstance(attempt, Attempt):
                found[mode] = attempt
                continue
            left_out = LeftOut(f"{cell.system}/{cell.benchmark}/{cell.scenario}/{mode}", attempt.reason)
            (selection.missing if attempt.kind == "missing" else selection.refused).append(left_out)
        if len(found) == len(MODES):
            selection.scenarios.append(ScenarioAttempts(found["performance"], found["accuracy"]))
    return selection


def _scenarios(plan: Plan) -> dict[tuple[str, str, str], dict[Mode, PlannedCell]]:
    """Group the plan's runnable cells by scenario, in the order of the plan."""
    grouped: dict[tuple[str, str, str], dict[Mode, PlannedCell]] = {}
    for planned in plan.cells:
        cell = planned.cell
        if planned.status != "planned":
            continue
        modes = grouped.setdefault((cell.system, cell.benchmark, cell.scenario), {})
        if cell.mode in modes:
            raise SubmissionError(
                f"the cell {cell.key} is planned on {modes[cell.mode].host} and on {planned.host}",
                hint="give the hosts different mlperf_system names, or run the cell on one of them",
            )
        modes[cell.mode] = planned
    return grouped


def _collected(run: Path, host: str) -> CollectedHost | str:
    """Return a host's cells.json, or why there is none to use."""
    path = run / "hosts" / host / "cells.json"
    if not path.is_file():
        return f"nothing was collected from host {host}"
    try:
        return load(CollectedHost, read_json(path), str(path))
    except ResultError as error:
        return str(error)


def _attempt_or_reason(
    run: Path, planned: PlannedCell | None, hosts: Mapping[str, CollectedHost | str], catalogue: Catalogue
) -> Attempt | _NotUsable:
    try:
        return _attempt(run, planned, hosts, catalogue)
    except _NotUsable as reason:
        return reason


def _attempt(
    run: Path, planned: PlannedCell | None, hosts: Mapping[str, CollectedHost | str], catalogue: Catalogue
) -> Attempt:
    if planned is None:
        raise _NotUsable("missing", "the plan has no such cell")
    host = hosts.get(planned.host, f"the plan has no host {planned.host}")
    if isinstance(host, str):
        raise _NotUsable("missing", host)
    collected = _choose(planned, host.cells)
    if collected.simulated:
        raise _NotUsable("refused", _SIMULATED)
    try:
        folder = _folder(run / "hosts" / planned.host, collected.path)
        attempt = read_attempt(planned, folder)
        if attempt.result.verdict == "failed":
            raise _NotUsable("missing", f"its run failed: {'; '.join(attempt.result.reasons)}")
        _compare(collected, attempt, catalogue)
    except MlperfOpsError as error:
        raise _NotUsable("refused", error.message) from error
    return attempt


def _choose(planned: PlannedCell, cells: Iterable[CollectedCell]) -> CollectedCell:
    same_key = [cell for cell in cells if cell.key == planned.cell.key]
    if not same_key:
        raise _NotUsable("missing", f"no result was collected from host {planned.host}")
    for cell in same_key:
        if cell.request_sha256 == planned.request_sha256:
            return cell
    raise _NotUsable("missing", "the result on hand answers an earlier plan; run the cell again")


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
        if not _PLAIN_NAME.fullmatch(name) or name in {".", ".."} or path.is_symlink():
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


def _compare(collected: CollectedCell, attempt: Attempt, catalogue: Catalogue) -> None:
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
    if spec.simulated or result.simulated or catalogue.implementation(spec.implementation).simulated:
        raise ResultError(_SIMULATED)
