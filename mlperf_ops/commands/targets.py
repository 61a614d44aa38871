"""`mlperf-ops targets`: learn LoadGen targets from earlier results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mlperf_ops.campaign.read import run_id
from mlperf_ops.collected import read_collection
from mlperf_ops.errors import ConfigError, ResultError
from mlperf_ops.targets import HostTargets, as_yaml, measured, merged, write


def command(
    inventory: Annotated[Path, typer.Option("--inventory", "-i", help="Inventory whose hosts were measured.")],
    results: Annotated[
        Path | None,
        typer.Option(help="Results folder to learn from; default: results/<run id> below the current folder."),
    ] = None,
    do_write: Annotated[
        bool, typer.Option("--write", help="Write host_vars/<host>/measured_targets.yml into the inventory.")
    ] = False,
    renew: Annotated[
        bool, typer.Option("--renew", help="Replace targets that were learned before; their cells then run again.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Learn mlperf_measured_targets of each host from the valid results of a run, and show or write them.

    Offline: samples per second. SingleStream, MultiStream: mean latency in ms. Server: 0.15 of Offline, to start with.
    A target that was learned before stays unless --renew is given, and mlperf_targets, your own, always win.

    Example: mlperf-ops targets -i inventory/local --write
    """
    if not inventory.exists():
        raise ConfigError(f"there is no inventory at {inventory}", hint="start from inventory/local or inventory/lab")
    folder = inventory if inventory.is_dir() else inventory.parent
    run = results or Path("results", run_id(inventory))
    collection = read_collection(run)
    for problem in collection.problems:
        typer.echo(f"mlperf-ops: {problem}", err=True)
    found = measured(collection.earlier)
    if not found:
        raise ResultError(
            f"{run} holds no valid SingleStream, MultiStream or Offline performance result",
            hint=f"mlperf-ops run -i {inventory} --style test measures them",
        )
    made = merged(folder, found, renew=renew)
    files = write(made) if do_write else ()
    if as_json:
        typer.echo(json.dumps({"changed": bool(files), "hosts": [_as_json(one) for one in made]}))
        return
    for one in made:
        typer.echo(f"# {one.path}\n{as_yaml(one.targets)}", nl=False)
    for one in made:
        state = (
            "written" if one.path in files else "has this already" if not one.changed else "not written: add --write"
        )
        typer.echo(f"{one.path} {state}", err=True)


def _as_json(one: HostTargets) -> dict[str, object]:
    return {"host": one.host, "path": str(one.path), "changed": one.changed, "targets": one.targets}
