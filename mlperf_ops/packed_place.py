"""The files of one place in a submission tree: what is copied from its runs, and what is written about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeAlias

from mlperf_ops import documents
from mlperf_ops.catalogue import Round
from mlperf_ops.claims import Claim
from mlperf_ops.errors import ResultError
from mlperf_ops.files import pretty_json
from mlperf_ops.loadgen_log import SUMMARY_LOG
from mlperf_ops.model import Mode
from mlperf_ops.plan_model import Plan
from mlperf_ops.power import documents as power_documents
from mlperf_ops.power.inventory import from_plan
from mlperf_ops.result_page import result_readme
from mlperf_ops.selection import Selection
from mlperf_ops.system import SystemDescription
from mlperf_ops.tree import Content
from mlperf_ops.truncate import TruncatedLog

README = "README.md"
_USER_CONF = "user.conf"
Files: TypeAlias = dict[PurePosixPath, Content]


@dataclass(frozen=True, slots=True)
class Place:
    """What the files of one claim are made from.

    Attributes:
        claim: The place and its runs.
        log: The accuracy log as the tree holds it.
        description: The system's.
        plan: The whole plan.
        round: Its round.
        selection: Every planned cell with its attempts, also of further modes.
    """

    claim: Claim
    log: TruncatedLog
    description: SystemDescription
    plan: Plan
    round: Round
    selection: Selection


def _performance_files(place: Place) -> Files:
    names = place.round.required_files.performance.required
    return {place.claim.paths.performance / name: place.claim.pair.performance.file(name) for name in names}


def _power_files(place: Place) -> Files:
    """Return the measurement of a cell whose power was measured, and the pages on meter and settings; else nothing."""
    paths, attempt, files = place.claim.paths, place.claim.pair.performance, place.round.required_files
    if not has_power(attempt.files):
        return {}
    for name in files.performance.required:
        if attempt.files.get(f"run_1/{name}") != attempt.files.get(name):
            raise ResultError(f"{attempt.folder}: power and performance are of two runs, as {name} shows")
    folders = {"power": files.power.required, "ranging": files.ranging.required}
    top = paths.performance.parent
    made: Files = {
        top / folder / name: attempt.file(f"{folder}/{name}") for folder, names in folders.items() for name in names
    }
    made |= {paths.performance / name: attempt.file(f"run_1/{name}") for name in files.performance.with_power_also}
    pages = power_documents.pages(from_plan(place.plan.power), attempt)
    return made | {paths.measurements_dir / name: text.encode() for name, text in pages.items()}


def _accuracy_files(place: Place) -> Files:
    paths, log = place.claim.paths, place.log
    made: Files = {paths.accuracy_log: log.log, paths.accuracy_text: log.text}
    for name in place.round.required_files.accuracy.required:
        path = paths.accuracy / name
        if path not in made:
            made[path] = place.claim.pair.accuracy.file(name)
    for folder in place.round.rules(place.claim.official_benchmark).required_accuracy_artifacts:
        names = [name for name in place.claim.pair.accuracy.files if name.startswith(f"{folder}/")]
        made |= {paths.accuracy / name: place.claim.pair.accuracy.file(name) for name in names}
    return made


def _described_files(place: Place) -> Files:
    """Measurements, user.conf and README.md: in the scenario's folder since v6.0, before that in one of their own."""
    claim, paths, round_ = place.claim, place.claim.paths, place.round
    performance = claim.pair.performance
    readme = result_readme(
        place.plan,
        round_,
        claim=claim,
        description=place.description,
        summary=performance.file(SUMMARY_LOG).read_text(errors="replace"),
        accuracy_text=place.log.text.decode(errors="replace"),
        conflict=place.selection.conflict(claim.pair.key),
    )
    made: Files = {
        paths.measurements: as_bytes(documents.measurements(round_, claim)),
        paths.measurements_dir / _USER_CONF: performance.file(_USER_CONF),
        paths.measurements_dir / README: readme.encode(),
    }
    for name in round_.required_files.measurements_dir.required:
        if paths.measurements_dir / name not in made:
            made[paths.measurements_dir / name] = performance.file(name)
    return made


Part: TypeAlias = Callable[[Place], Files]
PARTS: tuple[tuple[Mode, Part], ...] = (
    ("performance", _performance_files),
    ("performance", _power_files),
    ("accuracy", _accuracy_files),
    ("performance", _described_files),
)
"""What each place is made of, with the mode whose attempt is to blame when a part raises ResultError."""


def has_power(names: Iterable[str]) -> bool:
    """Tell by the files of an attempt whether its power was measured."""
    return any(name.startswith("power/") for name in names)


def as_bytes(value: object) -> bytes:
    """Return a JSON value as the tree holds it."""
    return pretty_json(value).encode()
