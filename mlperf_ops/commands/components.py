"""`mlperf-ops components`: fetch, verify and convert what hosts need."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlperf_ops.catalogue import Catalogue, ComponentEntry, GitSource, load_catalogue
from mlperf_ops.checkout import obtain
from mlperf_ops.errors import ConfigError, ToolError, unknown_name
from mlperf_ops.files import JsonObject, pretty_json, read_json
from mlperf_ops.package_files import Mirror, mirror_place
from mlperf_ops.plan_model import Component, Plan
from mlperf_ops.store import prepare
from mlperf_ops.typed import load


def command(  # noqa: PLR0917  # one parameter per option
    plan: Annotated[Path | None, typer.Option(help="A plan.json: what it needs.")] = None,
    host: Annotated[str | None, typer.Option(help="Only what this host of the plan needs.")] = None,
    name: Annotated[list[str] | None, typer.Option(help="Only this component; may be repeated.")] = None,
    checker: Annotated[str | None, typer.Option(help="The official checker of this round, such as v6.1.")] = None,
    release: Annotated[
        bool, typer.Option("--release", help="With --checker: the checker of the round's own time, if it is another.")
    ] = False,
    checkout: Annotated[str, typer.Option(help="Folder or URL of the official repository, for --checker.")] = "",
    cache: Annotated[Path | None, typer.Option(help="Where prepared components are kept.")] = None,
    mirror: Annotated[str | None, typer.Option(help="Folder or URL of a mirror instead of the package index.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Fetch, verify and convert components into the controller's cache.

    What the user has put on a host is listed and left alone.

    Example: mlperf-ops components --plan results/local/plan.json
    """
    source = mirror_place(mirror)
    store = cache or default_cache()
    catalogue = load_catalogue()
    if checker is not None:
        answer = _checker(catalogue, checker, store, checkout, source, release=release)
    elif release:
        raise ConfigError("--release belongs to --checker", hint="mlperf-ops components --checker v5.1 --release")
    else:
        answer = {"cache": str(store), "components": []}
        told = _planned(plan, host, catalogue, name or [])
        answer["components"] = [_one(entry, planned, store, source) for entry, planned in told]
    if as_json:
        typer.echo(pretty_json(answer), nl=False)
    else:
        _show(answer)


def default_cache() -> Path:
    """Return where prepared components are kept: `$XDG_CACHE_HOME/mlperf-ops`, or `~/.cache/mlperf-ops`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "mlperf-ops"


def _planned(
    path: Path | None, host: str | None, catalogue: Catalogue, names: Sequence[str]
) -> list[tuple[ComponentEntry, Component | None]]:
    """Return the entries that are asked for, each with what the plan says of it."""
    if path is None:
        if not names:
            raise ConfigError("nothing to do", hint="give --plan, --name or --checker")
        return [(catalogue.component(name), None) for name in names]
    if not path.is_file():
        raise ConfigError(f"there is no plan at {path}", hint="run mlperf-ops plan first")
    loaded = load(Plan, read_json(path), str(path))
    wanted = _of_host(loaded, host)
    for name in names:
        if name not in {component.name for component in wanted}:
            raise unknown_name("component of the plan", name, [component.name for component in wanted], where=str(path))
    return [
        (catalogue.component(component.name), component) for component in wanted if not names or component.name in names
    ]


def _of_host(plan: Plan, host: str | None) -> list[Component]:
    if host is None:
        return list(plan.components)
    by_name = {one.name: one for one in plan.hosts}
    if host not in by_name:
        raise unknown_name("host of the plan", host, by_name)
    return [component for component in plan.components if component.name in by_name[host].components]


def _one(entry: ComponentEntry, planned: Component | None, cache: Path, mirror: Mirror | None) -> JsonObject:
    """Prepare one component, unless the user has it on the host."""
    told: JsonObject = {"name": entry.name, "kind": entry.kind, "version": entry.version, "license": entry.license}
    if planned is not None and planned.path is not None:
        return {**told, "state": "the user's own", "path": planned.path, "sha256": planned.sha256}
    where = f"mlperf_components.{entry.name}"
    if planned is not None and (planned.version != entry.version or "://" in planned.source):
        raise ConfigError(
            f"{where}: only the catalogue's own version {entry.version} can be fetched",
            hint=f"put another one on the host and set {where}.path",
        )
    made = prepare(entry, cache, mirror=mirror)
    if planned is not None and planned.sha256 not in {None, made.sha256}:
        raise ConfigError(f"{where}.sha256: {planned.sha256} is pinned, but the catalogue's file has {made.sha256}")
    state = "fetched" if made.fetched else "in the cache"
    return {**told, "state": state, "path": str(made.path), "sha256": made.sha256}


def _checker(
    catalogue: Catalogue, name: str, cache: Path, given: str, mirror: Mirror | None, *, release: bool
) -> JsonObject:
    """Obtain the checkout that a round names."""
    round_ = catalogue.round(name)
    commit = round_.checker.commit
    if release:
        if round_.checker.release is None:
            raise ConfigError(f"round {name} has no other checker of its own time", hint="leave out --release")
        commit = round_.checker.release.commit
    for entry in catalogue.components.values():
        if isinstance(entry.source, GitSource) and entry.source.commit == commit:
            found = obtain(entry, cache, given=given, mirror=mirror)
            path = str(found.path) if found.path else None
            return {"cache": str(cache), "checker": path, "note": found.note, "fetched": found.fetched}
    raise ToolError(f"the catalogue has no component for the checker of round {name}, commit {commit}")


def _show(answer: JsonObject) -> None:
    console = Console(width=None if sys.stdout.isatty() else 200)  # a pipe gets whole lines
    if "checker" in answer:
        console.print(escape(str(answer["checker"] or answer["note"])))
        return
    table = Table(box=None, pad_edge=False)
    columns = ("name", "kind", "version", "state", "path", "sha256")
    for heading in columns:
        table.add_column(heading, overflow="fold")
    listed = answer["components"]
    for row in listed if isinstance(listed, list) else []:
        if isinstance(row, dict):
            table.add_row(*(escape(str(row[column] or "")) for column in columns))
    console.print(table)
