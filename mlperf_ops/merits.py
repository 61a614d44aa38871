"""The number that a performance run stands for, which of two is better, and whose seeds a log shows. Pure.

Keys, units and seeds are the round's data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mlperf_ops.catalogue import Round
from mlperf_ops.checker.metrics import TOKEN_LATENCIES, number, result_metric
from mlperf_ops.files import JsonObject
from mlperf_ops.loadgen_settings import TEST_MODES
from mlperf_ops.model import Scenario, Spec

_LOWER_IS_BETTER = "Latency"  # how the units of latencies start in every round
_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class Merit:
    """A result as the round's result table states it; None where the log lacks the number."""

    value: float | None
    unit: str
    field: str  # key of the log that it came from

    @property
    def text(self) -> str:
        """The number with its unit."""
        return f"no {self.unit}" if self.value is None else f"{self.value:.6g} {self.unit}"

    @property
    def rank(self) -> float:
        """A number that is the smaller the better the result is."""
        if self.value is None:
            return float("inf")
        return self.value if self.unit.startswith(_LOWER_IS_BETTER) else -self.value


def merit(log: JsonObject, spec: Spec, round_: Round, claimed: Scenario) -> Merit | None:
    """Return the result of a scenario.

    Args:
        log: Values of the performance run's detail log.
        spec: What ran.
        round_: The round.
        claimed: The scenario: the one that ran, or one that may follow from it.

    Returns:
        None where the claimed scenario cannot follow from the one that ran.
    """
    rules = round_.rules(spec.official_benchmark)
    found = result_metric(log, round_, rules, claimed, spec.loadgen.scenario)
    return None if found is None else Merit(found.value, found.unit, found.field)


def token_latency_problem(log: JsonObject, spec: Spec, round_: Round, claimed: Scenario) -> str | None:
    """Say which limit of a scenario the token latencies of a run do not hold; the limits themselves are too slow."""
    limits = round_.rules(spec.official_benchmark).token_latency_limits_ns.get(claimed)
    if limits is None:
        return None
    for name, key in TOKEN_LATENCIES.items():
        limit_ns, found_ns = getattr(limits, name), number(log.get(key))
        if found_ns is None or found_ns >= limit_ns:
            shown = "missing" if found_ns is None else f"{found_ns / _NS_PER_MS:g} ms"
            return f"{key} is {shown}; {claimed} must be below {limit_ns / _NS_PER_MS:g} ms"
    return None


def other_round(log: JsonObject, round_: Round, rounds: Iterable[Round]) -> str | None:
    """Say whose seeds a log shows when they are not the round's; None when they are.

    The seeds are compiled into LoadGen, so they tell which round a run was made for, whatever its settings say. In an
    accuracy run they decide nothing and no checker looks: published ones show 0, where LoadGen read no mlperf.conf.
    Only the seeds of another round are refused there.
    """
    if not round_.seeds.wrong_in(log):
        return None
    owner = next((one.name for one in rounds if not one.seeds.wrong_in(log)), None)
    if owner is None and log.get("effective_test_mode") == TEST_MODES["accuracy"]:
        return None
    whose = f"the seeds of round {owner}" if owner else "seeds of no round that the catalogue knows"
    return (
        f"its log shows {whose}, and the submission is for {round_.name}: seeds are compiled into LoadGen, and the "
        f"checker of {round_.name} rejects every run with others; run the cell with the LoadGen of {round_.name}"
    )
