"""`mlperf-ops store`: what the cache and the hosts' stores hold, whether it is whole, and what is left over."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlperf_ops import store_care
from mlperf_ops.ansible_command import playbook_command
from mlperf_ops.catalogue import Catalogue, load_catalogue
from mlperf_ops.commands.components import default_cache
from mlperf_ops.errors import EXIT_VERDICT, ConfigError, ToolError
from mlperf_ops.files import Json, JsonObject, pretty_json, read_json

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List, verify and clean the component stores of controller and hosts.\n\n"
    "Without -i it is the controller's cache, with -i the stores of the inventory's hosts, all in parallel.\n\n"
    "Example: mlperf-ops store verify -i inventory/lab",
)

_PLAYBOOK = "playbooks/store.yml"
_UNREACHABLE = re.compile(r"^(\S+) +:.*\bunreachable=[1-9]", re.MULTILINE)
_LAST_LINES = 5
_Inventory = Annotated[str | None, typer.Option("--inventory", "-i", help="The hosts of this inventory.")]
_Limit = Annotated[str | None, typer.Option(help="Only these hosts of the inventory; Ansible's pattern.")]
_ExtraVars = Annotated[list[str] | None, typer.Option("-e", "--extra-vars", help="Passed on to Ansible, with -i.")]
_Cache = Annotated[Path | None, typer.Option(help="The controller's cache folder.")]
_Results = Annotated[Path, typer.Option(help="Folder that holds the results folders, whose plans say what is in use.")]
_AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
_DEFAULT_RESULTS = Path("results")


@app.command("ls")
def list_parts(
    inventory: _Inventory = None,
    limit: _Limit = None,
    extra_vars: _ExtraVars = None,
    cache: _Cache = None,
    results: _Results = _DEFAULT_RESULTS,
    as_json: _AsJson = False,
) -> None:
    """List what a store holds: component, version, digest, size, licence and the runs that use it.

    Example: mlperf-ops store ls -i inventory/lab --limit sut1
    """
    catalogue = load_catalogue()
    if inventory is not None:
        answers, silent = _ask_hosts("ls", inventory, limit, extra_vars, results)
        rows = [_host_row(one["host"], part, catalogue) for one in answers for part in _objects(one, "parts")]
        _tell({"stores": cast("list[Json]", rows), "silent": cast("list[Json]", silent)}, rows, as_json=as_json)
        raise typer.Exit(ToolError.exit_code if silent else 0)
    plans = store_care.read_plans(results)
    rows = [
        _row(part, catalogue, store_care.used_by(part, plans, catalogue))
        for part in store_care.parts(cache or default_cache())
    ]
    _tell({"cache": str(cache or default_cache()), "stores": cast("list[Json]", rows)}, rows, as_json=as_json)


@app.command("verify")
def verify(
    inventory: _Inventory = None,
    limit: _Limit = None,
    extra_vars: _ExtraVars = None,
    cache: _Cache = None,
    as_json: _AsJson = False,
) -> None:
    """Read every byte of a store and compare it with its sha256. Exit code 1 when something is not as it should be.

    What is damaged on a host is brought anew by the next provision play; a damaged component of the cache by the next
    `mlperf-ops components`.

    Example: mlperf-ops store verify -i inventory/lab
    """
    silent: list[str] = []
    if inventory is not None:
        answers, silent = _ask_hosts("verify", inventory, limit, extra_vars, _DEFAULT_RESULTS)
        faults = [{"host": one["host"], **fault} for one in answers for fault in _objects(one, "faults")]
        answer: JsonObject = {"hosts": [one["host"] for one in answers]}
    else:
        catalogue = load_catalogue()
        found = store_care.parts(cache or default_cache())
        faults = [{"host": "", **asdict(fault)} for part in found for fault in store_care.verify(part, catalogue)]
        answer = {"cache": str(cache or default_cache()), "parts": len(found)}
    if as_json:
        whole = {**answer, "faults": cast("list[Json]", faults), "silent": cast("list[Json]", silent)}
        typer.echo(pretty_json(whole), nl=False)
    else:
        for fault in faults:
            where = f"{fault['host']}: " if fault["host"] else ""
            file = f"/{fault['file']}" if fault["file"] else ""
            typer.echo(f"{where}{fault['kind']} {fault['name']}/{fault['digest']}{file} is {fault['what']}")
        typer.echo(f"{len(faults)} faults" if faults else "every byte is as it should be", err=True)
    raise typer.Exit(ToolError.exit_code if silent else EXIT_VERDICT if faults else 0)


@app.command("gc")
def collect_garbage(
    inventory: _Inventory = None,
    limit: _Limit = None,
    extra_vars: _ExtraVars = None,
    cache: _Cache = None,
    results: _Results = _DEFAULT_RESULTS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: _AsJson = False,
) -> None:
    """Remove what no plan refers to. Results are never touched.

    In use is what any plan below --results refers to; on a host also what it was provisioned with the last time.

    Example: mlperf-ops store gc -i inventory/lab --dry-run
    """
    plans = store_care.read_plans(results)
    if not plans:
        raise ConfigError(
            f"there is no plan below {results}, so everything would be removed",
            hint="name the folder that holds your results folders with --results",
        )
    catalogue = load_catalogue()
    silent: list[str] = []
    if inventory is not None:
        answers, silent = _ask_hosts("gc", inventory, limit, extra_vars, results, dry_run=dry_run)
        rows = [_host_row(one["host"], part, catalogue) for one in answers for part in _objects(one, "parts")]
    else:
        folder = cache or default_cache()
        found = [part for part in store_care.parts(folder) if not store_care.used_by(part, plans, catalogue)]
        rows = [_row(part, catalogue, []) for part in found]
        if not dry_run:
            store_care.remove(folder, found)
    freed = sum(cast("int", row["size_bytes"]) for row in rows)
    answer: JsonObject = {"removed": cast("list[Json]", rows), "size_bytes": freed, "dry_run": dry_run}
    _tell({**answer, "silent": cast("list[Json]", silent)}, rows, as_json=as_json)
    if not as_json:
        typer.echo(f"{freed / 1e6:.1f} MB {'would be' if dry_run else 'were'} freed", err=True)
    raise typer.Exit(ToolError.exit_code if silent else 0)


# --- hosts, through the playbook --------------------------------------------------------------------------------------


def _ask_hosts(
    verb: str, inventory: str, limit: str | None, extra_vars: list[str] | None, results: Path, *, dry_run: bool = False
) -> tuple[list[JsonObject], list[str]]:
    """Return the answers of the hosts, and a sentence for each that gave none."""
    with tempfile.TemporaryDirectory(prefix="mlperf_ops_") as folder:
        own = {"store_verb": verb, "store_answers": folder, "store_results": str(results.absolute())}
        words = [*(extra_vars or []), json.dumps(own)]
        arguments = [*(["--limit", limit] if limit else []), *(["--check"] if dry_run else [])]
        made = playbook_command(_PLAYBOOK, inventory, extra_vars=words, arguments=arguments)
        done = subprocess.run(made.argv, env=dict(made.env), capture_output=True, text=True, check=False)
        answers = [read_json(path) for path in sorted(Path(folder).glob("*.json"))]
    silent = [f"{one['host']}: {one['msg']}" for one in answers if one.get("failed")]
    silent += [f"{host}: unreachable" for host in _UNREACHABLE.findall(done.stdout)]
    if done.returncode != 0 and not silent:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise ToolError(f"the store playbook failed: {'; '.join(lines[-_LAST_LINES:])}")
    for sentence in silent:
        typer.echo(f"mlperf-ops: {sentence}", err=True)
    return [one for one in answers if not one.get("failed")], silent


# --- rows -------------------------------------------------------------------------------------------------------------


def _objects(answer: JsonObject, key: str) -> list[JsonObject]:
    listed = answer.get(key)
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _about(name: str, catalogue: Catalogue) -> tuple[str, str]:
    """Return version and licence of a component."""
    entry = catalogue.components.get(name)
    return (entry.version, entry.license) if entry is not None else ("", "")


def _row(part: store_care.Part, catalogue: Catalogue, runs: list[str]) -> JsonObject:
    version, license_ = _about(part.name, catalogue)
    return {
        "host": "", "name": part.name, "kind": part.kind, "version": version, "digest": part.digest,
        "size_bytes": part.size_bytes, "license": license_, "used_by": cast("list[Json]", runs),
        "path": str(part.path),
    }  # fmt: skip


def _host_row(host: Json, part: JsonObject, catalogue: Catalogue) -> JsonObject:
    version, license_ = _about(str(part["name"]), catalogue)
    runs = [f"run {run}" for run in cast("list[str]", part["runs"])]
    words = [word for word in ("provisioned", "planned") if part[word]]
    return {
        "host": host, "name": part["name"], "kind": part["kind"], "version": version, "digest": part["digest"],
        "size_bytes": part["size_bytes"], "license": license_, "used_by": cast("list[Json]", [*words, *runs]),
        "path": part["path"],
    }  # fmt: skip


def _tell(answer: JsonObject, rows: list[JsonObject], *, as_json: bool) -> None:
    if as_json:
        typer.echo(pretty_json(answer), nl=False)
        return
    table = Table(box=None, pad_edge=False)
    columns = ["host", "name", "version", "digest", "size", "used by", "license"]
    if not any(row["host"] for row in rows):
        columns.remove("host")
    for heading in columns:
        table.add_column(heading, overflow="fold", justify="right" if heading == "size" else "left")
    for row in rows:
        cells = {
            **{key: str(row[key]) for key in ("host", "name", "version", "license")},
            "digest": str(row["digest"])[:12],
            "size": f"{cast('int', row['size_bytes']) / 1e6:.1f} MB",
            "used by": ", ".join(cast("list[str]", row["used_by"])) or "nothing",
        }
        table.add_row(*(escape(cells[column]) for column in columns))
    Console(width=None if sys.stdout.isatty() else 200).print(table)  # a pipe gets whole lines
