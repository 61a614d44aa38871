"""The state of every planned cell, out of the plan, the collected attempts and what hosts say. Pure.

This is the one place that decides it. Where several attempts answer a request, the first that is valid and not tainted
stands; then one that runs; then the last that has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mlperf_ops.adjusting import instead
from mlperf_ops.campaign.answers import Begun, Ended, HostAnswer
from mlperf_ops.campaign.changes import changes
from mlperf_ops.campaign.durations import counted, left_of, refined
from mlperf_ops.campaign.model import CellState, CellStatus
from mlperf_ops.collected import Earlier
from mlperf_ops.model import Result, Spec
from mlperf_ops.plan_model import Plan, PlannedCell, Seconds
from mlperf_ops.typed import dump
from mlperf_ops.wording import utc

_SETTINGS = frozenset({"loadgen.user_conf", "loadgen.expect"})


@dataclass(frozen=True, slots=True)
class _Attempt:
    """An attempt that has ended, wherever its files are."""

    attempt: str
    verdict: str
    reasons: tuple[str, ...]
    tainted: tuple[str, ...]
    simulated: bool
    elapsed_seconds: float
    request_sha256: str
    spec_sha256: str
    path: str | None = None
    on_host: str | None = None
    ended_at: str | None = None
    spec: Spec | None = None
    style: str = ""

    @property
    def run_style(self) -> str:
        """Of its spec; as the plan's where only the host has the spec, and the request is the plan's."""
        return self.spec.run_style if self.spec is not None else self.style

    @property
    def good(self) -> bool:
        """Whether the next run would keep it."""
        return self.verdict == "valid" and not self.tainted

    @property
    def state(self) -> CellState:
        if self.verdict != "valid":
            return "invalid" if self.verdict == "invalid" else "failed"
        if self.tainted:
            return "tainted"
        return "simulated" if self.simulated else "valid"


def states(
    plan: Plan,
    earlier: Sequence[Earlier],
    *,
    answers: Mapping[str, HostAnswer] | None = None,
    obstacles: Mapping[str, str] | None = None,
    waiting: Mapping[tuple[str, str], str] | None = None,
) -> tuple[CellStatus, ...]:
    """Return the state of every cell of a plan, in its order.

    Args:
        plan: The plan.
        earlier: Attempts of the same results folder, in the order in which they were collected.
        answers: What hosts say, by name; a host that was not asked is missing.
        obstacles: What keeps a host from running cells, by name.
        waiting: Cells whose turn has come and that wait for a shared thing: for what and behind whom, by host and key.
    """
    held: dict[tuple[str, str], list[_Attempt]] = {}
    for one in earlier:
        held.setdefault((one.host, one.cell.key), []).append(_collected(one, plan))
    begun: dict[tuple[str, str], list[Begun]] = {}
    for host, answer in (answers or {}).items():
        for ended in answer.ended:
            held.setdefault((host, ended.key), []).append(_on_host(ended, plan))
        for one_begun in answer.begun:
            begun.setdefault((host, one_begun.key), []).append(one_begun)
    found = []
    counts = _samples(earlier)
    for planned in (counted(one, counts) for one in plan.cells):
        place = (planned.host, planned.cell.key)
        status = _of_cell(planned, held.get(place, []), begun.get(place, []), (answers or {}).get(planned.host))
        obstacle = (obstacles or {}).get(planned.host, "")
        if obstacle and status.state == "planned":
            status = replace(status, state="blocked", reason=obstacle)
        if (waits := (waiting or {}).get(place)) and status.state not in {"running", "valid", "simulated"}:
            status = replace(status, state="blocked", reason=waits)
        found.append(status)
    return tuple(found)


def _samples(earlier: Iterable[Earlier]) -> dict[tuple[str, str, str], int]:
    """Return how many samples data sets have of which runs used all, by host, component and path."""
    found = {}
    for one in earlier:
        dataset, outcome = one.spec.dataset, one.result.loadgen
        count = None if outcome is None else outcome.fields.get("qsl_reported_total_count")
        if dataset.total_count is None and isinstance(count, int) and count > 0:
            found[one.host, dataset.component, dataset.path] = count
            found[one.host, dataset.component, ""] = count
    return found


def _collected(one: Earlier, plan: Plan) -> _Attempt:
    result = one.result
    return _Attempt(
        attempt=one.cell.attempt,
        verdict="invalid" if one.power_rejected else one.cell.verdict,
        reasons=(*result.reasons, *(f"power: {reason}" for reason in one.power_rejected)),
        tainted=result.tainted,
        simulated=one.cell.simulated,
        elapsed_seconds=result.elapsed_seconds,
        request_sha256=one.cell.request_sha256,
        spec_sha256=one.cell.spec_sha256,
        path=one.cell.path,
        on_host=f"runs/{plan.run_id}/{one.spec.cell.system}/{one.cell.path}",
        ended_at=_end_of(result),
        spec=one.spec,
    )


def _end_of(result: Result) -> str | None:
    try:
        return utc(datetime.fromisoformat(result.started_at).timestamp() + result.elapsed_seconds)
    except ValueError:
        return None


def _on_host(one: Ended, plan: Plan) -> _Attempt:
    result = one.result
    return _Attempt(
        attempt=one.attempt,
        verdict=result.verdict,
        reasons=result.reasons,
        tainted=result.tainted,
        simulated=result.simulated,
        elapsed_seconds=result.elapsed_seconds,
        request_sha256=result.request_sha256,
        spec_sha256=result.spec_sha256,
        on_host=one.path,
        ended_at=_end_of(result),
        style=plan.run_style,
    )


def _of_cell(
    planned: PlannedCell, ended: Sequence[_Attempt], begun: Sequence[Begun], answer: HostAnswer | None
) -> CellStatus:
    cell = planned.cell
    plain = CellStatus(
        cell.key, planned.host, cell.system, cell.benchmark, cell.scenario, cell.mode, "planned", notes=planned.notes
    )
    if planned.status == "impossible":
        return replace(plain, state="impossible", reason=planned.reason or "", notes=())
    same = [one for one in ended if one.request_sha256 == planned.request_sha256]
    wanted = None if answer is None or planned.request is None else answer.spec_sha256(planned.request)
    current = [one for one in same if wanted in {None, one.spec_sha256}]
    good = [one for one in current if one.good]
    if good:
        return replace(_with(plain, good[-1]), notes=())
    expected, why_stale = _stale(planned, ended, same)
    running = next((one for one in begun if one.alive), None)
    if running is not None:
        other = running.request_sha256 not in {None, planned.request_sha256}
        return replace(
            plain,
            state="running",
            reason="it answers an earlier plan and will run again" if other else "",
            attempt=running.attempt,
            on_host=running.path,
            phase=running.phase,
            elapsed_seconds=running.elapsed_seconds,
            expected=expected,
            remaining=left_of(expected, running.elapsed_seconds),
        )
    plain = replace(plain, expected=expected, remaining=expected)
    lost = [one for one in begun if one.request_sha256 == planned.request_sha256]
    if lost and not _followed(lost[-1], current):
        return replace(plain, state="failed", reason=lost[-1].lost, attempt=lost[-1].attempt, on_host=lost[-1].path)
    if current:
        return _with(plain, current[-1])
    if same:
        return replace(_with(plain, same[-1]), state="stale", reason="changed on the host since: packages or harness")
    if not ended:
        return plain
    target = planned.adjusted
    cause = next((one for one in ended if target is not None and one.on_host == target.attempt), None)
    if target is not None and cause is not None and _settings_alone(planned, cause):
        # Nothing became out of date: this attempt is why the cell is planned once more, with another target.
        told = f"again, with {instead(target)}: {cause.attempt} was {cause.verdict}: {'; '.join(cause.reasons)}"
        return replace(_with(plain, cause), state="planned", reason=told)
    return replace(_with(plain, ended[-1]), state="stale", reason=why_stale)


def _followed(lost: Begun, ended: Iterable[_Attempt]) -> bool:
    """Tell whether a later attempt than the one that vanished has ended."""
    return any(_number(one.attempt) > _number(lost.attempt) for one in ended)


def _number(attempt: str) -> int:
    digits = attempt.rpartition("_")[2]
    return int(digits) if digits.isdigit() else 0


def _with(plain: CellStatus, one: _Attempt) -> CellStatus:
    reasons = (*one.reasons, *one.tainted) if not one.good else ()
    return replace(
        plain,
        state=one.state,
        reason="; ".join(reasons),
        attempt=one.attempt,
        path=one.path,
        on_host=one.on_host,
        ended_at=one.ended_at,
    )


def _settings_alone(planned: PlannedCell, one: _Attempt) -> bool:
    """Tell whether an attempt differs from the plan in LoadGen's settings only, as far as the controller knows it."""
    return one.spec is None or set(changes(planned.request, dump(one.spec))) <= _SETTINGS


def _stale(planned: PlannedCell, ended: Sequence[_Attempt], same: Sequence[_Attempt]) -> tuple[Seconds | None, str]:
    """Return how long the next run takes, and what changed since the last attempt where none answers the request."""
    if same or not ended:
        return refined(planned, same), ""
    last = ended[-1]
    if last.spec is None:
        return planned.expected, "changed since: its inputs"
    differ = changes(planned.request, dump(last.spec))
    # LoadGen's settings decide how long a run takes, so an earlier run with others says nothing about it.
    resettled = any(change.startswith("loadgen.") for change in differ)
    told = ", ".join(differ) or "its inputs"
    if planned.adjusted is not None and differ and set(differ) <= _SETTINGS:
        told = f"its target was adjusted, {instead(planned.adjusted)}"
    return planned.expected if resettled else refined(planned, ended), f"changed since: {told}"
