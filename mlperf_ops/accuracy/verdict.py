"""A scored log against the targets of a round: one judgement per variant of the benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlperf_ops.accuracy_txt import AccuracyText, Bounds, Score, Target, parse_accuracy_text
from mlperf_ops.catalogue.collection import Catalogue
from mlperf_ops.catalogue.history import unknown_benchmark
from mlperf_ops.catalogue.round import Round
from mlperf_ops.catalogue.scorer import Scorer
from mlperf_ops.errors import ConfigError, unknown_name


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a text of accuracy means for one benchmark of the round.

    Attributes:
        model: The benchmark.
        scores: Its metrics that the text states, with bounds in the unit of the text.
        missing: Its metrics that the text does not state.
    """

    model: str
    scores: tuple[Score, ...]
    missing: tuple[str, ...]

    @property
    def met(self) -> bool:
        """Whether every metric is stated and within its bounds."""
        return not self.missing and all(score.met for score in self.scores)

    @property
    def sentences(self) -> tuple[str, ...]:
        """One sentence per metric."""
        missing = tuple(f"{metric} is not stated" for metric in self.missing)
        return tuple(score.sentence for score in self.scores) + missing


def variants(catalogue: Catalogue, round_: Round, name: str) -> tuple[Scorer, tuple[str, ...]]:
    """Return the scorer of a benchmark, and the round's variants of it that were asked for.

    Args:
        catalogue: Scorers, and benchmarks of our own with the round's benchmark that they map to.
        round_: The round.
        name: A benchmark of the round or its alias (that variant alone), a family such as "bert" (all its variants in
            the round), or a benchmark of the catalogue.

    Raises:
        ConfigError: There is no such benchmark in the round; names the nearest.
    """
    for scorer in catalogue.scorers.values():
        there = tuple(model for model in scorer.benchmarks.get(name, ()) if model in round_.models)
        if there:
            return scorer, there
    own = next((one for one in catalogue.benchmarks.values() if name in (one.name, *one.aliases)), None)
    official = round_.official_name(own.maps_to if own else name)
    if official is None:
        families = {family for one in catalogue.scorers.values() for family in one.benchmarks}
        raise unknown_benchmark(name, round_, {*round_.models, *round_.model_aliases, *families}, catalogue)
    return catalogue.scorer_of(official), (official,)


def siblings(scorer: Scorer, round_: Round, asked: Sequence[str]) -> tuple[str, ...]:
    """Return the round's variants of the same benchmark, those that were asked for first."""
    others = (
        model
        for names in scorer.benchmarks.values()
        if set(names) & set(asked)
        for model in names
        if model in round_.models and model not in asked
    )
    return (*asked, *others)


def scenarios_of(round_: Round, model: str) -> tuple[str, ...]:
    """Return the scenarios that a benchmark may have in any category: Offline first, then the required ones."""
    suites = round_.rules(model).suites.values()
    names = dict.fromkeys(name for suite in suites for name in (*suite.required, *suite.all))
    return tuple(sorted(names, key=lambda name: name != "Offline"))


def targets_of(round_: Round, model: str, scenario: str) -> tuple[Bounds, ...]:
    """Return a benchmark's bounds by the rules, in the unit that accuracy.txt uses.

    Raises:
        ConfigError: The round allows the scenario in no category for this benchmark.
    """
    allowed = scenarios_of(round_, model)
    if scenario not in allowed:
        raise unknown_name(f"scenario of {model} in round {round_.name}", scenario, allowed)
    return tuple(target.by_rules() for target in round_.accuracy_targets(model, scenario))


def judge(text: str, round_: Round, model: str, scenario: str) -> Judgement:
    """Judge a text of accuracy.txt by a benchmark's bounds."""
    found = parse(text, targets_of(round_, model, scenario), round_)
    return Judgement(model, found.scores, found.missing)


def parse(text: str, targets: Sequence[Target], round_: Round) -> AccuracyText:
    """Read the wanted metrics as the round's checker reads them.

    Raises:
        ConfigError: The round has no pattern for a metric.
    """
    for target in targets:
        if target.metric not in round_.accuracy_regex:
            raise ConfigError(f"round {round_.name} has no pattern for the metric {target.metric}")
    return parse_accuracy_text(text.splitlines(keepends=True), targets, round_.accuracy_regex, round_.hash_regex)
