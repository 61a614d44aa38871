"""Targets that runs use in place of the inventory's, where mlperf_adjust_targets allows it. Pure.

A target is the submitter's free choice in every division: `user_conf.keys` of each round lists target_qps (Server,
Offline) and target_latency (SingleStream, MultiStream) for closed, open and network. Only these are adjusted, never a
latency bound, a count or a duration.

An adjustment holds for one benchmark, scenario and run style of a host, and only as long as the inventory says of the
target what it said then (`basis`): the user's own later word wins. Performance and compliance cells use it; an accuracy
cell keeps the inventory's target, which has no influence on its answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import yaml

from mlperf_ops.files import Json
from mlperf_ops.lab_vars import PREFIX, BenchmarkEntry, HostVars
from mlperf_ops.model import SCHEMA, RunStyle, Scenario
from mlperf_ops.plan_model import AdjustedTarget, Plan
from mlperf_ops.userconf_keys import as_text

if TYPE_CHECKING:
    from mlperf_ops.catalogue import Catalogue

FILE = "adjusted_targets.json"
"""Below hosts/<host> of a results folder: `AdjustedTargets`."""
REVIEW_SUFFIX = ".adjusted_targets.yml"
"""Of the file beside the inventory's folder: within it, Ansible would read the file as hosts."""
HEADER = "# Written by mlperf-ops: targets that runs used in place of the inventory's (mlperf_adjust_targets)."

_TEXT = f"""{HEADER}
# Nothing reads this file; it is written anew when a target is adjusted. To keep the targets of a host, copy its
# mlperf_targets to its host_vars, in place of those that are there: its performance results then stay good as they are,
# and only accuracy cells, whose user.conf holds the target, too, run again.
---
"""


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One target that took the place of another, and where it comes from."""

    benchmark: str
    scenario: Scenario
    run_style: RunStyle
    key: str  # "target_qps" or "target_latency", ms
    basis: str  # what the inventory said of the target: `basis`
    was: float  # the target of the attempt that was INVALID
    value: float
    attempt: str  # folder of that attempt below mlperf_home
    reason: str  # what it missed, as its verdict says
    date: str  # RFC 3339, UTC


@dataclass(frozen=True, slots=True)
class AdjustedTargets:
    """hosts/<host>/adjusted_targets.json; of several for one target the last holds."""

    host: str
    adjustments: tuple[Adjustment, ...]
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class Held:
    """The adjustment that holds for a target, and what the target is without any."""

    last: Adjustment
    own: float  # the inventory's, or what the plan takes where it says nothing


def allowed(host: HostVars, entry: BenchmarkEntry, scenario: Scenario) -> bool:
    """Return whether the inventory lets the targets of a scenario be adjusted."""
    if host.smoke:
        return False
    own = entry.adjust_targets
    if isinstance(own, tuple):
        return scenario in own
    return host.adjust_targets if own is None else own


def basis(given: str | None, measured: float | None) -> str:
    """Return what the inventory says of a target, in words that change when it changes.

    Args:
        given: Its value in mlperf_targets.
        measured: Its value in mlperf_measured_targets.
    """
    if given is not None:
        return f"given {given}"
    return "none" if measured is None else f"measured {as_text(measured)}"


def holding(
    adjustments: Iterable[Adjustment], benchmark: str, scenario: Scenario, style: RunStyle, base: str
) -> Held | None:
    """Return the adjustment that holds for the target of a benchmark and scenario: the last of those that led to it."""
    found = [
        one
        for one in adjustments
        if (one.benchmark, one.scenario, one.run_style, one.basis) == (benchmark, scenario, style, base)
    ]
    return Held(found[-1], found[0].was) if found else None


def replaced(given: Mapping[str, Json], key: str, value: float) -> dict[str, Json]:
    """Return the user's keys of a scenario with another target."""
    return {name: old for name, old in given.items() if name.removesuffix("_ms") != key} | {key: value}


def target_of(user_conf: str, key: str) -> float:
    """Return the target that a user.conf of one scenario holds."""
    lines = (line.partition(" = ") for line in user_conf.splitlines())
    return next(float(value) for name, _, value in lines if name.endswith(f".{key}"))


def in_use(plan: Plan, adjusted: Mapping[str, AdjustedTargets]) -> dict[str, tuple[Held, ...]]:
    """Return the adjustments that the performance cells of a plan use, by host; hosts without are missing."""
    found: dict[str, dict[tuple[str, str], Held]] = {}
    for one in plan.cells:
        if one.adjustable is None or one.request is None or one.host not in adjusted:
            continue
        cell, style = one.cell, cast("RunStyle", one.request["run_style"])
        held = holding(adjusted[one.host].adjustments, cell.benchmark, cell.scenario, style, one.adjustable.basis)
        if held is not None:
            found.setdefault(one.host, {})[cell.benchmark, cell.scenario] = held
    return {host: tuple(held.values()) for host, held in found.items()}


def merged(targets: Mapping[str, Any], adjustments: Iterable[Adjustment], catalogue: Catalogue) -> dict[str, Any]:
    """Return a host's mlperf_targets with adjustments in them."""
    made: dict[str, Any] = {name: dict(scenarios) for name, scenarios in targets.items()}
    for one in adjustments:
        names = (one.benchmark, *catalogue.benchmark(one.benchmark).aliases)
        name = next((name for name in names if one.scenario in made.get(name, {})), one.benchmark)
        scenarios = made.setdefault(name, {})
        scenarios[one.scenario] = replaced(scenarios.get(one.scenario, {}), one.key, one.value)
    return made


def instead(target: AdjustedTarget) -> str:
    """Say which target is used, and instead of which."""
    return f"{target.key} {_shown(target.value)} instead of {_shown(target.own)}"


def sentence(held: Held) -> str:
    """Say which target is used, instead of which, and why."""
    one = held.last
    attempt = one.attempt.rpartition("/")[2]
    # After several steps the attempt had another target than the inventory's.
    step = "" if one.was == held.own else f" with {_shown(one.was)}"
    return (
        f"{one.key} is {_shown(one.value)} instead of {_shown(held.own)}, as mlperf_adjust_targets allows: "
        f"{attempt} of {one.date}{step} was INVALID: {one.reason}"
    )


def _shown(target: float) -> str:
    return as_text(target).removesuffix(".0")


def review(run_id: str, hosts: Mapping[str, tuple[Mapping[str, Any], tuple[Held, ...]]]) -> str:
    """Return the text of the file beside the inventory.

    Args:
        run_id: Whose runs these are.
        hosts: host -> its mlperf_targets as the plan uses them, adjustments included; and the adjustments that hold.
    """
    made = {
        name: {
            f"{PREFIX}targets": {benchmark: dict(scenarios) for benchmark, scenarios in targets.items()},
            "origin": [
                {
                    "cell": f"{one.benchmark}/{one.scenario}",
                    "run": run_id,
                    "run_style": one.run_style,
                    "key": one.key,
                    "was": own,
                    "now": one.value,
                    "attempt": one.attempt,
                    "measured": one.reason,
                    "date": one.date,
                }
                for one, own in ((held.last, held.own) for held in adjustments)
            ],
        }
        for name, (targets, adjustments) in sorted(hosts.items())
    }
    return _TEXT + yaml.safe_dump(made, sort_keys=False, default_flow_style=False, width=120)
