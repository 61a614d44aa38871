"""Which scenarios a benchmark is run in, and why others cannot be. Pure; the rules are the round's data."""

from __future__ import annotations

from mlperf_ops.catalogue import Benchmark, Catalogue, Round
from mlperf_ops.catalogue.history import not_in_round
from mlperf_ops.errors import unknown_name
from mlperf_ops.model import SCENARIOS, Division, Scenario
from mlperf_ops.plan_wanted import Wanted

_EVERYTHING, _REQUIRED = "all", "required"


def scenarios(wanted: Wanted, round_: Round, division: Division, system_type: str) -> tuple[Scenario, ...]:
    """Expand `scenarios` of a benchmark, in the order of MLPerf.

    `required` and `all` are what the round lists for the category of systems. In a division that may choose freely
    (open), `all` is every scenario that the round knows for the benchmark in any category.

    Raises:
        ConfigError: A name is unknown; names file, line and the nearest name.
    """
    asked = wanted.entry.scenarios
    official = wanted.benchmark.maps_to
    known_there = official in round_.models
    suite = round_.scenarios(official, system_type) if known_there else None
    if asked == _REQUIRED:
        return _ordered({*suite.required}) if suite is not None else ()
    if asked == _EVERYTHING and not known_there:
        return ()
    if asked == _EVERYTHING:
        if round_.divisions[division].all_required_scenarios:
            return _ordered({*suite.all}) if suite is not None else ()
        return _ordered({name for one in round_.rules(official).suites.values() for name in one.all})
    if isinstance(asked, str):
        known = [_EVERYTHING, _REQUIRED, *round_.scenario_names]
        if asked not in known:
            raise unknown_name("scenario", asked, known, where=wanted.at("scenarios"))
        asked = (asked,)
    for index, name in enumerate(asked):
        if name not in round_.scenario_names:
            raise unknown_name("scenario", name, round_.scenario_names, where=wanted.at("scenarios", index))
    return _ordered(set(asked))


def _ordered(names: set[str] | set[Scenario]) -> tuple[Scenario, ...]:
    return tuple(name for name in SCENARIOS if name in names)


def benchmark_problem(
    wanted: Wanted, round_: Round, catalogue: Catalogue, division: Division, system_type: str
) -> str | None:
    """Say why a benchmark cannot run at all, or return None."""
    benchmark, implementation = wanted.benchmark, wanted.implementation
    rules = round_.divisions[division]
    official = benchmark.maps_to
    if (problem := not_in_round(benchmark, round_, catalogue)) is not None:
        return problem
    if benchmark.status != "runnable":
        return benchmark.note
    if rules.official_models_only and not benchmark.official:
        return (
            f"'{benchmark.name}' is not the official model of {official}, which the {division} division demands; "
            "submit it to the open division"
        )
    if round_.scenarios(official, system_type) is None:
        return f"round {round_.name} has no {official} for {system_type} systems"
    if division == "network":
        return f"implementation '{implementation.name}' cannot measure over a network, as the network division demands"
    return None


def scenario_problem(
    benchmark: Benchmark, scenario: Scenario, round_: Round, division: Division, system_type: str
) -> str | None:
    """Say why a benchmark cannot run in a scenario, or return None."""
    official = benchmark.maps_to
    if scenario == "Interactive" and (problem := round_.no_interactive(official)) is not None:
        return problem
    suite = round_.scenarios(official, system_type)
    if suite is None or not round_.divisions[division].all_required_scenarios or scenario in suite.all:
        return None
    return (
        f"round {round_.name} does not allow {scenario} for {official} on {system_type} systems in the {division} "
        f"division; it allows {', '.join(suite.all)}"
    )
