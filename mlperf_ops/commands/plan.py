"""`mlperf-ops plan`: what will run where, what is there already, and why each other thing will not run."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlperf_ops.adjusted_files import read_adjusted, write_review
from mlperf_ops.ansible_command import playbook_command
from mlperf_ops.campaign.durations import shown_seconds
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.collected import read_collection
from mlperf_ops.commands import plan_deadline
from mlperf_ops.commands.campaign_options import ExtraVarsOption, JsonOption, ResultsOption
from mlperf_ops.commands.inner import ask_through_ansible, leave_answer, read_variables
from mlperf_ops.deadline import as_json as forecast_json
from mlperf_ops.deadline import forecast, parse_deadline
from mlperf_ops.errors import EXIT_VERDICT, BusyError, ConfigError
from mlperf_ops.files import Json, JsonObject, pretty_json, read_json, write_json
from mlperf_ops.lab import run_id_of
from mlperf_ops.lab_roles import check_role_variables, idle_hosts
from mlperf_ops.lab_source import InventorySource
from mlperf_ops.outlook import Outlook, is_unknown, outlook, slowest_host
from mlperf_ops.plan import make_plan, refuse_other_round
from mlperf_ops.plan_model import Plan
from mlperf_ops.plan_prior import repeat_share
from mlperf_ops.runlock import hold
from mlperf_ops.typed import dump, load
from mlperf_ops.wording import duration

PLAN_FILE = "plan.json"
# The outer `plan -i` tells the inner `plan --vars`, which its playbook calls, where to leave the answer.
ANSWER_VARIABLE = "MLPERF_OPS_PLAN_ANSWER"
_FILE_COLUMNS = 1000
_COLOURS = {"have": "green", "missing": "default", "stale": "yellow", "impossible": "red"}
_HOST_OPTION = Annotated[
    str | None, typer.Option("--vars", help="JSON of resolved variables to plan from; - reads standard input.")
]


def command(
    inventory: Annotated[str | None, typer.Option("--inventory", "-i", help="Inventory to plan.")] = None,
    variables: _HOST_OPTION = None,
    results: ResultsOption = None,
    extra_vars: ExtraVarsOption = None,
    deadline: Annotated[
        str | None,
        typer.Option(help="Say whether all is ready by then; ISO 8601, this machine's zone where no offset is given."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Turn an inventory into results/<run id>/plan.json and show every cell: what runs where, and why others do not.

    With -i Ansible resolves the inventory's variables (playbooks/validate.yml); that playbook calls this verb with
    --vars. The file is written only when the plan is different.

    With --deadline: which cells fit, which do not, and the critical path, were the run to start now. Exit code 1: not
    all of them are sure to fit.

    Example: mlperf-ops plan -i inventory/local -e mlperf_run_style=valid --deadline 2027-01-29T13:00
    """
    if (inventory is None) == (variables is None):
        raise ConfigError("give one of --inventory and --vars", hint="mlperf-ops plan -i inventory/local")
    now = datetime.now(timezone.utc)
    until = None if deadline is None else parse_deadline(deadline, now)
    if variables is not None:
        given = variables
        answer = leave_answer(ANSWER_VARIABLE, lambda: _plan(read_variables(given), results, dry_run=dry_run))
    else:
        typer.echo("mlperf-ops: resolving the inventory's variables with Ansible", err=True)
        answer = plan_inventory(str(inventory), results, extra_vars or [], dry_run=dry_run)
    plan = load(Plan, answer["plan"], PLAN_FILE)
    collection = read_collection(Path(str(answer["path"])).parent)
    seen = outlook(plan, collection.earlier)
    made = None if until is None else forecast(plan, seen, until, now, repeat_share(load_catalogue()))
    missed = made is not None and not made.met
    remarks = [*plan_deadline.guesses(one.expected for one in seen), *cast("list[str]", answer["remarks"])]
    if as_json:
        ready = {} if made is None else {"deadline": forecast_json(made)}
        typer.echo(json.dumps({**answer, "remarks": remarks, "outlook": [asdict(one) for one in seen], **ready}))
        raise typer.Exit(EXIT_VERDICT if missed else 0)
    for problem in (*cast("list[str]", answer["warnings"]), *collection.problems):
        typer.echo(f"mlperf-ops: {problem}", err=True)
    console = _console()
    _show(console, plan, seen, remarks)
    if made is not None:
        plan_deadline.show(console, made, shown_seconds)
    state = "would change" if dry_run and answer["changed"] else "written" if answer["changed"] else "is up to date"
    typer.echo(f"{answer['path']} {state}", err=True)
    if missed:
        raise typer.Exit(EXIT_VERDICT)


# --- from variables that Ansible resolved ----------------------------------------------------------------------------


def _plan(data: JsonObject, results: Path | None, *, dry_run: bool) -> JsonObject:
    inventory, folder, hosts = data.get("inventory"), data.get("inventory_dir"), data.get("hosts")
    if not (isinstance(inventory, str) and isinstance(folder, str) and isinstance(hosts, dict)):
        raise ConfigError("expected the keys inventory (text), inventory_dir (text) and hosts (object) in --vars")
    if not all(isinstance(variables, dict) for variables in hosts.values()):
        raise ConfigError("expected an object of variables for each host in --vars")
    source = InventorySource(Path(folder), inventory)
    source.check()
    catalogue = load_catalogue()
    lab = cast("dict[str, dict[str, Json]]", hosts)
    run = results or Path("results", run_id_of(lab, Path(folder).name))
    adjusted = read_adjusted(run)
    check_role_variables(
        cast("dict[str, dict[str, dict[str, Json]]]", data.get("role_variables") or {}),
        cast("dict[str, list[str]]", data.get("roles") or {}),
        source.locate,
    )
    groups = cast("dict[str, list[str]]", data.get("groups") or {})
    plan, remarks = make_plan(
        lab,
        catalogue,
        inventory,
        source.locate,
        default_run_id=Path(folder).name,
        adjusted=adjusted,
        groups=groups or None,
        today=date.today(),  # noqa: DTZ011  # the day of whoever plans
    )
    path = run / PLAN_FILE
    with contextlib.nullcontext() if dry_run else _held(run):
        existing = read_json(path) if path.is_file() else None
        if existing is not None:
            refuse_other_round(plan, existing, str(path))
        made = dump(plan)
        before = "" if existing is None else path.read_text()
        after = pretty_json(made)
        if not dry_run:
            write_json(path, made)
            write_review(Path(folder), plan, adjusted, lab, catalogue)
    idle = list(idle_hosts(groups))
    answer: JsonObject = {"changed": before != after, "plan": made, "path": str(path.absolute())}
    told: JsonObject = {"warnings": cast("Json", idle), "remarks": cast("Json", list(remarks))}
    return {**answer, "diff": {"before": before, "after": after}, **told}


@contextlib.contextmanager
def _held(run: Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(run))
        except BusyError as error:
            raise BusyError(error.message, hint=f"{error.hint}; --dry-run looks without writing") from error
        yield


# --- from an inventory, through Ansible ------------------------------------------------------------------------------


def plan_inventory(inventory: str, results: Path | None, extra_vars: list[str], *, dry_run: bool) -> JsonObject:
    """Plan an inventory whose variables Ansible resolves; return what `_plan` says.

    Raises:
        MlperfOpsError: What is wrong with the inventory, or with the outside.
    """
    words = list(extra_vars)
    if results is not None:
        words.append(json.dumps({"lab_validate_results": str(results.absolute())}))
    made = playbook_command(
        "playbooks/validate.yml", inventory, extra_vars=words, arguments=["--check"] if dry_run else []
    )
    return ask_through_ansible(made, ANSWER_VARIABLE, inventory)


# --- for people ------------------------------------------------------------------------------------------------------


def _console() -> Console:
    # Not on a terminal a line is a cell, however long.
    return Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else _FILE_COLUMNS)


def _show(console: Console, plan: Plan, seen: Iterable[Outlook], remarks: Iterable[str]) -> None:
    rows = list(seen)
    table = Table(box=None, pad_edge=False)
    columns = {"host": [escape(one.host) for one in rows]}
    if all(one.key.startswith(f"{one.host}/") for one in rows):
        columns = {}  # the cell says it
    columns["cell"] = [escape(one.key) for one in rows]
    columns["status"] = [f"[{_COLOURS[one.status]}]{one.status}[/]" for one in rows]
    columns["expected"] = [shown_seconds(one.expected) or ("unknown" if is_unknown(one) else "") for one in rows]
    columns["by"] = [(one.expected and one.expected.source) or "" for one in rows]
    if any(one.reason for one in rows):
        columns["reason"] = [escape(one.reason) for one in rows]
    for heading in columns:
        table.add_column(heading, overflow="fold")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    if rows:
        console.print(table)
    _show_notes(console, rows)
    for remark in remarks:
        console.print(escape(f"note: {remark}"))
    counts = {name: sum(1 for one in rows if one.status == name) for name in _COLOURS}
    said = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    console.print(
        escape(f"round {plan.round}, {plan.divisions_text}, run style {plan.run_style}: {said or 'no cells'}")
    )
    if (expected := plan_deadline.turns(plan, rows, shown_seconds) or _expected(rows)) is not None:
        console.print(escape(f"expected: {expected}"))


def _expected(rows: Sequence[Outlook]) -> str | None:
    """Say how long the plan takes; what is not known is counted and never summed up as nothing."""
    slowest, unknown = slowest_host(rows), sum(map(is_unknown, rows))
    cells = f"{unknown} cell{'' if unknown == 1 else 's'} of unknown duration"
    if slowest is None:
        return cells if unknown else None
    host, seconds = slowest
    if unknown:
        return f"at least {duration(seconds.low)} on {host} ({cells})"
    return f"{shown_seconds(seconds)} on {host}, the host with most to do"


def _show_notes(console: Console, rows: Iterable[Outlook]) -> None:
    """Print each warning once, with the cells that it is about."""
    cells: dict[str, list[str]] = {}
    for one in rows:
        for note in one.notes:
            cells.setdefault(note, []).append(one.key)
    for note, keys in cells.items():
        more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
        console.print(escape(f"note: {keys[0]}{more}: {note}"))
