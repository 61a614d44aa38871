"""`mlperf-ops power`: what is wrong with power measurements, and the numbers that they give."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table

from mlperf_ops import wording
from mlperf_ops.catalogue.folders import all_folders, more_folders, yaml_files
from mlperf_ops.catalogue.one_round import load_round
from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker.power import rule_of
from mlperf_ops.checker.rules import printable
from mlperf_ops.commands.campaign_options import ExtraVarsOption, InventoryOption, JsonOption, ResultsOption
from mlperf_ops.errors import EXIT_VERDICT, ConfigError, ToolError
from mlperf_ops.files import Json, JsonObject, read_json
from mlperf_ops.power.inventory import from_plan
from mlperf_ops.power_check import ExpectedMeter, PowerFinding, check_measurement, read_measurement
from mlperf_ops.power_check.official import OfficialPower, power_checker, run_power_checker
from mlperf_ops.power_results import MeasuredPower, Place, find_measurements, measured_power
from mlperf_ops.run_plan import PLAN
from mlperf_ops.typed import dump

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Check power measurements, print their watts, energy and efficiency, and show who has which analyzer.\n\n"
    "Example: mlperf-ops power check results/local/submission",
)

_WIDTH = 140
_WORDS = {"official": "the official checker rejects", "rules": "the rules reject", "advice": "advice"}
_DIRECTORY = Annotated[
    Path, typer.Argument(metavar="DIR", help="A performance folder, an attempt, or a whole submission tree.")
]
_ROUND = Annotated[
    str | None, typer.Option("--round", help="Round whose rules apply; default: the plan's, else the newest.")
]


@app.command()
def check(  # typer makes an option of each
    directory: _DIRECTORY,
    round_: _ROUND = None,
    official_checker: Annotated[
        Path | None, typer.Option(help="Checkout of mlcommons/inference whose power_checker.py gives a second opinion.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model of the meter by the inventory, such as WT310E.")] = None,
    firmware: Annotated[str | None, typer.Option(help="Firmware of the meter by the inventory, such as 1.04.")] = None,
    serial: Annotated[str | None, typer.Option(help="Serial number of the meter by the inventory.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check power measurements by the official rules and stricter ones: verdict, place and remedy of every finding.

    The stricter ones look at every reading of the run that counts: its uncertainty, gaps, number and validity, at
    errors of the meter, at the lengths of both runs, at the meter of the inventory, and at marks of simulated parts.

    Exit code 0: nobody rejects, there may be advice. 1: a measurement is rejected. 2: wrong input, such as a folder
    without a measurement.

    Example: mlperf-ops power check results/local/submission --official-checker ~/inference
    """
    script = None if official_checker is None else power_checker(official_checker)
    rules = _rules(directory, round_)
    meter = ExpectedMeter(model, firmware, serial)
    rejected = 0
    rows: list[Json] = []
    places = find_measurements(directory, tuple(rules.divisions))
    for place in places:
        found = check_measurement(read_measurement(place.folder), rules, meter)
        official = None if script is None else run_power_checker(script, place.folder)
        fails = any(one.objector != "advice" for one in found) or (official is not None and not official.accepted)
        rejected += fails
        figures = measured_power(place, rules)
        if as_json:
            rows.append(_row(place, figures, found, official, fails=fails))
        else:
            _show(place, figures, found, official, fails=fails)
    if as_json:
        verdict = "rejected" if rejected else "accepted"
        typer.echo(json.dumps({"schema": 1, "round": rules.name, "verdict": verdict, "measurements": rows}))
    else:
        said = f"{rejected} rejected" if rejected else "nobody rejects"
        typer.echo(f"{wording.plural(len(places), 'measurement')} by the rules of {rules.name}: {said}")
    if rejected:
        raise typer.Exit(EXIT_VERDICT)


@app.command()
def metrics(directory: _DIRECTORY, round_: _ROUND = None, as_json: JsonOption = False) -> None:
    """Print average power, energy and efficiency of power measurements, computed as the published numbers are.

    SingleStream and MultiStream state millijoules per query and samples per joule, the other scenarios watts and
    performance per watt. Nothing is judged here.

    Exit code 0: the power of each could be computed. 1: one is missing, and why is said. 2: wrong input.

    Example: mlperf-ops power metrics results/local/submission
    """
    rules = _rules(directory, round_)
    places = find_measurements(directory, tuple(rules.divisions))
    found = [(place, measured_power(place, rules)) for place in places]
    if as_json:
        rows = [{"location": place.location, **dump(figures)} for place, figures in found]
        typer.echo(json.dumps({"schema": 1, "round": rules.name, "measurements": rows}))
    else:
        table = Table(
            Column("measurement", overflow="fold"), "scenario", "average", "published power", "duration", "performance",
            "efficiency", box=box.SIMPLE,
        )  # fmt: skip
        for place, one in found:
            table.add_row(
                printable(place.location.removesuffix("/performance")), one.scenario or "?",
                _figure(one.average_watts, "W"), _figure(one.value, one.unit), f"{one.duration_s:.0f} s",
                _figure(one.performance, one.performance_unit), _figure(one.efficiency, one.efficiency_unit),
            )  # fmt: skip
        Console(width=None if Console().is_terminal else _WIDTH, highlight=False, markup=False).print(table)
    missing = [(place, one.problem) for place, one in found if one.problem is not None]
    for place, problem in missing:
        typer.echo(f"mlperf-ops: {printable(place.location)}: {printable(problem or '')}", err=True)
    if missing:
        raise typer.Exit(EXIT_VERDICT)


@app.command()
def analyzers(
    inventory: InventoryOption = None,
    results: ResultsOption = None,
    extra_vars: ExtraVarsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the plan's power analyzers: whom each measures, its calibration, which cell has it, and which cells wait.

    Asks the directors for the leases. Exit code 0 also when an analyzer is held; 3: no director could be asked.

    Example: mlperf-ops power analyzers -i inventory/lab
    """
    # Together they reach hosts; `check` and `metrics` do without.
    from mlperf_ops.commands.lease import views  # noqa: PLC0415
    from mlperf_ops.power.holders import status_of  # noqa: PLC0415

    plan, seen, problems = views(inventory, results, extra_vars or [])
    lab = from_plan(plan.power)
    found = status_of(lab, seen, problems, date.today())  # noqa: DTZ011  # the day of whoever asks
    if as_json:
        typer.echo(json.dumps({"schema": 1, "analyzers": [{"state": one.state, **dump(one)} for one in found]}))
    elif not found:
        typer.echo("the plan has no power analyzer (mlperf_power_analyzers)")
    else:
        table = Table("analyzer", "director", "meter", "measures", "calibrated", "now", box=box.SIMPLE)
        for one in found:
            now = f"held by {one.holder}" if one.holder else one.problem or "free"
            cells = (one.name, one.director, one.meter, ", ".join(one.measures) or "no host", one.calibration, now)
            table.add_row(*(printable(text) for text in cells))
        Console(width=None if Console().is_terminal else _WIDTH, highlight=False, markup=False).print(table)
        for sentence in (text for one in found for text in one.blocked):
            typer.echo(printable(sentence))
    if found and all(one.problem for one in found):
        raise ToolError("no director could be asked", hint="mlperf-ops doctor -i INVENTORY")


def _figure(value: float | None, unit: str | None) -> str:
    return "unknown" if value is None else f"{value:.6g} {unit}"


def _rules(directory: Path, given: str | None) -> Round:
    """Return the round that was named, or that of the plan of the run that the folder is part of, or the newest."""
    if given is not None:
        return load_round(given, "--round")
    whole = directory.resolve()
    for folder in (whole, *whole.parents):
        if (folder / PLAN).is_file():
            name = read_json(folder / PLAN).get("round")
            if isinstance(name, str):
                return load_round(name, str(folder / PLAN))
    names = {path.stem for folder in all_folders(more_folders()) for path in yaml_files(folder / "rounds")}
    if not names:
        raise ConfigError("the catalogue has no round")
    return load_round(max(names, key=_version))


def _version(name: str) -> tuple[tuple[int, ...], str]:
    numbers = name.removeprefix("v").split(".")
    return (tuple(int(one) for one in numbers) if all(one.isdigit() for one in numbers) else (), name)


def _row(
    place: Place,
    figures: MeasuredPower,
    found: tuple[PowerFinding, ...],
    official: OfficialPower | None,
    *,
    fails: bool,
) -> JsonObject:
    findings: list[Json] = [
        {
            "rule": rule_of(one.subject).id,
            "severity": one.objector,
            "file": one.file,
            "message": one.message,
            "value": one.value,
            "limit": one.limit,
            "fix": rule_of(one.subject).fix,
        }
        for one in found
    ]
    return {
        "location": place.location,
        "verdict": "rejected" if fails else "accepted",
        "findings": findings,
        "metrics": dump(figures),
        "official": None if official is None else dump(official),
    }


def _show(
    place: Place,
    figures: MeasuredPower,
    found: tuple[PowerFinding, ...],
    official: OfficialPower | None,
    *,
    fails: bool,
) -> None:
    verdict = "rejected" if fails else "nobody rejects"
    average = _figure(figures.average_watts, "W")
    typer.echo(f"{printable(place.location)}: {verdict}, {average} on average over {figures.duration_s:.0f} s")
    for one in found:
        rule = rule_of(one.subject)
        typer.echo(f"  {_WORDS[one.objector]}: {printable(one.message)} [{rule.id}]")
        compared = [text for text in (_said("found", one.value), _said("expected", one.limit)) if text]
        typer.echo(f"    in {one.file}" + (f": {', '.join(compared)}" if compared else ""))
        typer.echo(f"    {rule.fix}")
    if official is None:
        return
    passed = sum(one.passed for one in official.checks)
    typer.echo(f"  official power_checker.py: {passed} of {len(official.checks)} checks pass")
    if official.problem is not None:
        typer.echo(f"    it ended early: {printable(official.problem)}")
    for check_ in official.checks:
        if check_.note or not check_.passed:
            word = "warns" if check_.passed else "fails"
            typer.echo(f"    {word}: {check_.name}: {printable(check_.note)}")


def _said(word: str, text: str | None) -> str:
    return "" if text is None else f"{word} {printable(text)}"
