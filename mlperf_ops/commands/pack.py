"""`mlperf-ops pack`: a submission tree as one archive that may be handed in."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.commands.check import refuse_run_folder
from mlperf_ops.commands.tables import print_table
from mlperf_ops.errors import ConfigError, SubmissionError
from mlperf_ops.pack import beside, pack_tree
from mlperf_ops.pack_manifest import PAGE
from mlperf_ops.run_plan import PLAN, read_part
from mlperf_ops.typed import dump
from mlperf_ops.wording import plural

_SMOKE = "a smoke run shows that cells would run; its results count nowhere and are never packed"
_ENDING = ".tar.gz"


def command(
    tree: Annotated[Path, typer.Argument(help="Folder that holds the divisions, such as results/lab/submission.")],
    round_: Annotated[str, typer.Option("--round", help="Round whose check the tree has to pass.")],
    output: Annotated[
        Path, typer.Option(help="The archive to write, X.tar.gz; X.tar.gz.manifest.json goes beside it.")
    ],
    allow_tainted: Annotated[
        list[str] | None,
        typer.Option(help="system/benchmark/scenario, or folder, of a result that may go though tainted; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Pack a submission tree into one archive, with a manifest of digests inside and beside it.

    The tree is checked first: what the round rejects is not packed, nor what a stand-in made, what is tainted, nor a
    file with a private key, a token or a path of this machine. Only a taint can be waived, by name. Equal trees give
    equal bytes.

    Example: mlperf-ops pack results/lab/submission --round v6.1 --output example-v6.1.tar.gz
    """
    if not output.name.endswith(_ENDING) or output.name == _ENDING:
        raise ConfigError(f"--output is '{output}'; expected a name that ends with {_ENDING}")
    refuse_run_folder(tree)
    _refuse_smoke(tree)
    if tree.resolve() in output.resolve().parents:
        raise ConfigError(f"--output {output} is inside of the tree", hint="write it beside the tree")
    report = pack_tree(
        tree,
        load_catalogue().round(round_, "--round"),
        output,
        allow_tainted=tuple(allow_tainted or ()),
        private=[Path.cwd()],
    )
    manifest = report.manifest
    if as_json:
        typer.echo(json.dumps({**dump(manifest), "changed": report.changed}))
        return
    holds = f"{plural(len(manifest.results), 'result')}, {plural(len(manifest.files), 'file')}"
    rows = [
        ("file", str(output)),
        ("size (bytes)", str(manifest.size_bytes)),
        ("sha256", manifest.sha256),
        ("holds", f"{holds}, each with its sha256 in {PAGE}; the check of {manifest.round} rejects none"),
        ("manifest", str(beside(output))),
        *(("tainted", f"{name}: packed because --allow-tainted names it") for name in manifest.tainted),
        ("verify", shlex.join(["mlperf-ops", "verify", str(output)])),
    ]
    print_table(("what", "value"), rows, {"tainted": "yellow"})
    typer.echo(f"{output} {'changed' if report.changed else 'is up to date'}")


def _refuse_smoke(tree: Path) -> None:
    plan = read_part(tree.resolve().parent / PLAN)
    if plan is not None and plan.smoke:
        raise SubmissionError(f"{tree}: {_SMOKE}", hint="run the inventory without mlperf_smoke")
