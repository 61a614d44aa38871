"""Measure what a run costs the controller, beside `ansible -m ping`: `python -m benchmarks.control_plane --help`.

Needs root: the hosts are those of tests/lab. The whole of run-inference.yml runs on them, with real LoadGen cells, and
then again with nothing left to do; ping takes turns with the second run, so that what else the machine does hits both.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from tests.lab import Lab
from tests.lab.host import enter_argv

CHECKOUT = Path(__file__).resolve().parents[2]
_HOME = "/srv/mlperf"
_MANY = 9  # from here on provisioned homes are copied from the first host: filling each would measure pip
_PLAYBOOK = "run-inference.yml"
_LAB_VARIABLES = {
    "mlperf_round": "v6.1",
    "mlperf_division": "open",
    "mlperf_submitter": "example",
    "mlperf_run_style": "test",
    "mlperf_test_query_count": 10,
    "mlperf_home": _HOME,
    "mlperf_system_type": "edge",
    "mlperf_run_id": "control_plane",
    "mlperf_tuning_profile": "generic-linux",
    "mlperf_benchmarks": [{"benchmark": "efficientnet-lite0", "scenarios": ["Offline"]}],
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command took: wall seconds, and CPU seconds of its whole process tree on the controller."""

    wall_seconds: float
    cpu_seconds: float

    @classmethod
    def median(cls, costs: Sequence[Cost]) -> Cost:
        """Return the medians."""
        return cls(
            round(statistics.median(one.wall_seconds for one in costs), 2),
            round(statistics.median(one.cpu_seconds for one in costs), 2),
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One number of hosts with one strategy."""

    hosts: int
    strategy: str
    ping: Cost
    first: Cost | None
    again: Cost
    again_cpu_ratio_to_ping: float


def timed(lab: Lab, argv: list[str], cwd: Path, environment: dict[str, str], *, good: tuple[int, ...] = (0,)) -> Cost:
    """Run a command in the lab's network.

    Raises:
        SystemExit: It ended with another code than the good ones.
    """
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [*enter_argv(lab.id), *argv],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in good:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measure(count: int, repeats: int, forks: int, mitogen: Path | None) -> list[Row]:
    """Bring up a lab, run everything, run it again beside ping, with Mitogen too where it is given."""
    programs = Path(sys.executable).parent
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_FORKS": str(max(forks, count)),  # a lab needs as many as it has hosts
        "ANSIBLE_TIMEOUT": "60",
        "LC_ALL": "C.UTF-8",
    }
    with Lab.up(hosts=count) as lab, tempfile.TemporaryDirectory(prefix="control_plane.") as scratch:
        folder = Path(scratch)
        inventory = folder / "inventory"
        shutil.copytree(lab.inventory, inventory)
        (inventory / "group_vars" / "all").mkdir(parents=True)
        (inventory / "group_vars" / "all" / "mlperf.yml").write_text(yaml.safe_dump(_LAB_VARIABLES))
        ansible = [str(programs / "ansible"), "-i", str(inventory), "sut", "-m", "ansible.builtin.ping"]
        play = [str(programs / "ansible-playbook"), str(CHECKOUT / _PLAYBOOK), "-i", str(inventory)]
        timed(lab, ansible, folder, environment)  # opens the shared connections
        first: Cost | None = None
        if count >= _MANY:
            one = lab.hosts[0].name
            # 2: the verdict misses the cells of the hosts that were not asked.
            timed(lab, [*play, "--limit", f"localhost,{one}"], folder, environment, good=(2,))
            for host in lab.hosts[1:]:
                shutil.copytree(lab.hosts[0].root / _HOME[1:], host.root / _HOME[1:], symlinks=True)
            timed(lab, play, folder, environment)
        else:
            first = timed(lab, play, folder, environment)
        strategies = {"ansible": environment}
        if mitogen is not None:
            # The folder ansible_mitogen/plugins/strategy lies three levels below its site-packages.
            strategies["mitogen"] = environment | {
                "MLPERF_OPS_STRATEGY": "mitogen_free",
                "ANSIBLE_STRATEGY_PLUGINS": str(mitogen),
                "PYTHONPATH": str(mitogen.parents[2]),
            }
        pings: list[Cost] = []
        second_runs: dict[str, list[Cost]] = {name: [] for name in strategies}
        for _ in range(repeats):
            pings.append(timed(lab, ansible, folder, environment))
            for name, accelerated in strategies.items():
                second_runs[name].append(timed(lab, play, folder, accelerated))
    return [
        Row(
            hosts=count,
            strategy=name,
            ping=Cost.median(pings),
            first=None if first is None else Cost.median([first]),
            again=Cost.median(runs),
            again_cpu_ratio_to_ping=round(
                statistics.median(a.cpu_seconds / p.cpu_seconds for a, p in zip(runs, pings, strict=True)), 2
            ),
        )
        for name, runs in second_runs.items()
    ]


def main() -> None:
    """Measure each number of hosts and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--forks", type=int, default=10)
    parser.add_argument("--mitogen", type=Path, help="folder ansible_mitogen/plugins/strategy of an installed Mitogen")
    arguments = parser.parse_args()
    rows = [
        row
        for count in arguments.hosts
        for row in measure(count, arguments.repeats, arguments.forks, arguments.mitogen)
    ]
    slopes = [
        {
            "strategy": a.strategy,
            "from_hosts": a.hosts,
            "to_hosts": b.hosts,
            "again_cpu_seconds_per_host": round((b.again.cpu_seconds - a.again.cpu_seconds) / (b.hosts - a.hosts), 3),
            "ping_cpu_seconds_per_host": round((b.ping.cpu_seconds - a.ping.cpu_seconds) / (b.hosts - a.hosts), 3),
        }
        for strategy in dict.fromkeys(row.strategy for row in rows)
        for a, b in itertools.pairwise(row for row in rows if row.strategy == strategy)
    ]
    print(json.dumps({"rows": [asdict(row) for row in rows], "per_further_host": slopes}, indent=2))


if __name__ == "__main__":
    main()
