"""Which scenarios of a benchmark a division needs, as the round's data say. Pure."""

from __future__ import annotations

from typing import Literal, TypeAlias

from mlperf_ops.catalogue import Round
from mlperf_ops.model import Division, Scenario
from mlperf_ops.plan_model import Plan

Need: TypeAlias = Literal["required", "one of", "optional", "planned"]


def needs(
    plan: Plan, round_: Round, division: Division, system: str, official: str
) -> dict[Scenario, tuple[Need, tuple[Scenario, ...]]]:
    """Return what the round wants of a benchmark on a system, with the other scenarios of which one is enough.

    Args:
        plan: Knows the category of the system.
        round_: Its round.
        division: Of the results.
        system: Its name.
        official: The round's benchmark.

    Returns:
        Nothing where the division demands no scenario, or the round has no such benchmark for the system.
    """
    if not round_.divisions[division].all_required_scenarios or official not in round_.models:
        return {}
    host = next((host for host in plan.hosts if host.system == system), None)
    suite = None if host is None else round_.scenarios(official, host.system_type)
    if suite is None:
        return {}
    found: dict[Scenario, tuple[Need, tuple[Scenario, ...]]] = dict.fromkeys(suite.optional, ("optional", ()))
    for scenario in suite.one_of:
        found[scenario] = ("one of", tuple(other for other in suite.one_of if other != scenario))
    return found | dict.fromkeys(suite.required, ("required", ()))
