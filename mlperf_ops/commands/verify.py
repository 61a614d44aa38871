"""`mlperf-ops verify`: is a pack what was packed, and does its content pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.checker.show import show
from mlperf_ops.commands.tables import print_table
from mlperf_ops.errors import EXIT_VERDICT, ConfigError, ToolError
from mlperf_ops.pack_manifest import BESIDE, PAGE
from mlperf_ops.scratch import scratch_folder
from mlperf_ops.typed import dump
from mlperf_ops.verify_pack import VerifyReport, verify
from mlperf_ops.wording import plural


def command(
    pack: Annotated[Path, typer.Argument(help="The archive that mlperf-ops pack wrote.")],
    round_: Annotated[str | None, typer.Option("--round", help="Refuse a pack of another round.")] = None,
    extract: Annotated[
        Path | None, typer.Option(help="Unpack into this new folder and keep it; default: a temporary one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as one JSON object.")] = False,
) -> None:
    """Verify a pack: its digests, that it is safe to unpack, and its content by the rules of its round.

    Says what was compared with what, and which file was changed, is missing or was added, with the digests expected
    and found. Exit code 0: untouched, and nobody objects. 1: otherwise.

    Example: mlperf-ops verify example-v6.1.tar.gz
    """
    catalogue = load_catalogue()
    if extract is not None:
        if extract.exists():
            raise ConfigError(f"--extract {extract} exists already", hint="give a folder that is not there yet")
        _make(extract)
        report = verify(pack, extract, catalogue, round_name=round_)
    else:
        with scratch_folder() as scratch:
            report = verify(pack, scratch, catalogue, round_name=round_)
    if as_json:
        typer.echo(json.dumps({**dump(report), "good": report.good}))
    else:
        _show(report)
    if not report.good:
        raise typer.Exit(EXIT_VERDICT)


def _make(extract: Path) -> None:
    try:
        extract.mkdir(parents=True)
    except OSError as error:
        raise ToolError(f"cannot make the folder {extract}: {error.strerror or error}") from error


def _show(report: VerifyReport) -> None:
    """Say what the content is worth, then what was compared with what, each mismatch, and the verdict."""
    if report.check is not None:
        show(report.check)
    print_table(
        ("mismatch", "file", "expected (sha256)", "found (sha256)", "what it means"),
        [(one.what, one.file, one.expected, one.found, one.message) for one in report.differences],
        {"changed": "red", "missing": "red", "added": "red", "damaged": "red"},
    )
    inside = f"the sha256 that {PAGE} inside of it lists"
    beside_it = f"{Path(report.pack).name}{BESIDE}"
    second = (
        f"{beside_it} beside it"
        if beside_it in report.against
        else f"there is no {beside_it} beside it, so who changed a file and {PAGE} alike is not found out"
    )
    content = "not checked: it cannot be read" if report.check is None else (
        f"{report.check.verdict} by the rules of {report.round}, {plural(len(report.check.results), 'result')}"
    )  # fmt: skip
    print_table(
        ("what", "value"),
        [
            ("verified", f"{plural(report.files, 'file')} of {report.pack}"),
            ("against", f"{inside}; {second}" if PAGE in report.against else second),
            ("sha256", report.sha256),
            ("content", content),
            *(("tainted", f"{name}: packed on request although its host drifted") for name in report.tainted),
        ],
        {"tainted": "yellow"},
    )
    typer.echo(_verdict(report))


def _verdict(report: VerifyReport) -> str:
    if report.differences:
        return f"{report.pack} is NOT what was packed: {plural(len(report.differences), 'mismatch', 'mismatches')}"
    if not report.good:
        return f"{report.pack} is what was packed, but the check of {report.round} objects to its content"
    return f"{report.pack} is what was packed, and nobody objects to its content"
