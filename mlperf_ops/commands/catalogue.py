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
from mlperf_ops.catalogue.round import ModelRules
from mlperf_ops.errors import unknown_name
from mlperf_ops.files import JsonObject, pretty_json

Kind: TypeAlias = Literal["rounds", "benchmarks", "implementations", "components", "platforms"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List and show rounds, benchmarks, implementations, components and platforms.\n\n"
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
    found = {name: entries for name, entries in _kinds(load_catalogue()).items() if kind in (None, name)}
    if as_json:
        summary = {name: [_summary(one) for one in entries.values()] for name, entries in found.items()}
        typer.echo(pretty_json(summary), nl=False)
        return
    console = _console()
    for name, entries in found.items():
        console.print(_overview(name, entries.values()))


@app.command("show")
def show_entry(
    name: Annotated[str, typer.Argument(help="Name or alias of an entry.")],
    kind: Annotated[Kind | None, typer.Option(help="Only this kind, where a name has several entries.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show everything that is known of the entries with a name.

    Example: mlperf-ops catalogue show resnet50 --kind benchmarks
    """
    catalogue = load_catalogue()
    entries = _find(catalogue, name, kind)
    if as_json:
        dump = {key: {"file": _file(catalogue, key), **_dump(one)} for key, one in entries.items()}
        typer.echo(pretty_json(dump), nl=False)
        return
    console = _console()
    for key, entry in entries.items():
        console.print(f"# {key}: {_file(catalogue, key)}", style="bold", markup=False, highlight=False)
        if isinstance(entry, Round):
            _print_round(console, entry)
        else:
            text = yaml.safe_dump(_dump(entry, brief=True), sort_keys=False, allow_unicode=True, width=100)
            console.print(text, markup=False, highlight=False, soft_wrap=True)


def _console() -> Console:
    # A pipe gets whole lines: a table that is cut to 80 columns is no data.
    return Console(width=None if sys.stdout.isatty() else 200)


def _kinds(catalogue: Catalogue) -> dict[Kind, Mapping[str, Entry]]:
    return {
        "rounds": catalogue.rounds,
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


def _summary(entry: Entry) -> JsonObject:
    made: JsonObject = {"name": entry.name, "description": entry.description}
    if isinstance(entry, Benchmark):
        return made | {"aliases": list(entry.aliases), "maps_to": entry.maps_to, "status": entry.status}
    if isinstance(entry, ComponentEntry):
        return made | {"kind": entry.kind, "version": entry.version, "source": entry.source.type}
    if isinstance(entry, Implementation):
        return made | {"kind": entry.kind, "simulated": entry.simulated, "frameworks": list(entry.frameworks)}
    return made


def _overview(title: str, entries: Iterable[Entry]) -> Table:
    rows = [_summary(entry) for entry in entries]
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


def _print_round(console: Console, entry: Round) -> None:
    facts = {
        "facts from": f"{entry.source.repository} at {entry.source.commit} ({entry.source.date})",
        "loadgen": f"{entry.loadgen.package} {entry.loadgen.version}, lock {entry.loadgen.requirements}",
        "checker": f"{entry.checker.repository} at {entry.checker.commit}",
        "seeds": f"qsl {entry.seeds.qsl_rng_seed}, sample index {entry.seeds.sample_index_rng_seed}, "
        f"schedule {entry.seeds.schedule_rng_seed}",
        "divisions": " ".join(entry.divisions),
        "shortest run": f"{entry.limits.min_duration_ms / 1000:g} s",
    }
    for key, text in facts.items():
        console.print(f"{key}: {text}", markup=False, highlight=False, soft_wrap=True)
    table = Table(box=box.SIMPLE)
    table.add_column("benchmark", no_wrap=True)
    for column in ("datacenter", "edge", "accuracy", "samples", "latency bound", "compliance"):
        table.add_column(column, overflow="fold")
    for name, rules in entry.models.items():
        table.add_row(
            name,
            _scenarios(entry, name, "datacenter"),
            _scenarios(entry, name, "edge"),
            _accuracy(rules),
            f"{rules.performance_sample_count} / {rules.accuracy_sample_count}",
            _latency(rules),
            " ".join(rules.compliance),
        )
    console.print(table)


def _scenarios(entry: Round, model: str, system_type: str) -> str:
    suite = entry.scenarios(model, system_type)
    if suite is None:
        return "-"
    one_of = [" or ".join(suite.one_of)] if suite.one_of else []
    rest = [f"({name})" for name in suite.optional if name not in suite.one_of]
    return ", ".join([*suite.required, *one_of, *rest])


def _accuracy(rules: ModelRules) -> str:
    targets = rules.accuracy or next(iter(rules.accuracy_per_scenario.values()), ())
    bounds = []
    for target in targets:
        low = "" if target.min is None else f" >= {target.min:.6g}"
        high = "" if target.max is None else f" <= {target.max:.6g}"
        bounds.append(f"{target.metric}{low}{high}")
    return ", ".join(bounds) + (" (differs per scenario)" if rules.accuracy_per_scenario else "")


def _latency(rules: ModelRules) -> str:
    whole = [f"{scenario} {value / 1e6:g} ms" for scenario, value in rules.target_latency_ns.items()]
    tokens = [
        f"{scenario} first token {limit.ttft / 1e6:g} ms, next {limit.tpot / 1e6:g} ms"
        for scenario, limit in rules.token_latency_limits_ns.items()
    ]
    return "; ".join(whole + tokens)
