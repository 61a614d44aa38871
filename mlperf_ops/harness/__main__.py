"""Run one cell by hand or by the agent: `python -m mlperf_ops.harness --spec spec.json`.

Exit codes: 0 valid, 1 invalid, 3 failed; errors of the call itself as in mlperf_ops.errors.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path

from mlperf_ops.errors import MlperfOpsError
from mlperf_ops.files import read_json
from mlperf_ops.harness.attempt_files import SUPERVISOR_LOG
from mlperf_ops.harness.energy.model import SourceSettings
from mlperf_ops.harness.host_drift import Limits
from mlperf_ops.harness.launching import take_environment
from mlperf_ops.harness.supervisor import host_lock, new_attempt, run_cell
from mlperf_ops.model import Spec
from mlperf_ops.typed import load

_EXIT_CODES = {"valid": 0, "invalid": 1, "failed": 3}


def main() -> int:
    """Run the cell and print its verdict."""
    parser = argparse.ArgumentParser(
        prog="python -m mlperf_ops.harness",
        description="Run one cell and write its result.json.",
        epilog="Example: python -m mlperf_ops.harness --spec spec.json --out /tmp/again",
    )
    parser.add_argument("--spec", type=Path, required=True, help="the cell's spec.json")
    parser.add_argument("--out", type=Path, help="folder for attempt_N; default: beside the spec")
    parser.add_argument("--attempt", type=Path, help="an attempt folder that exists already (used by the agent)")
    parser.add_argument("--lock", type=Path, help="lock file of the host")
    parser.add_argument("--request-sha256", default="", help="identity of the plan's request")
    parser.add_argument("--home", type=Path, help="mlperf_home, whose state folder tells what tuning has set")
    parser.add_argument("--environment", type=Path, help="environment of the login (used by the agent)")
    parser.add_argument("--launched", type=json.loads, default={}, help="how this process was started, as JSON")
    parser.add_argument("--host-state", type=json.loads, default={}, help="limits that taint a result, as JSON")
    parser.add_argument(
        "--unofficial-energy", type=json.loads, default=[], help="sources of energy beside the result, as JSON"
    )
    arguments = parser.parse_args()
    try:
        if arguments.environment:
            _keep_words(arguments.attempt / SUPERVISOR_LOG, arguments.spec)
            take_environment(arguments.environment)
        spec = load(Spec, read_json(arguments.spec), str(arguments.spec))
        with host_lock(arguments.lock, spec.cell.key) if arguments.lock else contextlib.nullcontext():
            attempt = (arguments.attempt or new_attempt(arguments.out or arguments.spec.parent)).resolve()
            limits = load(Limits, arguments.host_state, "--host-state")
            sources = [load(SourceSettings, one, "--unofficial-energy") for one in arguments.unofficial_energy]
            result = run_cell(
                spec,
                attempt,
                request_sha256=arguments.request_sha256,
                home=arguments.home,
                limits=limits,
                launched=arguments.launched,
                energy_sources=sources,
            )
    except MlperfOpsError as error:
        print(f"mlperf_ops.harness: error: {error}", file=sys.stderr)  # noqa: T201  # a command line
        return error.exit_code
    print(f"{spec.cell.key}: {result.verdict}{''.join(f'; {reason}' for reason in result.reasons)}")  # noqa: T201
    for sentence in result.tainted:
        print(f"  tainted: {sentence}")  # noqa: T201
    print(f"  {attempt}")  # noqa: T201
    return _EXIT_CODES[result.verdict]


def _keep_words(log: Path, spec: Path) -> None:
    """Say in the unit's journal what runs; all further words go to the attempt, where the agent looks for them."""
    print(f"runs {spec}", flush=True)  # noqa: T201
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
