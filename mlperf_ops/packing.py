"""What a submission tree consists of: every file's path and content, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mlperf_ops import documents
from mlperf_ops.attempts import Attempt, LeftOut, ScenarioAttempts, Selection
from mlperf_ops.catalogue import Benchmark, Catalogue, Round
from mlperf_ops.errors import ResultError, SubmissionError
from mlperf_ops.files import JsonObject, pretty_json
from mlperf_ops.layout import ResultPaths, SubmissionLayout
from mlperf_ops.model import Mode, Plan, PlannedHost
from mlperf_ops.system import SystemDescription, origins_json
from mlperf_ops.system_facts import Usage, load_facts
from mlperf_ops.system_hosts import SystemHost, describe_hosts
from mlperf_ops.tree import Content
from mlperf_ops.truncate import TruncatedLog, truncate

_SUMMARY_LOG, _USER_CONF, _README = "mlperf_log_summary.txt", "user.conf", "README.md"


@dataclass(frozen=True, slots=True)
class Packed:
    """A scenario in the tree."""

    key: str  # "<system>/<benchmark>/<scenario>"
    path: str  # its folder, relative to the tree


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
        full_logs: Relative path of a truncated log to its full one.
        written: The scenarios.
        origins: Content of system_origins.json.
        unknown_fields: System to its undetermined fields and the reasons.
    """

    files: Mapping[PurePosixPath, Content]
    full_logs: Mapping[PurePosixPath, FullLog]
    written: tuple[Packed, ...]
    origins: JsonObject
    unknown_fields: dict[str, dict[str, str]]


def pack(run: Path, plan: Plan, round_: Round, catalogue: Catalogue, selection: Selection) -> Submission:
    """Compute the tree of the selected attempts; a scenario that cannot be packed joins the refused ones.

    Raises:
        ConfigError: A field of the user's system description is wrong, or the catalogue lacks a planned benchmark.
        SubmissionError: Two benchmarks want one folder, or a name cannot be part of a path.
    """
    layout = SubmissionLayout.of(round_, plan.division, plan.submitter)
    return _Packer(run, plan, round_, catalogue, selection, layout).pack()


@dataclass(slots=True)
class _Packer:
    run: Path
    plan: Plan
    round: Round
    catalogue: Catalogue
    selection: Selection
    layout: SubmissionLayout
    files: dict[PurePosixPath, Content] = field(default_factory=dict)
    full_logs: dict[PurePosixPath, FullLog] = field(default_factory=dict)
    packed: dict[PurePosixPath, tuple[ScenarioAttempts, Benchmark]] = field(default_factory=dict)

    def pack(self) -> Submission:
        descriptions: dict[str, SystemDescription] = {}
        for system in dict.fromkeys(_system(pair) for pair in self.selection.scenarios):
            pairs = [pair for pair in self.selection.scenarios if _system(pair) == system]
            try:
                description = self._describe(system, pairs)
            except ResultError as error:  # these hosts' facts cannot be used; the other systems' results can
                self.selection.refused += [LeftOut(f"{_key(pair)}/{mode}", error.message)
                                           for pair in pairs for mode in ("performance", "accuracy")]  # fmt: skip
                continue
            added = [self._add_scenario(pair, description) for pair in pairs]
            if any(added):
                descriptions[system] = description
                self.files[self.layout.system(system)] = _json(description.content)
        self._add_documents()
        return Submission(
            files=self.files,
            full_logs=self.full_logs,
            written=tuple(Packed(_key(pair), str(path)) for path, (pair, _) in self.packed.items()),
            origins=origins_json(descriptions),
            unknown_fields={system: dict(one.unknown) for system, one in descriptions.items() if one.unknown},
        )

    def _describe(self, system: str, pairs: list[ScenarioAttempts]) -> SystemDescription:
        names = {attempt.planned.host for pair in pairs for attempt in (pair.performance, pair.accuracy)}
        hosts = [host_of_system(self.run, host) for host in self.plan.hosts if host.name in names]
        return describe_hosts(
            self.round,
            hosts,
            division=self.plan.division,
            submitter=self.plan.submitter,
            usage=usage_of(system, pairs),
        )

    def _add_scenario(self, pair: ScenarioAttempts, description: SystemDescription) -> bool:
        cell = pair.performance.spec.cell
        benchmark = self.catalogue.benchmark(cell.benchmark)
        paths = self.layout.result(cell.system, benchmark.directory, cell.scenario)
        if paths.scenario in self.packed:
            other, _ = self.packed[paths.scenario]
            raise SubmissionError(f"{_key(other)} and {_key(pair)} both belong into {paths.scenario}")
        mode: Mode = "performance"
        try:
            required = self.round.required_files.performance.required
            files: dict[PurePosixPath, Content] = {
                paths.performance / name: pair.performance.file(name) for name in required
            }
            mode = "accuracy"
            log = self._truncate(paths, pair.accuracy)
            files |= self._accuracy_files(paths, pair.accuracy, log)
            mode = "performance"
            files |= self._scenario_files(paths, pair, benchmark, description, log)
        except ResultError as error:
            self.selection.refused.append(LeftOut(f"{_key(pair)}/{mode}", error.message))
            return False
        self.files |= files
        if log.full_log_at_hand:
            self.full_logs[paths.accuracy_log] = FullLog(pair.accuracy.file(paths.accuracy_log.name), log.sha256)
        self.packed[paths.scenario] = (pair, benchmark)
        return True

    def _truncate(self, paths: ResultPaths, attempt: Attempt) -> TruncatedLog:
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

    def _accuracy_files(self, paths: ResultPaths, attempt: Attempt, log: TruncatedLog) -> dict[PurePosixPath, Content]:
        made: dict[PurePosixPath, Content] = {paths.accuracy_log: log.log, paths.accuracy_text: log.text}
        for name in self.round.required_files.accuracy.required:
            path = paths.accuracy / name
            if path not in made:
                made[path] = attempt.file(name)
        return made

    def _scenario_files(
        self,
        paths: ResultPaths,
        pair: ScenarioAttempts,
        benchmark: Benchmark,
        description: SystemDescription,
        log: TruncatedLog,
    ) -> dict[PurePosixPath, Content]:
        summary = pair.performance.file(_SUMMARY_LOG)
        readme = documents.result_readme(
            self.plan,
            self.round,
            pair=pair,
            benchmark=benchmark,
            description=description,
            summary=summary.read_text(errors="replace"),
            accuracy_text=log.text.decode(errors="replace"),
        )
        made: dict[PurePosixPath, Content] = {
            paths.measurements: _json(documents.measurements(self.round, benchmark, pair.performance)),
            paths.scenario / _USER_CONF: pair.performance.file(_USER_CONF),
            paths.scenario / _README: readme.encode(),
        }
        for name in self.round.required_files.measurements_dir.required:
            if paths.scenario / name not in made:
                made[paths.scenario / name] = pair.performance.file(name)
        return made

    def _add_documents(self) -> None:
        if not self.packed:
            return
        rules = self.round.divisions[self.plan.division]
        benchmarks = {benchmark.directory: benchmark for _, benchmark in self.packed.values()}
        for directory, benchmark in benchmarks.items():
            pairs = [pair for pair, other in self.packed.values() if other.directory == directory]
            text = documents.source_readme(self.plan, benchmark, pairs)
            self.files[self.layout.source_readme(directory)] = text.encode()
        if rules.calibration:
            self.files[self.layout.calibration()] = documents.calibration(benchmarks.values()).encode()
        if rules.model_mapping:
            mapping = {benchmark.directory: pair.performance.spec.official_benchmark
                       for pair, benchmark in self.packed.values()}  # fmt: skip
            self.files[self.layout.model_mapping()] = _json(mapping)


def _system(pair: ScenarioAttempts) -> str:
    return pair.performance.spec.cell.system


def _key(pair: ScenarioAttempts) -> str:
    cell = pair.performance.spec.cell
    return f"{cell.system}/{cell.benchmark}/{cell.scenario}"


def _json(value: object) -> bytes:
    return pretty_json(value).encode()


def host_of_system(run: Path, host: PlannedHost) -> SystemHost:
    """Return a planned host with the facts that were collected from it.

    Raises:
        ResultError: facts.json is missing or has another form.
    """
    path = run / "hosts" / host.name / "facts.json"
    if not path.exists():
        raise ResultError(
            f"no facts were collected from host {host.name}: there is no {path}", hint="run playbooks/collect.yml"
        )
    facts = load_facts(path)
    return SystemHost(host.name, host.system_type, host.system_description, facts)


def usage_of(system: str, pairs: list[ScenarioAttempts]) -> Usage:
    """Return what the packed runs of a system used, each version once."""
    specs = [attempt.spec for pair in pairs for attempt in (pair.performance, pair.accuracy)]
    versions: dict[str, set[str]] = {}
    for spec in specs:
        versions.setdefault(spec.backend.name, set())
        for name, version in spec.packages.items():
            versions.setdefault(name, set()).add(version)
    frameworks = {spec.backend.name for spec in specs}
    return Usage(
        system=system,
        frameworks={name: sorted(versions[name]) for name in frameworks},
        software={
            name: sorted(found)
            for name, found in versions.items()
            if name not in frameworks and name != documents.HARNESS
        },
        devices=tuple(sorted({spec.backend.device for spec in specs})),
    )
