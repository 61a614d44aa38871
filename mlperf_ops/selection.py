"""Which attempts stand for each scenario of a plan. Only reads.

A scenario needs a performance and an accuracy attempt, of one host wherever a host has both. Two different results for
one place are a conflict, which is named and keeps the scenario out unless the plan says `on_conflict: best`. Then, of
all attempts of all hosts:

1. a pair counts before another when both of its runs are valid and no drift of the host taints them;
2. then the better result counts, by the direction of its unit in the round: the higher rate, the lower latency;
3. then the one that was started first, then the host's name.

An INVALID result counts where there is no valid one: its verdict is LoadGen's and is shown, not hidden. Whether a
submission is better off without it is decided where it is packed (`claims.needless_invalid`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from mlperf_ops.attempts import Attempt, NotUsable, attempts_of, collected
from mlperf_ops.catalogue import Catalogue, Round
from mlperf_ops.loadgen_log import DETAIL_LOG
from mlperf_ops.merits import merit
from mlperf_ops.model import Mode
from mlperf_ops.plan_model import Plan, PlannedCell

MODES: tuple[Mode, ...] = ("performance", "accuracy")
RULE = "a valid and untainted pair first, then the better result, then the earlier start"
_Key: TypeAlias = tuple[str, str, str]  # system, benchmark, scenario


@dataclass(frozen=True, slots=True)
class ScenarioAttempts:
    """The two attempts of a (system, benchmark, scenario)."""

    performance: Attempt
    accuracy: Attempt

    @property
    def key(self) -> str:
        """`system/benchmark/scenario`."""
        cell = self.performance.spec.cell
        return f"{cell.system}/{cell.benchmark}/{cell.scenario}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Where they ran, each host once."""
        return tuple(dict.fromkeys((self.performance.planned.host, self.accuracy.planned.host)))

    @property
    def valid(self) -> bool:
        """Whether both runs are valid."""
        return all(one.result.verdict == "valid" for one in (self.performance, self.accuracy))

    @property
    def tainted(self) -> tuple[str, ...]:
        """How the hosts drifted meanwhile, each sentence with its mode."""
        return tuple(
            f"{mode}: {' '.join(sentence.split())}"
            for mode, one in (("performance", self.performance), ("accuracy", self.accuracy))
            for sentence in one.result.tainted
        )


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A cell that keeps its scenario out of the tree, and why."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Contender:
    """One of several results for a place, in words."""

    host: str
    attempt: str
    value: str  # with its unit
    verdict: str
    started_at: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """A scenario with several results.

    Attributes:
        key: `system/benchmark/scenario`.
        contenders: The results, the one that counts first where one does.
        rule: By which rule the first counts; None: none was given, so the scenario is not packed.
    """

    key: str
    contenders: tuple[Contender, ...]
    rule: str | None

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        told = " and ".join(
            f"{one.value} ({one.verdict}) of host {one.host}, {one.attempt}, started {one.started_at}"
            for one in self.contenders
        )
        if self.rule is None:
            return f"{len(self.contenders)} different results for one place: {told}"
        return f"of {told}, the first counts: {self.rule}"


@dataclass(frozen=True, slots=True)
class ComplianceOutcome:
    """What the verification of a compliance test of a place came to.

    Attributes:
        key: `system/benchmark/scenario/TESTxx` of the place.
        passed: It is passed.
        reasons: Why not, with the figures.
        remedy: What to do about it.
        notes: What a reader should know although it is passed.
    """

    key: str
    passed: bool
    reasons: tuple[str, ...] = ()
    remedy: str = ""
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """Why it is not passed, and what to do; "" where it is."""
        told = "; ".join(self.reasons)
        return f"{told} ({self.remedy})" if told and self.remedy else told


@dataclass(slots=True)
class Selection:
    """What can be packed, what is not there yet, and what must not be packed.

    Attributes:
        scenarios: Complete ones, in the order of the plan.
        missing: Cells without a result.
        refused: Cells with one that must not be packed.
        conflicts: Scenarios with several results.
        tests: What packing made of the compliance tests, by `system/benchmark/scenario/TESTxx` of the place.
        looked_at: Every planned cell and host, with the attempts that can be used, or why there is none.
    """

    scenarios: list[ScenarioAttempts] = field(default_factory=list)
    missing: list[LeftOut] = field(default_factory=list)
    refused: list[LeftOut] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    tests: dict[str, ComplianceOutcome] = field(default_factory=dict)
    looked_at: dict[tuple[str, str], tuple[Attempt, ...] | NotUsable] = field(default_factory=dict)

    def attempt(self, planned: PlannedCell) -> Attempt | NotUsable:
        """Return the attempt that stands for a planned cell of any mode on its host, or why there is none."""
        found = self.looked_at.get((planned.host, planned.cell.key), NotUsable("missing", "the plan has no such cell"))
        return found if isinstance(found, NotUsable) else found[0]

    def conflict(self, key: str) -> Conflict | None:
        """Return what was chosen from for a scenario, None where there was nothing to choose."""
        return next((one for one in self.conflicts if one.key == key), None)


def select(run: Path, plan: Plan, catalogue: Catalogue, *, simulated_too: bool = False) -> Selection:
    """Choose and verify the attempts of a plan.

    Args:
        run: The results folder.
        plan: Its plan.
        catalogue: Says which implementations are stand-ins, and gives the plan's round.
        simulated_too: Take the results of stand-ins as well; only for `mlperf_ops.simulated`.

    Raises:
        ConfigError: The catalogue does not know the plan's round.
    """
    round_ = catalogue.round(plan.round)
    hosts = {host.name: collected(run, host.name) for host in plan.hosts}
    best = plan.on_conflict == "best"
    selection = Selection()
    grouped: dict[_Key, dict[Mode, list[PlannedCell]]] = {}
    for planned in plan.cells:
        if planned.status != "planned":
            continue
        cell = planned.cell
        selection.looked_at[planned.host, cell.key] = attempts_of(
            run,
            planned,
            hosts.get(planned.host, f"the plan has no host {planned.host}"),
            catalogue,
            plan.round,
            earlier_too=best,
            simulated_too=simulated_too,
        )
        if cell.mode in MODES:
            modes = grouped.setdefault((cell.system, cell.benchmark, cell.scenario), {})
            modes.setdefault(cell.mode, []).append(planned)
    for key, modes in grouped.items():
        found = {mode: _usable(selection, "/".join((*key, mode)), modes.get(mode, ())) for mode in MODES}
        if all(found.values()):
            _settle(selection, _pairs(found["performance"], found["accuracy"]), round_, best=best)
    return selection


def _usable(selection: Selection, key: str, planned: Sequence[PlannedCell]) -> list[Attempt]:
    """Return all attempts of a cell; where there is none, note why for each host."""
    found: list[Attempt] = []
    reasons: list[NotUsable] = [] if planned else [NotUsable("missing", "the plan has no such cell")]
    for one in planned:
        seen = selection.looked_at[one.host, key]
        if isinstance(seen, NotUsable):
            reasons.append(seen)
        else:
            found += seen
    if not found:
        for reason in reasons:
            (selection.refused if reason.kind == "refused" else selection.missing).append(LeftOut(key, reason.reason))
    return found


def _pairs(performance: Sequence[Attempt], accuracy: Sequence[Attempt]) -> list[ScenarioAttempts]:
    """Return the pairs that could stand for a scenario: of one host, and only without such a pair of two hosts.

    The accuracy attempt of a pair is the newest, or of several the first that is valid and not tainted.
    """
    scores: dict[str, Attempt] = {}
    for one in accuracy:
        held = scores.get(one.planned.host)
        if held is None or (not _good(held) and _good(one)):
            scores[one.planned.host] = one
    own = [ScenarioAttempts(one, scores[one.planned.host]) for one in performance if one.planned.host in scores]
    return own or [ScenarioAttempts(one, score) for one in performance for score in scores.values()]


def _good(attempt: Attempt) -> bool:
    return attempt.result.verdict == "valid" and not attempt.result.tainted


def _settle(selection: Selection, pairs: list[ScenarioAttempts], round_: Round, *, best: bool) -> None:
    distinct = list(_distinct(pairs).values())
    if len(distinct) == 1:
        selection.scenarios.append(distinct[0])
        return
    ranked = sorted(distinct, key=lambda pair: _rank(pair, round_)) if best else distinct
    conflict = Conflict(ranked[0].key, tuple(_contender(pair, round_) for pair in ranked), rule=RULE if best else None)
    selection.conflicts.append(conflict)
    if best:
        selection.scenarios.append(ranked[0])
        return
    selection.refused += [LeftOut(f"{conflict.key}/{mode}", conflict.sentence) for mode in MODES]


def _distinct(pairs: Sequence[ScenarioAttempts]) -> Mapping[tuple[str, str], ScenarioAttempts]:
    """Drop pairs whose logs are those of another: one measurement that came in twice is no conflict."""
    found: dict[tuple[str, str], ScenarioAttempts] = {}
    for pair in pairs:
        found.setdefault((pair.performance.files[DETAIL_LOG], pair.accuracy.files[DETAIL_LOG]), pair)
    return found


def _rank(pair: ScenarioAttempts, round_: Round) -> tuple[bool, float, str, str]:
    performance = pair.performance
    counts = pair.valid and not pair.tainted
    stated = merit(performance.log, performance.spec, round_, performance.spec.cell.scenario)
    better = stated.rank if counts and stated is not None else 0.0  # a number that is not valid says nothing
    return not counts, better, performance.result.started_at, performance.planned.host


def _contender(pair: ScenarioAttempts, round_: Round) -> Contender:
    performance = pair.performance
    stated = merit(performance.log, performance.spec, round_, performance.spec.cell.scenario)
    words = "valid" if pair.valid else f"accuracy {pair.accuracy.result.verdict}"
    if performance.result.verdict != "valid":
        words = performance.result.verdict
    return Contender(
        host=performance.planned.host,
        attempt=performance.folder.name,
        value="no result" if stated is None else stated.text,
        verdict=f"{words}, tainted" if pair.tainted else words,
        started_at=performance.result.started_at,
    )
