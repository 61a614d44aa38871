"""Leases: the book's rules one by one, and many processes on one book with random kills."""

from __future__ import annotations

import fcntl
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.campaign import waiting
from mlperf_ops.commands import lease as lease_command
from mlperf_ops.doctor.model import Access
from mlperf_ops.errors import ToolError
from mlperf_ops.files import Json
from mlperf_ops.lease import book, desk
from mlperf_ops.lease.book import Now
from mlperf_ops.lease.turn import Turn, new_claim

_ROOT = Path(__file__).resolve().parents[2]


def claim(name: str, **changes: Json) -> dict[str, Any]:
    process = {"pid": 1, "start_ticks": 1, "boot_id": "elsewhere", "pid_space": "elsewhere"}
    return {
        "id": name, "controller": "lead@desk", "process": process, "host": name, "cell": f"{name}/Offline",
        "purpose": "", "where": name, "home": "/home", "ticket": 0, **changes,
    }  # fmt: skip


class Story:
    """A book with a clock in the test's hand."""

    def __init__(self) -> None:
        self.book = book.new_book("meter1")
        self.seconds, self.boot = 100.0, "boot1"
        self.killed: set[str] = set()

    @property
    def now(self) -> Now:
        return Now(self.boot, self.seconds)

    def ask(self, name: str, **changes: Json) -> bool:
        self.tidy()
        book.ask(self.book, claim(name, **changes), self.now)
        self.tidy()
        return self.holder == name

    def tidy(self) -> list[dict[str, Any]]:
        return book.tidy(self.book, self.now, lambda one: one["id"] in self.killed)

    @property
    def holder(self) -> str:
        return self.book["holder"]["id"] if self.book["holder"] else ""


# --- the rules -------------------------------------------------------------------------------------------------------


def test_first_come_first_served_and_asking_again_keeps_the_place() -> None:
    story = Story()
    assert story.ask("a")
    assert not story.ask("b")
    assert not story.ask("c")
    assert not story.ask("b")
    book.free(story.book, "a", silent_only=False, now=story.now)
    assert not story.ask("c")
    assert story.holder == "b"


def test_a_waiter_that_dies_or_falls_silent_leaves_the_queue() -> None:
    story = Story()
    story.ask("a"), story.ask("b"), story.ask("c"), story.ask("d")
    book.confirm(story.book, "a", story.now)
    story.killed.add("b")
    story.tidy()
    assert [one["id"] for one in story.book["queue"]] == ["c", "d"]
    story.seconds += book.SILENT_SECONDS + 1
    story.ask("a"), story.ask("d")
    assert [one["id"] for one in story.book["queue"]] == ["d"]


def test_a_waiter_that_comes_back_has_its_old_turn() -> None:
    story = Story()
    story.ask("a"), story.ask("b"), story.ask("c")
    ticket = next(one["ticket"] for one in story.book["queue"] if one["id"] == "b")
    assert book.confirm(story.book, "a", story.now)
    story.seconds += book.SILENT_SECONDS / 2 + 1
    story.ask("c")
    story.seconds += book.SILENT_SECONDS / 2 + 1
    story.tidy()
    assert [one["id"] for one in story.book["queue"]] == ["c"]
    story.ask("b", ticket=ticket)
    assert [one["id"] for one in story.book["queue"]] == ["b", "c"]


@pytest.mark.parametrize("how", ["killed", "silent"])
def test_a_holder_that_is_gone_before_its_cell_began_loses_the_lease(how: str) -> None:
    story = Story()
    story.ask("a")
    if how == "killed":
        story.killed.add("a")
    else:
        story.seconds += book.SILENT_SECONDS + 1
    assert story.ask("b")
    assert not book.confirm(story.book, "a", story.now)


@pytest.mark.parametrize("how", ["killed", "silent"])
def test_a_cell_that_was_started_keeps_its_lease_without_its_controller(how: str) -> None:
    story = Story()
    story.ask("a")
    assert book.confirm(story.book, "a", story.now)
    if how == "killed":
        story.killed.add("a")
    story.seconds += 100_000
    assert not story.ask("b")
    assert story.holder == "a"


def test_evidence_ends_a_silent_lease_only() -> None:
    story = Story()
    story.ask("a")
    book.confirm(story.book, "a", story.now)
    assert book.free(story.book, "a", silent_only=True, now=story.now) is None
    story.seconds += book.SILENT_SECONDS + 1
    assert book.free(story.book, "a", silent_only=True, now=story.now) is not None
    assert story.ask("b")


def test_after_a_reboot_of_the_owner_everybody_has_time_to_speak_again() -> None:
    story = Story()
    story.ask("a"), story.ask("b")
    story.boot, story.seconds = "boot2", 3.0
    story.tidy()
    assert story.holder == "a"
    story.seconds += book.SILENT_SECONDS + 1
    assert story.ask("b")


def test_another_controller_speaks_for_the_cell_that_runs_and_for_no_other() -> None:
    story = Story()
    story.ask("a")
    adopted = book.adopt(story.book, claim("x", where="a", cell="a/Offline"), story.now)
    assert adopted is not None
    assert adopted["id"] == "a"
    assert book.adopt(story.book, claim("x", where="a", cell="a/Server"), story.now) is None
    assert book.adopt(story.book, claim("x", where="z", cell="a/Offline"), story.now) is None


def test_a_process_of_another_container_on_the_same_kernel_is_not_taken_for_dead() -> None:
    here = book.this_process()
    assert not book.is_dead({"process": here})
    gone = {**here, "start_ticks": 1}
    assert book.is_dead({"process": gone})
    assert not book.is_dead({"process": {**gone, "pid_space": "pid:[1]"}})
    assert not book.is_dead({"process": {**gone, "boot_id": "another"}})


# --- a turn ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(desk.FOLDER_VARIABLE, str(tmp_path / "leases"))
    return tmp_path / "leases"


def turn(name: str, *things: str) -> Turn:
    return Turn(
        dict.fromkeys(things, desk.THIS_MACHINE), new_claim(name, f"{name}/cell", name, "/home"), lambda _: False
    )


def test_several_things_are_taken_in_the_order_of_names_and_given_back(folder: Path) -> None:
    first, second = turn("a", "switch1", "meter1"), turn("b", "meter1", "switch1")
    assert first.step() is None
    assert first.held == ["meter1", "switch1"]
    waits = second.step()
    assert waits is not None
    assert waits.thing == "meter1"
    assert waits.sentence.startswith("waits for meter1 behind a (a/cell, of ")
    assert first.confirm() == ""
    first.give_back()
    assert second.step() is None
    assert book.perform(folder, {"verb": "view", "thing": "switch1"})["holder"]["host"] == "b"


def test_a_broken_lease_is_told_to_its_holder(folder: Path) -> None:
    held = turn("a", "meter1")
    held.step()
    book.perform(folder, {"verb": "break", "thing": "meter1", "id": held.claim["id"]})
    assert held.confirm() == "meter1"


def test_a_holder_that_is_heard_while_it_gets_ready_keeps_its_lease_and_knows_when_it_was_lost(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = turn("a", "meter1")
    held.step()
    before = book.perform(folder, {"verb": "view", "thing": "meter1"})["holder"]["beat"]["seconds"]
    monkeypatch.setattr("mlperf_ops.lease.turn.HEARTBEAT_SECONDS", 0.0)
    monkeypatch.setattr("mlperf_ops.lease.book._FINE_SECONDS", 0.0)
    held.wait()
    assert book.perform(folder, {"verb": "view", "thing": "meter1"})["holder"]["beat"]["seconds"] > before
    book.perform(folder, {"verb": "break", "thing": "meter1", "id": held.claim["id"]})
    other = turn("b", "meter1")
    assert other.step() is None
    held.wait()
    assert held.held == []
    assert held.confirm() == "meter1"


def test_a_damaged_book_is_one_sentence_and_break_starts_it_anew(folder: Path) -> None:
    folder.mkdir()
    (folder / "meter1.json").write_text("{")
    with pytest.raises(ToolError, match=r"meter1\.json is damaged"):
        desk.asked(desk.THIS_MACHINE, [{"verb": "view", "thing": "meter1"}])
    desk.asked(desk.THIS_MACHINE, [{"verb": "break", "thing": "meter1", "id": ""}])
    assert turn("a", "meter1").step() is None


@pytest.mark.usefixtures("folder")
def test_the_evidence_reads_the_lock_of_the_host_and_does_not_touch_it(tmp_path: Path) -> None:
    from mlperf_ops.harness.supervisor import host_lock  # noqa: PLC0415

    lock = tmp_path / "home" / "runs" / ".lock"
    here = Access("local", "")
    with host_lock(lock, "sut1/resnet50/Offline/performance"):
        assert desk.evidence(here, str(tmp_path / "home"), "sut1/resnet50/Offline/performance") is True
        assert desk.evidence(here, str(tmp_path / "home"), "sut1/resnet50/Server/performance") is False
    assert desk.evidence(here, str(tmp_path / "home"), "sut1/resnet50/Offline/performance") is False


@pytest.mark.parametrize(
    ("stage", "silent", "lock", "said"),
    [
        ("held", False, "", "its cell has not been started yet"),
        ("running", False, "cell", "its cell runs"),
        ("running", True, "cell", "its cell runs"),
        ("running", False, "", "its cell has ended, and its controller is about to give it back"),
        (
            "running",
            True,
            "",
            "its cell has ended, and nobody was left to give it back: the next cell that asks gets it",
        ),
        ("running", True, "away", "its cell was started, and nobody here can ask its host whether it still runs"),
    ],
)
def test_a_holder_says_what_its_cell_does_as_its_host_says_it(
    tmp_path: Path,
    stage: str,
    silent: bool,  # noqa: FBT001  # a parameter of the test
    lock: str,
    said: str,
) -> None:
    local = desk.THIS_MACHINE
    where = "away" if lock == "away" else desk.where_of(local)
    holder = claim(
        "a", stage=stage, silent=silent, silent_seconds=100.0, held_seconds=7.0, where=where, home=str(tmp_path)
    )
    (tmp_path / "runs").mkdir()
    with (tmp_path / "runs" / ".lock").open("w") as stream:
        if lock == "cell":
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.write(f"{holder['cell']} (pid 7)\n")
            stream.flush()
        lease_command._look_at_cells([holder, None], lambda: [local])
    assert lease_command._held(holder).endswith(f" since 7 s; {said}")


def test_a_note_of_waiting_counts_while_its_process_lives(tmp_path: Path) -> None:
    waiting.note(tmp_path, "sut1", "sut1/x/Offline/performance", "waits for meter1 behind sut2")
    key = ("sut1", "sut1/x/Offline/performance")
    assert waiting.waiting(tmp_path) == {key: "waits for meter1 behind sut2"}
    path = tmp_path / waiting.FOLDER / "sut1.json"
    told = json.loads(path.read_text())
    told["process"]["start_ticks"] = 1
    path.write_text(json.dumps(told))
    assert waiting.waiting(tmp_path) == {}
    waiting.note(tmp_path, "sut1", key[1], "")
    assert not path.exists()


# --- many processes --------------------------------------------------------------------------------------------------


def test_many_processes_and_random_kills_never_two_inside_and_never_a_turn_lost(tmp_path: Path) -> None:
    folder, log = tmp_path / "leases", tmp_path / "log"
    workers, turns = 20, 25
    argv = [sys.executable, "-m", "tests.support.lease_worker", str(folder), "meter1", str(log)]
    chance = random.Random(5)  # noqa: S311  # which one is killed
    running = {f"w{one}": subprocess.Popen([*argv, f"w{one}", str(turns)], cwd=_ROOT) for one in range(workers)}
    killed: set[str] = set()
    deadline = time.monotonic() + 240
    while any(one.poll() is None for one in running.values()):
        assert time.monotonic() < deadline, "the queue stands still"
        time.sleep(0.05)
        alive = [name for name, one in running.items() if one.poll() is None and name not in killed]
        entered = log.read_text().count("enter") if log.exists() else 0
        if len(killed) < workers // 3 and entered > 20 * (len(killed) + 1) and len(alive) > 1:
            name = chance.choice(alive)
            running[name].kill()
            killed.add(name)
    assert killed
    assert all(one.returncode == 0 for name, one in running.items() if name not in killed)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert not [one for one in lines if one[0] == "clash"]
    inside = ""
    for word, who in lines:
        if word == "enter":
            assert inside == "" or inside.partition(".")[0] in killed, f"{who} entered while {inside} was inside"
            inside = who
        else:
            assert inside == who
            inside = ""
    survivors = {name for name in running if name not in killed}
    entered_by = [who for word, who in lines if word == "enter"]
    assert sorted(one for one in entered_by if one.partition(".")[0] in survivors) == sorted(
        f"{name}.{turn}" for name in survivors for turn in range(turns)
    )
    # Fair: turns were granted in the order of tickets, which are given out in the order of the first question.
    granted = [
        json.loads(line)["ticket"] for line in (folder / "meter1.log").read_text().splitlines() if "granted" in line
    ]
    assert granted == sorted(granted)
    assert book.perform(folder, {"verb": "view", "thing": "meter1"})["queue"] == []
