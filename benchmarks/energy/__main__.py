"""What reading unofficial energy costs a host while it measures: `python -m benchmarks.energy --help`.

A small model under LoadGen, SingleStream, without sources and with one, taking turns. The cost is the CPU time that
the sampler notes itself (its threads and the programs that it starts), as a share of one core; the effect is the ratio
of the two median latencies. The sources are stand-ins: a powercap tree of plain files, a program that prints a number
as snmpget and ipmitool do, a Redfish service over TLS, which runs on the same machine here and in a lab does not.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness.contenders import Setting, harness
from benchmarks.harness.models import Workload, generated
from mlperf_ops.harness.energy.model import SourceSettings
from tests.support.energy import make_powercap, running_bmc

_SOURCES = ("rapl", "command", "redfish")


@contextmanager
def _bmc(folder: Path) -> Iterator[str]:
    """Run a BMC in a process of its own; yield its address."""
    argv = [sys.executable, "-m", "benchmarks.energy", "--bmc", str(folder)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield (process.stdout.readline() if process.stdout else "").strip()
    finally:
        process.kill()
        process.communicate()


def _serve(folder: Path) -> None:
    with running_bmc(folder) as bmc:
        bmc.account = None
        bmc.chassis("Self", power=412)
        print(bmc.url, flush=True)
        while True:
            time.sleep(3600)


def _source(kind: str, folder: Path, bmc: str, sample_seconds: float) -> SourceSettings:
    if kind == "rapl":
        return SourceSettings("rapl", kind, sample_seconds, powercap=str(folder / "powercap"))
    if kind == "redfish":
        return SourceSettings("redfish", kind, sample_seconds, url=bmc, ca_file=str(folder / "bmc.pem"))
    return SourceSettings("command", kind, sample_seconds, argv=("/bin/cat", str(folder / "watts")))


def _compare(workload: Workload, setting: Setting, source: SourceSettings, pairs: int) -> dict[str, object]:
    p50_us: dict[bool, list[float]] = {True: [], False: []}
    shares: list[float] = []
    ratios: list[float] = []
    for _ in range(pairs):
        pair: dict[bool, float] = {}
        for wanted in (False, True) if len(ratios) % 2 else (True, False):
            figures, log = harness(workload, setting, energy_sources=[source] if wanted else [])
            pair[wanted] = (figures.p50_ns or 0.0) / 1e3
            p50_us[wanted].append(pair[wanted])
            if wanted:
                energy = log["energy"]
                told = json.loads(json.dumps(energy))
                if told["sources"][0]["problem"]:
                    sys.exit(f"benchmarks.energy: {told['sources'][0]['problem']}")
                shares.append(told["cost"]["percent_of_one_cpu"])
        ratios.append(pair[True] / pair[False])
        print(f"{source.kind}: p50 {pair[False]:.2f} µs, with it {pair[True]:.2f} µs, {shares[-1]:.3f} % of a core",
              file=sys.stderr, flush=True)  # fmt: skip
    return {
        "percent_of_a_core": round(statistics.median(shares), 4),
        "p50_us_without": round(statistics.median(p50_us[False]), 3),
        "p50_us_with": round(statistics.median(p50_us[True]), 3),
        "p50_ratio": round(statistics.median(ratios), 4),
        "p50_ratios": [round(ratio, 4) for ratio in ratios],
    }


def main() -> int:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.energy", description=__doc__)
    parser.add_argument("--source", choices=_SOURCES, action="append", help="default: all")
    parser.add_argument("--samples", type=int, default=500_000, help="queries of a run; 500000 take about 10 s")
    parser.add_argument("--sample-seconds", type=float, default=1.0, help="between two readings")
    parser.add_argument("--packages", type=int, default=2, help="of the powercap tree")
    parser.add_argument("--hidden", type=int, default=40, help="size of the generated model; 40 is about 20 µs")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--bmc", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bmc:
        _serve(arguments.bmc)
    setting = Setting("SingleStream", arguments.samples, 1, 1, 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workload = generated(folder, hidden=arguments.hidden)
        make_powercap(folder / "powercap", packages=arguments.packages)
        (folder / "watts").write_text("412\n")
        with _bmc(folder) as bmc:
            found = {
                kind: _compare(workload, setting, _source(kind, folder, bmc, arguments.sample_seconds), arguments.pairs)
                for kind in arguments.source or _SOURCES
            }
    told = {"sample_seconds": arguments.sample_seconds, "load_1min": round(os.getloadavg()[0], 2), **found}
    print(json.dumps(told, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
