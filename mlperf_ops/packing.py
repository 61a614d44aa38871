"""What a submission tree consists of: every file's path and content, before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mlperf_ops import documents
from mlperf_ops.catalogue import Catalogue, Round
from mlperf_ops.claims import Claim, claim_problem, claims_of, needless_invalid
from mlperf_ops.compliance.packing import pack_tests
from mlperf_ops.errors import ResultError, SubmissionError
from mlperf_ops.files import JsonObject
from mlperf_ops.layout import SubmissionLayout
from mlperf_ops.model import Division, Mode
from mlperf_ops.packed_place import PARTS, README, Files, Place, as_bytes, has_power
from mlperf_ops.packed_systems import hosts_of_system, usage_of
from mlperf_ops.plan_model import Plan
from mlperf_ops.power import documents as power_documents
from mlperf_ops.selection import MODES, LeftOut, ScenarioAttempts, Selection
from mlperf_ops.system import SystemDescription, origins_json
from mlperf_ops.system_hosts import describe_hosts
from mlperf_ops.tree import Content
from mlperf_ops.truncate import TruncatedLog, truncate


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
    files: Files = field(default_factory=dict)
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
            own = self._without_needless([claim for claim in claims if _system(claim.pair) == system])
            if not own:
                continue
            try:
                description = self._describe(system, [claim.pair for claim in own if claim.own])
            except ResultError as error:  # these hosts' facts cannot be used; the other systems' results can
                for claim in own:
                    self._refuse(claim, error.message)
                continue
            added = [self._add(claim, description) for claim in own]
            if any(added):
                self.descriptions[system] = description
                self._document(self.layout.system(system), as_bytes(description.content))
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

    def _without_needless(self, claims: list[Claim]) -> list[Claim]:
        """Drop the invalid results of a system that the division can do without."""
        reasons = [needless_invalid(claim, claims, self.plan, self.round) for claim in claims]
        self.selection.refused += [reason for reason in reasons if reason is not None]
        return [claim for claim, reason in zip(claims, reasons, strict=True) if reason is None]

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
        files: Files = {}
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
        pages = {claim.paths.measurements_dir / name for name in (README, *power_documents.NAMES)}
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
        if path is not None and supplies and any(has_power(claim.pair.performance.files) for claim in claims):
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
            self._document(self.layout.model_mapping(), as_bytes(_mapping(self.packed)))

    def _document(self, path: PurePosixPath, content: bytes) -> None:
        self.files[path] = content
        self.documents.add(path)


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


def _system(pair: ScenarioAttempts) -> str:
    return pair.performance.spec.cell.system
