"""Which hosts of a run are complete, in one line; of the others how many cells they lack, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlperf_ops.report.evidence import CellRun, Run
from mlperf_ops.wording import one_line, plural

_LACKING = ("missing", "failed", "unreadable")


def host_line(run: Run) -> str:
    """Name the complete hosts and those that are not, with their reason; "" for a lab of one that is complete."""
    complete: list[str] = []
    others: list[str] = []
    for host in run.plan.hosts:
        able = [cell for cell in run.cells if cell.host == host.name and _counts(cell)]
        lacking = [cell for cell in able if cell.state in _LACKING or cell.stale or _is_tainted(cell)]
        if lacking:
            others.append(f"{one_line(host.name)} lacks {_share(lacking, able)}: {_reason(lacking)}")
        elif able:
            complete.append(one_line(host.name))
    if not others and len(complete) < 2:  # noqa: PLR2004  # one host: the verdict says it all
        return ""
    return f"Hosts: {'; '.join(_parts(complete, others))}."


def _counts(cell: CellRun) -> bool:
    return cell.planned is not None and cell.state != "impossible"


def _is_tainted(cell: CellRun) -> bool:
    return cell.result is not None and bool(cell.result.tainted)


def _parts(complete: Sequence[str], others: Sequence[str]) -> Iterator[str]:
    if complete:
        listed = " and ".join(part for part in (", ".join(complete[:-1]), complete[-1]) if part)
        yield f"{listed} {'is' if len(complete) == 1 else 'are'} complete"
    yield from others


def _share(lacking: Sequence[CellRun], able: Sequence[CellRun]) -> str:
    return f"all {plural(len(able), 'cell')}" if len(lacking) == len(able) else f"{len(lacking)} of {len(able)} cells"


def _reason(lacking: Sequence[CellRun]) -> str:
    """Return the first cell's reason, and whether there are others."""
    reasons = list(dict.fromkeys(_why(cell) for cell in lacking))
    return reasons[0] + (f" (and {plural(len(reasons) - 1, 'other reason')})" if len(reasons) > 1 else "")


def _why(cell: CellRun) -> str:
    if cell.result is not None and cell.state == "failed":
        return one_line("; ".join(cell.result.reasons)).rstrip(".")
    if cell.stale:
        return "its result is of an earlier plan"
    if _is_tainted(cell):
        return "its result is tainted"
    return one_line(cell.problem or "no result").rstrip(".")
