"""What `mlperf-ops watch` and `status --live` cost a host while it measures: `python -m benchmarks.watch --help`.

Takes the cells of a provisioned mlperf_home whose plan has run once, and runs them again elsewhere, long enough, with a
watcher over a real sshd on this machine and without one, taking turns. The cost is the CPU time of all processes of the
ssh session, sshd's own included, as a share of one core; logging in is told apart, because it happens once. The
controller's half runs on the same machine here, which in a lab it does not.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mlperf_ops.campaign.access import Reach
from mlperf_ops.campaign.ask import run_script
from mlperf_ops.campaign.link import Links
from mlperf_ops.campaign.look import look_script
from mlperf_ops.campaign.wire import Conversation, Heard
from mlperf_ops.doctor.model import Access, Progress
from mlperf_ops.files import read_json, write_json
from mlperf_ops.harness.supervisor import host_lock, run_cell
from mlperf_ops.model import Spec
from mlperf_ops.typed import dump, load
from tests.support import sshd
from tests.support.sshd import Sshd

_RUN = "bench"
_TICKS = os.sysconf("SC_CLK_TCK")
_ASKED = 20
_PAUSE_SECONDS = 3.0  # before every cell: one that begins right after another is another measurement
_FIGURES = {"Offline": "result_samples_per_second", "SingleStream": "result_50.00_percentile_latency_ns"}


def _cell(spec_path: Path, home: Path, python: str) -> None:
    """Run one cell as a supervisor does; in a process of its own."""
    spec = load(Spec, read_json(spec_path), str(spec_path))
    cell = spec.cell
    folder = home / "runs" / _RUN / cell.system / cell.benchmark / cell.scenario / cell.mode / "0123456789ab"
    with host_lock(home / "runs/.lock", cell.key):
        attempt = folder / f"attempt_{len(list(folder.glob('attempt_*'))) + 1}"
        attempt.mkdir(parents=True)
        run_cell(spec, attempt, request_sha256="0" * 64, python=python, home=home)
    print(attempt)


def _prepared(attempt: Path, seconds: float, folder: Path) -> Path:
    """Write the spec of an attempt that has run, made to last some seconds."""
    spec = load(Spec, read_json(attempt / "spec.json"), "spec")
    fields = json.loads((attempt / "result.json").read_text())["loadgen"]["fields"]
    scenario = spec.cell.scenario
    figure = float(fields[_FIGURES[scenario]])
    count = int(seconds * (figure if scenario == "Offline" else 1e9 / figure))
    model = spec.loadgen.conf_model
    conf = f"{model}.{scenario}.min_duration = 0\n{model}.{scenario}.min_query_count = {count}\n"
    conf += f"{model}.{scenario}.max_query_count = {count}\n"
    path = folder / f"{scenario}.json"
    write_json(path, dump(replace(spec, loadgen=replace(spec.loadgen, user_conf=conf, expect={}))))
    return path


# --- CPU time ---------------------------------------------------------------------------------------------------------


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _seconds(pid: int) -> float:
    """Return the CPU seconds of a process, of its children that have ended, and of those that live, in nanoseconds."""
    own = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    ended = sum(int(word) for word in _stat(pid)[13:15]) / _TICKS
    return own + ended + sum(_seconds(child) for child in _children(pid))


def _sessions(host: Sshd) -> float:
    return 0.0 if host.process is None else _seconds(host.process.pid)


def _wait_for_idle(host: Sshd) -> None:
    """Wait until all sessions have ended and were counted: what they cost is no part of what follows."""
    deadline = time.monotonic() + 30
    while host.process is not None and _children(host.process.pid):
        if time.monotonic() > deadline:
            sys.exit("benchmarks.watch: a session does not end")
        time.sleep(0.1)


# --- watching ---------------------------------------------------------------------------------------------------------


@contextmanager
def _watched(access: Access, home: Path, host: Sshd, *, wanted: bool) -> Iterator[None]:
    _wait_for_idle(host)
    if not wanted:
        time.sleep(_PAUSE_SECONDS)
        yield
        return
    conversation = Conversation("a", str(home), _RUN, [], whole=True)
    with Links(Reach({"a": access}, {}), {"a": conversation}, 30.0) as links:
        links.news.get(timeout=60)  # it has logged in and looked once
        time.sleep(_PAUSE_SECONDS)
        yield
        heard = []
        while not links.news.empty():
            heard.append(links.news.get())
        if not any(one.alive for news in heard if isinstance(news, Heard) for one in news.answer.begun):
            sys.exit("benchmarks.watch: nothing of the cell was heard")


def _run(spec: Path, home: Path, python: str, host: Sshd) -> tuple[float, float, float]:
    """Run a cell; return its figure, how long it took and what sshd's processes cost meanwhile."""
    before, began = _sessions(host), time.monotonic()
    argv = [sys.executable, "-m", "benchmarks.watch", "--cell", str(spec), "--home", str(home), "--python", python]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
    took, cost = time.monotonic() - began, _sessions(host) - before
    result = json.loads((Path(done.stdout.strip()) / "result.json").read_text())
    if result["loadgen"] is None:
        sys.exit(f"benchmarks.watch: the cell failed: {result['reasons']}")
    return float(result["loadgen"]["fields"][_FIGURES[result["cell"]["scenario"]]]), took, cost


def _live(access: Access, home: Path, host: Sshd) -> float:
    """Return the CPU seconds of one look of `status --live`, logging in and all."""
    script = look_script(str(home), _RUN, [])
    before = _sessions(host)
    for _ in range(_ASKED):
        deadline = time.monotonic() + 30
        run_script(access, script, Progress(deadline, deadline))
    _wait_for_idle(host)
    return (_sessions(host) - before) / _ASKED


def _measure(arguments: argparse.Namespace) -> dict[str, object]:
    provision = arguments.home / "state" / "provision.json"
    held = json.loads(provision.read_text()) if provision.is_file() else None
    attempts = {
        path.parts[-5]: path.parent
        for path in sorted(arguments.home.glob("runs/*/*/*/*/performance/*/attempt_*/result.json"))
        if path.parts[-5] in _FIGURES
    }
    if held is None or not attempts:
        sys.exit(f"benchmarks.watch: {arguments.home} has no performance cell that has run: mlperf-ops run first")
    python = held["python"]["path"]
    os.environ["PYTHONPATH"] = os.pathsep.join([held["harness"]["path"], str(Path.cwd())])
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder, sshd.running(Path(folder, "sshd")) as host:
        home = Path(folder, "home")
        (home / "runs").mkdir(parents=True)
        access = load(Access, {**host.access(), "python": python}, "access")
        for scenario, attempt in attempts.items():
            spec = _prepared(attempt, arguments.seconds, Path(folder))
            figures: dict[bool, list[float]] = {True: [], False: []}
            shares, cell_seconds = [], []
            for turn in range(arguments.pairs * 2):
                wanted = turn % 4 in {1, 2}  # without, with, with, without
                with _watched(access, home, host, wanted=wanted):
                    figure, took, cost = _run(spec, home, python, host)
                figures[wanted].append(figure)
                cell_seconds.append(took)
                print(f"{scenario} {'with' if wanted else 'without'}: {figure:.1f}, {took:.1f} s, {cost:.4f} s of CPU",
                      file=sys.stderr, flush=True)  # fmt: skip
                if wanted:
                    shares.append(100 * cost / took)
            without, with_it = (figures[False], figures[True])
            found[scenario] = {
                "cell_seconds": round(statistics.median(cell_seconds), 1),
                "percent_of_a_core": [round(share, 4) for share in shares],
                "without": [round(one, 1) for one in without],
                "with": [round(one, 1) for one in with_it],
                "ratio": round(statistics.median(with_it) / statistics.median(without), 4),
            }
        _wait_for_idle(host)
        before, threads = _sessions(host), threading.active_count()
        with Links(Reach({"a": access}, {}), {"a": Conversation("a", str(home), _RUN)}, 30.0) as links:
            links.news.get(timeout=60)
            threads = threading.active_count() - threads
            # While it lives: what outlives its session is counted nowhere.
            found["log_in_cpu_seconds"] = round(_sessions(host) - before, 4)
        _wait_for_idle(host)
        found["threads_per_host"] = threads
        found["status_live_cpu_seconds"] = round(_live(access, home, host), 4)
    return found


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watch", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="a provisioned mlperf_home whose cells have run")
    parser.add_argument("--seconds", type=float, default=40.0, help="how long a cell lasts, about")
    parser.add_argument("--pairs", type=int, default=3, help="runs with and without watching, per scenario")
    parser.add_argument("--cell", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--python", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        _cell(arguments.cell, arguments.home, arguments.python)
        return
    print(json.dumps(_measure(arguments), indent=2))


if __name__ == "__main__":
    _main()
