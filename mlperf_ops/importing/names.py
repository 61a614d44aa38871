"""What the names of a map stand for: round, hosts and systems, benchmarks and scenarios. Each mistake has its line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from mlperf_ops.catalogue import Catalogue, Round
from mlperf_ops.errors import ConfigError, ResultError, unknown_name
from mlperf_ops.files import Json, read_json
from mlperf_ops.importing.import_map import AlreadyToldError, Maker, MapFile, MappedSystem
from mlperf_ops.model import Division, OnConflict, Plan, PlannedHost, Scenario
from mlperf_ops.system_given import FROM_PLAN, check_given

T = TypeVar("T")


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
    hosts: Mapping[str, PlannedHost | None]  # by system; None: something is wrong with it
    tells: frozenset[str]


@dataclass(frozen=True, slots=True)
class NamedBenchmark:
    """A benchmark as the tree and the round call it."""

    name: str
    directory: str
    official: str


@dataclass(slots=True)
class Gathered:
    """Mistakes, so that all of them are told at once."""

    problems: list[ConfigError] = field(default_factory=list)

    def of(self, look_up: Callable[[], T]) -> T | None:
        """Return what a look-up gives; None, with its mistake kept, where it gives nothing."""
        try:
            return look_up()
        except AlreadyToldError:
            return None
        except ConfigError as error:
            self.problems.append(error)
            return None


def frame_of(file: MapFile, catalogue: Catalogue, planned: Plan | None, told: Gathered) -> Frame | None:
    """Look up what an import has in common; None where the round or the submitter is not known.

    Args:
        file: The map.
        catalogue: Rounds and benchmarks.
        planned: plan.json of the results folder; None when it has none.
        told: Gets a mistake for each name that is unknown, or contradicts the plan.
    """
    chosen = {key: told.of(lambda key=key: _chosen(file, planned, key)) for key in ("round", "submitter", "division")}  # type: ignore[misc]
    name = chosen["round"]
    round_ = None if name is None else told.of(lambda: catalogue.round(name, file.at("round")))
    if round_ is None:
        return None
    division: Division = file.map.division or (planned.division if planned is not None else "open")
    hosts, tells = _hosts(file, round_, planned, told)
    submitter = chosen["submitter"]
    if submitter is None:
        return None
    return Frame(round_, submitter, division, file.map.on_conflict, hosts, tells)


def _chosen(file: MapFile, planned: Plan | None, key: str) -> str:
    """Return what map and plan say of a key.

    Raises:
        ConfigError: Neither says anything, or they contradict each other.
    """
    told, ours = getattr(file.map, key), None if planned is None else str(getattr(planned, key))
    if told is None and key in file.lost:
        raise AlreadyToldError(key)
    if told is None and ours is None:
        raise ConfigError(f"{file.path}:1: key '{key}' is missing, and the results folder has no plan.json")
    if None not in (told, ours) and told != ours and key != "division":
        raise ConfigError(
            f"{file.at(key)}: the plan of the results folder has {key} '{ours}', and the map '{told}'",
            hint="one results folder is one submission; import into another folder",
        )
    return str(told or ours)


def _hosts(
    file: MapFile, round_: Round, planned: Plan | None, told: Gathered
) -> tuple[dict[str, PlannedHost | None], frozenset[str]]:
    """Return the host that stands for each system; None for one of which something is wrong."""
    theirs = {} if planned is None else {host.system: host for host in planned.hosts}
    names = set() if planned is None else {host.name for host in planned.hosts}
    made: dict[str, PlannedHost | None] = dict.fromkeys(file.broken)
    tells: set[str] = set()
    for index, entry in enumerate(file.map.systems):
        where, host = file.at("systems", index), entry.host or entry.system
        if entry.system in made:
            told.problems.append(ConfigError(f"{where}: system '{entry.system}' is given twice"))
            continue
        made[entry.system] = None
        if host in names:
            told.problems.append(
                ConfigError(
                    f"{file.at('systems', index, 'host')}: host '{host}' is one of the plan",
                    hint=f"give the imported results a host of their own, such as host: {host}-imported",
                )
            )
            continue
        names.add(host)
        joins = theirs.get(entry.system)
        description = told.of(lambda: _description(file, index, entry, round_))  # noqa: B023  # called at once
        system_type = told.of(lambda: _system_type(file, index, entry, round_, joins))  # noqa: B023  # called at once
        if description is None or system_type is None:
            continue
        if joins is None and not description:
            told.problems.append(
                ConfigError(
                    f"{where}: nothing is told of system '{entry.system}'",
                    hint="give description_file, a systems/<name>.json, or the fields under description",
                )
            )
            continue
        if description:
            tells.add(host)
        made[entry.system] = PlannedHost(host, entry.system, "", system_type, description, (), "")
    return made, frozenset(tells)


def _description(file: MapFile, index: int, entry: MappedSystem, round_: Round) -> dict[str, Json]:
    """Return the fields of a system: what the file says and the round knows, and over it what is typed."""
    typed = check_given(entry.description, round_, lambda key: file.at("systems", index, "description", key))
    if entry.description_file is None:
        return typed
    where = file.at("systems", index, "description_file")
    path = file.below(entry.description_file, where)
    fields = round_.system_description
    known = {*fields.required, *fields.required_power_not_enforced, *fields.required_network} - set(FROM_PLAN)
    found = {key: value for key, value in _object(path, where).items() if key in known and key not in typed}
    told = {key: value for key, value in found.items() if value not in (None, "") or key in fields.non_empty}
    count = {"accelerators_per_node": typed.get("accelerators_per_node", told.get("accelerators_per_node", 0))}
    checked: dict[str, Json] = {}
    problems: list[str] = []
    for key, value in told.items():  # one by one, so that all that is wrong is told at once
        try:
            checked |= {
                name: kept for name, kept in check_given({**count, key: value}, round_, "").items() if name == key
            }
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
        raise unknown_name(f"benchmark of round {round_.name}", name, known, where=where)
    own = round_.model_aliases.get(name, name) not in round_.models
    if own and round_.divisions[division].official_models_only:
        raise ConfigError(
            f"{where}: '{name}' is not an official benchmark, which the {division} division demands",
            hint="give the result division: open",
        )
    directory = name if entry is None or result.official is not None else entry.directory
    return NamedBenchmark(name, directory, official)


def system_of(file: MapFile, index: int, frame: Frame | None) -> PlannedHost:
    """Return the host that stands for a result's system.

    Raises:
        ConfigError: The map has no such system, or something is wrong with it.
    """
    system = file.map.results[index].system
    known = {*file.broken, *(entry.system for entry in file.map.systems)}
    if system not in known:
        raise unknown_name("system", system, known, where=file.at("results", index, "system"))
    host = None if frame is None else frame.hosts.get(system)
    if host is None:
        raise AlreadyToldError(system)
    return host


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


def maker_of(file: MapFile, index: int) -> Maker:
    """Return what made a result.

    Raises:
        ConfigError: Neither the result nor the top of the map says it.
    """
    maker = file.map.results[index].implementation or file.map.implementation
    if maker is None and "implementation" in file.lost:
        raise AlreadyToldError("implementation")
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
    elif "measurements" in file.lost:
        raise AlreadyToldError("measurements")
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
