"""Which rounds had a benchmark, and what took its place. Pure; the facts are the catalogue's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mlperf_ops.catalogue.benchmark import Benchmark
from mlperf_ops.catalogue.collection import Catalogue
from mlperf_ops.catalogue.round import Round
from mlperf_ops.errors import ConfigError, unknown_name
from mlperf_ops.model import SCENARIOS, Division, Scenario


def round_names(catalogue: Catalogue) -> tuple[str, ...]:
    """Return all rounds, those that can only be looked up too, oldest first."""
    return tuple(sorted({*catalogue.earlier_rounds, *catalogue.rounds}, key=_age))


def rounds_of(official: str, catalogue: Catalogue) -> tuple[str, ...]:
    """Return the rounds that had a benchmark, oldest first.

    Args:
        official: The rounds' name for it (`Benchmark.maps_to`).
        catalogue: Knows the rounds.
    """
    tables = {name: one.models for name, one in catalogue.earlier_rounds.items()} | {
        name: one.models for name, one in catalogue.rounds.items()
    }
    return tuple(name for name in round_names(catalogue) if official in tables[name])


def metrics_of(official: str, catalogue: Catalogue) -> tuple[str, ...]:
    """Return the accuracy metrics of a benchmark, of the newest round that had it."""
    had = rounds_of(official, catalogue)
    if not had:
        return ()
    if had[-1] in catalogue.rounds:
        targets = catalogue.rounds[had[-1]].accuracy_targets(official, "Offline")
    else:
        targets = catalogue.earlier_rounds[had[-1]].models[official].accuracy
    return tuple(one.metric for one in targets)


def span(names: Sequence[str], catalogue: Catalogue) -> str:
    """Write rounds as people say them: "v2.1 to v6.0", "since v6.0" up to the newest; a list where there are gaps."""
    order = round_names(catalogue)
    if not names:
        return "no round"
    first, last = order.index(names[0]), order.index(names[-1])
    if list(names) != list(order[first : last + 1]):
        return ", ".join(names)
    if len(names) == 1:
        return names[0]
    return f"since {names[0]}" if last == len(order) - 1 else f"{names[0]} to {names[-1]}"


def successors(benchmark: Benchmark, catalogue: Catalogue) -> tuple[Benchmark, ...]:
    """Return what took a benchmark's place, then what took that one's, and so on."""
    found: list[Benchmark] = []
    name = benchmark.successor
    while name is not None and name not in {benchmark.name, *(one.name for one in found)}:
        found.append(catalogue.benchmark(name))
        name = found[-1].successor
    return tuple(found)


def not_in_round(benchmark: Benchmark, round_: Round, catalogue: Catalogue) -> str | None:
    """Say in one sentence that a round has no such benchmark, which rounds had, and what is there instead.

    Returns:
        The sentence, or None when the round has it.
    """
    official = benchmark.maps_to
    if official in round_.models:
        return None
    had = rounds_of(official, catalogue)
    lacks = f"round {round_.name} has no benchmark '{benchmark.name}'"
    if not had:
        return lacks
    if _age(had[0]) > _age(round_.name):
        return f"{lacks}: it is new in {had[0]}"
    was = f"{lacks}: it was in {span(had, catalogue).removeprefix('since ')}"
    chain = successors(benchmark, catalogue)
    upto = next((index for index, one in enumerate(chain) if one.maps_to in round_.models), None)
    if upto is None:
        return f"{was}, and the round has nothing in its place"
    between = [f"{one.name} ({span(rounds_of(one.maps_to, catalogue), catalogue)})" for one in chain[:upto]]
    return f"{was}, and {', then '.join([*between, chain[upto].name])} took its place"


def retired(name: str, round_: Round, catalogue: Catalogue) -> str | None:
    """Say of the name of a benchmark what `not_in_round` says; None where the catalogue has no such benchmark.

    Args:
        name: Ours, an alias, or the name that a round had for it.
        round_: The round that was asked for it.
        catalogue: Knows the rounds.
    """
    entries = catalogue.benchmarks.values()
    entry = next((one for one in entries if name in (one.name, *one.aliases)), None)
    entry = entry or next((one for one in entries if one.maps_to == name), None)
    return None if entry is None else not_in_round(entry, round_, catalogue)


def unknown_benchmark(
    name: str, round_: Round, known: Iterable[str], catalogue: Catalogue, *, where: str = ""
) -> ConfigError:
    """Build the sentence for a benchmark that a round does not have: which rounds had it, or the nearest name."""
    past = retired(name, round_, catalogue)
    if past is None:
        return unknown_name(f"benchmark of round {round_.name}", name, known, where=where)
    return ConfigError(f"{where}: {past}" if where else past)


def foreign_test(test: str, round_: Round, catalogue: Catalogue) -> str | None:
    """Say of a compliance test which rounds had it, and what took its place, where the round has none of that name.

    Args:
        test: Its name, such as "TEST05".
        round_: The round that was asked for it.
        catalogue: Knows the rounds.

    Returns:
        The sentence; None when the round has it, and when no round is known to have had it.
    """
    tables: dict[str, Iterable[str]] = {name: one.compliance_tests for name, one in catalogue.earlier_rounds.items()}
    tables |= {name: one.compliance_files for name, one in catalogue.rounds.items()}
    had = [name for name in round_names(catalogue) if test in tables[name]]
    if not had or round_.name in had:
        return None
    when = span(had, catalogue)
    when = f"only {when}" if when.startswith("since ") else f"of {when}"
    instead = next((one.instead for one in round_.compliance_retired if one.test == test and one.instead), None)
    place = f"; {instead} took its place" if instead else ""
    return f"{test} is a compliance test {when}, and none of round {round_.name}{place}"


def scenario_not_in_round(official: str, scenario: Scenario, round_: Round, division: Division) -> str | None:
    """Say in one sentence that a benchmark has no such scenario in a round, and which it has.

    A division that may choose freely (open) takes any scenario that LoadGen runs.

    Args:
        official: A benchmark of the round.
        scenario: As the round calls it.
        round_: The round.
        division: Of the submission.
    """
    known = {name for suite in round_.rules(official).suites.values() for name in suite.all}
    if scenario in known or not round_.divisions[division].all_required_scenarios:
        return None
    has = ", ".join(name for name in SCENARIOS if name in known)
    return f"round {round_.name} has no {scenario} scenario of {official} in the {division} division; it has {has}"


def _age(name: str) -> tuple[list[int], str]:
    return [int(part) for part in re.findall(r"\d+", name)], name
