"""Further places that one run may stand for: a lower accuracy target, and a scenario inferred from another. Pure.

Nothing of it happens unless the inventory asks for it by `also_as` or `scenarios_from` of a benchmark. What may stand
for what follows from the round's data:

* a benchmark may stand for one whose rules are the same but for lower accuracy targets (bert-99.9 for bert-99);
* on edge systems the scenarios of `inference_allowed_edge` may be inferred;
* a Server run may stand for Interactive, which LoadGen runs as Server, once its token latencies hold the limits there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlperf_ops.catalogue import Round
from mlperf_ops.errors import ConfigError, unknown_name
from mlperf_ops.model import SCENARIOS, Division, Scenario
from mlperf_ops.plan_model import Filing
from mlperf_ops.plan_scenarios import scenario_problem
from mlperf_ops.plan_wanted import Wanted

_OF_A_VARIANT = {"accuracy", "accuracy_per_scenario", "accuracy_delta_perc", "suites"}


def filings(
    wanted: Wanted, runs: Sequence[Scenario], round_: Round, division: Division, system_type: str
) -> dict[Scenario, tuple[Filing, ...]]:
    """Return the further places of each scenario that an item of mlperf_benchmarks runs.

    Args:
        wanted: The item.
        runs: Scenarios that are measured.
        round_: Says what may stand for what.
        division: Of the item.
        system_type: Of its host.

    Raises:
        ConfigError: Something is to stand for what it cannot; names file, line and what is allowed.
    """
    entry, benchmark = wanted.entry, wanted.benchmark
    names = [(benchmark.directory, benchmark.maps_to), *_lower_targets(wanted, round_, system_type)]
    claims: dict[Scenario, list[Scenario]] = {scenario: [scenario] for scenario in runs}
    for claimed, measured in entry.scenarios_from.items():
        _refuse_scenario(wanted, claimed, measured, runs, round_, division, system_type)
        claims[measured].append(claimed)
    return {
        measured: tuple(
            Filing(directory, official, claimed)
            for directory, official in names
            for claimed in SCENARIOS
            if claimed in places
            and (directory, claimed) != (benchmark.directory, measured)
            and (directory == benchmark.directory or _allowed(round_, official, claimed, system_type))
        )
        for measured, places in claims.items()
    }


def lower_targets(round_: Round, official: str) -> tuple[str, ...]:
    """Return the round's benchmarks that a run of `official` meets as well when it meets its own target."""
    rules = round_.rules(official)
    return tuple(
        name
        for name, other in round_.models.items()
        if other.model_dump(exclude=_OF_A_VARIANT) == rules.model_dump(exclude=_OF_A_VARIANT)
        and name != official
        and _implied(round_, official, name)
    )


def _implied(round_: Round, official: str, other: str) -> bool:
    """Whether every accuracy bound of `other` follows from one of `official`."""
    for scenario in round_.scenario_names:
        ours = {target.metric: target for target in round_.accuracy_targets(official, scenario)}
        for target in round_.accuracy_targets(other, scenario):
            own = ours.get(target.metric)
            if own is None:
                return False
            if target.min is not None and (own.min is None or own.min < target.min):
                return False
            if target.max is not None and (own.max is None or own.max > target.max):
                return False
    return True


def inference_words(round_: Round, measured: Scenario, claimed: Scenario) -> str:
    """Say how a claimed scenario's result follows from the measured one's log."""
    formula = round_.inference_formula.get(f"{measured}->{claimed}")
    if formula is None:
        return f"LoadGen runs {claimed} as {measured}; the result is the {measured} run's own"
    return f"inferred from the {measured} run: {formula}"


def _lower_targets(wanted: Wanted, round_: Round, system_type: str) -> Iterable[tuple[str, str]]:
    benchmark = wanted.benchmark
    for index, name in enumerate(wanted.entry.also_as):
        where = wanted.at("also_as", index)
        known = lower_targets(round_, benchmark.maps_to)
        official = round_.model_aliases.get(name, name)
        if not benchmark.official:
            raise ConfigError(
                f"{where}: '{benchmark.name}' is not the official model of {benchmark.maps_to}, so it cannot stand "
                f"for {name}"
            )
        if official not in round_.models:
            raise unknown_name(f"benchmark of round {round_.name}", name, [*round_.models], where=where)
        if official not in known:
            said = f"it can stand for {', '.join(known)}" if known else "it can stand for none"
            raise ConfigError(
                f"{where}: a run of {benchmark.maps_to} cannot stand for {official}: their rules differ in more than "
                f"the accuracy target; {said}"
            )
        if round_.scenarios(official, system_type) is None:
            raise ConfigError(f"{where}: round {round_.name} has no {official} for {system_type} systems")
        yield official, official


def _allowed(round_: Round, official: str, scenario: Scenario, system_type: str) -> bool:
    suite = round_.scenarios(official, system_type)
    return suite is not None and scenario in suite.all


def _refuse_scenario(  # what a rule needs to know
    wanted: Wanted,
    claimed: Scenario,
    measured: Scenario,
    runs: Sequence[Scenario],
    round_: Round,
    division: Division,
    system_type: str,
) -> None:
    where, benchmark = wanted.at("scenarios_from", claimed), wanted.benchmark
    if claimed in runs:
        raise ConfigError(
            f"{where}: {claimed} of {benchmark.name} is run itself",
            hint="leave it out of scenarios, or out of scenarios_from",
        )
    if measured not in runs:
        raise ConfigError(
            f"{where}: {claimed} is to come from {measured}, which is not run",
            hint=f"add {measured} to scenarios",
        )
    problem = scenario_problem(benchmark, claimed, round_, division, system_type)
    if problem is not None:
        raise ConfigError(f"{where}: {problem}")
    if (measured, claimed) == ("Server", "Interactive"):
        counts = {round_.accuracy_sample_count(benchmark.maps_to, one) for one in (measured, claimed)}
        if len(counts) > 1:
            raise ConfigError(
                f"{where}: the accuracy run of {claimed} covers another number of samples than that of {measured}: "
                f"{round_.accuracy_sample_count(benchmark.maps_to, claimed):,}"
            )
        return
    if (measured, claimed) not in round_.inference_allowed_edge:
        allowed = ", ".join(f"{target} from {source}" for source, target in round_.inference_allowed_edge)
        raise ConfigError(
            f"{where}: round {round_.name} does not let {claimed} follow from {measured}",
            hint=f"it allows {allowed}, on edge systems, and Interactive from Server",
        )
    if "edge" not in system_type.split(","):
        raise ConfigError(f"{where}: only results of edge systems may be inferred, and this one is {system_type}")
