"""What a submission tree consists of: every file's path and content, before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from mlperf_ops import documents
from mlperf_ops.catalogue import Catalogue, Round
from mlperf_ops.claims import Claim, claim_problem, claims_of
from mlperf_ops.compliance.packing import pack_tests
from mlperf_ops.errors import ResultError, SubmissionError
from mlperf_ops.files import JsonObject, pretty_json
from mlperf_ops.layout import SubmissionLayout
from mlperf_ops.loadgen_log import SUMMARY_LOG
from mlperf_ops.model import Division, Mode
from mlperf_ops.packed_systems import hosts_of_system, usage_of
from mlperf_ops.plan_model import Plan
from mlperf_ops.power import documents as power_documents
from mlperf_ops.power.inventory import from_plan
from mlperf_ops.result_page import result_readme
from mlperf_ops.selection import MODES, LeftOut, ScenarioAttempts, Selection
from mlperf_ops.system import SystemDescription, origins_json
from mlperf_ops.system_hosts import describe_hosts
from mlperf_ops.tree import Content
from mlperf_ops.truncate import TruncatedLog, truncate

_USER_CONF, _README = "user.conf", "README.md"
_Files: TypeAlias = dict[PurePosixPath, Content]


@dataclass(frozen=True, slots=True)
class Packed:
    """A scenario in the tree.

    Attributes:
        key: `system/benchmark/scenario`.
        path: Its folder, relative to the tree.
        division: Its division.
        hosts: Where its runs were made.
        result: The number with its unit.
        valid: Both of its runs are valid.
        stands_for: The `system/benchmark/scenario` that ran, where it is another; and by which rule.
        rule: How the result follows from what ran; "" for its own runs.
        tainted: How the hosts drifted meanwhile.
        origin: Where an imported result comes from; "" for our own.
    """

    key: str
    path: str
    division: Division
    hosts: tuple[str, ...]
    result: str
    valid: bool
    stands_for: str | None
    rule: str
    tainted: tuple[str, ...]
    origin: str


@dataclass(frozen=True, slots=True)
class FullLog:
    """The untruncated accuracy log of a scenario."""

    source: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Submission:
    """A tree that is not written yet.

    Attributes:
        files: Relative path to bytes, or to the raw file to copy.
        documents: The paths among them that people may edit; the others are evidence of runs.
        full_logs: Relative path of a truncated log to its full one.
        written: The scenarios.
        origins: Content of system_origins.json.
        unknown_fields: System to its undetermined fields and the reasons.
    """

    files: Mapping[PurePosixPath, Content]
    documents: frozenset[PurePosixPath]
    full_logs: Mapping[PurePosixPath, FullLog]
    written: tuple[Packed, ...]
    origins: JsonObject
    unknown_fields: dict[str, dict[str, str]]


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


def pack(run: Path, plan: Plan, round_: Round, catalogue: Catalogue, selection: Selection) -> Submission:
    """Compute the tree of the selected attempts; a scenario that cannot be packed joins the refused ones.

    Raises:
        ConfigError: A field of the user's system description is wrong, or the catalogue lacks a planned benchmark.
        SubmissionError: A name cannot be part of a path.
    """
    packers = []
    for division in plan.divisions:
        packer = _Packer(run, plan, round_, catalogue, selection, division)
        packer.pack()
        packers.append(packer)
    descriptions = {
        system if sum(system in other.descriptions for other in packers) == 1 else f"{one.division}/{system}": described
        for one in packers
        for system, described in one.descriptions.items()
    }
    return Submission(
        files={path: content for one in packers for path, content in one.files.items()},
        documents=frozenset(path for one in packers for path in one.documents),
        full_logs={path: log for one in packers for path, log in one.full_logs.items()},
        written=tuple(_packed(claim, round_) for one in packers for claim in one.packed),
        origins=origins_json(descriptions),
        unknown_fields={system: dict(one.unknown) for system, one in descriptions.items() if one.unknown},
    )


@dataclass(slots=True)
class _Packer:
    """Fills one division of a tree."""

    run: Path
    plan: Plan
    round: Round
    catalogue: Catalogue
    selection: Selection
    division: Division
    files: _Files = field(default_factory=dict)
    documents: set[PurePosixPath] = field(default_factory=set)
    full_logs: dict[PurePosixPath, FullLog] = field(default_factory=dict)
    packed: list[Claim] = field(default_factory=list)
    descriptions: dict[str, SystemDescription] = field(default_factory=dict)
    layout: SubmissionLayout = field(init=False)

    def __post_init__(self) -> None:
        self.layout = SubmissionLayout.of(self.round, self.division, self.plan.submitter)

    def pack(self) -> None:
        """Add all systems, then the documents on them."""
        claims = self._claims()
        for system in dict.fromkeys(_system(claim.pair) for claim in claims):
            own = [claim for claim in claims if _system(claim.pair) == system]
            try:
                description = self._describe(system, [claim.pair for claim in own if claim.own])
            except ResultError as error:  # these hosts' facts cannot be used; the other systems' results can
                for claim in own:
                    self._refuse(claim, error.message)
                continue
            added = [self._add(claim, description) for claim in own]
            if any(added):
                self.descriptions[system] = description
                self._document(self.layout.system(system), _json(description.content))
                self._add_nameplate(system, own)
        self._add_documents()

    def _claims(self) -> list[Claim]:
        """Return the places of all pairs of the division; where several want one place, none gets it."""
        wanted: dict[PurePosixPath, list[Claim]] = {}
        for pair in self.selection.scenarios:
            if self.plan.division_of(pair.performance.planned) != self.division:
                continue
            try:
                for claim in claims_of(pair, self.plan, self.catalogue, self.layout):
                    wanted.setdefault(claim.paths.scenario, []).append(claim)
            except ResultError as error:
                self.selection.refused += [LeftOut(f"{pair.key}/{mode}", error.message) for mode in MODES]
        for path, claims in wanted.items():
            if len(claims) > 1:
                for claim in claims:
                    others = " and ".join(f"{one.pair.key}" for one in claims if one is not claim)
                    self._refuse(claim, f"{others} belongs into {path} as well; only one of them can be there")
        return [claims[0] for claims in wanted.values() if len(claims) == 1]

    def _refuse(self, claim: Claim, reason: str, modes: Sequence[Mode] = MODES) -> None:
        self.selection.refused += [LeftOut(f"{claim.key}/{mode}", reason) for mode in modes]

    def _describe(self, system: str, pairs: list[ScenarioAttempts]) -> SystemDescription:
        names = {host for pair in pairs for host in pair.hosts}
        return describe_hosts(
            self.round,
            hosts_of_system(self.run, self.plan.hosts, system, names),
            division=self.division,
            submitter=self.plan.submitter,
            usage=usage_of(system, pairs),
        )

    def _add(self, claim: Claim, description: SystemDescription) -> bool:
        problem = claim_problem(claim, self.round)
        if problem is not None:
            self._refuse(claim, problem)
            return False
        log: TruncatedLog | None = None
        files: _Files = {}
        mode: Mode = "accuracy"
        try:
            log = self._truncate(claim)
            place = Place(claim, log, description, self.plan, self.round, self.selection)
            for blamed, part in PARTS:
                mode = blamed
                files |= part(place)
        except ResultError as error:
            self._refuse(claim, error.message, [mode])
            return False
        tests = pack_tests(place)
        self.selection.tests |= {one.key: one for one in tests.outcomes}
        self.full_logs |= {path: FullLog(*found) for path, found in tests.full_logs.items()}
        self.files |= files | tests.files
        pages = {claim.paths.measurements_dir / name for name in (_README, *power_documents.NAMES)}
        self.documents |= {claim.paths.measurements, *(pages & set(files))}
        if log.full_log_at_hand:
            path = claim.paths.accuracy_log
            self.full_logs[path] = FullLog(claim.pair.accuracy.file(path.name), log.sha256)
        self.packed.append(claim)
        return True

    def _add_nameplate(self, system: str, claims: Sequence[Claim]) -> None:
        """Add the design power of a measured system, where the round wants it and the inventory gives it."""
        path = self.layout.nameplate(system)
        supplies = next((one.power_supplies for one in self.plan.hosts if one.system == system), None)
        if path is not None and supplies and any(_has_power(claim.pair.performance.files) for claim in claims):
            self._document(path, power_documents.nameplate(system, supplies).encode())

    def _truncate(self, claim: Claim) -> TruncatedLog:
        paths, attempt = claim.paths, claim.pair.accuracy
        raw = attempt.file(paths.accuracy_log.name)
        log = truncate(raw, attempt.file(paths.accuracy_text.name), self.round.limits, self.round.hash_regex)
        outcome = attempt.result.accuracy
        if outcome is None:
            raise ResultError(f"{attempt.folder} states no accuracy", hint="run the cell again")
        if outcome.full_log_sha256 != log.sha256:
            raise ResultError(
                f"{raw} has sha256 {log.sha256}, but the score in result.json is of {outcome.full_log_sha256}"
            )
        return log

    def _add_documents(self) -> None:
        if not self.packed:
            return
        rules = self.round.divisions[self.division]
        for directory in dict.fromkeys(claim.benchmark.directory for claim in self.packed):
            claims = [claim for claim in self.packed if claim.benchmark.directory == directory]
            text = documents.source_readme(self.plan, directory, claims)
            self._document(self.layout.source_readme(directory), text.encode())
        if rules.calibration:
            self._document(self.layout.calibration(), documents.calibration(self.packed).encode())
        if rules.model_mapping:
            self._document(self.layout.model_mapping(), _json(_mapping(self.packed)))

    def _document(self, path: PurePosixPath, content: bytes) -> None:
        self.files[path] = content
        self.documents.add(path)


# --- the files of one place ------------------------------------------------------------------------------------------


def _performance_files(place: Place) -> _Files:
    names = place.round.required_files.performance.required
    return {place.claim.paths.performance / name: place.claim.pair.performance.file(name) for name in names}


def _power_files(place: Place) -> _Files:
    """Return the measurement of a cell whose power was measured, and the pages on meter and settings; else nothing."""
    paths, attempt, files = place.claim.paths, place.claim.pair.performance, place.round.required_files
    if not _has_power(attempt.files):
        return {}
    for name in files.performance.required:
        if attempt.files.get(f"run_1/{name}") != attempt.files.get(name):
            raise ResultError(f"{attempt.folder}: power and performance are of two runs, as {name} shows")
    folders = {"power": files.power.required, "ranging": files.ranging.required}
    top = paths.performance.parent
    made: _Files = {
        top / folder / name: attempt.file(f"{folder}/{name}") for folder, names in folders.items() for name in names
    }
    made |= {paths.performance / name: attempt.file(f"run_1/{name}") for name in files.performance.with_power_also}
    pages = power_documents.pages(from_plan(place.plan.power), attempt)
    return made | {paths.measurements_dir / name: text.encode() for name, text in pages.items()}


def _accuracy_files(place: Place) -> _Files:
    paths, log = place.claim.paths, place.log
    made: _Files = {paths.accuracy_log: log.log, paths.accuracy_text: log.text}
    for name in place.round.required_files.accuracy.required:
        path = paths.accuracy / name
        if path not in made:
            made[path] = place.claim.pair.accuracy.file(name)
    for folder in place.round.rules(place.claim.official_benchmark).required_accuracy_artifacts:
        names = [name for name in place.claim.pair.accuracy.files if name.startswith(f"{folder}/")]
        made |= {paths.accuracy / name: place.claim.pair.accuracy.file(name) for name in names}
    return made


def _described_files(place: Place) -> _Files:
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
    made: _Files = {
        paths.measurements: _json(documents.measurements(round_, claim)),
        paths.measurements_dir / _USER_CONF: performance.file(_USER_CONF),
        paths.measurements_dir / _README: readme.encode(),
    }
    for name in round_.required_files.measurements_dir.required:
        if paths.measurements_dir / name not in made:
            made[paths.measurements_dir / name] = performance.file(name)
    return made


Part: TypeAlias = Callable[[Place], _Files]
PARTS: tuple[tuple[Mode, Part], ...] = (
    ("performance", _performance_files),
    ("performance", _power_files),
    ("accuracy", _accuracy_files),
    ("performance", _described_files),
)
"""What each place is made of, with the mode whose attempt is to blame when a part raises ResultError."""


# --- small -----------------------------------------------------------------------------------------------------------


def _packed(claim: Claim, round_: Round) -> Packed:
    stated = claim.merit(round_)
    return Packed(
        key=claim.key,
        path=str(claim.paths.scenario),
        division=claim.division,
        hosts=claim.pair.hosts,
        result="" if stated is None else stated.text,
        valid=claim.pair.valid,
        stands_for=None if claim.own else claim.pair.key,
        rule=documents.rule_of(claim, round_),
        tainted=claim.pair.tainted,
        origin=documents.origin_of(claim),
    )


def _mapping(claims: Iterable[Claim]) -> dict[str, str]:
    """Return directory -> official benchmark, merged over all systems.

    Raises:
        SubmissionError: One directory would stand for two benchmarks.
    """
    found: dict[str, str] = {}
    for claim in claims:
        held = found.setdefault(claim.benchmark.directory, claim.official_benchmark)
        if held != claim.official_benchmark:
            raise SubmissionError(
                f"the directory {claim.benchmark.directory} would stand for {held} and for {claim.official_benchmark}",
                hint="give one of the benchmarks another directory",
            )
    return found


def _has_power(names: Iterable[str]) -> bool:
    return any(name.startswith("power/") for name in names)


def _system(pair: ScenarioAttempts) -> str:
    return pair.performance.spec.cell.system


def _json(value: object) -> bytes:
    return pretty_json(value).encode()
