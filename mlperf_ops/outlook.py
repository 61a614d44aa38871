"""What of a plan is there already, what is missing or stale, and how long it will take. Pure, for people only.

Nothing of this goes into plan.json: a second run must find the plan unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mlperf_ops.collected import Earlier
from mlperf_ops.files import Json
from mlperf_ops.model import Plan, PlannedCell, Seconds
from mlperf_ops.typed import dump

_SPREAD = 0.1
_FILLED_BY_HOST = {("packages",)}


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
    by_cell: dict[tuple[str, str], list[Earlier]] = {}
    for one in earlier:
        by_cell.setdefault((one.host, one.cell.key), []).append(one)
    return tuple(_of_cell(cell, by_cell.get((cell.host, cell.cell.key), [])) for cell in plan.cells)


def _of_cell(planned: PlannedCell, earlier: Sequence[Earlier]) -> Outlook:
    key, host = planned.cell.key, planned.host
    if planned.status == "impossible":
        return Outlook(key, host, "impossible", planned.reason or "", None, None)
    same = [one for one in earlier if one.cell.request_sha256 == planned.request_sha256]
    good = [one for one in same if one.cell.verdict == "valid" and not one.result.tainted]
    if good:
        return Outlook(key, host, "have", "", None, good[-1].cell.path)
    if same:
        last = same[-1]
        verdict = f"{last.cell.verdict} but tainted" if last.result.tainted else last.cell.verdict
        why = f"{last.cell.attempt} was {verdict}: {'; '.join(last.result.reasons + last.result.tainted)}"
        return Outlook(key, host, "missing", why, _refined(planned, same), None, planned.notes)
    if earlier:
        changes = _changes(planned, earlier[-1])
        reason = f"changed since: {', '.join(changes) or 'its inputs'}"
        # LoadGen's settings decide how long a run takes, so an earlier run with others says nothing about it.
        resettled = any(change.startswith("loadgen.") for change in changes)
        expected = planned.expected if resettled else _refined(planned, earlier)
        return Outlook(key, host, "stale", reason, expected, None, planned.notes)
    return Outlook(key, host, "missing", "", planned.expected, None, planned.notes)


def _refined(planned: PlannedCell, earlier: Iterable[Earlier]) -> Seconds | None:
    """Prefer what an earlier run of the same style took to what the rules say."""
    style = (planned.request or {}).get("run_style")
    ended = [one for one in earlier if one.spec.run_style == style and one.cell.verdict != "failed"]
    if not ended:
        return planned.expected
    took = ended[-1].result.elapsed_seconds
    said = f"{ended[-1].cell.attempt} took {took:.0f} s"
    return Seconds(round(took * (1 - _SPREAD), 1), round(took * (1 + _SPREAD), 1), said, "history")


def _changes(planned: PlannedCell, earlier: Earlier) -> list[str]:
    """Name what differs between the request and the spec that was run, without what the host fills in."""
    wanted, ran = planned.request or {}, dump(earlier.spec)
    return sorted({".".join(path[:2]) for path in _differences(wanted, ran, ())})


def _differences(wanted: Json, ran: Json, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    if path in _FILLED_BY_HOST or (path and path[-1] in {"path", "sha256"} and wanted == ""):
        return []
    if isinstance(wanted, Mapping) and isinstance(ran, Mapping):
        keys = sorted({*wanted, *ran})
        return [one for key in keys for one in _differences(wanted.get(key), ran.get(key), (*path, key))]
    if isinstance(wanted, list | tuple) and isinstance(ran, list | tuple):
        return [] if list(wanted) == list(ran) else [path]
    return [] if wanted == ran else [path]


def is_unknown(one: Outlook) -> bool:
    """Whether a cell is still to run and nobody knows how long it takes."""
    return one.status in {"missing", "stale"} and one.expected is None


def slowest_host(outlooks: Iterable[Outlook]) -> tuple[str, Seconds] | None:
    """Return the host that will work longest, and for how long; hosts run in parallel, a host's cells in turn."""
    sums: dict[str, tuple[float, float]] = {}
    for one in outlooks:
        if one.expected is not None:
            low, high = sums.get(one.host, (0.0, 0.0))
            sums[one.host] = (low + one.expected.low, high + one.expected.high)
    if not sums:
        return None
    name = max(sums, key=lambda host: sums[host][1])
    low, high = sums[name]
    return name, Seconds(round(low, 1), round(high, 1), "sum of its cells")
