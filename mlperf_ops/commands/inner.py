"""A verb that needs the variables of an inventory: it runs a playbook, whose action calls the same verb with --vars.

The playbook's own output is for people, so the inner verb leaves its answer, or its error, in a file that an
environment variable names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

import typer

from mlperf_ops.ansible_command import PlaybookCommand
from mlperf_ops.errors import ConfigError, MlperfOpsError, ToolError
from mlperf_ops.files import JsonObject, read_json, write_json

_LAST_LINES = 15


def read_variables(variables: str) -> JsonObject:
    """Read what --vars names; "-" is standard input.

    Raises:
        ConfigError: It is not a JSON object.
        ResultError: The same of a file.
    """
    if variables != "-":
        return read_json(Path(variables))
    try:
        data = json.load(sys.stdin)
    except ValueError as error:
        raise ConfigError(f"standard input is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"standard input holds a {type(data).__name__}; expected a JSON object")
    return data


def leave_answer(variable: str, make: Callable[[], JsonObject]) -> JsonObject:
    """Make the answer, and leave it or the error where the outer verb looks for it."""
    path = os.environ.get(variable)
    try:
        answer = make()
    except MlperfOpsError as error:
        if path:
            write_json(Path(path), {"error": error.message, "hint": error.hint, "exit_code": error.exit_code})
        raise
    if path:
        write_json(Path(path), answer)
    return answer


def ask_through_ansible(made: PlaybookCommand, variable: str, inventory: str) -> JsonObject:
    """Run a playbook and return what the inner verb left.

    Raises:
        MlperfOpsError: The inner verb's own error, of its kind.
        ToolError: The playbook did not come that far; its last lines go to stderr.
    """
    with tempfile.TemporaryDirectory(prefix="mlperf_ops_") as folder:
        path = Path(folder, "answer.json")
        done = subprocess.run(
            made.argv,
            env={**made.env, variable: str(path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        answer = read_json(path) if path.is_file() else {}
    if "error" in answer:
        raise _same_error(answer)
    if not answer:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:])
        typer.echo(said, err=True)
        raise ToolError(f"ansible-playbook could not resolve {inventory} (exit code {done.returncode}); see above")
    return answer


def _same_error(answer: JsonObject) -> MlperfOpsError:
    """Make the inner verb's error our own, with its kind."""
    kinds = {kind.exit_code: kind for kind in MlperfOpsError.__subclasses__()}
    kind = kinds.get(cast("int", answer.get("exit_code")), MlperfOpsError)
    hint = answer.get("hint")
    return kind(str(answer["error"]), hint=None if hint is None else str(hint))
