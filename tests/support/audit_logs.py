"""Logs of compliance runs: real LoadGen runs that read an audit.config from their working directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mlperf_ops.model import Scenario
from tests.support.attempts import TINY_SUT, RealLogs, loadgen_scenario, user_conf

_SAMPLED = "*.*.mode = 2\n*.*.accuracy_log_rng_seed = 720381539243781796\n*.*.accuracy_log_sampling_target = {}\n"
_ONE_SAMPLE = (
    "*.{0}.mode = 2\n*.{0}.performance_issue_unique = 0\n"
    "*.{0}.performance_issue_same = 1\n*.{0}.performance_issue_same_index = 3\n"
)


def audit_config(test: str, scenario: Scenario) -> str:
    """What the audit.config of a test sets."""
    if test == "TEST04":
        return _ONE_SAMPLE.format(loadgen_scenario(scenario))
    return _SAMPLED.format({"TEST01": 4096, "TEST06": 100}[test])


def audit_run(logs: RealLogs, scenario: Scenario, test: str, samples: int) -> Path:
    """Return a folder with the logs of a real compliance run; do not write into it."""
    name = loadgen_scenario(scenario)
    key = (name, test, samples)
    if key not in logs.made:
        folder = logs.base / f"{name}-{test}-{samples}"
        folder.mkdir(parents=True)
        (folder / "user.conf").write_text(user_conf(scenario))
        (folder / "audit.config").write_text(audit_config(test, scenario))
        argv = [sys.executable, str(TINY_SUT), name, "PerformanceOnly", str(folder), str(samples)]
        with (folder / "console.log").open("wb") as console:
            subprocess.run(argv, check=True, timeout=60, cwd=folder, stdout=console, stderr=subprocess.STDOUT)
        (folder / "mlperf_log_trace.json").unlink(missing_ok=True)
        logs.made[key] = folder
    return logs.made[key]
