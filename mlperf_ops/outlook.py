"""What of a plan is there already, what is missing or stale, and how long it will take. Pure, for people only.

Nothing of this goes into plan.json: a second run must find the plan unchanged. The states are those of
`mlperf_ops.campaign.states`, seen by somebody who is about to run the plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mlperf_ops.campaign.durations import total
from mlperf_ops.campaign.model import DONE, CellStatus
from mlperf_ops.campaign.states import states
from mlperf_ops.collected import Earlier
from mlperf_ops.plan_model import Plan, Seconds


@dataclass(frozen=True, slots=True)
class Outlook:
    """A cell of the plan and what is known of it."""

    key: str
    host: str
    status: Literal["have", "missing", "stale", "impossible"]
    reason: str  # "" where there is nothing to say
    expected: Seconds | None  # of the run that is still to come; None for what is there, or unknown
    path: str | None  # attempt folder below hosts/<host>, of what is there
    notes: tuple[str, ...] = ()  # the plan's warnings


def outlook(plan: Plan, earlier: Sequence[Earlier]) -> tuple[Outlook, ...]:
    """Compare a plan with the collected attempts.

    Args:
        plan: The plan.
        earlier: Attempts of the same results folder, in the order in which they were collected.
    """
    return tuple(_of_cell(one) for one in states(plan, earlier))


def _of_cell(one: CellStatus) -> Outlook:
    if one.state in DONE:
        return Outlook(one.key, one.host, "have", "", None, one.path)
    if one.state == "impossible":
        return Outlook(one.key, one.host, "impossible", one.reason, None, None)
    if one.state == "stale":
        return Outlook(one.key, one.host, "stale", one.reason, one.expected, None, one.notes)
    if one.state == "planned":
        return Outlook(one.key, one.host, "missing", one.reason, one.expected, None, one.notes)
    words = "valid but tainted" if one.state == "tainted" else one.state
    reason = f"{one.attempt} was {words}: {one.reason}" if one.attempt else ""
    return Outlook(one.key, one.host, "missing", reason, one.expected, None, one.notes)


def is_unknown(one: Outlook) -> bool:
    """Whether a cell is still to run and nobody knows how long it takes."""
    return one.status in {"missing", "stale"} and one.expected is None


def slowest_host(outlooks: Iterable[Outlook]) -> tuple[str, Seconds] | None:
    """Return the host that will work longest, and for how long; hosts run in parallel, a host's cells in turn."""
    parts: dict[str, list[Seconds]] = {}
    for one in outlooks:
        if one.expected is not None:
            parts.setdefault(one.host, []).append(one.expected)
    sums = {host: seconds for host, known in parts.items() if (seconds := total(known)) is not None}
    if not sums:
        return None
    name = max(sums, key=lambda host: sums[host].high)
    return name, sums[name]
