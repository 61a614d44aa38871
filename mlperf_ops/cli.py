"""`mlperf-ops`: one typer command per verb, and the one place where errors become a line and an exit code.

Data goes to stdout, talk to stderr. A verb's module is imported only when that verb is called, so that `--help` and
shell completion stay quick.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import typer
import typer.core

from mlperf_ops import __version__
from mlperf_ops.errors import ConfigError, MlperfOpsError, unknown_name

# A look through all installed packages for plugins of pydantic, of which none is wanted, at every start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

# Verb -> (module below mlperf_ops.commands, one line of help).
VERBS: dict[str, tuple[str, str]] = {
    "plan": ("plan", "Turn an inventory into plan.json: which cells run where, and why others do not."),
    "doctor": ("doctor", "Say what is wrong with the hosts, before anything is changed."),
    "run": ("run", "Run the whole flow: shows and starts the ansible-playbook command."),
    "status": ("status", "Show where every cell stands, how long the rest takes and what to do next."),
    "watch": ("watch", "Follow a campaign live: what starts, its phases and verdicts, hosts that are lost."),
    "logs": ("logs", "Show what a cell's process printed and LoadGen's summary, also while it runs."),
    "shell": ("shell", "Print or enter the exact environment, folder and command line of a cell."),
    "targets": ("targets", "Learn LoadGen targets from earlier results, into a file beside the inventory."),
    "lease": ("lease", "Show who holds the lab's shared things and who waits, or break a lease."),
    "components": ("components", "Fetch, verify and convert what a plan's hosts need."),
    "store": ("store", "List, verify and clean the component stores of controller and hosts."),
    "mirror": ("mirror", "Fill, verify, carry and serve a mirror for hosts without a route outside."),
    "system": ("system", "Show what is known of each system, and what changed since last round's file."),
    "import": ("import_results", "Take over results that other tools made, verified as our own are."),
    "aggregate": ("aggregate", "Build the submission tree from collected results."),
    "compliance": ("compliance", "Verify compliance tests by hand, and print what their runs are asked for."),
    "check": ("check", "Check a submission tree and explain every finding."),
    "accuracy": ("accuracy", "Score an accuracy log, and say how far the round's targets are missed."),
    "power": ("power", "Check power measurements, print their watts and efficiency, and show who has which analyzer."),
    "report": ("report", "Write verdict.md and report.html."),
    "smoke": ("smoke", "Say whether every cell would run, as a smoke run has shown."),
    "energy": ("energy", "Show what was read of the cells' energy, unofficially, beside their results."),
    "pack": ("pack", "Pack a submission tree that passes into one archive with digests."),
    "verify": ("verify", "Verify a pack: digests, safe names, and the check of its content."),
    "catalogue": ("catalogue", "List, show and compare rounds, benchmarks, implementations, components."),
    "user-conf": ("user_conf", "Write LoadGen's user.conf for a benchmark and scenario, or find mistakes in one."),
    "loadgen-onnx": ("loadgen_onnx", "Run any ONNX model under LoadGen with generated inputs."),
}


class LazyVerbs(typer.core.TyperGroup):
    """Finds verbs in VERBS and imports the one that is called.

    Contexts and commands are typed Any: typer carries its own copy of click, whose classes have no public name.
    """

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002  # see the class
        """List the verbs in the order of the flow."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, ARG002  # see the class
        """Import a verb's module: `command` is its function, or `app` its own group.

        Raises:
            ConfigError: No such verb; names the nearest.
        """
        if cmd_name not in VERBS:
            raise unknown_name("verb", cmd_name, VERBS)
        module = importlib.import_module(f"mlperf_ops.commands.{VERBS[cmd_name][0]}")
        if hasattr(module, "app"):
            command = typer.main.get_command(module.app)
        else:
            single = typer.Typer(add_completion=False, rich_markup_mode=None)
            single.command(name=cmd_name, context_settings=getattr(module, "CONTEXT", None))(module.command)
            command = typer.main.get_command(single)
        command.name = cmd_name
        return command

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  # see the class
        """Run the verb; a value that an option cannot take is a sentence of ours, not of the library that reads it.

        Raises:
            ConfigError: An option or argument has a wrong value; names it and what was expected.
        """
        try:
            return super().invoke(ctx)
        except Exception as error:
            problem = _wrong_value(error)
            if problem is None:
                raise
            raise problem from error

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002  # see the class
        """Print the verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, text) for verb, (_, text) in VERBS.items()])


def _wrong_value(error: Exception) -> ConfigError | None:
    """Return the sentence for a value that pydantic refused on behalf of typer; None for any other error."""
    from pydantic import ValidationError  # noqa: PLC0415  # only mistakes need it

    from mlperf_ops.expected import sentence_of  # noqa: PLC0415

    cause = error.__cause__
    if isinstance(error, MlperfOpsError) or not isinstance(cause, ValidationError):
        return None  # ours have a sentence already
    parameter = getattr(error, "param", None)
    spellings = getattr(parameter, "opts", None) or [str(getattr(parameter, "name", "value"))]
    where = max(spellings, key=len)
    detail = cause.errors(include_url=False)[0]
    names = re.findall(r"'([^']*)'", detail["msg"].partition(" is not one of ")[2])
    if names:
        return unknown_name("value", str(detail["input"]), names, where=where)
    return ConfigError(f"{where}: {sentence_of([detail])}")


app = typer.Typer(
    cls=LazyVerbs,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Declarative MLPerf Inference labs: from bare hosts to a checked submission.\n\n"
    "Exit codes: 0 fine, 1 negative verdict, 2 wrong input, 3 unusable results, 4 unusable tree, "
    "5 an outside tool failed, 6 busy.\n\n"
    "Example: mlperf-ops run -i inventory/local",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"mlperf-ops {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Hold the options that come before a verb."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code; bad input is one line, never a traceback."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(args=words, prog_name="mlperf-ops")
    except MlperfOpsError as error:
        if "--json" in words:
            print(json.dumps({"error": error.message, "hint": error.hint, "exit_code": error.exit_code}))  # noqa: T201
        print(f"mlperf-ops: error: {error}", file=sys.stderr)  # noqa: T201  # the one place for errors
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
