"""`mlperf-ops watch` over a real sshd on this machine: real files that change, a connection that is cut, Ctrl-C."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest
import yaml

from mlperf_ops.campaign import link
from mlperf_ops.campaign.access import Reach
from mlperf_ops.campaign.host_side import HELLO
from mlperf_ops.campaign.logs import follow
from mlperf_ops.campaign.wire import Conversation, Lost
from mlperf_ops.doctor.model import Access
from mlperf_ops.files import JsonObject
from mlperf_ops.run_plan import read_plan
from mlperf_ops.typed import load
from tests.support import sshd
from tests.support.playbooks import environ, local_inventory
from tests.support.sshd import Sshd

pytestmark = [pytest.mark.integration, pytest.mark.skipif(bool(sshd.why_not()), reason=sshd.why_not())]

_CELL = "localhost/efficientnet-lite0/Offline/accuracy"
_PATIENCE_SECONDS = 60.0


@dataclass
class Scene:
    """A lab of one host, whose attempts the test plays."""

    folder: Path
    host: Sshd
    events: list[dict[str, Any]] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    lock: IO[str] | None = None

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def attempt(self) -> Path:
        return self.home / "runs" / "mini" / _CELL / "0123456789ab" / "attempt_1"

    def plan(self, hosts: JsonObject) -> None:
        """Plan with these hosts."""
        (self.folder / "mini/hosts.yml").write_text(yaml.safe_dump(hosts))
        argv = [sys.executable, "-m", "mlperf_ops", "plan", "-i", "mini"]
        done = subprocess.run(argv, cwd=self.folder, env=environ(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def begin(self) -> None:
        """Take the host's lock and begin an attempt, as a supervisor does; this process stands for it."""
        self.attempt.mkdir(parents=True)
        plan = read_plan(self.folder / "results/mini")
        planned = next(one for one in plan.cells if one.cell.mode == "accuracy")
        stat = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()
        state: JsonObject = {
            "pid": os.getpid(), "start_ticks": int(stat[19]), "request_sha256": planned.request_sha256,
            "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        }  # fmt: skip
        self.lock = (self.home / "runs/.lock").open("w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.lock.write(f"{_CELL} (pid {os.getpid()})\n")
        self.lock.flush()
        (self.attempt / "state.json").write_text(json.dumps(state, indent=2))

    def print(self, text: str) -> None:
        with (self.attempt / "console.log").open("a") as stream:
            stream.write(text)

    def watch(self, *words: str) -> None:
        # What runs tests in the background may ignore SIGINT, and children inherit that.
        argv = ["env", "--default-signal=INT", sys.executable, "-m", "mlperf_ops", "watch", "-i", "mini", *words]
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as errors:
            self.process = subprocess.Popen(
                argv, cwd=self.folder, env=environ(), stdin=subprocess.DEVNULL, stdout=out, stderr=errors
            )

    def until(self, told: Callable[[list[dict[str, Any]]], object]) -> float:
        """Wait until the events tell something; return the seconds that took."""
        began = time.monotonic()
        while True:
            lines = (self.folder / "out").read_text().splitlines()
            self.events = [json.loads(line) for line in lines if line.endswith("}")]
            if told(self.events):
                return time.monotonic() - began
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "err").read_text()
            assert time.monotonic() - began < _PATIENCE_SECONDS, (self.events, (self.folder / "err").read_text())
            time.sleep(0.05)

    def texts(self, kind: str) -> list[str]:
        return [event["text"] for event in self.events if event["kind"] == kind]


def has(kind: str, text: str = "") -> Callable[[list[dict[str, Any]]], object]:
    return lambda events: [one for one in events if one["kind"] == kind and text in one["text"]]


def sessions(host: Sshd) -> list[int]:
    """Return the processes of an sshd's sessions."""
    assert host.process is not None
    told = subprocess.run(["pgrep", "-P", str(host.process.pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in told.stdout.split()]


def watchers(scene: Scene) -> list[int]:
    """Return the processes that watch this scene's home."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().rstrip(b"\0").split(b"\0")
        except OSError:
            continue
        if words[-1] == str(scene.home).encode() and any(HELLO.strip() in word for word in words):
            found.append(int(path.parent.name))
    return found


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    benchmarks = [{"benchmark": "efficientnet-lite0", "scenarios": ["Offline"]}]
    inventory = local_inventory(tmp_path / "mini", tmp_path / "home", benchmarks=benchmarks)  # type: ignore[arg-type]  # JSON
    (tmp_path / "home" / "runs").mkdir(parents=True)
    with sshd.running(tmp_path / "sshd") as host:
        hosts = yaml.safe_load((inventory / "hosts.yml").read_text())
        hosts["all"]["children"]["sut"]["hosts"]["localhost"] = {
            **host.variables(), "ansible_connection": "ssh", "ansible_python_interpreter": sys.executable,
        }  # fmt: skip
        made = Scene(tmp_path, host)
        made.plan(hosts)
        yield made
        if made.lock is not None:
            made.lock.close()
        if made.process is not None:
            made.process.kill()
            made.process.wait()


def test_a_cell_is_followed_within_two_seconds_and_over_a_cut_without_a_lost_or_repeated_line(scene: Scene) -> None:
    scene.watch("--json", "--output")
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not watchers(scene):
        assert time.monotonic() < deadline, (scene.folder / "err").read_text()
        time.sleep(0.1)
    scene.begin()
    assert scene.until(has("started")) < 4  # 2 s, and what a busy machine adds
    (scene.attempt / "phase").write_text("loading")
    assert scene.until(has("phase", "loading")) < 4
    scene.print("one\ntwo\nhalf a ")
    assert scene.until(has("output", "two")) < 4

    for pid in sessions(scene.host):
        os.kill(pid, signal.SIGKILL)
    scene.print("line\nthree\n")
    (scene.attempt / "phase").write_text("measuring")
    scene.until(has("back"))
    scene.until(has("output", "three"))
    scene.until(has("phase", "measuring"))
    scene.print("four\nno newline")
    scene.until(has("output", "four"))
    assert scene.lock is not None
    scene.lock.truncate(0)  # this process lives on, unlike a supervisor whose cell has ended
    scene.lock.close()
    (scene.attempt / "state.json").write_text("{}")
    scene.until(has("output", "no newline"))
    assert scene.texts("output") == ["one", "two", "half a line", "three", "four", "no newline"]
    assert len(scene.texts("started")) == 1
    assert len(scene.texts("lost")) == 1
    assert "the connection was lost" in scene.texts("lost")[0]


def test_ctrl_c_ends_it_without_a_word_and_leaves_nothing_on_the_host(scene: Scene) -> None:
    scene.begin()
    scene.watch("--json")
    scene.until(has("started"))
    assert watchers(scene)
    assert scene.process is not None
    scene.process.send_signal(signal.SIGINT)
    assert scene.process.wait(timeout=20) == 0
    assert (scene.folder / "err").read_text() == ""
    deadline = time.monotonic() + 20
    while watchers(scene):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_host_that_is_not_there_is_a_line_and_comes_when_it_does(scene: Scene) -> None:
    assert scene.host.process is not None
    scene.host.process.kill()
    scene.host.process.wait()
    scene.watch("--json")
    scene.until(has("lost", "refuses the connection"))
    argv = [str(sshd.PROGRAM), "-D", "-f", str(scene.folder / "sshd/sshd_config")]
    scene.host.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    scene.until(has("back"))
    assert len(scene.texts("lost")) == 1


def test_a_host_that_a_newer_plan_adds_is_told_once_and_does_not_keep_watch_from_ending(scene: Scene) -> None:
    scene.watch("--json")
    scene.until(lambda _events: watchers(scene))
    hosts = yaml.safe_load((scene.folder / "mini/hosts.yml").read_text())
    suts = hosts["all"]["children"]["sut"]["hosts"]
    suts["sut2"] = {**suts["localhost"], "mlperf_benchmarks": []}
    scene.plan(hosts)
    scene.until(has("new", "start watch again"))
    suts["localhost"]["mlperf_benchmarks"] = []
    scene.plan(hosts)
    scene.until(has("done"))
    assert scene.process is not None
    assert scene.process.wait(timeout=20) == 0
    assert [event["host"] for event in scene.events if event["kind"] == "new"] == ["sut2"]


def test_a_host_without_a_python_says_so(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_START", link._START.replace("/usr/bin/python3", "/none").replace(" python3;", ";"))
    access = load(Access, scene.host.access(python="/no/python"), "access")
    conversation = Conversation("a", str(scene.home), "mini")
    with link.Links(Reach({"a": access}, {}), {"a": conversation}, 30.0) as links:
        lost = links.news.get(timeout=_PATIENCE_SECONDS)
    assert isinstance(lost, Lost)
    assert lost.why.startswith("it cannot be watched: there is no python3")


def test_a_watcher_whose_controller_is_gone_ends_by_itself(scene: Scene) -> None:
    """Nobody hangs up where a cable is cut, so the watcher has an alarm clock; here it rings early."""
    from mlperf_ops.campaign import host_side  # noqa: PLC0415

    source = Path(host_side.__file__).read_text().replace("DEAF_SECONDS = 1.0, 5.0, 40", "DEAF_SECONDS = 1.0, 5.0, 1")
    assert "5.0, 1\n" in source
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", source, str(scene.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.wait(timeout=20) == -signal.SIGALRM


def test_logs_that_are_followed_go_on_after_a_cut_where_they_broke_off(tmp_path: Path) -> None:
    attempt = tmp_path / "home" / "runs" / "attempt_1"
    attempt.mkdir(parents=True)
    script = 'n=0; while [ ! -e end ]; do echo "line $n"; n=$((n + 1)); sleep 0.1; done'
    with sshd.running(tmp_path / "sshd") as host, (attempt / "console.log").open("wb") as console:
        process = subprocess.Popen(["/bin/sh", "-c", script], cwd=attempt, stdout=console)
        (attempt / "state.json").write_text(json.dumps({"pid": process.pid}, indent=2))
        # Nobody else waits for it: a zombie would look alive.
        threading.Thread(target=process.wait, daemon=True).start()
        text, cuts = "", 0
        access = load(Access, host.access(), "access")
        try:
            for line in follow(access, str(tmp_path / "home"), "runs/attempt_1", timeout_seconds=60):
                text += line.text
                if cuts < 2 and text.count("\n") > 20 * (cuts + 1):
                    cuts += 1
                    for pid in sessions(host):
                        os.kill(pid, signal.SIGKILL)
                elif cuts == 2 and text.count("\n") > 100:
                    (attempt / "end").touch()
        finally:
            (attempt / "end").touch()
    assert text == (attempt / "console.log").read_text()
    assert cuts == 2
