"""`mlperf-ops user-conf`: LoadGen's user.conf, written and checked by the rules of a round and a division."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mlperf_ops.catalogue import Catalogue, Round, load_catalogue
from mlperf_ops.catalogue.history import not_in_round, scenario_not_in_round
from mlperf_ops.compliance.audit import problem_of
from mlperf_ops.errors import EXIT_VERDICT, ConfigError, unknown_name
from mlperf_ops.files import Json, pretty_json
from mlperf_ops.model import ComplianceTest, Division, Mode, RunStyle, Scenario
from mlperf_ops.userconf import METRICS, ConfRequest, make_user_conf
from mlperf_ops.userconf_keys import as_text
from mlperf_ops.userconf_lint import lint_user_conf
from mlperf_ops.userconf_numbers import value_problem

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="LoadGen's user.conf: written for a benchmark and scenario of a round, or checked line by line.\n\n"
    "Example: mlperf-ops user-conf lint user.conf --round v6.1 --division closed",
)

_Round = Annotated[str, typer.Option("--round", help="The round whose LoadGen reads it.")]
_Division = Annotated[Division, typer.Option(help="The submission's division.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@app.command("lint")
def lint(
    file: Annotated[str, typer.Argument(help="The user.conf; - reads standard input.")],
    round_name: _Round,
    division: _Division,
    benchmark: Annotated[str | None, typer.Option(help="Judge the file as this benchmark's only.")] = None,
    scenario: Annotated[Scenario | None, typer.Option(help="Judge the file as this scenario's only.")] = None,
    as_json: _Json = False,
) -> None:
    """Find mistakes in a user.conf: what LoadGen ignores or refuses, what the division forbids, what the round rejects.

    The exit code is 0 when nothing is found, else 1.

    Example: mlperf-ops user-conf lint user.conf --round v6.1 --division closed --benchmark resnet50 --scenario Offline
    """
    catalogue = load_catalogue()
    round_ = catalogue.round(round_name)
    official = None if benchmark is None else _official(catalogue, round_, benchmark, scenario, division)
    found = lint_user_conf(_text(file), round_, division, official=official, scenario=scenario)
    if as_json:
        findings: list[Json] = [asdict(one) for one in found]
        answer: dict[str, Json] = {"file": file, "round": round_.name, "division": division, "findings": findings}
        typer.echo(pretty_json(answer), nl=False)
    else:
        for one in found:
            place = f"{file}:{one.line}" if one.line else file
            hint = f" ({one.hint})" if one.hint else ""
            typer.echo(f"{place}: {one.severity}: {one.message}{hint} [{one.rule}]")
        state = "1 finding" if len(found) == 1 else f"{len(found) or 'no'} findings"
        typer.echo(f"mlperf-ops: {state} for round {round_.name}, {division} division", err=True)
    if found:
        raise typer.Exit(EXIT_VERDICT)


@app.command("render")
def render(  # noqa: PLR0917  # one parameter per option
    benchmark: Annotated[str, typer.Argument(help="Name or alias of a benchmark.")],
    scenario: Annotated[Scenario, typer.Argument(help="The scenario as the round calls it.")],
    round_name: _Round,
    division: _Division,
    style: Annotated[RunStyle, typer.Option(help="How long a run is.")] = "valid",
    mode: Annotated[Mode, typer.Option(help="Decides only what the log has to show (--json).")] = "performance",
    given: Annotated[
        list[str] | None, typer.Option("--set", help="A key and its value, such as target_qps=120; may be repeated.")
    ] = None,
    measured: Annotated[
        float | None,
        typer.Option(
            help="Earlier result of this scenario: samples (not tokens) per second, or ms per query of a stream."
        ),
    ] = None,
    queries: Annotated[int | None, typer.Option(min=1, help="Style test: number of queries.")] = None,
    test: Annotated[str | None, typer.Option(help="Compliance test that the run is for, such as TEST01.")] = None,
    ranging: Annotated[bool, typer.Option("--ranging", help="The short first run of a power measurement.")] = False,
    as_json: _Json = False,
) -> None:
    """Print the user.conf that a cell gets. With --json also what LoadGen's detail log has to show because of it.

    Settings that LoadGen embeds, such as the bounds of TTFT and TPOT, are not repeated in the file; --json shows them.
    The target is a little above an earlier rate, or below an earlier latency, by the factors in measured_targets of the
    round, so that the run is long enough.

    Example: mlperf-ops user-conf render llama2-70b Interactive --round v6.1 --division closed --set target_qps=2
    """
    catalogue = load_catalogue()
    round_ = catalogue.round(round_name)
    official = _official(catalogue, round_, benchmark, scenario, division)
    request = ConfRequest(
        official=official,
        scenario=scenario,
        mode=mode,
        division=division,
        run_style=style,
        conf_model=catalogue.benchmark(benchmark).loadgen_conf_model or "",
        given=_pairs(given or []),
        measured=_measured(measured, scenario),
        query_count=queries,
        compliance=_test(test, round_, official),
        ranging=ranging,
        where="--set",
    )
    made = make_user_conf(request, round_)
    if as_json:
        answer: dict[str, Json] = {"conf_model": made.conf_model, "scenario": made.scenario, "user_conf": made.text}
        typer.echo(pretty_json({**answer, "expect": made.expect, "notes": list(made.notes)}), nl=False)
        return
    typer.echo(made.text, nl=False)
    for note in made.notes:
        typer.echo(f"mlperf-ops: {note}", err=True)


def _official(catalogue: Catalogue, round_: Round, name: str, scenario: Scenario | None, division: Division) -> str:
    benchmark = catalogue.benchmark(name)
    if (problem := not_in_round(benchmark, round_, catalogue)) is not None:
        raise ConfigError(problem)
    if scenario == "Interactive" and (problem := round_.no_interactive(benchmark.maps_to)) is not None:
        raise ConfigError(problem)
    if scenario is not None:
        problem = scenario_not_in_round(benchmark.maps_to, scenario, round_, division)
        if problem is not None:
            raise ConfigError(problem)
    return benchmark.maps_to


def _measured(value: float | None, scenario: Scenario) -> float | None:
    """Return an earlier result as it was given.

    Raises:
        ConfigError: It is none that LoadGen could be given as a target.
    """
    if value is None:
        return None
    metric = METRICS["Server" if scenario == "Interactive" else scenario]
    if (wrong := value_problem(metric, as_text(value), "float")) is not None:
        unit = "milliseconds per query" if metric == "target_latency" else "samples per second"
        raise ConfigError(f"--measured: expected {wrong[0]}, found {value:g}", hint=f"{unit} of an earlier run")
    return value


def _test(name: str | None, round_: Round, official: str) -> ComplianceTest | None:
    """Return the test that a run is for.

    Raises:
        ConfigError: The round does not have it, or does not ask the benchmark for it.
    """
    if name is None:
        return None
    found = next((test for test in round_.compliance_files if test == name), None)
    if found is None:
        raise unknown_name(f"compliance test of round {round_.name}", name, round_.compliance_files)
    if (problem := problem_of(round_, found, official)) is not None:
        raise ConfigError(f"--test: {problem}")
    return found


def _pairs(words: list[str]) -> dict[str, Json]:
    made: dict[str, Json] = {}
    for word in words:
        key, equal, value = word.partition("=")
        if not equal:
            raise ConfigError(f"--set {word}: expected key=value", hint="such as --set target_qps=120")
        if key in made:
            raise ConfigError(f"--set {word}: '{key}' is given twice")
        made[key] = value
    return made


def _text(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
