"""`mlperf-ops lease`: who holds the lab's shared things and who waits, and an end to a lease that nobody gives back."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from mlperf_ops.campaign.access import reach
from mlperf_ops.campaign.live import way_to
from mlperf_ops.campaign.read import find_run, plan_and_play
from mlperf_ops.commands.campaign_options import ExtraVarsOption, InventoryOption, JsonOption, ResultsOption
from mlperf_ops.doctor.model import Access
from mlperf_ops.errors import ConfigError, ResultError, ToolError, unknown_name
from mlperf_ops.files import JsonObject
from mlperf_ops.lease.desk import THIS_MACHINE, asked, evidence, where_of
from mlperf_ops.lease.turn import said_of
from mlperf_ops.plan_model import Plan

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def root() -> None:
    """Show who holds the lab's shared things and who waits, or break a lease.

    Example: mlperf-ops lease list -i inventory/lab
    """


@app.command("list")
def list_leases(
    inventory: InventoryOption = None,
    results: ResultsOption = None,
    extra_vars: ExtraVarsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show each shared thing of the plan: which cell of which host holds it, since when, and who waits, in order.

    Example: mlperf-ops lease list -i inventory/lab
    """
    things = _things(inventory, results, extra_vars or [])
    seen: list[JsonObject] = []
    problems: list[str] = []
    for thing, (owner, access) in things.items():
        try:
            answer = _view(thing, access)
        except ToolError as error:
            problems.append(str(error))
            continue
        seen.append({"owner": owner, **{key: answer[key] for key in ("thing", "holder", "queue")}})
    _look_at_cells([one["holder"] for one in seen], lambda: _hosts(inventory, results, extra_vars or []))
    if as_json:
        typer.echo(json.dumps({"schema": 1, "leases": seen, "problems": problems}))
        return
    if not things:
        typer.echo("the plan has no cell that holds a shared thing (mlperf_shared)")
    for one in seen:
        _show(one)
    for problem in problems:
        typer.echo(f"mlperf-ops: {problem}", err=True)
    if problems and not seen:
        raise ToolError("no owner of a shared thing could be asked", hint="mlperf-ops doctor -i INVENTORY")


@app.command("break")
def break_lease(
    thing: Annotated[str, typer.Argument(metavar="THING", help="Name of the shared thing, as in mlperf_shared.")],
    inventory: InventoryOption = None,
    results: ResultsOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    extra_vars: ExtraVarsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a shared thing from the cell that holds it, so that the next in the queue has it.

    Says who holds it, and asks. Nothing is stopped: if that cell still runs, two cells use the thing at once and no
    result of theirs can be trusted. Only for a holder that is known to be gone.

    Example: mlperf-ops lease break meter1 -i inventory/lab
    """
    things = _things(inventory, results, extra_vars or [])
    if thing not in things:
        if not things:
            raise ConfigError("the plan has no cell that holds a shared thing", hint="mlperf_shared names them")
        raise unknown_name("shared thing", thing, things)
    _, access = things[thing]
    damage = ""
    holder: Any = None
    try:
        holder = _view(thing, access)["holder"]
    except ToolError as error:
        if "damaged" not in str(error):
            raise
        damage = str(error)
    if holder is None and not damage:
        if as_json:
            typer.echo(json.dumps({"schema": 1, "thing": thing, "broken": None}))
        else:
            typer.echo(f"nobody holds {thing}")
        return
    _look_at_cells([holder], lambda: _hosts(inventory, results, extra_vars or []))
    typer.echo(damage or f"{thing} is held by {_held(holder)}", err=True)
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise ConfigError(f"the lease of {thing} was not broken: nobody is there to be asked", hint="add --yes")
        if not typer.confirm(f"Break it? A cell that still runs would share {thing} with the next", err=True):
            raise typer.Exit(1)
    # By the id that was shown: whoever holds it by now, because that one has given it back, keeps it.
    told = asked(access, [{"verb": "break", "thing": thing, "id": holder["id"] if holder else ""}])[0]
    if holder is not None and not told["done"]:
        raise ResultError(f"{thing} was given back meanwhile; nothing was broken")
    if as_json:
        typer.echo(json.dumps({"schema": 1, "thing": thing, "broken": holder, "holder": told["holder"]}))
        return
    now: Any = told["holder"]
    typer.echo(f"{thing}: broken; now {'held by ' + said_of(now) if now else 'free'}")


def views(
    inventory: str | None, results: Path | None, extra_vars: list[str]
) -> tuple[Plan, dict[str, JsonObject], dict[str, str]]:
    """Return the plan, the lease of each shared thing in it, and why others could not be read, by thing."""
    plan, _ = plan_and_play(find_run(inventory, results))
    seen: dict[str, JsonObject] = {}
    problems: dict[str, str] = {}
    for thing, (_, access) in _ways(plan, inventory, extra_vars).items():
        try:
            seen[thing] = _view(thing, access)
        except ToolError as error:  # noqa: PERF203  # each owner for itself
            problems[thing] = str(error)
    return plan, seen, problems


def _things(inventory: str | None, results: Path | None, extra_vars: list[str]) -> dict[str, tuple[str, Access]]:
    """Return owner and the way to it, of each shared thing of the plan."""
    plan, _ = plan_and_play(find_run(inventory, results))
    return _ways(plan, inventory, extra_vars)


def _ways(plan: Plan, inventory: str | None, extra_vars: list[str]) -> dict[str, tuple[str, Access]]:
    owners = {one.thing: one.host for one in plan.owners}
    names = sorted({thing for cell in plan.cells for thing in cell.holds})
    reached = reach(inventory or plan.inventory, extra_vars) if any(name in owners for name in names) else None
    found = {}
    for name in names:
        owner = owners.get(name, "")
        found[name] = (owner, THIS_MACHINE if not owner or reached is None else way_to(owner, reached))
    return found


def _view(thing: str, access: Access) -> JsonObject:
    return asked(access, [{"verb": "view", "thing": thing}])[0]


def _hosts(inventory: str | None, results: Path | None, extra_vars: list[str]) -> list[Access]:
    """Return how the hosts of the plan are reached that may run a holder's cell."""
    plan, _ = plan_and_play(find_run(inventory, results))
    return list(reach(inventory or plan.inventory, extra_vars).access.values())


def _look_at_cells(holders: Iterable[Any], hosts: Callable[[], list[Access]]) -> None:
    """Note in each claim whose cell was started whether it runs now: `cell_runs`, null where nobody can tell.

    A cell outlives its controller, and its lease stays until somebody asks: the host alone knows which it is.
    """
    started = [one for one in holders if one is not None and one["stage"] == "running"]
    reached: list[Access] = []
    if started:
        with contextlib.suppress(ConfigError, ToolError):  # the lease itself is known all the same
            reached = hosts()
    for one in started:
        way = next((access for access in reached if where_of(access) == one["where"]), None)
        one["cell_runs"] = None if way is None else evidence(way, str(one["home"]), str(one["cell"]))


def _held(holder: Any) -> str:  # noqa: ANN401  # a claim
    return f"{said_of(holder)} since {holder['held_seconds']:.0f} s; {_cell_state(holder)}"


def _cell_state(holder: Any) -> str:  # noqa: ANN401  # a claim
    if holder["stage"] != "running":
        return "its cell has not been started yet"
    runs = holder.get("cell_runs")
    if runs is None:
        return "its cell was started, and nobody here can ask its host whether it still runs"
    if runs:
        return "its cell runs"
    if holder.get("silent"):
        return "its cell has ended, and nobody was left to give it back: the next cell that asks gets it"
    return "its cell has ended, and its controller is about to give it back"


def _show(one: JsonObject) -> None:
    holder: Any = one["holder"]
    queue: Any = one["queue"]
    where = one["owner"] or "this machine"
    typer.echo(f"{one['thing']} (kept on {where}): {'held by ' + _held(holder) if holder else 'free'}")
    for place, waiter in enumerate(queue, start=1):
        typer.echo(f"  {place}. {said_of(waiter)}")
