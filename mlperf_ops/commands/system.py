"""`mlperf-ops system`: what is known of each system, what is not, and what changed since last round's file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlperf_ops.catalogue import Round, load_catalogue
from mlperf_ops.errors import ConfigError, SubmissionError, unknown_name
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.run_plan import read_plan, round_of
from mlperf_ops.system import origins_json
from mlperf_ops.system_diff import FieldDiff, compare, read_descriptions
from mlperf_ops.system_run import RunSystem, described, run_systems, to_fill_in

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Show what is known of each system, and what changed since last round's file.\n\n"
    "Example: mlperf-ops system show results/lab",
)

_JSON_OPTION = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
_SYSTEM_OPTION = Annotated[str | None, typer.Option("--system", help="Only this system.")]
_COLOURS = {"changed": "yellow", "spelling": "dim", "added": "green", "removed": "red"}


@app.command()
def show(
    run_dir: Annotated[Path, typer.Argument(help="A results folder: results/<run_id>, with plan.json and hosts/.")],
    system: _SYSTEM_OPTION = None,
    as_json: _JSON_OPTION = False,
) -> None:
    """Show each system's description: every field with its origin, and what people still have to fill in.

    What is missing comes as YAML to paste into the inventory. Reads what was collected so far and writes nothing.

    Example: mlperf-ops system show results/lab
    """
    systems, round_ = _of_run(run_dir)
    wanted = [one for one in systems if system in {None, one.name}]
    if not wanted:
        raise unknown_name("system of the plan", str(system), [one.name for one in systems])
    if as_json:
        typer.echo(json.dumps(_as_json(run_dir, round_, wanted)))
        return
    for one in wanted:
        _show(one, round_)


@app.command()
def diff(
    new: Annotated[Path, typer.Argument(help="A results folder, a submission tree, or a systems/<name>.json.")],
    old: Annotated[Path, typer.Argument(help="Last round's systems/<name>.json, or a tree that holds such files.")],
    system: _SYSTEM_OPTION = None,
    old_system: Annotated[str | None, typer.Option(help="Its name in OLD, where that is another.")] = None,
    as_json: _JSON_OPTION = False,
) -> None:
    """Show which fields of a system changed since an earlier file.

    "spelling" marks a value that says the same in other words: such changes make two rounds hard to compare.

    Example: mlperf-ops system diff results/lab last_round/open/example/systems/sut1.json
    """
    ours, theirs = _descriptions(new), read_descriptions(_there(old))
    pairs = _pairs(_chosen(ours, system, new), _chosen(theirs, old_system, old), new, old)
    differences = {(name, earlier): compare(theirs[earlier], ours[name]) for name, earlier in pairs}
    if as_json:
        rows = [
            {"system": name, "old_system": earlier, "fields": [asdict(field) for field in fields]}
            for (name, earlier), fields in differences.items()
        ]
        typer.echo(json.dumps({"new": str(new), "old": str(old), "systems": rows}))
        return
    for (name, earlier), fields in differences.items():
        _show_diff(name, earlier, fields)
    for place, left in ((new, set(ours) - {one for one, _ in pairs}), (old, set(theirs) - {one for _, one in pairs})):
        if left and system is None:
            typer.echo(f"mlperf-ops: only in {place}: {', '.join(sorted(left))}", err=True)


# --- reading ---------------------------------------------------------------------------------------------------------


def _of_run(run: Path) -> tuple[tuple[RunSystem, ...], Round]:
    if not run.is_dir():
        raise ConfigError(f"{run} is not a folder", hint="give a results folder, such as results/local")
    catalogue = load_catalogue()
    plan = read_plan(run)
    round_ = round_of(run, plan, catalogue)
    return run_systems(run, plan, round_, catalogue), round_


def _there(path: Path) -> Path:
    if not path.exists():
        raise ConfigError(f"there is no {path}", hint="give a systems/<name>.json, or a tree that holds such files")
    return path


def _descriptions(path: Path) -> dict[str, dict[str, Json]]:
    """Return the descriptions of a results folder as they stand now, or those of a tree or file."""
    if not (_there(path) / "plan.json").is_file():
        return read_descriptions(path)
    systems, _ = _of_run(path)
    for one in systems:
        if one.problem is not None:
            typer.echo(f"mlperf-ops: {one.name}: {one.problem}", err=True)
    found = {name: one.content for name, one in described(systems).items()}
    if not found:
        raise SubmissionError(f"{path} has no system that can be described", hint="collect the facts of its hosts")
    return found


def _chosen(found: dict[str, dict[str, Json]], name: str | None, path: Path) -> list[str]:
    if name is not None and name not in found:
        raise unknown_name("system", name, found, where=str(path))
    return list(found) if name is None else [name]


def _pairs(ours: list[str], theirs: list[str], new: Path, old: Path) -> list[tuple[str, str]]:
    """Return which system is compared with which: those of one name, or the only one of each side."""
    if len(ours) == len(theirs) == 1:
        return [(ours[0], theirs[0])]
    same = [(name, name) for name in ours if name in theirs]
    if not same:
        raise ConfigError(
            f"no system of {new} ({', '.join(ours)}) has a name of {old} ({', '.join(theirs)})",
            hint="say which two to compare: --system NAME --old-system NAME",
        )
    return same


# --- for people ------------------------------------------------------------------------------------------------------


def _as_json(run: Path, round_: Round, systems: list[RunSystem]) -> JsonObject:
    told = origins_json(described(systems))["systems"]
    fields = told if isinstance(told, dict) else {}
    rows: JsonObject = {}
    for one in systems:
        entry = fields.get(one.name)
        rows[one.name] = {
            **(entry if isinstance(entry, dict) else {"fields": {}, "unknown": {}}),
            "hosts": list(one.hosts),
            "problem": one.problem,
            "to_fill_in": to_fill_in(one, round_),
        }
    return {"run": str(run), "round": round_.name, "systems": rows}


def _show(system: RunSystem, round_: Round) -> None:
    console = Console(highlight=False)
    if system.description is None:
        typer.echo(f"{system.name}\t({', '.join(system.hosts)})\tcannot be described: {system.problem}")
        return
    origins, unknown = system.description.origins, system.description.unknown
    if console.is_terminal:
        console.print(f"[bold]{escape(system.name)}[/] ({escape(', '.join(system.hosts))})")
        table = Table("field", "value", "origin", box=None, pad_edge=False)
        for key, one in origins.items():
            value, style = str(one.value), "yellow" if key in unknown else None
            table.add_row(escape(key), escape(value), escape(one.origin), style=style)
        console.print(table)
    else:  # a line is never broken, for grep and cut
        for key, one in origins.items():
            typer.echo("\t".join((system.name, key, str(one.value), one.origin)))
    missing = to_fill_in(system, round_)
    if missing:
        typer.echo(f"\n# Only people know these fields of {system.name}:\n{missing}")


def _show_diff(name: str, earlier: str, fields: tuple[FieldDiff, ...]) -> None:
    console = Console(highlight=False)
    title = name if name == earlier else f"{name} (was {earlier})"
    if not fields:
        typer.echo(f"{title}: no difference")
        return
    rows = [(one.kind, one.field, _value(one.old), _value(one.new)) for one in fields]
    if not console.is_terminal:
        for row in rows:
            typer.echo("\t".join((name, *row)))
        return
    table = Table("", "field", "old", "new", box=None, pad_edge=False, title=escape(title), title_justify="left")
    for kind, *cells in rows:
        table.add_row(kind, *map(escape, cells), style=_COLOURS[kind])
    console.print(table)


def _value(value: Json) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
