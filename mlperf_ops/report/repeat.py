"""The commands that repeat a cell: by the playbook, and by hand on the host."""

from __future__ import annotations

import posixpath
import shlex

from mlperf_ops.plan_model import Plan
from mlperf_ops.report.evidence import CellRun

_DIGEST_CHARACTERS = 12
_HARNESS = "mlperf_ops.harness"


def playbook_command(plan: Plan) -> str:
    """Return the command that measures the whole plan again.

    A run keeps its good results, so that a repetition needs another run id.
    """
    words = [
        "ansible-playbook", "run-inference.yml", "-i", plan.inventory,
        "-e", f"mlperf_run_id={plan.run_id}-again", "-e", f"mlperf_run_style={plan.run_style}",
    ]  # fmt: skip
    return shlex.join(words)


def host_command(cell: CellRun) -> str | None:
    """Return the command that repeats exactly this cell on its host; None when it never ran.

    The spec holds everything that decides the result; the harness and the interpreter are those of the host's home.
    """
    if cell.spec is None or cell.on_host is None or cell.home == "":
        return None
    digest = cell.spec.packages.get(_HARNESS, "")[:_DIGEST_CHARACTERS]
    code = f"harness/{shlex.quote(digest)}" if digest else "harness/*"
    python = cell.result.effective.get("python_executable") if cell.result is not None else None
    program = shlex.quote(python) if isinstance(python, str) else "python/*/bin/python"
    spec = shlex.quote(posixpath.join(cell.on_host, "spec.json"))
    return "\n".join(
        [
            f"cd {_quoted_home(cell.home)}",
            f"PYTHONPATH={code} {program} -m {_HARNESS} --spec {spec} --out again/{shlex.quote(cell.cell.key)}",
        ]
    )


def _quoted_home(home: str) -> str:
    """Quote a path, but leave a leading "~" to the shell."""
    if home == "~" or home.startswith("~/"):
        return "~" + shlex.quote(home[1:]) if home != "~" else home
    return shlex.quote(home)
