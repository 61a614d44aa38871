"""The official accuracy script of a checkout beside our own computation.

The script runs as it is, in a process and a working folder of its own; nothing is written into the checkout.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.accuracy.model import Request
from mlperf_ops.accuracy_txt import Target, parse_accuracy_text
from mlperf_ops.catalogue.round import Round
from mlperf_ops.catalogue.scorer import OfficialScript, Scorer
from mlperf_ops.errors import ConfigError, ToolError

_TIMEOUT_S = 24 * 3600
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_SHOWN_LINES = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """A metric that the two computations give differently."""

    metric: str
    ours: str | None  # as written; None: not stated
    official: str | None


@dataclass(frozen=True, slots=True)
class OfficialOpinion:
    """What the official script said.

    Attributes:
        script: Its path in the repository.
        text: What it printed.
        values: Metric -> number as written.
        differences: Metrics whose numbers, as written, are not ours; empty: both agree to the last digit.
    """

    script: str
    text: str
    values: dict[str, str]
    differences: tuple[Difference, ...]


def check_ready(scorer: Scorer, checkout: Path, python: str) -> None:
    """Look whether the script can be started at all, before hours of scoring.

    Raises:
        ConfigError: The checkout has no such script, or the interpreter is missing.
    """
    if not (checkout / scorer.official.script).is_file():
        raise ConfigError(
            f"{checkout} has no {scorer.official.script}",
            hint="give a checkout of mlcommons/inference at the round's commit",
        )
    if shutil.which(python) is None:
        raise ConfigError(f"--official-python: there is no Python at {python}")


def run_script(scorer: Scorer, request: Request, checkout: Path, work: Path, *, python: str = sys.executable) -> str:
    """Run the official script on the same log and return what it says.

    Args:
        scorer: Whose script.
        request: Log and inputs; its parameters have to be those that our computation used.
        checkout: A checkout of mlcommons/inference.
        work: An empty folder.
        python: Interpreter that has the packages which the script imports.

    Raises:
        ToolError: The script failed, with its last lines; or it is not run from here.
    """
    official = scorer.official
    if not official.argv:
        raise ToolError(f"{official.script} is not run from here; it needs {official.needs}")
    work = work.resolve()
    names = {"log": request.log.resolve(), "work": work, "tree": checkout.resolve()}
    values = {name: str(value) for name, value in {**request.parameters, **names}.items()}
    for name, path in request.inputs.items():
        values |= {name: str(path.resolve()), f"{name}_parent": path.resolve().parent.name}
    for name, target in official.links.items():
        link = work / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target.format_map(values))
    own = {name: value.format_map(values) for name, value in official.env.items()}
    try:
        done = subprocess.run(
            [python, str((checkout / official.script).resolve()), *_argv(official, request, values)],
            cwd=work,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **own},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{official.script} could not be run: {error}") from error
    if done.returncode != 0:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()][-_SHOWN_LINES:]
        raise ToolError(
            f"{official.script} ended with exit code {done.returncode}: {' | '.join(lines)}",
            hint=f"it needs {official.needs}; --official-python names the Python that has them",
        )
    return _said(official, done, work)


def _said(official: OfficialScript, done: subprocess.CompletedProcess[str], work: Path) -> str:
    if official.output in ("stdout", "stderr"):
        return str(getattr(done, official.output))
    try:
        return (work / official.output).read_text(errors="replace")
    except OSError as error:
        raise ToolError(f"{official.script} wrote no {official.output}: {error.strerror}") from error


def _argv(official: OfficialScript, request: Request, values: Mapping[str, str]) -> Iterable[str]:
    """Fill in the placeholders; an option whose value is not given is left out."""
    argv: list[str] = []
    for item in official.argv:
        names = _PLACEHOLDER.findall(item)
        if all(name in values for name in names):
            argv.append(item.format_map(values))
        else:
            argv.pop()  # the option before it
    argv += [flag for name, flag in official.flags.items() if request.parameters.get(name) is True]
    return argv


def compare(
    scorer: Scorer, ours: Mapping[str, str], text: str, targets: Iterable[Target], round_: Round
) -> OfficialOpinion:
    """Compare our numbers with those that the official script wrote, as written.

    Args:
        scorer: Which script that was.
        ours: Metric -> number as our accuracy.txt writes it.
        text: What the script said.
        targets: The metrics to look for.
        round_: Its patterns read the text.
    """
    found = parse_accuracy_text(text.splitlines(), targets, round_.accuracy_regex, round_.hash_regex).texts
    wanted = [metric for metric in scorer.metrics if metric not in scorer.not_computed]
    differing = tuple(
        Difference(metric, ours.get(metric), found.get(metric))
        for metric in wanted
        if ours.get(metric) != found.get(metric)
    )
    return OfficialOpinion(scorer.official.script, text, dict(found), differing)
