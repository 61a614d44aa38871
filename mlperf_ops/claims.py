"""A claim: one place of the tree and the runs that fill it, be it their own place or one that they also stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mlperf_ops.attempts import IMPORTED, Attempt
from mlperf_ops.catalogue import Benchmark, Catalogue, Round
from mlperf_ops.files import Json, JsonObject, read_json
from mlperf_ops.layout import ResultPaths, SubmissionLayout
from mlperf_ops.merits import Merit, merit, token_latency_problem
from mlperf_ops.model import Division, Scenario
from mlperf_ops.needs import needs
from mlperf_ops.plan_model import Plan
from mlperf_ops.selection import LeftOut, ScenarioAttempts

ORIGIN = "import.json"
"""Raw file of an imported attempt: where it comes from, and what only its maker knows of it."""


@dataclass(frozen=True, slots=True)
class BenchmarkFacts:
    """What the tree says of a benchmark beside its logs.

    Attributes:
        directory: Its directory in the tree.
        measurements: Of the numbers: data types, retraining, transformations; empty when nothing tells.
        calibration: What was calibrated how, in words of the maker; "" when nothing tells.
        origin: import.json of results that were made elsewhere; empty for our own.
    """

    directory: str
    measurements: Mapping[str, Json]
    calibration: str = ""
    origin: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Claim:
    """One scenario folder of the tree.

    Attributes:
        key: `system/benchmark/scenario` of the place.
        division: The place's division.
        pair: The runs behind it.
        benchmark: What is told of the benchmark; `directory` is the place's.
        official_benchmark: The round's benchmark whose rules the place is held to.
        scenario: The place's scenario.
        paths: Where its files go.
    """

    key: str
    division: Division
    pair: ScenarioAttempts
    benchmark: BenchmarkFacts
    official_benchmark: str
    scenario: Scenario
    paths: ResultPaths

    @property
    def measured(self) -> Scenario:
        """The scenario that ran."""
        return self.pair.performance.spec.cell.scenario

    @property
    def own(self) -> bool:
        """Whether the runs were made for this very place."""
        return self.key == self.pair.key

    def merit(self, round_: Round) -> Merit | None:
        """Return the result of the place; None where it cannot follow from what ran."""
        performance = self.pair.performance
        return merit(performance.log, performance.spec, round_, self.scenario)


def claims_of(pair: ScenarioAttempts, plan: Plan, catalogue: Catalogue, layout: SubmissionLayout) -> Iterator[Claim]:
    """Yield the places of a pair of attempts: its own, then those that the plan lets it stand for as well.

    Raises:
        ConfigError: The catalogue lacks the benchmark.
        ResultError: import.json of an imported attempt has another form.
        SubmissionError: A name cannot be a directory.
    """
    planned, cell = pair.performance.planned, pair.performance.spec.cell
    facts = benchmark_facts(pair.performance, catalogue)
    division = plan.division_of(planned)
    places = [(cell.benchmark, facts.directory, pair.performance.spec.official_benchmark, cell.scenario)]
    for filing in planned.also:
        same = filing.official_benchmark == planned.official_benchmark
        name = cell.benchmark if same else filing.benchmark
        places.append((name, filing.benchmark, filing.official_benchmark, filing.scenario))
    for name, directory, official, scenario in places:
        yield Claim(
            key=f"{cell.system}/{name}/{scenario}",
            division=division,
            pair=pair,
            benchmark=BenchmarkFacts(directory, facts.measurements, facts.calibration, facts.origin),
            official_benchmark=official,
            scenario=scenario,
            paths=layout.result(cell.system, directory, scenario),
        )


def claim_problem(claim: Claim, round_: Round) -> str | None:
    """Say why runs cannot stand for a place that is not their own, or return None."""
    if claim.own:
        return None
    pair = claim.pair
    accuracy = pair.accuracy.result.accuracy
    other = claim.official_benchmark != pair.performance.spec.official_benchmark
    gated = other or round_.divisions[claim.division].accuracy_target
    if gated and accuracy is not None and accuracy.met is False:
        return f"{pair.key} misses its accuracy target, so it stands for nothing else"
    if claim.scenario == claim.measured:
        return None
    if claim.measured == "Server":
        return token_latency_problem(pair.performance.log, pair.performance.spec, round_, claim.scenario)
    stated = claim.merit(round_)
    if stated is None or stated.value is None or stated.value <= 0:
        formula = round_.inference_formula.get(f"{claim.measured}->{claim.scenario}", "no formula of the round")
        return f"the log of {pair.key} gives no {claim.scenario} result ({formula})"
    return None


def needless_invalid(claim: Claim, others: Iterable[Claim], plan: Plan, round_: Round) -> LeftOut | None:
    """Say that a submission is better off without an invalid run; None where it is valid, or the round wants it.

    One rejected result is enough to have a whole submission refused. Where the scenario is required, nothing is won by
    leaving it out; a run of another style than valid is no submission, and shows what it came to.

    Args:
        claim: The place.
        others: All of the same system: where one of several scenarios is enough, a valid one frees the others.
        plan: The whole plan.
        round_: Its round.
    """
    runs = (claim.pair.performance, claim.pair.accuracy)
    bad = next((one for one in runs if one.result.verdict != "valid"), None)
    if bad is None or bad.spec.run_style != "valid":
        return None
    cell = bad.spec.cell
    wanted = needs(plan, round_, claim.division, cell.system, claim.official_benchmark)
    need, alternatives = wanted.get(claim.scenario, ("planned", ()))
    valid = {one.scenario for one in others if one.pair.valid and one.benchmark.directory == claim.benchmark.directory}
    if need == "required" or (need == "one of" and valid.isdisjoint(alternatives)):
        return None
    return LeftOut(
        f"{claim.key}/{cell.mode}",
        f"{'; '.join(bad.result.reasons) or bad.result.verdict}; the {claim.division} division does not require "
        f"{claim.scenario}, and a tree with an invalid result is rejected, so it stays out of the tree",
    )


def benchmark_facts(attempt: Attempt, catalogue: Catalogue) -> BenchmarkFacts:
    """Return what the catalogue, or the import, says of an attempt's benchmark.

    Raises:
        ConfigError: The catalogue lacks the benchmark.
        ResultError: import.json has another form.
    """
    if attempt.spec.implementation != IMPORTED:
        return facts_of(catalogue.benchmark(attempt.spec.cell.benchmark))
    origin = read_json(attempt.file(ORIGIN))
    told = origin.get("measurements")
    return BenchmarkFacts(
        directory=str(origin.get("directory", attempt.spec.cell.benchmark)),
        measurements=told if isinstance(told, dict) else {},
        calibration=str(origin.get("calibration", "")),
        origin=origin,
    )


def facts_of(benchmark: Benchmark) -> BenchmarkFacts:
    """Return what the catalogue says of a benchmark."""
    told = {} if benchmark.measurements is None else benchmark.measurements.model_dump()
    return BenchmarkFacts(benchmark.directory, told)
