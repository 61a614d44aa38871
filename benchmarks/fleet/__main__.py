"""Measure a campaign against its slowest host's own cells, and how soon the controller has each cell's verdict.

`python -m benchmarks.fleet --help`

Needs root: the hosts are those of tests/lab. Four cells run on each, with real LoadGen: SingleStream and MultiStream,
performance and accuracy. The hosts are provisioned before; what is timed is the play that runs the cells. The hosts
share this machine's cores, which makes the cells slower and says nothing about the ratio: it is between the play and
what its cells took.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mlperf_ops.files import Json, read_json
from tests.lab import Host, Lab
from tests.support.controllers import Controller

LIMIT = 1.03
_SAMPLES_PER_QUERY = 8  # of MultiStream
_MOST_SECONDS = 7200.0
_SCENARIOS = ["SingleStream", "MultiStream"]


def results(host: Host) -> list[Path]:
    """Return the result.json of each attempt on a host."""
    return sorted((host.root / "home/ops/mlperf/runs/fleet").glob("*/*/*/*/*/attempt_*/result.json"))


def own_seconds(host: Host) -> list[float]:
    """Return what each cell of a host took, by its result.json."""
    return sorted(float(str(read_json(path)["elapsed_seconds"])) for path in results(host))


def verdict_seconds(host: Host, run: Path) -> list[float]:
    """Return how long after the end of each attempt its result, summary and detail log were on the controller."""
    on_controller = {path.parent.parts[-6:]: path.parent for path in run.glob("hosts/*/**/attempt_*/result.json")}
    found = []
    for path in results(host):
        here = on_controller[path.parent.parts[-6:]]
        files = [here / "result.json", *here.glob("**/mlperf_log_[sd]*.txt")]
        found.append(round(max(one.stat().st_ctime for one in files) - path.stat().st_mtime, 2))
    return sorted(found)


def measure(lab: Lab, folder: Path, queries: int) -> dict[str, Any]:
    """Provision, run the cells of all hosts, and return the times.

    Raises:
        SystemExit: A play failed, or not all cells ran.
    """
    counts: dict[str, Json] = {"SingleStream": queries, "MultiStream": max(1, queries // _SAMPLES_PER_QUERY)}
    entry: dict[str, Json] = {"benchmark": "efficientnet-lite0", "scenarios": [*_SCENARIOS]}
    backend: dict[str, Json] = {"allow_spinning": False, "intra_op_threads": 1}
    changes: dict[str, Json] = {
        "mlperf_benchmarks": [{**entry, "backend": backend}],
        "mlperf_test_query_count": counts,
        "mlperf_tuning_profile": None,
    }
    controller = Controller(lab, folder, lab.hosts, "fleet", **changes)
    prepared = controller.play("run-inference.yml", "--tags", "validate,provision")
    began = time.monotonic()
    played = controller.start("run-inference.yml", "--tags", "run").end(seconds=_MOST_SECONDS)
    wall_seconds = time.monotonic() - began
    for one in (prepared, played):
        if one.exit_code:
            sys.exit(f"a play ended with {one.exit_code}:\n{one.output[-3000:]}")
    cells = {host.name: own_seconds(host) for host in lab.hosts}
    expected = 2 * len(_SCENARIOS)
    if any(len(took) != expected for took in cells.values()):
        sys.exit(f"expected {expected} results on each host, found {cells}")
    slowest = max(sum(took) for took in cells.values())
    return {
        "cells": sum(len(took) for took in cells.values()),
        "cell_seconds": cells,
        "slowest_host_seconds": round(slowest, 1),
        "play_seconds": round(wall_seconds, 1),
        "ratio": round(wall_seconds / slowest, 4),
        "limit": LIMIT,
        "verdict_seconds": {host.name: verdict_seconds(host, controller.run) for host in lab.hosts},
        "seconds_beside_cells_per_cell": round((wall_seconds - slowest) / expected, 2),
    }


def main() -> int:
    """Print one JSON object; exit code 1 when the ratio is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=3)
    parser.add_argument(
        "--queries", type=int, default=20_000, help="of a SingleStream cell: it decides how long one is"
    )
    arguments = parser.parse_args()
    with Lab.up(hosts=arguments.hosts) as lab, tempfile.TemporaryDirectory(prefix="fleet.") as scratch:
        found = measure(lab, Path(scratch), arguments.queries)
    found["load_average"] = os.getloadavg()
    print(json.dumps(found, indent=2))
    return int(found["ratio"] > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
