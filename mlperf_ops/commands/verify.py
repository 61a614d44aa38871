"""`mlperf-ops verify`: is a pack what was packed, and does its content pass."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.checker.show import show
from mlperf_ops.errors import EXIT_VERDICT, ConfigError
from mlperf_ops.typed import dump
from mlperf_ops.verify_pack import VerifyReport, verify


def command(
    pack: Annotated[Path, typer.Argument(help="The archive that mlperf-ops pack wrote.")],
    round_: Annotated[str | None, typer.Option("--round", help="Refuse a pack of another round.")] = None,
    extract: Annotated[
        Path | None, typer.Option(help="Unpack into this new folder and keep it; default: a temporary one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as one JSON object.")] = False,
) -> None:
    """Verify a pack: its digests, that it is safe to unpack, and its content by the rules of its round.

    Says which file was changed, is missing or was added. Exit code 0: untouched, and nobody objects. 1: otherwise.

    Example: mlperf-ops verify example-v6.1.tar.gz
    """
    catalogue = load_catalogue()
    if extract is not None:
        if extract.exists():
            raise ConfigError(f"--extract {extract} exists already", hint="give a folder that is not there yet")
        extract.mkdir(parents=True)
        report = verify(pack, extract, catalogue, round_name=round_)
    else:
        with tempfile.TemporaryDirectory(prefix="mlperf-ops.") as scratch:
            report = verify(pack, Path(scratch), catalogue, round_name=round_)
    if as_json:
        typer.echo(json.dumps({**dump(report), "good": report.good}))
    else:
        _show(report)
    if not report.good:
        raise typer.Exit(EXIT_VERDICT)


def _show(report: VerifyReport) -> None:
    if report.check is not None:
        show(report.check)
    for one in report.differences:
        typer.echo(f"{one.what}\t{one.file}\t{one.message}")
    typer.echo(f"sha256 {report.sha256}")
    if report.differences:
        count = len(report.differences)
        typer.echo(f"{report.pack} is NOT what was packed: {count} {'difference' if count == 1 else 'differences'}")
    else:
        typer.echo(f"{report.pack} is what was packed")
