"""Which compliance tests a benchmark runs, and what a plan without them rules out. Pure; the tests are round data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mlperf_ops.catalogue import Round
from mlperf_ops.compliance.audit import named_test, problem_of
from mlperf_ops.model import COMPLIANCE_TESTS, ComplianceTest, Division, Mode, Scenario
from mlperf_ops.plan_model import Limit, PlannedCell
from mlperf_ops.plan_wanted import Wanted


def modes(wanted: Wanted, round_: Round, division: Division) -> Iterator[tuple[Mode, str | None]]:
    """Yield the modes of a benchmark's cells in the order in which they run, each with the reason why it cannot.

    The tests come last, because they are compared with the runs before.

    Raises:
        ConfigError: `compliance` of the inventory names a test that the round does not have.
    """
    for mode in ("accuracy", "performance"):
        if mode in wanted.entry.modes:
            yield mode, None
    if wanted.entry.wants_compliance(demanded=round_.divisions[division].compliance_tests):
        yield from _tests(wanted, round_)


def _tests(wanted: Wanted, round_: Round) -> Iterator[tuple[ComplianceTest, str | None]]:
    official = wanted.benchmark.maps_to
    named = wanted.entry.compliance
    if isinstance(named, tuple):
        asked = {named_test(round_, name, wanted.at("compliance", index)) for index, name in enumerate(named)}
    else:
        asked = set(round_.rules(official).compliance) if official in round_.models else set()
    for test in COMPLIANCE_TESTS:
        if test in asked:
            yield test, problem_of(round_, test, official) if official in round_.models else None


@dataclass(frozen=True, slots=True)
class Place:
    """A result of the plan."""

    system: str
    benchmark: str
    scenario: Scenario


def lacking_tests(
    cells: Iterable[PlannedCell], round_: Round, division: Division
) -> dict[Place, tuple[ComplianceTest, ...]]:
    """Return the tests that a plan leaves out, although the division of a result demands them.

    Args:
        cells: Of the plan.
        round_: Its round.
        division: Of cells that name none.
    """
    planned: dict[Place, set[Mode]] = {}
    officials: dict[str, str] = {}
    for one in cells:
        if one.status == "planned" and round_.divisions[one.division or division].compliance_tests:
            place = Place(one.cell.system, one.cell.benchmark, one.cell.scenario)
            planned.setdefault(place, set()).add(one.cell.mode)
            officials[one.cell.benchmark] = one.official_benchmark
    found: dict[Place, tuple[ComplianceTest, ...]] = {}
    for place, modes_there in planned.items():
        wanted = round_.rules(officials[place.benchmark]).compliance
        lacking = tuple(test for test in COMPLIANCE_TESTS if test in wanted and test not in modes_there)
        if lacking:
            found[place] = lacking
    return found


def missing_tests(cells: Iterable[PlannedCell], round_: Round, division: Division) -> Iterator[Limit]:
    """Yield what a plan rules out that leaves tests out, one limit a benchmark."""
    told: set[str] = set()
    for place, lacking in lacking_tests(cells, round_, division).items():
        if place.benchmark not in told:
            told.add(place.benchmark)
            yield Limit("missing-compliance", place.benchmark, f"the inventory leaves {', '.join(lacking)} out")
