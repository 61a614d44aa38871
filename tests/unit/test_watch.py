"""What watching a campaign makes of the bytes of hosts: messages, lines, events and a screen."""

from __future__ import annotations

import io
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console

from mlperf_ops.campaign import watching
from mlperf_ops.campaign.answers import HostAnswer
from mlperf_ops.campaign.board import Board, Files, events, is_done, spoken
from mlperf_ops.campaign.durations import shown_seconds
from mlperf_ops.campaign.host_side import HELLO, LOGS
from mlperf_ops.campaign.model import Play, Status
from mlperf_ops.campaign.screen import screen
from mlperf_ops.campaign.waiting import note
from mlperf_ops.campaign.wire import Conversation, Decoder, Heard, Lost, Message, Output, Phase, Said
from mlperf_ops.collected import Collection
from mlperf_ops.errors import ResultError
from mlperf_ops.files import JsonObject, write_json
from mlperf_ops.plan_model import Plan, PlannedCell, Seconds
from mlperf_ops.run_plan import PLAN
from mlperf_ops.typed import dump
from tests.support.campaigns import NOW, lab


def message(kind: str, payload: bytes = b"", name: str = "-", offset: int = 0) -> bytes:
    return f"{kind} {name} {offset} {len(payload)}\n".encode() + payload


def attempt(planned: PlannedCell, number: int = 1, *, alive: bool = True, phase: str = "measuring") -> JsonObject:
    path = f"runs/lab/{planned.cell.key}/0123456789ab/attempt_{number}"
    state: JsonObject = {"start_ticks": 7, "boot_id": "b", "request_sha256": planned.request_sha256}
    return {"path": path, "start_ticks": "7" if alive else "", "phase": phase, "began": 100, "state": state}


def answer(*attempts: JsonObject) -> bytes:
    told = {"now": 160, "boot_id": "b", "home": "/srv/mlperf", "lock": "", "provision": None}
    return message("answer", json.dumps({**told, "attempts": list(attempts)}).encode())


# --- bytes ------------------------------------------------------------------------------------------------------------


def test_messages_are_cut_alike_however_the_stream_is_broken_up() -> None:
    wanted = [Message("data", LOGS[0], 7, b"a\nb c 1\n"), Message("beat", "-", 0, b""), Message("phase", "-", 0, b"x")]
    stream = b"Welcome to this host\n" + HELLO
    stream += b"".join(message(one.kind, one.payload, one.name, one.offset) for one in wanted)
    generator = random.Random(5)  # noqa: S311  # no secret
    for _ in range(50):
        decoder, found, at = Decoder(), list[Message](), 0
        while at < len(stream):
            step = generator.randint(1, 9)
            found += decoder.feed(stream[at : at + step])
            at += step
        assert found == wanted


def test_what_is_no_message_is_refused_in_a_sentence() -> None:
    with pytest.raises(ResultError, match=r"something else than it should: .*Traceback"):
        list(Decoder().feed(HELLO + b"Traceback (most recent call last):\n"))
    decoder = Decoder()
    assert list(decoder.feed(b"Welcome\nsh: no python3\n")) == []
    assert decoder.complaint() == "sh: no python3"
    list(decoder.feed(HELLO))
    assert decoder.complaint() == ""
    with pytest.raises(ResultError, match="prints without end at login"):
        list(Decoder().feed(b"x" * (2 << 20)))


def test_lines_are_whole_and_come_once_however_often_the_reading_begins_anew() -> None:
    log = b"".join(b"line %d\n" % number for number in range(200)) + b"the end"
    generator = random.Random(7)  # noqa: S311
    for _ in range(50):
        output, lines = Output(), list[str]()
        while output.offset < len(log):
            # A new connection begins at the offset that was said; a late piece of the old one may overlap.
            begin = max(0, output.offset - generator.choice((0, 0, 5)))
            lines += output.take(begin, log[begin : begin + generator.randint(1, 60)])
        assert [*lines, *output.rest()] == log.decode().split("\n")
        assert output.rest() == []


def test_a_gap_in_a_log_is_never_taken_for_its_text() -> None:
    output = Output()
    output.take(0, b"abc")
    with pytest.raises(ResultError, match="2 bytes of a log are missing"):
        output.take(5, b"def")


def test_the_end_of_an_old_log_begins_with_a_whole_line_and_steers_no_terminal() -> None:
    output = Output(-4096)
    assert output.take(100, b"cut line\nwhole \x1b[2J line\nnext") == ["whole  [2J line"]
    assert output.take(output.offset, b" one\n") == ["next one"]
    assert Output(-4096).take(0, b"first\n") == ["first"]
    assert Output().take(0, b"10 %\r50 %\r100 %\n") == ["100 %"]


# --- a conversation ---------------------------------------------------------------------------------------------------


def test_a_lost_connection_goes_on_at_the_byte_where_it_broke_off() -> None:
    planned = lab(1).cells[0]
    said = Conversation("sut1", "/srv/mlperf", "lab")
    assert said.opening().startswith(b"script 0 0 ")
    replies, news = said.feed(HELLO + answer(attempt(planned)))
    path = str(attempt(planned)["path"])
    assert replies == f"follow {path} -4096 -4096\n".encode()
    assert isinstance(news[0], Heard)
    _, news = said.feed(message("data", b"one\ntw", LOGS[0]))
    assert news == [Said("sut1", planned.cell.key, LOGS[0], ("one",))]
    said.feed(b"data console.log 6 20\nonly a par")  # the cable is cut here

    said.opening()
    replies, _ = said.feed(HELLO + answer(attempt(planned)))
    assert replies == f"follow {path} 6 -4096\n".encode()
    _, news = said.feed(message("data", b"o\nthree\n", LOGS[0], 6) + message("phase", b"scoring"))
    assert news == [
        Said("sut1", planned.cell.key, LOGS[0], ("two", "three")),
        Phase("sut1", planned.cell.key, "scoring"),
    ]
    assert said.feed(message("beat"))[0] == b"beat 0 0 0\n"


def test_what_a_cell_printed_while_nobody_listened_is_read_before_the_next_cell() -> None:
    first, second = lab(1).cells[:2]
    said = Conversation("sut1", "/srv/mlperf", "lab")
    said.opening()
    said.feed(HELLO + answer(attempt(first)) + message("data", b"one\n", LOGS[0]))
    said.opening()
    replies, _ = said.feed(HELLO + answer(attempt(first, alive=False), attempt(second)))
    old, new = (str(attempt(one)["path"]) for one in (first, second))
    assert replies == f"follow {old} 4 -4096\nfollow {new} 0 0\n".encode()


# --- the controller's files -------------------------------------------------------------------------------------------


def test_a_cell_that_waits_for_a_shared_thing_is_blocked_as_soon_as_its_note_is_there(tmp_path: Path) -> None:
    plan = lab(1)
    write_json(tmp_path / PLAN, dump(plan))
    key = plan.cells[0].cell.key
    before, seen = watching._files(tmp_path), watching._stamp(tmp_path)
    note(tmp_path, "sut1", key, "it waits for wt310, which sut2 holds")
    assert watching._stamp(tmp_path) != seen
    now = watching._files(tmp_path, before)
    states = [Board(one, "results/lab", "inventory/lab").status(0).cells[0] for one in (before, now)]
    assert [one.state for one in states] == ["planned", "blocked"]
    assert states[1].reason == "it waits for wt310, which sut2 holds"


# --- events -----------------------------------------------------------------------------------------------------------


def board(plan: Plan, play: Play | None = None) -> Board:
    return Board(Files(plan, Collection((), ()), {}, play), "results/lab", "inventory/lab")


def heard(host: str, *attempts: JsonObject) -> Heard:
    said = Conversation(host, "/srv/mlperf", "lab")
    said.opening()
    return cast("Heard", said.feed(HELLO + answer(*attempts))[1][-1])


def kinds(old: Status, new: Status, **more: set[str]) -> list[tuple[str, str, str]]:
    return [(one.kind, one.host, one.text) for one in events(old, new, NOW, **more)]


def test_a_cell_that_begins_changes_its_phase_and_vanishes_is_told_once_each() -> None:
    plan = lab(1)
    planned = plan.cells[0]
    made = board(plan)
    before = made.status(0)
    made.take(heard("sut1", attempt(planned, phase="loading")), 0)
    begun = made.status(0)
    (started,) = events(before, begun, NOW, first_heard={"sut1"})
    assert (started.kind, started.state, started.cell) == ("started", "running", planned.cell.key)
    assert started.text.startswith("attempt_1, loading, 60 s ago")
    made.take(Phase("sut1", planned.cell.key, "measuring"), 3)
    later = made.status(5)
    assert kinds(begun, later) == [("phase", "sut1", "measuring")]
    assert kinds(later, made.status(9)) == []
    (cell,) = (one for one in later.cells if one.state == "running")
    assert cell.elapsed_seconds == pytest.approx(65)
    made.take(heard("sut1", attempt(planned, alive=False)), 9)
    (ended,) = events(later, made.status(9), NOW)
    assert (ended.kind, ended.state) == ("ended", "failed")
    assert "the cell's processes were killed" in ended.line


def test_what_had_ended_before_somebody_watched_is_no_news() -> None:
    plan = lab(1)
    made = board(plan)
    before = made.status(0)
    made.take(heard("sut1", attempt(plan.cells[0], alive=False)), 0)
    assert kinds(before, made.status(0), first_heard={"sut1"}) == []


def test_a_lost_host_keeps_its_running_cell_and_says_why() -> None:
    plan = lab(2)
    made = board(plan)
    made.take(heard("sut1", attempt(plan.cells[0])), 0)
    was = made.status(0)
    lost = Lost("sut1", "the connection was lost")
    made.take(lost, 1)
    now = made.status(1)
    assert kinds(was, now) == []
    assert now.hosts[0].state == "unreachable"
    assert [event.line for event in spoken(lost, NOW, output=False)] == [
        "14:00:00 sut1: host lost: the connection was lost"
    ]
    said = Said("sut1", plan.cells[0].cell.key, LOGS[0], ("a", "b"))
    assert list(spoken(said, NOW, output=False)) == []
    assert [event.text for event in spoken(said, NOW, output=True)] == ["a", "b"]


def test_a_play_that_begins_or_ends_is_told_and_nothing_is_done_while_cells_are_left() -> None:
    plan = lab(1)
    idle, playing = board(plan).status(0), board(plan, Play(7, "ansible-playbook x")).status(0)
    assert kinds(idle, playing) == [("play", "", "a play is at work: ansible-playbook x")]
    count = len(plan.cells)
    left = f"the play has ended: ansible-playbook x; {count} cells are left to run"
    assert kinds(playing, idle) == [("play", "", f"{left}; to go on: mlperf-ops run -i inventory/lab")]
    all_done = replace(idle, cells=tuple(replace(cell, state="valid") for cell in idle.cells))
    assert kinds(playing, all_done)[0] == ("play", "", "the play has ended: ansible-playbook x")
    assert not is_done(idle)
    assert is_done(replace(idle, cells=tuple(replace(cell, state="valid") for cell in idle.cells)))


def test_a_play_that_ends_before_its_cells_was_cut_off() -> None:
    plan = lab(1)
    made = board(plan, Play(7, "ansible-playbook x"))
    made.take(heard("sut1", attempt(plan.cells[0])), 0)
    playing = made.status(0)
    made.read_again(replace(made.files, play=None))
    ((kind, _, text),) = kinds(playing, made.status(1))
    assert kind == "play"
    cut_off = f"it was cut off, and without it {plan.cells[0].cell.key} on sut1 goes on"
    begins = f"the play has ended: ansible-playbook x; {cut_off}"
    assert text.startswith(f"{begins}; {len(plan.cells) - 1} cells are left to run; to go on: mlperf-ops run -i ")


def test_a_request_is_identified_once_for_all_looks_at_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(HostAnswer, "spec_sha256", lambda _self, request: asked.append(request))
    plan = lab(1)
    made = board(plan)
    made.take(heard("sut1"), 0)
    made.status(0)
    count = len(asked)
    assert count > 0
    made.status(1)
    assert len(asked) == count
    made.read_again(made.files)
    made.status(2)
    assert len(asked) == 2 * count


def test_a_range_from_seconds_to_minutes_has_both_units() -> None:
    assert shown_seconds(Seconds(4, 121, "")) == "4 s-2 min"
    assert shown_seconds(Seconds(60, 180, "")) == "1-3 min"


# --- the screen -------------------------------------------------------------------------------------------------------


def drawn(made: Board, width: int, height: int, lines: dict[str, str]) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=height, force_terminal=True, color_system=None)
    status = made.status(0)
    recent = list(spoken(Lost("sut2", "the cable"), NOW, output=False)) * 30
    console.print(screen(status, console, now=NOW, last_lines=lines, recent=recent))
    return stream.getvalue().rstrip("\n").split("\n")


@pytest.mark.parametrize(("hosts", "width", "height"), [(3, 80, 24), (32, 80, 24), (32, 80, 50), (32, 160, 40)])
def test_the_screen_fits_the_terminal_and_nothing_that_matters_is_folded(hosts: int, width: int, height: int) -> None:
    plan = lab(hosts)
    made = board(plan, Play(7, "ansible-playbook run-inference.yml -i inventory/lab"))
    for host in ("sut1", f"sut{hosts}"):
        cell = next(one for one in plan.cells if one.host == host)
        made.take(heard(host, attempt(cell)), 0)
    made.take(Lost("sut2", "the cable is out"), 0)
    text = drawn(made, width, height, {"sut1": "a last [line]"})
    assert len(text) <= height
    assert max(map(len, text)) <= width
    assert any("sut2" in line and "lost: the cable is out" in line for line in text)
    assert any(f"sut{hosts} " in line and "measuring" in line and "1:00" in line for line in text)
    if hosts < 32 or width > 130:
        assert any("a last [line]" in line for line in text)
    rows = sum(1 for line in text if " 0/" in line)
    more = [line for line in text if "more hosts: " in line]
    assert rows + (int(more[0].split()[1]) if more else 0) == hosts
