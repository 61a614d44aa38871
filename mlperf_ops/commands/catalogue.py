"""`mlperf-ops catalogue`: what rounds, benchmarks, implementations, components and platforms there are."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, TypeAlias

import typer
import yaml
from rich import box
from rich.console import Console
from rich.table import Table

from mlperf_ops.catalogue import Benchmark, Catalogue, ComponentEntry, Implementation, Round, load_catalogue
from mlperf_ops.catalogue.base import Entry
from mlperf_ops.catalogue.diff import diff_rounds
from mlperf_ops.catalogue.history import metrics_of, not_in_round, rounds_of, span
from mlperf_ops.commands import catalogue_diff
from mlperf_ops.commands.catalogue_round import print_round
from mlperf_ops.errors import ConfigError, unknown_name
from mlperf_ops.files import JsonObject, pretty_json

Kind: TypeAlias = Literal["rounds", "earlier_rounds", "benchmarks", "implementations", "components", "platforms"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List and show rounds, benchmarks, implementations, components and platforms; compare rounds.\n\n"
    "Example: mlperf-ops catalogue show v6.1",
)


@app.command("list")
def list_entries(
    kind: Annotated[Kind | None, typer.Argument(help="Only this kind.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """List the catalogue.

    Example: mlperf-ops catalogue list benchmarks
    """
    catalogue = load_catalogue()
    found = {name: entries for name, entries in _kinds(catalogue).items() if kind in (None, name)}
    if as_json:
        summary = {name: [_summary(one, catalogue) for one in entries.values()] for name, entries in found.items()}
        typer.echo(pretty_json(summary), nl=False)
        return
    console = _console()
    for name, entries in found.items():
        console.print(_overview(name, entries.values(), catalogue))


@app.command("diff")
def diff_entries(
    old: Annotated[str, typer.Argument(help="The round that you have results of.")],
    new: Annotated[str, typer.Argument(help="The round that you want to submit to.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Compare two rounds: rule by rule, benchmark by benchmark, and what has to be run again because of it.

    Example: mlperf-ops catalogue diff v6.0 v6.1
    """
    catalogue = load_catalogue()
    found = diff_rounds(catalogue.round(old), catalogue.round(new), catalogue)
    if as_json:
        typer.echo(pretty_json(catalogue_diff.as_json(found)), nl=False)
    else:
        catalogue_diff.show(found, _console())


@app.command("show")
def show_entry(
    name: Annotated[str, typer.Argument(help="Name or alias of an entry.")],
    kind: Annotated[Kind | None, typer.Option(help="Only this kind, where a name has several entries.")] = None,
    in_round: Annotated[str | None, typer.Option("--round", help="A benchmark's rules in this round.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show everything that is known of the entries with a name.

    Example: mlperf-ops catalogue show resnet50 --round v6.1
    """
    catalogue = load_catalogue()
    if in_round is not None:
        _show_rules(catalogue, name, in_round, as_json=as_json)
        return
    entries = _find(catalogue, name, kind)
    if as_json:
        dump = {
            key: {"file": _file(catalogue, key), **_history(one, catalogue), **_dump(one)}
            for key, one in entries.items()
        }
        typer.echo(pretty_json(dump), nl=False)
        return
    console = _console()
    for key, entry in entries.items():
        console.print(f"# {key}: {_file(catalogue, key)}", style="bold", markup=False, highlight=False)
        if isinstance(entry, Round):
            print_round(console, entry)
        else:
            for word, value in _history(entry, catalogue).items():
                console.print(f"{word}: {_cell(value) or '-'}", markup=False, highlight=False, soft_wrap=True)
            text = yaml.safe_dump(_dump(entry, brief=True), sort_keys=False, allow_unicode=True, width=100)
            console.print(text, markup=False, highlight=False, soft_wrap=True)


def _console() -> Console:
    # A pipe gets whole lines: a table that is cut to 80 columns is no data.
    return Console(width=None if sys.stdout.isatty() else 200)


def _kinds(catalogue: Catalogue) -> dict[Kind, Mapping[str, Entry]]:
    return {
        "rounds": catalogue.rounds,
        "earlier_rounds": catalogue.earlier_rounds,
        "benchmarks": catalogue.benchmarks,
        "implementations": catalogue.implementations,
        "components": catalogue.components,
        "platforms": catalogue.platforms,
    }


def _find(catalogue: Catalogue, name: str, kind: Kind | None) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    known: set[str] = set()
    for plural, entries in _kinds(catalogue).items():
        if kind not in (None, plural):
            continue
        known |= set(entries)
        for key, entry in entries.items():
            aliases = entry.aliases if isinstance(entry, Benchmark) else ()
            known |= set(aliases)
            if name == key or name in aliases:
                found[f"{plural}/{key}"] = entry
    if not found:
        raise unknown_name("catalogue entry" if kind is None else f"name in {kind}", name, known)
    return found


def _file(catalogue: Catalogue, key: str) -> str:
    return str(catalogue.origins[key])


def _dump(entry: Entry, *, brief: bool = False) -> JsonObject:
    return entry.model_dump(mode="json", by_alias=True, exclude_defaults=brief)


def _history(entry: Entry, catalogue: Catalogue) -> JsonObject:
    """Return what other entries say of a benchmark: the rounds that had it, and its metrics in the newest of them."""
    if not isinstance(entry, Benchmark):
        return {}
    had = rounds_of(entry.maps_to, catalogue)
    return {"rounds": list(had), "metrics": list(metrics_of(entry.maps_to, catalogue))}


def _show_rules(catalogue: Catalogue, name: str, in_round: str, *, as_json: bool) -> None:
    benchmark, round_ = catalogue.benchmark(name), catalogue.round(in_round)
    if (problem := not_in_round(benchmark, round_, catalogue)) is not None:
        raise ConfigError(problem)
    rules = round_.models[benchmark.maps_to].model_dump(mode="json", exclude_defaults=True)
    if as_json:
        typer.echo(pretty_json({"round": round_.name, "benchmark": benchmark.name, "rules": rules}), nl=False)
        return
    console = _console()
    heading = f"# {benchmark.name} in round {round_.name}, as {benchmark.maps_to}"
    console.print(heading, style="bold", markup=False, highlight=False)
    text = yaml.safe_dump(rules, sort_keys=False, allow_unicode=True, width=100)
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _summary(entry: Entry, catalogue: Catalogue) -> JsonObject:
    made: JsonObject = {"name": entry.name, "description": entry.description}
    if isinstance(entry, Benchmark):
        rounds = span(rounds_of(entry.maps_to, catalogue), catalogue)
        made |= {"aliases": list(entry.aliases), "maps_to": entry.maps_to, "task": entry.task}
        return made | {"metrics": _history(entry, catalogue)["metrics"], "rounds": rounds, "status": entry.status}
    if isinstance(entry, ComponentEntry):
        return made | {"kind": entry.kind, "version": entry.version, "source": entry.source.type}
    if isinstance(entry, Implementation):
        return made | {"kind": entry.kind, "simulated": entry.simulated, "frameworks": list(entry.frameworks)}
    return made


def _overview(title: str, entries: Iterable[Entry], catalogue: Catalogue) -> Table:
    rows = [_summary(entry, catalogue) for entry in entries]
    columns = list(rows[0]) if rows else ["name"]
    # The description last: it is the longest, and the one that may be folded.
    columns = [name for name in columns if name != "description"] + ["description"]
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    return table


def _cell(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else ""
    return "" if value is None else str(value)
