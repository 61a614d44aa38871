"""What the action plugins share on the controller: the run's folder and plan, and the `mlperf-ops` command.

Rules and files are the business of the Python package `mlperf_ops`; the plugins only carry values between it, Ansible
and the hosts.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from ansible import constants
from ansible.errors import AnsibleActionFail, AnsibleError

try:  # at module level: Ansible's main process imports once, and its workers inherit that
    from mlperf_ops import errors, files, model, package_files, plan_model, runlock, typed

    _NOT_INSTALLED = False
except ImportError:
    _NOT_INSTALLED = True  # `package` says it in a sentence

__all__ = ["errors", "files", "model", "package_files", "plan_model", "runlock", "typed"]

_LAST_LINES = 3
_CHECK_PLAN_PREFIX = "mlperf_plan_"


def plain(value: object) -> Any:  # noqa: ANN401  # any JSON value
    """Return a template's result as plain JSON values: ansible-core 2.19 hands out lazy and tagged containers."""
    if isinstance(value, Mapping):
        return {str(key): plain(value[key]) for key in value}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return bool(value) if value is not None else None
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def inventory_source(task_vars: Mapping[str, Any]) -> Path:
    """Return the path of the first inventory that was given with -i."""
    sources = plain(task_vars.get("ansible_inventory_sources") or [])
    return Path(sources[0]) if sources else Path.cwd()


def inventory_folder(task_vars: Mapping[str, Any]) -> Path:
    """Return the inventory's folder; its name is the default run id."""
    source = inventory_source(task_vars)
    return source if source.is_dir() else source.parent


def sut_variables(task_vars: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the variables of the hosts in group `sut`; a value is resolved when it is looked at."""
    names = plain((task_vars.get("groups") or {}).get("sut") or [])
    return {name: task_vars["hostvars"][name] for name in names}


def value(host: str, variables: Any, name: str) -> Any:  # noqa: ANN401  # Ansible's HostVars; any JSON value
    """Resolve a variable of a host.

    Raises:
        AnsibleActionFail: Its template does not work; names host and variable.
    """
    try:
        return plain(variables[name])
    except AnsibleError as error:
        first = str(getattr(error, "message", "") or error).splitlines()[0]
        raise AnsibleActionFail(f"host {host}: {name} cannot be resolved: {first}") from None


def run_folder(given: str, task_vars: Mapping[str, Any]) -> Path:
    """Return results/<run id> below the current folder, or the folder that was given.

    Args:
        given: The role's own setting; empty takes the default.
        task_vars: Of any host: the run id is looked up at the SUTs, as the plan does.
    """
    if given:
        return Path(given).expanduser().absolute()
    first = next(iter(sut_variables(task_vars).values()), {})
    run_id = str(first.get("mlperf_run_id") or inventory_folder(task_vars).name)
    if smoke := first.get("mlperf_smoke"):
        package()
        run_id = plan_model.run_name(run_id, smoke=smoke)
    return Path.cwd() / "results" / run_id


def check_plan_path(run: Path) -> Path:
    """Return where check mode keeps a plan: below Ansible's own temporary folder, which goes when the play ends."""
    return Path(constants.DEFAULT_LOCAL_TMP) / f"{_CHECK_PLAN_PREFIX}{run.name}.json"


def read_plan(run: Path, *, check_mode: bool) -> dict[str, Any]:
    """Read plan.json of a run; in check mode the plan that would be written comes first.

    Raises:
        AnsibleActionFail: There is none, or it cannot be used.
    """
    package()
    path = check_plan_path(run)
    if not (check_mode and path.is_file()):
        path = run / "plan.json"
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AnsibleActionFail(
            f"there is no plan at {path} (run the validate playbook first; with --limit also name localhost)"
        ) from None
    except (OSError, ValueError) as error:
        raise AnsibleActionFail(f"{path} cannot be used: {error} (run the validate playbook again)") from None
    return cast("dict[str, Any]", plan)


def host_of(plan: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a host's entry of the plan.

    Raises:
        AnsibleActionFail: The plan does not know the host.
    """
    for host in plan["hosts"]:
        if host["name"] == name:
            return cast("dict[str, Any]", host)
    raise AnsibleActionFail(f"the plan has no host '{name}' (run the validate playbook again)")


def cell_key(cell: Mapping[str, str]) -> str:
    """Return the name of a cell, as `mlperf_ops.model.Cell.key`."""
    return f"{cell['system']}/{cell['benchmark']}/{cell['scenario']}/{cell['mode']}"


def planned_cells(plan: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the cells that a host has to run, in the plan's order."""
    return [cell for cell in plan["cells"] if cell["host"] == name and cell["status"] == "planned"]


def in_turn(cells: list[dict[str, Any]], host: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return cells in the order in which their host runs them, as its entry of the plan says."""
    turns: dict[str, int] = {key: turn for turn, key in enumerate(host.get("order", []))}
    return sorted(cells, key=lambda cell: turns.get(cell_key(cell["cell"]), len(turns)))


def question(plan: Mapping[str, Any], cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the agent is asked about cells."""
    asked = []
    for cell in cells:
        request = cell["request"]
        asked.append({"key": cell_key(cell["cell"]), "request": request, "request_sha256": files.sha256_json(request)})
    # In a smoke run a cell whose files are not there is told, and keeps no other from running.
    return {"run_id": plan["run_id"], "cells": asked, **({"tolerant": True} if plan.get("smoke") else {})}


def package() -> Path:
    """Return the folder of the Python package `mlperf_ops` in Ansible's own Python.

    Raises:
        AnsibleActionFail: It is not installed there.
    """
    if _NOT_INSTALLED:
        raise AnsibleActionFail(
            f"the Python package mlperf-ops is not installed for {sys.executable} (use the ansible-playbook that "
            "tools/bootstrap installs, or 'pip install mlperf-ops' beside ansible-core)"
        )
    return Path(errors.__file__).parent


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """Turn the package's own errors into a failed task with the one sentence."""
    try:
        yield
    except errors.MlperfOpsError as error:
        raise AnsibleActionFail(str(error)) from None


class Answer:
    """What one `mlperf-ops … --json` said."""

    def __init__(self, argv: list[str], returncode: int, stdout: str, stderr: str) -> None:
        """Parse the one JSON object.

        Raises:
            AnsibleActionFail: The command failed; carries its sentence.
        """
        self.returncode = returncode
        try:
            self.data: dict[str, Any] = json.loads(stdout)
        except ValueError:
            self.data = {}
        told = [line for line in stderr.splitlines() if line.strip()]
        if self.data.get("error"):
            hint = f" ({self.data['hint']})" if self.data.get("hint") else ""
            raise AnsibleActionFail(f"{self.data['error']}{hint}")
        if returncode > 1 or not self.data:
            last = "; ".join(told[-_LAST_LINES:]) or f"exit code {returncode}"
            raise AnsibleActionFail(f"'mlperf-ops {' '.join(argv)}' failed: {last}")


def mlperf_ops(argv: list[str], *, stdin: object = None, cwd: Path | None = None) -> Answer:
    """Run `mlperf-ops … --json` with Ansible's own Python; exit code 1 is a negative verdict, no failure.

    Args:
        argv: Verb and options, without --json.
        stdin: A JSON value to pass on standard input.
        cwd: Folder to run in.

    Raises:
        AnsibleActionFail: The command failed, in one sentence.
    """
    package()
    done = subprocess.run(
        [sys.executable, "-m", "mlperf_ops", *argv, "--json"],
        input="" if stdin is None else json.dumps(stdin),
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )
    return Answer(argv, done.returncode, done.stdout, done.stderr)
