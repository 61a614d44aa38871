"""Attempts come piece by piece, go on where they stopped, and count only when every digest is the manifest's."""

from __future__ import annotations

import io
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from mlperf_ops.errors import ToolError
from mlperf_ops.fetching import assemble, source
from mlperf_ops.fetching.assemble import bring, shown_bytes
from mlperf_ops.fetching.parts import Wanted
from mlperf_ops.fetching.source import Described, LocalSource, Piece, ShellSource, read_description
from mlperf_ops.files import sha256_bytes, sha256_file

_PATH = "runs/r/sut 1/b/Offline/accuracy/0123/attempt_1"
_LARGE = "mlperf_log_accuracy.json"


def _shell(script: str) -> bytes:
    return subprocess.run(["/bin/sh", "-s"], input=script.encode(), capture_output=True, check=False).stdout


def _noisy(script: str) -> bytes:
    return b"Welcome!\nattempt x\n" + _shell(script)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (assemble, source):
        monkeypatch.setattr(module, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(source, "_BLOCK_BYTES", 300)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def attempt(home: Path, path: str = _PATH, *, large_bytes: int = 4321) -> Path:
    """Write an attempt as a host has it."""
    folder = home / path
    folder.mkdir(parents=True)
    files = {
        "console.log": b"",
        "mlperf_log_detail.txt": b":::MLLOG {}\r\n" * 20,
        "mlperf_log_summary.txt": b"Result is : VALID\n",
        _LARGE: np.random.default_rng(len(path)).bytes(large_bytes),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    listed = {name: sha256_bytes(data) for name, data in files.items()}
    (folder / "manifest.json").write_text(json.dumps({"schema": 1, "files": listed}))
    (folder / "result.json").write_text('{"verdict": "valid"}')
    (folder / "state.json").write_text("{}")  # stays on the host
    return folder


class Recorded:
    """A source that keeps what it was asked for, and that can be cut off or damage what it sends."""

    def __init__(self, home: Path, damage: Callable[[Sequence[Piece], bytes], bytes] | None = None) -> None:
        self.inner = LocalSource(home)
        self.asked: list[Piece] = []
        self.cut_after: int | None = None
        self._damage = damage

    def describe(self, attempts: Sequence[str]) -> dict[str, Described]:
        return self.inner.describe(attempts)

    def read(self, pieces: Sequence[Piece]) -> bytes:
        if self.cut_after is not None and sum(piece.count for piece in self.asked) >= self.cut_after:
            raise ConnectionResetError
        self.asked += pieces
        data = self.inner.read(pieces)
        return data if self._damage is None else self._damage(pieces, data)

    def stream(self, piece: Piece) -> Iterator[bytes]:
        for start in range(0, piece.count, 500):
            yield self.read([Piece(piece.path, piece.offset + start, min(500, piece.count - start))])

    def sha256(self, path: str) -> str:
        return self.inner.sha256(path)

    def bytes_of(self, name: str) -> int:
        return sum(piece.count for piece in self.asked if piece.path.endswith(name))


def wanted(tmp_path: Path, path: str = _PATH) -> Wanted:
    return Wanted("sut 1/b/Offline/accuracy", path, tmp_path / "here" / path.removeprefix("runs/r/"))


def same(found: Path, original: Path) -> bool:
    names = {one.name for one in original.iterdir()} - {"state.json"}
    return {one.name for one in found.iterdir()} == names and all(
        (found / name).read_bytes() == (original / name).read_bytes() for name in names
    )


@pytest.mark.parametrize("run", [_shell, _noisy, None], ids=["shell", "login noise", "local"])
def test_attempts_come_whole_and_small_files_come_together(
    home: Path, tmp_path: Path, run: Callable[[str], bytes] | None
) -> None:
    other = _PATH.replace("accuracy", "it's performance")
    originals = [attempt(home), attempt(home, other, large_bytes=10)]
    source = LocalSource(home) if run is None else ShellSource(str(home), run)
    told: list[tuple[int, int]] = []
    ones = [wanted(tmp_path), wanted(tmp_path, other)]
    assert bring(ones, source, progress=lambda here, total: told.append((here, total))) == []
    assert all(same(one.target, original) for one, original in zip(ones, originals, strict=True))
    assert not any(one.partial.exists() for one in ones)
    assert told[-1][0] == told[-1][1] > 4321
    recorded = Recorded(home)
    again = [Wanted(one.key, one.path, one.target / "again") for one in ones]
    assert bring(again, recorded) == []
    assert recorded.bytes_of(_LARGE) == 4331


@pytest.mark.parametrize("run", [_shell, _noisy, None], ids=["shell", "login noise", "local"])
def test_a_power_measurement_comes_in_its_folders(
    home: Path, tmp_path: Path, run: Callable[[str], bytes] | None
) -> None:
    folder = attempt(home)
    files = {"power/client.json": b"{}", "ranging/spl.txt": b"Time\n" * 900, "run_1/spl.txt": b""}
    listed = json.loads((folder / "manifest.json").read_text())
    for name, data in files.items():
        (folder / name).parent.mkdir()
        (folder / name).write_bytes(data)
        listed["files"][name] = sha256_bytes(data)
    (folder / "manifest.json").write_text(json.dumps(listed))
    one = wanted(tmp_path)
    assert bring([one], LocalSource(home) if run is None else ShellSource(str(home), run)) == []
    assert {name: (one.target / name).read_bytes() for name in files} == files


def test_a_fetch_that_was_cut_goes_on_with_the_missing_bytes_only(home: Path, tmp_path: Path) -> None:
    original, one = attempt(home), wanted(tmp_path)
    cut = Recorded(home)
    cut.cut_after = 3000
    with pytest.raises(ConnectionResetError):
        bring([one], cut)
    assert not one.target.exists()
    here = (one.partial / _LARGE).stat().st_size
    assert 0 < here < 4321
    rest = Recorded(home)
    assert bring([one], rest) == []
    assert same(one.target, original)
    assert rest.bytes_of(_LARGE) == 4321 - here
    assert [piece.path.rpartition("/")[2] for piece in rest.asked] == [_LARGE] * len(rest.asked)


def test_what_is_whole_counts_although_the_rest_was_cut_off(home: Path, tmp_path: Path) -> None:
    other = _PATH.replace("attempt_1", "attempt_2")
    small = attempt(home, other, large_bytes=10)
    attempt(home)
    cut = Recorded(home)
    cut.cut_after = 3000
    ones = [wanted(tmp_path), wanted(tmp_path, other)]
    with pytest.raises(ConnectionResetError):
        bring(ones, cut)
    assert not ones[0].target.exists()
    assert same(ones[1].target, small)


def test_a_part_of_an_attempt_has_its_small_files_and_does_not_count(home: Path, tmp_path: Path) -> None:
    original, one = attempt(home), wanted(tmp_path)
    assert bring([one], Recorded(home), most_bytes=2000) == []
    assert not one.target.exists()
    assert (one.partial / "mlperf_log_detail.txt").read_bytes() == (original / "mlperf_log_detail.txt").read_bytes()
    assert not (one.partial / _LARGE).exists()
    assert bring([one], Recorded(home)) == []
    assert same(one.target, original)


def test_a_byte_damaged_on_the_way_is_fetched_again_once(home: Path, tmp_path: Path) -> None:
    original, one = attempt(home), wanted(tmp_path)
    times = [1]

    def damage(pieces: Sequence[Piece], data: bytes) -> bytes:
        if pieces[-1].path.endswith(_LARGE) and pieces[-1].offset > 1000 and times[0]:
            times[0] -= 1
            return data[:-1] + bytes([data[-1] ^ 1])
        return data

    source = Recorded(home, damage)
    assert bring([one], source) == []
    assert same(one.target, original)
    assert source.bytes_of(_LARGE) == 2 * 4321
    times[0] = 1000
    (tmp_path / "other").mkdir()
    always = Wanted(one.key, one.path, tmp_path / "other" / "attempt_1")
    source = Recorded(home, damage)
    (problem,) = bring([always], source)
    assert "does not match its manifest, twice; it is damaged on the way" in problem
    assert f"{_LARGE} of {_PATH}" in problem
    assert source.bytes_of(_LARGE) == 2 * 4321
    assert not always.target.exists()


def test_a_file_damaged_on_the_host_is_told_and_keeps_no_other_attempt(home: Path, tmp_path: Path) -> None:
    attempt(home)
    with (home / _PATH / _LARGE).open("r+b") as stream:
        stream.seek(99)
        stream.write(b"\x00\x01")
    other = _PATH.replace("attempt_1", "attempt_2")
    good = attempt(home, other)
    ones = [wanted(tmp_path), wanted(tmp_path, other)]
    (problem,) = bring(ones, LocalSource(home))
    assert "damaged on the host itself: look at its disk" in problem
    assert not ones[0].target.exists()
    assert same(ones[1].target, good)


def test_a_file_that_was_cut_off_on_the_host_keeps_no_other_attempt(home: Path, tmp_path: Path) -> None:
    cut = attempt(home)
    other = _PATH.replace("attempt_1", "attempt_2")
    good = attempt(home, other)
    ones = [wanted(tmp_path), wanted(tmp_path, other)]

    class Shrinking(Recorded):
        def describe(self, attempts: Sequence[str]) -> dict[str, Described]:
            found = super().describe(attempts)
            os.truncate(cut / "mlperf_log_detail.txt", 3)
            return found

    (problem,) = bring(ones, Shrinking(home))
    assert "has fewer than 260 bytes" in problem
    assert same(ones[1].target, good)


@pytest.mark.parametrize("other", ['{"verdict": "VALID"}', '{"verdict": "invalid"}'], ids=["as long", "longer"])
def test_what_was_begun_of_another_attempt_is_set_aside(home: Path, tmp_path: Path, other: str) -> None:
    original = attempt(home)
    one = wanted(tmp_path)
    cut = Recorded(home)
    cut.cut_after = 3000
    with pytest.raises(ConnectionResetError):
        bring([one], cut)
    (home / _PATH / "result.json").write_text(other)
    assert bring([one], LocalSource(home)) == []
    assert same(one.target, original)
    (aside,) = one.target.parent.glob(".other.attempt_1.*")
    assert (aside / "result.json").read_text() == '{"verdict": "valid"}'


def test_an_incomplete_folder_in_the_way_is_set_aside(home: Path, tmp_path: Path) -> None:
    original, one = attempt(home), wanted(tmp_path)
    one.target.mkdir(parents=True)
    (one.target / "result.json").write_text("yours")
    assert bring([one], LocalSource(home)) == []
    assert same(one.target, original)
    (aside,) = one.target.parent.glob(".incomplete.attempt_1.*")
    assert (aside / "result.json").read_text() == "yours"


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/passwd", ".hidden", "a/b", "power/../b", "power/.b", "", "result.json"]
)
def test_a_manifest_of_a_host_cannot_write_elsewhere(home: Path, tmp_path: Path, name: str) -> None:
    folder = attempt(home)
    (folder / "manifest.json").write_text(json.dumps({"files": {name: "0" * 64}}))
    one = wanted(tmp_path)
    (problem,) = bring([one], LocalSource(home))
    assert f"names an unexpected '{name}'" in problem
    assert not one.target.exists()
    assert sorted(path.name for path in one.partial.iterdir()) == ["manifest.json", "result.json"]


def test_a_file_that_is_gone_and_an_attempt_that_is_gone_are_sentences(home: Path, tmp_path: Path) -> None:
    folder = attempt(home)
    (folder / _LARGE).unlink()
    gone = wanted(tmp_path, _PATH.replace("attempt_1", "attempt_7"))
    problems = bring([wanted(tmp_path), gone], LocalSource(home))
    assert len(problems) == 2
    assert "attempt_7 is not on the host any more" in problems[0]
    assert f"{_LARGE} of {_PATH} is missing on the host" in problems[1]


def test_too_little_room_is_told_before_anything_large_comes(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt(home)
    usage = type("Usage", (), {"free": (64 << 20) + 2000})
    monkeypatch.setattr("mlperf_ops.fetching.assemble.shutil.disk_usage", lambda _: usage)
    one = wanted(tmp_path)
    (problem,) = bring([one], LocalSource(home))
    assert "needs 4.6 kB more below" in problem or "needs 5 kB more below" in problem
    assert "it goes on where it stopped" in problem


@pytest.mark.parametrize("stops", [None, 0, 1500], ids=["whole", "gives nothing", "breaks off"])
def test_a_stream_may_break_off_and_nothing_is_missing(home: Path, tmp_path: Path, stops: int | None) -> None:
    original, one = attempt(home), wanted(tmp_path)
    opened: list[str] = []

    @contextmanager
    def stream(script: str) -> Iterator[IO[bytes]]:
        opened.append(script)
        said = _noisy(script)
        yield io.BytesIO(said if stops is None else said[: said.index(b"\n", 20) + stops])

    assert bring([one], ShellSource(str(home), _shell, stream)) == []
    assert same(one.target, original)
    assert len(opened) == {None: 1, 0: 1, 1500: 2}[stops]


def test_a_file_that_grew_shorter_ends_a_stream_with_a_sentence(home: Path) -> None:
    attempt(home)
    blocks = ShellSource(str(home), _shell).stream(Piece(f"{_PATH}/{_LARGE}", 0, 5000))
    with pytest.raises(ToolError, match=f"the host sent 321 of 1000 bytes of .*{_LARGE}"):
        list(blocks)


def test_two_fetches_into_one_folder_wait_for_each_other(tmp_path: Path) -> None:
    said: list[str] = []
    order: list[str] = []

    def second() -> None:
        with assemble.alone(tmp_path, lambda: said.append("waits")):
            order.append("second")

    with assemble.alone(tmp_path, lambda: said.append("never")):
        thread = threading.Thread(target=second)
        thread.start()
        while not said:
            time.sleep(0.01)
        order.append("first")
    thread.join(timeout=10)
    assert (said, order) == (["waits"], ["first", "second"])


def test_a_host_that_sends_too_little_is_a_sentence() -> None:
    with pytest.raises(ToolError, match="the host sent 3 of 5 bytes of a/b"):
        ShellSource("/", lambda _: b"abc").read([Piece("a/b", 0, 5)])


def test_the_shell_reads_digests_and_sizes_as_this_machine_does(home: Path) -> None:
    folder = attempt(home, "runs/a b/attempt_1")
    here = LocalSource(home).describe(["runs/a b/attempt_1", "runs/none"])
    assert ShellSource(str(home), _noisy).describe(["runs/a b/attempt_1", "runs/none"]) == here
    assert here["runs/a b/attempt_1"].digests["result.json"] == sha256_file(folder / "result.json")
    assert ShellSource(str(home), _shell).sha256(f"runs/a b/attempt_1/{_LARGE}") == sha256_file(folder / _LARGE)
    assert ShellSource(str(home), _shell).sha256("runs/none") == ""
    assert read_description("size 12 x\nattempt - p\nsize no x\n") == {"p": Described({}, {})}


def test_sizes_for_people() -> None:
    assert [shown_bytes(one) for one in (0, 999, 4321, 1_500_000, 250e6, 1.25e9)] == [
        "0 B", "999 B", "4 kB", "1.5 MB", "250 MB", "1.2 GB",
    ]  # fmt: skip
