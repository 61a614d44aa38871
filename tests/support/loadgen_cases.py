"""Many runs of LoadGen that end as soon as it has logged its settings.

LoadGen applies its embedded configuration only to the first settings of a process, so each case is a fork.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SAMPLES = 20
# Of one case, which takes 0.1 s of CPU: a limit of all would be one on their number, and on what else the machine does.
LIMIT_S = 60
RUN = """
import json, os, signal, sys, time
import mlperf_loadgen as lg
import numpy as np

samples, limit_s = int(sys.argv[1]), int(sys.argv[2])

def run(folder, model, scenario, mode):
    os.chdir(folder)
    settings = lg.TestSettings()
    settings.FromConfig("user.conf", model, scenario, 1)
    settings.scenario, settings.mode = getattr(lg.TestScenario, scenario), getattr(lg.TestMode, mode)
    def issue(queries):
        # The settings are logged before the first query, by a thread of its own.
        while "effective_sample_concatenate" not in open("mlperf_log_detail.txt").read():
            time.sleep(0.005)
        os._exit(0)
    library = lg.ConstructQSL(samples, samples, lambda loaded: None, lambda unloaded: None)
    sut = lg.ConstructSUT(issue, lambda: None)
    logs = lg.LogSettings()
    logs.enable_trace = False
    lg.StartTestWithLogSettings(sut, library, settings, logs)

for case in json.load(sys.stdin):
    child = os.fork()
    if child == 0:
        signal.alarm(limit_s)
        try:
            run(*case)
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit(f"LoadGen failed in {case}")
"""


class Case(NamedTuple):
    """A folder with a user.conf, where the logs go, and what LoadGen is asked for."""

    folder: Path
    conf_model: str
    scenario: str
    mode: str = "PerformanceOnly"


def log_settings(cases: Sequence[Case], python: str = sys.executable) -> None:
    """Let LoadGen log its settings for every case.

    Args:
        cases: What to run.
        python: An interpreter that has LoadGen and numpy.
    """
    asked = json.dumps([[str(one.folder), *one[1:]] for one in cases])
    done = subprocess.run(
        [python, "-c", RUN, str(SAMPLES), str(LIMIT_S)], input=asked, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
