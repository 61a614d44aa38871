"""status, logs and shell as processes, on the real files of a real short run, of this machine and over a real sshd."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlperf_ops.campaign.access import Reach
from mlperf_ops.campaign.ask import ask
from mlperf_ops.campaign.logs import follow, of_host
from mlperf_ops.collected import read_collection
from mlperf_ops.doctor.model import Access
from mlperf_ops.model import Result
from mlperf_ops.run_plan import read_plan
from mlperf_ops.typed import load
from tests.support import sshd
from tests.support.playbooks import CHECKOUT, Played, command, environ, local_inventory, play

pytestmark = [pytest.mark.integration, pytest.mark.network]

_NAME = "efficientnet-lite0"
_PLAY = str(CHECKOUT / "run-inference.yml")
_OFFLINE = f"localhost/{_NAME}/Offline/performance"
_SINGLE = f"localhost/{_NAME}/SingleStream/performance"


class Lab:
    """An inventory of this machine, its home, and where it is played from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.run = folder / "results" / "mini"
        self.change()

    def change(self, **changes: object) -> None:
        benchmarks = [{"benchmark": _NAME, "scenarios": ["SingleStream", "Offline"], "modes": ["performance"]}]
        changes.setdefault("benchmarks", benchmarks)
        self.inventory = local_inventory(self.folder / "mini", self.home, **changes)  # type: ignore[arg-type]  # JSON

    def restore(self) -> None:
        """Put inventory and plan back as the tests found them."""
        self.change()
        done = self.ops("plan", "-i", "mini")
        assert done.returncode == 0, done.stderr

    def play(self, *arguments: str) -> Played:
        return play(_PLAY, self.inventory, self.folder, *arguments)

    def ops(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mlperf_ops", *words],
            cwd=self.folder, env=environ(), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def cells(self, *words: str) -> dict[str, dict[str, Any]]:
        done = self.ops("status", "-i", "mini", "--json", *words)
        assert done.returncode == 0, done.stderr
        return {cell["key"]: cell for cell in json.loads(done.stdout)["cells"]}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Return a lab whose Offline cell has run, by mlperf_only; the others are still planned."""
    made = Lab(tmp_path_factory.mktemp("campaign"))
    played = made.play("-e", "mlperf_only=*/Offline", "--tags", "validate,provision,run,collect")
    assert played.exit_code == 0, played.output
    assert "mlperf_only leaves out 1 cell without a good result" in " ".join(played.output.split())
    return made


def test_only_what_was_chosen_has_run_and_the_rest_is_planned(lab: Lab) -> None:
    cells = lab.cells()
    assert {key: cell["state"] for key, cell in cells.items()} == {_OFFLINE: "valid", _SINGLE: "planned"}
    assert (lab.run / "hosts/localhost" / cells[_OFFLINE]["path"] / "result.json").is_file()
    text = lab.ops("status").stdout  # without -i: the only run there is
    assert "✔" in text
    assert "critical path" not in text  # one host, one cell
    assert "mlperf-ops run -i mini" in text


def test_the_host_says_the_same_and_a_result_that_is_not_collected_counts(lab: Lab) -> None:
    assert {key: cell["state"] for key, cell in lab.cells("--live").items()} == {_OFFLINE: "valid", _SINGLE: "planned"}
    cells_json = lab.run / "hosts/localhost/cells.json"
    kept = cells_json.read_text()
    cells_json.unlink()
    try:
        assert lab.cells()[_OFFLINE]["state"] == "planned"
        live = lab.cells("--live")[_OFFLINE]
        assert (live["state"], live["path"]) == ("valid", None)
        said = lab.ops("logs", "Offline/performance")
        assert said.returncode == 3
        assert "--live asks the host" in said.stderr
        said = lab.ops("logs", "Offline/performance", "--live", "--json")
        assert "Result is : VALID" in json.loads(said.stdout)["summary"]
    finally:
        cells_json.write_text(kept)


def test_logs_are_those_of_the_attempt_and_a_typo_names_the_nearest_cell(lab: Lab) -> None:
    said = lab.ops("logs", _OFFLINE)
    assert said.returncode == 0, said.stderr
    assert "Result is : VALID" in said.stdout
    assert lab.ops("logs", _OFFLINE, "--file", "user.conf").stdout.startswith("resnet50.Offline.")
    wrong = lab.ops("logs", _OFFLINE.replace("Offline", "Ofline"))
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert f"did you mean '{_OFFLINE}'?" in wrong.stderr
    assert lab.ops("logs", _OFFLINE, "--file", "../x").returncode == 2


def test_a_running_cell_has_its_phase_and_is_read_along_while_the_play_holds_the_folder(lab: Lab) -> None:
    lab.change(test_query_count=3000)
    process = subprocess.Popen(
        [*command(_PLAY, lab.inventory), "-e", "mlperf_only=*/SingleStream", "--tags", "validate,provision,run"],
        cwd=lab.folder, env=environ(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 180
        while not list(lab.home.glob("runs/mini/*/*/SingleStream/performance/*/attempt_*/phase")):
            assert time.monotonic() < deadline, "the cell never started"
            assert process.poll() is None, "the play ended by itself"
            time.sleep(0.2)
        done = lab.ops("status", "-i", "mini", "--live", "--json")
        seen = json.loads(done.stdout)
        assert seen["play"]["pid"] == process.pid
        (cell,) = (one for one in seen["cells"] if one["key"] == _SINGLE)
        assert cell["state"] == "running"
        assert cell["phase"] in {"loading", "warmup", "measuring", "scoring"}
        assert seen["hosts"][0]["state"] == "running"
        read = lab.ops("logs", _SINGLE, "--follow")
        assert read.returncode == 0, read.stderr
        assert "MLPerf Results Summary" in read.stdout
        assert process.wait(timeout=180) == 0
    finally:
        process.kill()
        process.wait()
        lab.restore()


def test_the_script_of_a_cell_runs_it_as_the_play_does_and_writes_to_no_attempt(lab: Lab) -> None:
    attempts = sorted(path for path in lab.home.glob("runs/**/*") if path.is_file())
    done = lab.ops("shell", _OFFLINE, "--prefix", "env PREFIXED=1", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    held = lab.run / "hosts/localhost" / lab.cells()[_OFFLINE]["path"]
    assert made["spec_sha256"] == load(Result, json.loads((held / "result.json").read_text()), "").spec_sha256
    assert made["argv"][:2] == ["env", "PREFIXED=1"]
    ran = subprocess.run(["/bin/sh"], input=made["script"], text=True, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    folder = Path(made["folder"])
    assert "Result is : VALID" in (folder / "mlperf_log_summary.txt").read_text()
    for name in ("spec.json", "user.conf"):
        assert (folder / name).read_bytes() == (held / name).read_bytes()
    assert sorted(path for path in lab.home.glob("runs/**/*") if path.is_file()) == attempts


def test_a_changed_prefix_makes_every_cell_stale_and_says_so(lab: Lab) -> None:
    lab.change(cmd_prefix="nice")
    planned = lab.ops("plan", "-i", "mini")
    assert planned.returncode == 0, planned.stderr
    try:
        cell = lab.cells()[_OFFLINE]
        assert (cell["state"], cell["reason"]) == ("stale", "changed since: argv")
    finally:
        lab.restore()


def test_a_mistyped_choice_is_refused_with_its_line_before_anything_runs(lab: Lab) -> None:
    hosts = yaml.safe_load((lab.inventory / "hosts.yml").read_text())
    hosts["all"]["vars"]["mlperf_only"] = [f"{_NAME}/Servr"]
    (lab.inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))
    try:
        done = lab.ops("plan", "-i", "mini")
        assert done.returncode == 2
        assert "hosts.yml:" in done.stderr
        assert "unknown scenario 'Servr'" in done.stderr
    finally:
        lab.change()


# --- over ssh ---------------------------------------------------------------------------------------------------------

over_ssh = pytest.mark.skipif(bool(sshd.why_not()), reason=sshd.why_not())


@pytest.fixture
def reached(tmp_path: Path) -> Iterator[Access]:
    with sshd.running(tmp_path / "sshd") as host:
        yield load(Access, host.access(), "access")


@over_ssh
def test_a_host_over_ssh_answers_as_this_machine_does(lab: Lab, reached: Access) -> None:
    plan, earlier = read_plan(lab.run), read_collection(lab.run).earlier
    asked = ask(plan, (), Reach({"localhost": reached}, {}))
    assert (asked.unreachable, asked.unknown) == ({}, {})
    assert _OFFLINE in {one.key for one in asked.answers["localhost"].ended}
    known = ask(plan, earlier, Reach({"localhost": reached}, {}))
    assert {one.path for one in known.answers["localhost"].ended}.isdisjoint(
        f"runs/mini/localhost/{one.cell.path}" for one in earlier
    )
    logs = of_host(reached, str(lab.home), f"runs/mini/localhost/{earlier[0].cell.path}", timeout_seconds=20)
    assert "Result is : VALID" in logs.summary


@over_ssh
def test_following_over_ssh_gives_the_console_and_each_phase_until_the_process_ends(
    tmp_path: Path, reached: Access
) -> None:
    attempt = tmp_path / "home" / "runs" / "attempt_1"
    attempt.mkdir(parents=True)
    script = "echo one; printf measuring > phase; sleep 4; echo two; printf scoring > phase; sleep 4; echo three"
    with (attempt / "console.log").open("wb") as console:
        process = subprocess.Popen(["/bin/sh", "-c", script], cwd=attempt, stdout=console)
        (attempt / "state.json").write_text(json.dumps({"pid": process.pid}, indent=2))
        # Nobody else waits for it: a zombie would look alive.
        threading.Thread(target=process.wait, daemon=True).start()
        lines = list(follow(reached, str(tmp_path / "home"), "runs/attempt_1", timeout_seconds=20))
    assert [line.text for line in lines if line.is_phase] == ["measuring", "scoring"]
    assert "".join(line.text for line in lines if not line.is_phase) == "one\ntwo\nthree\n"


@over_ssh
def test_a_host_that_does_not_answer_is_a_sentence_and_the_others_answer(lab: Lab, reached: Access) -> None:
    plan = read_plan(lab.run)
    closed = load(Access, {"connection": "ssh", "address": "127.0.0.1", "port": 1}, "access")
    asked = ask(plan, (), Reach({"localhost": closed}, {}), timeout_seconds=5)
    assert "refuses the connection" in asked.unreachable["localhost"]
