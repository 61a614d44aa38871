"""What the user should know of a plan as a whole: what is simulated, what closed lacks, what has no cells. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from mlperf_ops.catalogue import Catalogue, Round
from mlperf_ops.model import ComplianceTest, Division, Scenario
from mlperf_ops.plan_compliance import lacking_tests
from mlperf_ops.plan_model import Plan
from mlperf_ops.plan_shared import queues
from mlperf_ops.plan_wanted import Wanted


def remarks(plan: Plan, catalogue: Catalogue) -> tuple[str, ...]:
    """Return sentences about what the plan's cells will not give."""
    return (*_simulated(plan), *_lacking_tests(plan, catalogue.round(plan.round)), *_shared(plan))


def _shared(plan: Plan) -> Iterator[str]:
    """Say which hosts wait for one another."""
    for thing, hosts in queues(plan):
        yield (
            f"{thing} is shared by {', '.join(hosts[:-1])} and {hosts[-1]}: its lease lets their cells take turns, and "
            "the order of the cells and the times of --deadline are made for that"
        )


def _simulated(plan: Plan) -> Iterator[str]:
    planned = [one for one in plan.cells if one.request is not None]
    names: dict[str, int] = {}
    for one in planned:
        if one.request is not None and one.request["simulated"]:
            name = str(one.request["implementation"])
            names[name] = names.get(name, 0) + 1
    for name, count in names.items():
        yield (
            f"{count} of {len(planned)} cells {'is' if count == 1 else 'are'} simulated: implementation '{name}' "
            "answers without a model, so that the results say nothing of the system, are marked, and are never packed"
        )


def _lacking_tests(plan: Plan, round_: Round) -> Iterator[str]:
    """Say which compliance tests a closed submission needs that the plan leaves out, one sentence a benchmark."""
    by_tests: dict[tuple[str, tuple[ComplianceTest, ...]], list[Scenario]] = {}
    for key, tests in lacking_tests(plan.cells, round_, plan.division).items():
        scenarios = by_tests.setdefault((key.benchmark, tests), [])
        if key.scenario not in scenarios:
            scenarios.append(key.scenario)
    for (benchmark, tests), scenarios in by_tests.items():
        yield (
            f"{', '.join(tests)} of {benchmark} ({', '.join(scenarios)}) {'is' if len(tests) == 1 else 'are'} not in "
            "the plan, and a closed or network submission is rejected without (compliance: true beside the benchmark "
            "plans all tests of the round)"
        )


def no_cells(wanted: Wanted, round_: Round, division: Division, scenarios: tuple[Scenario, ...]) -> str:
    """Say why an item of mlperf_benchmarks gives no cells."""
    entry, official = wanted.entry, wanted.benchmark.maps_to
    where = f"{wanted.at('benchmark')}: {wanted.benchmark.name} has no cells"
    if not entry.modes:
        return f"{where}: its list of modes is empty"
    if not scenarios and not entry.scenarios:
        return f"{where}: its list of scenarios is empty"
    if not scenarios:
        return f"{where}: round {round_.name} has no {entry.scenarios} scenario of {official} for it"
    if entry.compliance is False or entry.compliance == ():
        return f"{where}: it asks for compliance tests only, and 'compliance' turns them off"
    asked = round_.rules(official).compliance if official in round_.models else ()
    if not asked:
        return f"{where}: it asks for compliance tests only, and round {round_.name} has none for {official}"
    return f"{where}: it asks for compliance tests only, and the {division} division demands none"
