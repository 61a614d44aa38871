"""What the names of a map stand for: round, hosts and systems, benchmarks and scenarios. Each mistake has its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.catalogue import Catalogue, Round
from mlperf_ops.catalogue.history import unknown_benchmark
from mlperf_ops.compliance.audit import problem_of
from mlperf_ops.errors import ConfigError, ResultError, unknown_name
from mlperf_ops.files import Json, read_json
from mlperf_ops.importing.import_map import ImportedMode, Maker, MapFile, MappedSystem
from mlperf_ops.importing.mistakes import Mistakes
from mlperf_ops.model import COMPLIANCE_TESTS, Division, Scenario
from mlperf_ops.plan_model import OnConflict, Plan, PlannedHost
from mlperf_ops.system_given import FROM_PLAN, check_given

# Fields of a description that other keys of the map set.
_SET_BY = {
    "division": "division of the map",
    "submitter": "submitter of the map",
    "system_type": "system_type of the system, beside description",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """What a whole import has in common.

    Attributes:
        tells: Hosts that bring facts of their own; the others take those of the plan's hosts of their system.
    """

    round: Round
    submitter: str
    division: Division
    on_conflict: OnConflict
    hosts: Mapping[str, PlannedHost | None]  # by system; None: what the map says of it is wrong
    tells: frozenset[str]


@dataclass(frozen=True, slots=True)
class NamedBenchmark:
    """A benchmark as the tree and the round call it."""

    name: str
    directory: str
    official: str


def frame_of(file: MapFile, catalogue: Catalogue, planned: Plan | None, mistakes: Mistakes) -> Frame:
    """Look up what an import has in common.

    Args:
        file: The map.
        catalogue: Rounds and benchmarks.
        planned: plan.json of the results folder; None when it has none.
        mistakes: Takes what is wrong with single systems.

    Raises:
        ConfigError: The round is unknown, or something contradicts the plan or is missing.
    """
    chosen: dict[str, str] = {}
    for key in ("round", "submitter", "division"):
        told, ours = getattr(file.map, key), None if planned is None else str(getattr(planned, key))
        if told is None and ours is None:
            raise ConfigError(f"{file.path}:1: key '{key}' is missing, and the results folder has no plan.json")
        if None not in (told, ours) and told != ours and key != "division":
            raise ConfigError(
                f"{file.at(key)}: the plan of the results folder has {key} '{ours}', and the map '{told}'",
                hint="one results folder is one submission; import into another folder",
            )
        chosen[key] = str(told or ours)
    round_ = catalogue.round(chosen["round"], file.at("round"))
    division: Division = file.map.division or (planned.division if planned is not None else "open")
    hosts, tells = _hosts(file, round_, planned, mistakes)
    return Frame(round_, chosen["submitter"], division, file.map.on_conflict, hosts, tells)


def _hosts(
    file: MapFile, round_: Round, planned: Plan | None, mistakes: Mistakes
) -> tuple[dict[str, PlannedHost | None], frozenset[str]]:
    theirs = {} if planned is None else {host.system: host for host in planned.hosts}
    names = set() if planned is None else {host.name for host in planned.hosts}
    made: dict[str, PlannedHost | None] = {}
    tells: set[str] = set()
    for index, entry in enumerate(file.map.systems):
        known = entry.system in made
        with mistakes.told():
            if known:
                raise ConfigError(f"{file.at('systems', index)}: system '{entry.system}' is given twice")
            made[entry.system] = None
            host = _host(file, index, round_, theirs.get(entry.system), names)
            made[entry.system] = host
            names.add(host.name)
            if host.system_description:
                tells.add(host.name)
    return made, frozenset(tells)


def _host(file: MapFile, index: int, round_: Round, joins: PlannedHost | None, names: set[str]) -> PlannedHost:
    entry = file.map.systems[index]
    host = entry.host or entry.system
    if host in names:
        raise ConfigError(
            f"{file.at('systems', index, 'host')}: host '{host}' is one of the plan",
            hint=f"give the imported results a host of their own, such as host: {host}-imported",
        )
    description = _description(file, index, entry, round_, alone=joins is None)
    system_type = _system_type(file, index, entry, round_, joins)
    if joins is None and not description:
        raise ConfigError(
            f"{file.at('systems', index)}: nothing is told of system '{entry.system}'",
            hint="give description_file, a systems/<name>.json, or the fields under description",
        )
    return PlannedHost(host, entry.system, "", system_type, description, (), "")


def _description(file: MapFile, index: int, entry: MappedSystem, round_: Round, *, alone: bool) -> dict[str, Json]:
    """Return the fields of a system: what the file says and the round knows, and over it what is typed.

    `alone`: no host of the plan says more of the system, so that what the file leaves empty stays so.
    """
    typed = check_given(entry.description, round_, lambda key: file.at("systems", index, "description", key), _SET_BY)
    if entry.description_file is None:
        return typed
    where = file.at("systems", index, "description_file")
    path = file.below(entry.description_file, where)
    fields = round_.system_description
    known = {*fields.required, *fields.required_power_not_enforced, *fields.required_network} - set(FROM_PLAN)
    found = {key: value for key, value in _object(path, where).items() if key in known and key not in typed}
    may_be_empty = set(fields.required) - {"is_network", *fields.integer_fields_used_by_report} if alone else set()
    told = {
        key: value
        for key, value in found.items()
        if value not in (None, "") or key in fields.non_empty or (value == "" and key in may_be_empty)
    }
    checked: dict[str, Json] = {}
    problems: list[str] = []
    for key, value in told.items():  # one by one, so that all that is wrong is told at once
        try:
            checked |= check_given({key: value}, round_, "", typed=False)
        except ConfigError as error:  # noqa: PERF203  # each field may be wrong
            problems.append(error.message.removeprefix(": "))
    if problems:
        raise ConfigError(
            f"{where}: {path}: {'; '.join(problems)}",
            hint=f"give these fields under systems[{index}].description, they win",
        )
    return {**checked, **typed}


def _system_type(file: MapFile, index: int, entry: MappedSystem, round_: Round, joins: PlannedHost | None) -> str:
    told = entry.system_type
    if told is None and joins is not None:
        return joins.system_type
    if told is None and entry.description_file is not None:
        where = file.at("systems", index, "description_file")
        found = _object(file.below(entry.description_file, where), where).get("system_type")
        told = found if isinstance(found, str) else None
    if told is None:
        raise ConfigError(f"{file.at('systems', index)}: key 'system_type' is missing")
    if told not in round_.system_types:
        raise unknown_name("system type", told, round_.system_types, where=file.at("systems", index, "system_type"))
    return told


def benchmark_of(file: MapFile, index: int, frame: Frame, catalogue: Catalogue, division: Division) -> NamedBenchmark:
    """Look up the benchmark of a result: one of the round, one of the catalogue, or an own name with `official`.

    Raises:
        ConfigError: It is none of these, or the division does not allow it.
    """
    result, round_ = file.map.results[index], frame.round
    name, where = result.benchmark, file.at("results", index, "benchmark")
    official = round_.model_aliases.get(name, name)
    entry = catalogue.benchmarks.get(name)
    if result.official is not None:
        official = round_.model_aliases.get(result.official, result.official)
        if official not in round_.models:
            at = file.at("results", index, "official")
            raise unknown_name(f"benchmark of round {round_.name}", result.official, round_.models, where=at)
    elif official not in round_.models and entry is not None:
        official = entry.maps_to
    if official not in round_.models:
        known = {*round_.models, *round_.model_aliases, *catalogue.benchmarks}
        raise unknown_benchmark(name, round_, known, catalogue, where=where)
    own = round_.model_aliases.get(name, name) not in round_.models
    if own and round_.divisions[division].official_models_only:
        raise ConfigError(
            f"{where}: '{name}' is not an official benchmark, which the {division} division demands",
            hint="give the result division: open",
        )
    directory = name if entry is None or result.official is not None else entry.directory
    return NamedBenchmark(name, directory, official)


def system_of(file: MapFile, index: int, frame: Frame) -> PlannedHost | None:
    """Return the host that stands for a result's system; None where what is said of the system is wrong.

    Raises:
        ConfigError: The map has no such system.
    """
    system = file.map.results[index].system
    if system not in frame.hosts:
        raise unknown_name("system", system, frame.hosts, where=file.at("results", index, "system"))
    return frame.hosts[system]


def refuse_scenario(
    file: MapFile, index: int, frame: Frame, benchmark: NamedBenchmark, host: PlannedHost, division: Division
) -> None:
    """Refuse a scenario that the round does not have for the benchmark, or the division for the system.

    Raises:
        ConfigError: See above; names what is allowed.
    """
    scenario, round_ = file.map.results[index].scenario, frame.round
    where = file.at("results", index, "scenario")
    suite = round_.scenarios(benchmark.official, host.system_type)
    if suite is None:
        raise ConfigError(
            f"{file.at('results', index, 'benchmark')}: round {round_.name} has no {benchmark.official} for "
            f"{host.system_type} systems"
        )
    if round_.divisions[division].all_required_scenarios and scenario not in suite.all:
        raise unknown_name(
            f"scenario of {benchmark.official} on {host.system_type} systems", scenario, suite.all, where=where
        )


def refuse_tests(file: MapFile, index: int, frame: Frame, benchmark: NamedBenchmark, mode: ImportedMode) -> None:
    """Refuse a compliance test that the round does not have, or does not ask of the benchmark.

    Raises:
        ConfigError: See above; names the tests that it asks for.
    """
    where = file.at("results", index, "folders", mode)
    for test in COMPLIANCE_TESTS:
        if test == mode and (problem := problem_of(frame.round, test, benchmark.official)) is not None:
            raise ConfigError(f"{where}: {problem}", hint="leave it out")


def maker_of(file: MapFile, index: int) -> Maker:
    """Return what made a result.

    Raises:
        ConfigError: Neither the result nor the top of the map says it.
    """
    maker = file.map.results[index].implementation or file.map.implementation
    if maker is None:
        raise ConfigError(
            f"{file.at('results', index)}: key 'implementation' is missing",
            hint="say it here, or once for all results at the top of the map",
        )
    return maker


def numbers_of(file: MapFile, index: int, round_: Round, catalogue: Catalogue) -> dict[str, Json]:
    """Return what measurements.json says of a result.

    Raises:
        ConfigError: A field is missing; names it.
    """
    result = file.map.results[index]
    where = file.at("results", index)
    told: dict[str, Json] = {}
    if result.measurements_file is not None:
        at = file.at("results", index, "measurements_file")
        told = _object(file.below(result.measurements_file, at), at)
    elif (numbers := result.measurements or file.map.measurements) is not None:
        told = dict(numbers.model_dump())
    elif (entry := catalogue.benchmarks.get(result.benchmark)) is not None and entry.measurements is not None:
        told = dict(entry.measurements.model_dump())
    lacking = [key for key in round_.measurements_required_non_empty if not told.get(key)]
    if lacking:
        raise ConfigError(
            f"{where}: nothing says {', '.join(lacking)}",
            hint="give measurements, or measurements_file, here or at the top of the map",
        )
    return told


def measured_as(scenario: Scenario) -> Scenario:
    """Return the scenario that LoadGen runs for a scenario of the tree."""
    return "Server" if scenario == "Interactive" else scenario


def _object(path: Path, where: str) -> dict[str, Json]:
    try:
        return read_json(path)
    except ResultError as error:
        raise ConfigError(f"{where}: {error.message}") from error
