"""Results over a real sshd: at once after their cell, resumed after a kill, and never taken over with a wrong byte."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from mlperf_ops.files import sha256_file
from tests.support import sshd
from tests.support.playbooks import CHECKOUT, Played, Running, command, environ, local_inventory, play, start

pytestmark = [
    pytest.mark.integration,
    pytest.mark.network,
    pytest.mark.skipif(bool(sshd.why_not()), reason=sshd.why_not()),
]

_PLAY = str(CHECKOUT / "run-inference.yml")
_COLLECT = str(CHECKOUT / "playbooks" / "collect.yml")
_LARGE = "mlperf_log_accuracy.json"
_LARGE_BYTES = 96 << 20
_BENCHMARK = {"benchmark": "efficientnet-lite0", "scenarios": ["Offline"], "modes": ["performance"]}


class Lab:
    """A host behind a real sshd whose `head` may damage what it prints, and the controller's folders."""

    def __init__(self, folder: Path, host: sshd.Sshd, bin_folder: Path, sockets: str) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.here = folder / "results" / "mini" / "hosts" / "sut1"
        self.bin = bin_folder
        self.inventory = local_inventory(folder / "mini", self.home, benchmarks=[_BENCHMARK])  # type: ignore[list-item]
        tree = yaml.safe_load((self.inventory / "hosts.yml").read_text())
        variables = {**host.variables(), "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        variables["ansible_control_path_dir"] = sockets
        tree["all"]["children"]["sut"]["hosts"] = {"sut1": variables}
        (self.inventory / "hosts.yml").write_text(yaml.safe_dump(tree))

    def play(self, playbook: str, *arguments: str) -> Played:
        return play(playbook, self.inventory, self.folder, *arguments)

    def start(self, log: str) -> Running:
        return start(command(_COLLECT, self.inventory), self.folder, environ(), self.folder / log)

    def attempt(self) -> Path:
        (path,) = self.home.glob("runs/mini/sut1/*/Offline/performance/*/attempt_1")
        return path

    def place(self) -> Path:
        return self.here / self.attempt().relative_to(self.home / "runs/mini/sut1")

    def partial(self) -> Path:
        return self.place().with_name(".attempt_1.partial")

    def forget(self) -> None:
        """Let the controller know nothing of its host's results."""
        shutil.rmtree(self.here, ignore_errors=True)

    def damaging_head(self, times: int) -> None:
        """Let the host's `head` change a byte of each large piece, so many times."""
        (self.bin / "left").write_text("x" * times)
        wrapper = self.bin / "head"
        wrapper.write_text(
            f"#!/bin/sh\nleft=$(/usr/bin/head -c 1 {self.bin}/left)\n"
            'if [ "$1" = -c ] && [ "${2:-0}" -gt 4000000 ] && [ -n "$left" ]; then\n'
            f"  truncate -s -1 {self.bin}/left\n  /usr/bin/head \"$@\" | tr '\\000' '\\001'\n"
            'else exec /usr/bin/head "$@"; fi\n'
        )
        wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)

    def honest_head(self) -> None:
        (self.bin / "head").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("collect")
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    sockets = tempfile.mkdtemp(prefix="masters-", dir="/tmp")  # a socket's path has at most 107 characters
    with sshd.running(folder / "sshd", SetEnv=f"PATH={bin_folder}:{os.environ['PATH']}") as host:
        yield Lab(folder, host, bin_folder, sockets)
    shutil.rmtree(sockets)


@pytest.fixture(scope="module")
def first(lab: Lab) -> Played:
    return lab.play(_PLAY, "--tags", "validate,provision,run")


def planted(lab: Lab) -> Path:
    """Let the host's attempt have a large log, as if it had ended with one."""
    attempt = lab.attempt()
    large = attempt / _LARGE
    if not large.exists() or large.stat().st_size != _LARGE_BYTES:
        large.write_bytes(np.random.default_rng(1).bytes(_LARGE_BYTES))
        manifest = json.loads((attempt / "manifest.json").read_text())
        manifest["files"][_LARGE] = sha256_file(large)
        (attempt / "manifest.json").write_text(json.dumps(manifest))
    lab.forget()
    return large


def same(lab: Lab) -> bool:
    names = [*json.loads((lab.attempt() / "manifest.json").read_text())["files"], "manifest.json", "result.json"]
    here = sorted(path.name for path in lab.place().iterdir())
    return here == sorted(names) and all(
        sha256_file(lab.place() / name) == sha256_file(lab.attempt() / name) for name in names
    )


def cells_of(lab: Lab) -> list[str]:
    path = lab.here / "cells.json"
    return [json.dumps(cell) for cell in json.loads(path.read_text())["cells"]] if path.exists() else []


def short_key(cell: dict[str, str]) -> str:
    return cell["key"].partition("/efficientnet-lite0/")[2]


def test_a_cell_is_here_soon_after_its_end_without_the_collect_step(lab: Lab, first: Played) -> None:
    assert first.exit_code == 0, first.output
    assert same(lab)
    ended, here = (lab.attempt() / "result.json").stat().st_mtime, (lab.here / "cells.json").stat().st_mtime
    assert 0 < here - ended < 30  # seconds: 2 to 5 where the machine does little else
    (cell,) = json.loads((lab.here / "cells.json").read_text())["cells"]
    assert (cell["verdict"], short_key(cell)) == ("valid", "Offline/performance")
    again = lab.play(_COLLECT)
    assert again.exit_code == 0, again.output
    assert json.loads((lab.here / "cells.json").read_text())["cells"] == [cell]


def test_a_fetch_whose_controller_was_killed_goes_on_where_it_stopped(lab: Lab, first: Played) -> None:
    assert first.exit_code == 0, first.output
    planted(lab)
    killed = lab.start("killed.log")
    partial = lab.partial() / _LARGE
    deadline = time.monotonic() + 120
    while not partial.exists() or partial.stat().st_size < 16 << 20:
        assert killed.process.poll() is None, killed.log.read_text()
        assert time.monotonic() < deadline, killed.log.read_text()
        time.sleep(0.01)
    os.killpg(killed.process.pid, signal.SIGKILL)
    killed.process.wait()
    assert not lab.place().exists()
    assert not any(_LARGE in cell for cell in cells_of(lab))
    had = partial.stat()
    assert had.st_size < _LARGE_BYTES
    again = lab.play(_COLLECT)
    assert again.exit_code == 0, again.output
    assert same(lab)
    # The very file was continued: had it been written anew, it would be another one.
    assert (lab.place() / _LARGE).stat().st_ino == had.st_ino
    assert not lab.partial().exists()
    third = lab.play(_COLLECT)
    assert third.exit_code == 0, third.output
    assert "0 of 1 attempts" not in third.output
    assert third.total("changed") == 0, third.output


def test_a_byte_that_was_changed_on_the_way_is_fetched_again(lab: Lab, first: Played) -> None:
    assert first.exit_code == 0, first.output
    planted(lab)
    lab.damaging_head(1)
    try:
        done = lab.play(_COLLECT)
        assert done.exit_code == 0, done.output
        assert not (lab.bin / "left").read_text()
        assert same(lab)
        lab.forget()
        lab.damaging_head(1000)
        done = lab.play(_COLLECT)
        assert done.exit_code == 2, done.output
        said = " ".join(done.output.split())
        assert f"{_LARGE} of runs/mini/sut1/efficientnet-lite0/Offline/performance/" in said
        assert "does not match its manifest, twice; it is damaged on the way" in said
        assert not lab.place().exists()
        assert cells_of(lab) == []
    finally:
        lab.honest_head()
    done = lab.play(_COLLECT)
    assert done.exit_code == 0, done.output
    assert same(lab)


def test_a_play_that_was_killed_in_a_cell_leaves_no_worker_and_the_next_takes_the_result(
    lab: Lab, first: Played
) -> None:
    assert first.exit_code == 0, first.output
    words = ("--tags", "validate,run", "-e", "mlperf_run_id=killed", "-e", "mlperf_test_query_count=2500")
    log = lab.folder / "cell.log"
    killed = start(command(_PLAY, lab.inventory, *words), lab.folder, environ(), log)
    killed.until("Offline performance   measuring", seconds=180)  # the plan speaks of "min of measuring" before
    pid = killed.process.pid
    workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert workers
    os.kill(pid, signal.SIGKILL)
    killed.process.wait()
    deadline = time.monotonic() + 60
    while any(is_ansible(worker) for worker in workers):
        assert time.monotonic() < deadline, "a worker outlives its play"
        time.sleep(0.2)
    again = lab.play(_PLAY, *words)
    assert again.exit_code == 0, again.output
    attempts = list(lab.home.glob("runs/killed/*/*/*/*/*/attempt_*"))
    assert [path.name for path in attempts] == ["attempt_1"]
    (cell,) = json.loads((lab.folder / "results/killed/hosts/sut1/cells.json").read_text())["cells"]
    assert (cell["attempt"], cell["verdict"]) == ("attempt_1", "valid")


def is_ansible(pid: str) -> bool:
    try:
        return b"ansible-playbook" in Path("/proc", pid, "cmdline").read_bytes()
    except OSError:
        return False


def test_a_host_is_cleaned_on_request_of_what_was_verified_and_its_cell_stays_done(lab: Lab, first: Played) -> None:
    assert first.exit_code == 0, first.output
    planted(lab)
    damaged = lab.place() / "mlperf_log_summary.txt"
    assert lab.play(_COLLECT).exit_code == 0
    text = damaged.read_text()
    damaged.write_text(text + "x")
    before = sorted(path.name for path in lab.attempt().iterdir())
    refused = lab.play(_COLLECT, "-e", "results_fetch_clean_hosts=true")
    assert refused.exit_code == 2
    assert "so nothing was removed from the host" in " ".join(refused.output.split())
    assert sorted(path.name for path in lab.attempt().iterdir()) == before
    damaged.write_text(text)
    kept_all = lab.play(_COLLECT, "-e", "results_fetch_clean_hosts=false")
    assert kept_all.exit_code == 0, kept_all.output
    assert sorted(path.name for path in lab.attempt().iterdir()) == before
    done = lab.play(_COLLECT, "-e", "results_fetch_clean_hosts=true")
    assert done.exit_code == 0, done.output
    kept = {"collected.json", "manifest.json", "result.json", "spec.json", "state.json"}
    assert {path.name for path in lab.attempt().iterdir()} == kept
    again = lab.play(_PLAY, "--tags", "validate,run,collect", "-e", "results_fetch_clean_hosts=true")
    assert again.exit_code == 0, again.output
    assert "starting" not in again.output
    assert again.recap["sut1"]["changed"] == 0, again.output
    lab.forget()
    lost = lab.play(_COLLECT)
    assert lost.exit_code == 2
    assert "was removed from the host on request, after another copy had been verified" in " ".join(lost.output.split())
