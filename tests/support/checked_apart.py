"""Check a tree in processes, from a process without threads: `python -m tests.support.checked_apart TREE [DEADLY]`.

pytest's own process may have threads of libraries, and then nothing is forked. With DEADLY, the check of the result
whose location ends so ends its process. Prints the report as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from mlperf_ops.checker import CheckReport, check_tree
from mlperf_ops.checker.parallel import can_fork
from mlperf_ops.checker.registry import FAMILIES
from mlperf_ops.checker.rules import Family, Findings
from mlperf_ops.checker.subjects import Result
from mlperf_ops.typed import dump
from tests.support.submission_trees import round_v61

FORKS = "forks"  # the answer says whether processes were used


def check_apart(tree: Path, deadly: str) -> CheckReport:
    here = os.getpid()

    def kill(place: Result) -> Findings:
        yield from ()
        if deadly and place.location.endswith(deadly) and os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)

    families = (*FAMILIES, Family("deadly", "Deadly", (), result=(kill,)))
    return check_tree(tree, round_v61(), families=families, processes=2)


if __name__ == "__main__":
    forks = can_fork()
    print(json.dumps(dump(check_apart(Path(sys.argv[1]), sys.argv[2])) | {FORKS: forks}))  # noqa: T201
