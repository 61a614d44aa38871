"""The whole playbook on this machine, with the embedded model, real LoadGen and a home of its own."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.playbooks import CHECKOUT, Played, Running, command, environ, local_inventory, play, start

pytestmark = [pytest.mark.integration, pytest.mark.network]

_NAME = "efficientnet-lite0"
_PLAY = str(CHECKOUT / "run-inference.yml")


class Lab:
    """An inventory of this machine, its home, and where it is played from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.run = folder / "results" / "mini"
        self.change()

    def change(self, **changes: object) -> None:
        changes.setdefault("benchmarks", [{"benchmark": _NAME, "scenarios": ["SingleStream", "Offline"]}])
        self.inventory = local_inventory(self.folder / "mini", self.home, **changes)  # type: ignore[arg-type]  # JSON

    def play(self, *arguments: str) -> Played:
        return play(_PLAY, self.inventory, self.folder, *arguments)

    def submission(self, *arguments: str) -> Played:
        """Play only the building and checking of the submission."""
        return play(str(CHECKOUT / "playbooks" / "submission.yml"), self.inventory, self.folder, *arguments)

    def start(self, log: str) -> Running:
        """Start a play in a session of its own, as a terminal would."""
        return start(command(_PLAY, self.inventory), self.folder, environ(), self.folder / log)

    def collected(self) -> dict[str, Path]:
        """Return the attempt folder on the controller that stands for each cell."""
        folder = self.run / "hosts" / "localhost"
        cells = json.loads((folder / "cells.json").read_text())["cells"]
        return {cell["key"]: folder / cell["path"] for cell in cells}

    def attempts(self) -> set[str]:
        return {str(path.parent.relative_to(self.home)) for path in self.home.rglob("attempt_*/result.json")}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("flow"))


@pytest.fixture(scope="module")
def virgin(lab: Lab) -> Played:
    return lab.play("--check", "--diff")


@pytest.fixture(scope="module")
def first(lab: Lab, virgin: Played) -> Played:
    assert virgin.exit_code == 0, virgin.output
    return lab.play()


@pytest.fixture
def measured(lab: Lab, first: Played) -> Iterator[Lab]:
    """A lab whose cells have good results; its inventory is left as it was found."""
    assert first.exit_code == 0, first.output
    yield lab
    lab.change()


def test_check_mode_on_a_virgin_machine_tells_all_and_changes_nothing(lab: Lab, virgin: Played) -> None:
    assert virgin.exit_code == 0, virgin.output
    assert "4 of 4 cells would run" in virgin.output
    assert "+components/efficientnet-lite0" in virgin.output
    assert '+  "round": "v6.1"' in virgin.output
    if not lab.run.exists():  # the fixture `first` may have run meanwhile, but only after this play
        assert not lab.home.exists()
    assert virgin.total("failed") == 0


def test_the_first_run_ends_with_a_demonstration(lab: Lab, first: Played) -> None:
    assert first.exit_code == 0, first.output
    assert "DEMONSTRATION" in first.output
    assert "Offline accuracy   valid" in first.output
    assert "Offline performance   valid" in first.output
    assert (lab.run / "report" / "report.html").is_file()
    collected = json.loads((lab.run / "hosts" / "localhost" / "cells.json").read_text())
    assert [cell["verdict"] for cell in collected["cells"]] == ["valid"] * 4


def test_a_second_run_changes_nothing_and_runs_nothing(measured: Lab) -> None:
    settled = measured.play()
    assert settled.exit_code == 0, settled.output
    before = measured.attempts()
    again = measured.play()
    assert again.exit_code == 0, again.output
    assert again.total("changed") == 0, again.output
    assert measured.attempts() == before


def test_a_verdict_is_remembered_until_anything_that_it_rests_on_is_changed(measured: Lab) -> None:
    plain = measured.play()
    assert plain.exit_code == 0, plain.output
    built, checked = "Build the submission tree", "Check the tree"
    same = measured.submission()
    assert _ran(same, built, checked, "Write the report") == []
    assert "DEMONSTRATION" in same.output
    assert f"Report: {measured.run / 'report' / 'report.html'}" in same.output
    assert _ran(measured.submission("-e", "submission_trust=false"), built, checked) == [built, checked]

    (measured.run / "report" / "complete.json").write_text("{")
    assert _ran(measured.submission(), built) == [built]
    assert _ran(measured.submission(), built) == []

    page = measured.run / "report" / "report.html"
    text = page.read_text()
    page.unlink()
    assert _ran(measured.submission(), built) == [built]
    assert page.read_text() == text

    system = next((measured.run / "submission" / "open" / "example" / "systems").glob("*.json"))
    system.write_text(system.read_text().replace('"edge"', '"edgy"', 1))  # as many bytes as before
    assert _ran(measured.submission(), checked) == [checked]
    system.write_text(system.read_text().replace('"edgy"', '"edge"', 1))
    assert _ran(measured.submission(), checked) == [checked]
    assert _ran(measured.submission(), checked) == []


def _ran(played: Played, *names: str) -> list[str]:
    """Return which of these tasks of the submission were run and not skipped."""
    parts = played.output.split("TASK [mlperf_ops.lab.submission : ")[1:]
    return [name for name in names for part in parts if part.startswith(f"{name}]") and "skipping: " not in part]


def test_a_changed_option_runs_its_scenario_again_and_no_other(measured: Lab) -> None:
    before = measured.attempts()
    backend = {"Offline": {"max_batch": 2}}
    measured.change(benchmarks=[{"benchmark": _NAME, "scenarios": ["SingleStream", "Offline"], "backend": backend}])
    again = measured.play()
    assert again.exit_code == 0, again.output
    new = measured.attempts() - before
    assert sorted(path.split("/")[4:6] for path in new) == [["Offline", "accuracy"], ["Offline", "performance"]]
    collected = {str(path.relative_to(measured.run / "hosts")) for path in measured.collected().values()}
    assert {path.replace("runs/mini/", "", 1) for path in new} <= collected


def test_tainted_results_are_collected_and_shown_and_run_again(measured: Lab) -> None:
    benchmarks = [{"benchmark": _NAME, "scenarios": ["SingleStream"], "warmup_seconds": 0.2}]
    measured.change(benchmarks=benchmarks, host_state={"load_before_max": 0})
    tainted = measured.play()
    assert tainted.exit_code == 0, tainted.output
    assert "SingleStream performance   valid but tainted" in tainted.output
    assert "more than load_before_max 0" in tainted.output
    assert "2 cells are tainted: the host drifted while it measured." in " ".join(tainted.output.split())
    held = set(measured.collected().values())
    assert all("load_before_max" in (path / "result.json").read_text() for path in held)
    measured.change(benchmarks=benchmarks)  # the same cells: limits are no part of what runs
    again = measured.play()
    assert again.exit_code == 0, again.output
    assert "tainted" not in again.output
    assert not held & set(measured.collected().values())
    assert all(path.is_dir() for path in held)


def test_what_the_controller_lost_comes_again_without_a_run(measured: Lab) -> None:
    measured.play()
    before = measured.attempts()
    lost = measured.collected()[f"localhost/{_NAME}/Offline/accuracy"] / "manifest.json"
    text = lost.read_text()
    lost.unlink()
    again = measured.play()
    assert again.exit_code == 0, again.output
    assert lost.read_text() == text
    assert measured.attempts() == before


def test_a_result_that_was_altered_on_the_controller_is_not_overwritten(measured: Lab) -> None:
    measured.play()
    result = measured.collected()[f"localhost/{_NAME}/Offline/accuracy"] / "result.json"
    text = result.read_text()
    result.write_text(text.replace('"valid"', '"invalid"'))
    again = measured.play("--tags", "collect")
    assert again.exit_code != 0
    assert "holds another attempt than the host: result.json differ" in again.output
    assert "measured data is never overwritten" in " ".join(again.output.split())
    assert '"invalid"' in result.read_text()
    result.write_text(text)


def test_a_damaged_component_is_brought_again(measured: Lab) -> None:
    (model,) = (measured.home / "store" / "efficientnet-lite0").rglob("*.onnx")
    raw = model.read_bytes()
    model.write_bytes(raw[:1000])
    again = measured.play("--tags", "validate,provision")
    assert again.exit_code == 0, again.output
    assert again.recap["localhost"]["changed"] == 1
    assert model.read_bytes() == raw


def test_a_failed_cell_is_told_at_the_end_and_keeps_nobody_from_running(measured: Lab) -> None:
    broken = {"benchmark": _NAME, "scenarios": ["SingleStream"], "extra_args": ["--no-such-option"]}
    measured.change(benchmarks=[broken, {"benchmark": _NAME, "scenarios": ["Offline"]}])
    done = measured.play()
    assert done.exit_code != 0
    assert "SingleStream performance   failed" in done.output
    assert "2 planned cells have no usable result" in " ".join(done.output.split())
    assert "no-such-option" in done.output
    assert (measured.run / "submission").is_dir()
    alone = play(str(CHECKOUT / "playbooks" / "benchmark.yml"), measured.inventory, measured.folder)
    assert alone.exit_code != 0
    assert "2 of 4 cells ran, 0 invalid, 2 failed" in " ".join(alone.output.split())


def running_supervisor(lab: Lab, running: Running) -> int:
    """Wait for the performance cell of Offline to run, and return the pid of its supervisor."""
    deadline = time.monotonic() + 120
    while True:
        for phase in lab.home.glob("runs/mini/*/*/Offline/performance/*/attempt_*/phase"):
            if not (phase.parent / "result.json").exists():
                return int(json.loads((phase.parent / "state.json").read_text())["pid"])
        assert time.monotonic() < deadline, "the cell never started"
        assert running.process.poll() is None, "the play ended by itself"
        time.sleep(0.2)


def test_an_interrupted_play_is_re_attached_by_the_next(measured: Lab) -> None:
    measured.change(test_query_count=1500)
    first = measured.start("interrupted.log")
    supervisor = running_supervisor(measured, first)
    os.kill(supervisor, signal.SIGSTOP)  # so that the cell lasts until the next play has come, however busy the machine
    try:
        first.process.send_signal(signal.SIGINT)
        first.process.wait(timeout=30)
        before = len(measured.attempts())
        second = measured.start("next.log")
        second.until("Offline performance   re-attached to attempt_1")
    finally:
        os.kill(supervisor, signal.SIGCONT)
    again = second.end()
    assert again.exit_code == 0, again.output
    assert len(measured.attempts()) == before + 1
