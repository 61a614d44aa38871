"""`mlperf-ops doctor`: what is wrong with the hosts of an inventory, before anything is changed."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, cast

import typer

from mlperf_ops.ansible_command import playbook_command
from mlperf_ops.commands.inner import ask_through_ansible, leave_answer, read_variables
from mlperf_ops.commands.plan import PLAN_FILE, plan_inventory
from mlperf_ops.doctor.examine import TIMEOUT_SECONDS, examine
from mlperf_ops.doctor.model import Answer
from mlperf_ops.doctor.question import make_question
from mlperf_ops.doctor.wording import lines, summary
from mlperf_ops.errors import EXIT_VERDICT, ConfigError, MlperfOpsError, ToolError, unknown_name
from mlperf_ops.files import JsonObject, write_json
from mlperf_ops.typed import dump, load

PLAYBOOK = "playbooks/preflight.yml"
# The outer `doctor -i` tells the inner `doctor --vars`, which its playbook calls, where to leave the answer.
ANSWER_VARIABLE = "MLPERF_OPS_DOCTOR_ANSWER"
_FILE_COLUMNS = 1000


def command(
    inventory: Annotated[
        str | None, typer.Option("--inventory", "-i", help="Inventory whose hosts to examine.")
    ] = None,
    limit: Annotated[
        str | None, typer.Option("--limit", "-l", help="Only these hosts: a pattern as Ansible's.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for all hosts together.", min=1.0)] = TIMEOUT_SECONDS,
    variables: Annotated[
        str | None, typer.Option("--vars", help="JSON of resolved hosts to examine; - reads standard input.")
    ] = None,
    extra_vars: Annotated[list[str] | None, typer.Option("-e", "--extra-vars", help="Passed on to Ansible.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Examine all hosts at once: address, host key, login, sudo, Python, disk, clock, package index, your own files.

    Of power directors and measured hosts also PTDaemon, a Python for power-dev, ports, analyzers, calibration, time.

    Each finding is a sentence and a remedy. Nothing is changed on a host. Hosts are reached as Ansible would reach
    them, and host keys are always checked. With -i Ansible resolves the inventory's variables
    (playbooks/preflight.yml); that playbook calls this verb with --vars. What `mlperf-ops plan` would refuse in the
    inventory is told as well. Exit code 1: a host is blocked, or the inventory cannot be planned.

    Example: mlperf-ops doctor -i inventory/lab --limit sut1
    """
    if (inventory is None) == (variables is None):
        raise ConfigError("give one of --inventory and --vars", hint="mlperf-ops doctor -i inventory/local")
    unplannable = ""
    if variables is not None:
        given = variables
        answer = leave_answer(ANSWER_VARIABLE, lambda: _from_variables(given, timeout))
    else:
        with tempfile.TemporaryDirectory(prefix="mlperf_ops_") as folder:
            unplannable = _plan_into(Path(folder), str(inventory), extra_vars or [])
            answer = _from_inventory(str(inventory), limit, timeout, extra_vars or [], Path(folder))
    found = [load(Answer, one, "answer") for one in cast("list[JsonObject]", answer["answers"])]
    blocked, seconds = [one.name for one in found if one.blocked], cast("float", answer["seconds"])
    if as_json:
        hosts = [{**dump(one), "state": one.state} for one in found]
        told = {"lines": lines(found), "summary": summary(found, seconds)}
        said = {"blocked": blocked, "inventory": unplannable, "seconds": seconds}
        typer.echo(json.dumps({"changed": False, "hosts": hosts, **said, **told}))
    else:
        _show(found, seconds)
        if unplannable:
            typer.echo(f"the inventory cannot be planned: {unplannable}")
    if blocked or unplannable:
        raise typer.Exit(EXIT_VERDICT)


def _show(found: list[Answer], seconds: float) -> None:
    from rich.console import Console  # noqa: PLC0415  # the preflight, which asks for JSON, starts quicker without

    from mlperf_ops.doctor.show import show  # noqa: PLC0415

    # Not on a terminal a line is a finding, however long.
    wide = None if sys.stdout.isatty() else _FILE_COLUMNS
    show(found, seconds, Console(soft_wrap=True, highlight=False, width=wide))


def _from_variables(variables: str, timeout: float) -> JsonObject:
    data = read_variables(variables)
    hosts = data.get("hosts")
    if not isinstance(hosts, dict) or not all(isinstance(one, dict) for one in hosts.values()):
        raise ConfigError("expected the key hosts (an object of objects) in --vars")
    if not hosts:
        raise _nobody(str(data.get("limit") or ""), cast("list[str]", data.get("known") or []))
    questions = [
        make_question(
            name,
            one.get("access") or {},
            one.get("variables") or {},
            one.get("plan"),
            run_id=str(one.get("run_id") or ""),
        )
        for name, one in cast("dict[str, dict[str, JsonObject]]", hosts).items()
    ]
    began = time.monotonic()
    answers = examine(questions, timeout_seconds=timeout)
    return {"answers": [dump(one) for one in answers], "seconds": round(time.monotonic() - began, 2)}


def _nobody(limit: str, known: list[str]) -> ConfigError:
    if limit and known:
        return unknown_name("host or group", limit, known, where="--limit")
    return ConfigError("the inventory has no host", hint="put the machines to measure into group 'sut'")


def _plan_into(folder: Path, inventory: str, extra_vars: list[str]) -> str:
    """Plan what the inventory says now, not what it said when somebody planned it, and tell what is wrong with it.

    Returns:
        A sentence as of `mlperf-ops plan`, "" for nothing; then the plan is in the folder.
    """
    try:
        answer = plan_inventory(inventory, None, extra_vars, dry_run=True)
    except ToolError:
        raise
    except MlperfOpsError as error:
        return str(error)
    # A smoke run goes on without such a file; whoever asks the doctor wants to know that its cells cannot run.
    write_json(folder / PLAN_FILE, {**cast("JsonObject", answer["plan"]), "smoke": False})
    return ""


def _from_inventory(
    inventory: str, limit: str | None, timeout: float, extra_vars: list[str], results: Path
) -> JsonObject:
    asked = {
        "lab_preflight_results": str(results),
        "lab_preflight_hosts": "all",
        "lab_preflight_limit": limit or "",
        "lab_preflight_timeout_seconds": timeout,
        "lab_preflight_again": True,
    }
    made = playbook_command(PLAYBOOK, inventory, extra_vars=[*extra_vars, json.dumps(asked)], arguments=["--check"])
    return ask_through_ansible(made, ANSWER_VARIABLE, inventory)
