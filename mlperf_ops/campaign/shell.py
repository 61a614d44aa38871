"""The exact environment, files and command line of a cell, to run it by hand. Pure.

It is what the next run of the cell does on its host, in a folder of its own below mlperf_home: an attempt is never
written to, and nothing of it is collected.
"""

from __future__ import annotations

import posixpath
import shlex
from dataclasses import dataclass
from typing import cast

from mlperf_ops.campaign.answers import HostAnswer
from mlperf_ops.doctor.model import Access
from mlperf_ops.errors import ResultError
from mlperf_ops.files import JsonObject, pretty_json
from mlperf_ops.harness.attempt_files import AUDIT_CONFIG, SPEC, USER_CONF
from mlperf_ops.harness.resolve import resolve
from mlperf_ops.plan_model import PlannedCell
from mlperf_ops.typed import dump

ENVIRONMENT, RUN = "env.sh", "run.sh"
_END = "END_OF_FILE_OF_MLPERF_OPS"


@dataclass(frozen=True, slots=True)
class HandRun:
    """A cell as it can be run by hand on its host.

    Attributes:
        folder: Current folder of the process, absolute.
        env: What is set beside the environment of the login.
        argv: The command line, prefix and all.
        files: Name -> text of what lies in the folder.
    """

    key: str
    host: str
    spec_sha256: str
    folder: str
    env: dict[str, str]
    argv: tuple[str, ...]
    files: dict[str, str]

    @property
    def prepare(self) -> str:
        """A shell script that makes the folder."""
        lines = ["set -e", f"mkdir -p {shlex.quote(self.folder)}", f"cd {shlex.quote(self.folder)}"]
        for name, text in self.files.items():
            body = text if text.endswith("\n") or not text else f"{text}\n"
            lines.append(f"cat > {name} <<'{_END}'\n{body}{_END}")
        return "\n".join(lines) + "\n"

    @property
    def script(self) -> str:
        """A shell script that makes the folder and runs the cell in it."""
        return (
            f"#!/bin/sh\n# {self.key} on {self.host}, spec {self.spec_sha256}: what its next run does, by hand.\n"
            f"{self.prepare}exec sh {RUN}\n"
        )

    @property
    def enter(self) -> str:
        """A shell command that starts an interactive shell in the folder, with the environment."""
        return f'cd {shlex.quote(self.folder)} && . ./{ENVIRONMENT} && exec "${{SHELL:-/bin/sh}}" -i'


def hand_run(planned: PlannedCell, answer: HostAnswer, *, prefix: str | None = None) -> HandRun:
    """Return how to run a planned cell by hand.

    Args:
        planned: The cell.
        answer: What its host says of itself.
        prefix: Words before the command line, such as "gdb --args".

    Raises:
        ResultError: The cell is impossible, or the host lacks something of it.
    """
    if planned.request is None:
        raise ResultError(f"{planned.cell.key} cannot run: {planned.reason}")
    if answer.provision is None:
        raise ResultError(
            f"host {planned.host} was never provisioned", hint="mlperf-ops run -i INVENTORY -- --tags provision"
        )
    spec = resolve(planned.request, answer.provision)
    python = _path(answer.provision, "python")
    cell = spec.cell
    name = f"{cell.benchmark}-{cell.scenario}-{cell.mode}-{spec.sha256[:12]}"
    folder = posixpath.join(answer.home, "debug", name)
    words = [word.replace("{python}", python).replace("{attempt}", folder) for word in spec.argv]
    argv = (*(shlex.split(prefix) if prefix else ()), *words)
    env = {"PYTHONPATH": _path(answer.provision, "harness"), **spec.env}
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(env.items()))
    files = {SPEC: pretty_json(dump(spec)), USER_CONF: spec.loadgen.user_conf}
    if spec.loadgen.audit_conf:
        files[AUDIT_CONFIG] = spec.loadgen.audit_conf
    files[ENVIRONMENT] = exports
    files[RUN] = f'cd "$(dirname "$0")"\n. ./{ENVIRONMENT}\nexec {shlex.join(argv)}\n'
    return HandRun(cell.key, planned.host, spec.sha256, folder, env, argv, files)


def _path(provision: JsonObject, part: str) -> str:
    return str(cast("JsonObject", provision[part])["path"])


def login(access: Access, command: str) -> list[str]:
    """Return the ssh command that runs a shell command on a host with a terminal, the way that Ansible logs in."""
    argv = [access.ssh, *access.arguments]
    if access.port is not None:
        argv += ["-p", str(access.port)]
    if access.key_file:
        argv += ["-i", posixpath.expanduser(access.key_file)]
    if access.user:
        argv += ["-l", access.user]
    return [*argv, "-t", "--", access.address, command]
