"""How `mlperf-ops catalogue diff` shows two rounds."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlperf_ops.catalogue.diff import Gone, RoundDiff
from mlperf_ops.catalogue.diff_models import Change
from mlperf_ops.files import Json, JsonObject


def as_json(diff: RoundDiff) -> JsonObject:
    """Return a diff as one JSON object."""
    models: JsonObject = {
        "added": list(diff.added),
        "gone": [{"name": one.name, "was_in": one.had, "successor": one.successor} for one in diff.gone],
        "changed": {name: [_change(one) for one in changes] for name, changes in diff.changed.items()},
        "unchanged": list(diff.unchanged),
    }
    again: JsonObject = {"everything": diff.everything_again is not None, "why": diff.everything_again}
    again["benchmarks"] = {name: list(what) for name, what in diff.again.items()}
    changes: list[Json] = [_change(one) for one in diff.round_changes]
    return {"old": diff.old, "new": diff.new, "run_again": again, "round": changes, "benchmarks": models}


def _change(one: Change) -> JsonObject:
    made: JsonObject = {"area": one.area, "what": one.what, "before": one.before, "after": one.after}
    return made | {"again": one.again}


def show(diff: RoundDiff, console: Console) -> None:
    """Print a diff for people: what has to be run again, the round's rules, then benchmark by benchmark."""

    def line(text: str = "") -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    line(f"From round {diff.old} to {diff.new}")
    line()
    line(f"Run again: {_again(diff)}")
    if diff.round_changes:
        line()
        console.print(_table("The round", diff, [("", diff.round_changes)]))
    if diff.changed:
        console.print(_table("Benchmarks with other rules", diff, diff.changed.items()))
    if diff.added:
        line(f"New benchmarks: {', '.join(diff.added)}")
    if diff.gone:
        line(f"No longer there: {', '.join(_gone(one) for one in diff.gone)}")
    if diff.unchanged:
        line(f"Same rules: {', '.join(diff.unchanged)}")


def _again(diff: RoundDiff) -> str:
    if diff.everything_again is not None:
        return f"everything; {diff.everything_again}"
    again = [f"{name} ({', '.join(what)})" for name, what in diff.again.items() if what and name not in diff.added]
    return "; ".join(again) or "nothing; only what is new or rendered differently"


def _gone(one: Gone) -> str:
    return one.name if one.successor is None else f"{one.name} (now {one.successor})"


def _table(title: str, diff: RoundDiff, groups: Iterable[tuple[str, Iterable[Change]]]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    named = title != "The round"
    if named:
        table.add_column("benchmark", no_wrap=True)
    for heading in ("what", diff.old, diff.new, "because of it, again"):
        table.add_column(heading, overflow="fold")
    for name, changes in groups:
        shown = name
        for one in changes:
            cells = [escape(text) for text in (one.what, one.before, one.after, one.again)]
            table.add_row(*([shown] if named else []), *cells)
            shown = ""
    return table
