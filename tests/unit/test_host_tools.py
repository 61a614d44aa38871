"""Tools that misbehave: each gives a reason, in time, and never an exception."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.known_machines import host_facts, host_tools, tool

GERMAN = """{"lscpu": [{"field": "Architektur:", "data": "x86_64"}, {"field": "Sockel:", "data": "2"},
 {"field": "Modellname:", "data": "Example 9354"}]}"""
TOOLS = ("lscpu", "lsblk", "dmidecode", "nvidia-smi", "rocm-smi", "amd-smi")


def asked(folder: Path, *, timeout: float = 5.0, name: str = "lscpu") -> tuple[tuple[str | None, str], Any]:
    machine = host_tools.Machine(str(folder / "root"), str(folder), 0, timeout=timeout)
    machine.start({name: [name]})
    return machine.output(name), machine


def test_a_tool_that_hangs_is_ended_in_time_with_its_children(tmp_path: Path) -> None:
    tool(tmp_path, "lscpu", "", before=f"/bin/sleep 30 &\necho $! > {tmp_path}/child\nwait")
    started = time.monotonic()
    (text, reason), _ = asked(tmp_path, timeout=0.5)
    assert (text, reason) == (None, "lscpu gave no answer within 0.5 s")
    assert time.monotonic() - started < 5
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    for _ in range(50):
        if not child.exists() or ") Z " in child.read_text():
            return
        time.sleep(0.1)
    pytest.fail("the tool's child still runs")


def test_a_child_that_keeps_the_pipe_open_does_not_hold_up_an_answer(tmp_path: Path) -> None:
    tool(tmp_path, "lscpu", "told\n", before="/bin/sleep 20 &")
    started = time.monotonic()
    (text, _), _ = asked(tmp_path, timeout=15)
    assert text == "told\n"
    assert time.monotonic() - started < 5


def test_a_tool_that_prints_without_end_is_ended(tmp_path: Path) -> None:
    tool(tmp_path, "lscpu", "", before="exec /usr/bin/yes")
    assert asked(tmp_path)[0] == (None, "lscpu printed more than 8 MiB")


def test_a_failure_comes_with_the_tools_own_first_words(tmp_path: Path) -> None:
    tool(tmp_path, "lscpu", "not this\n", code=3, before="echo 'cannot open\t/dev/x' >&2")
    assert asked(tmp_path)[0] == (None, "lscpu failed with exit code 3: cannot open /dev/x")


def test_of_a_traceback_the_last_line_is_told(tmp_path: Path) -> None:
    tool(tmp_path, "lscpu", "Traceback (most recent call last):\n  File x\nOSError: no driver\n", code=1)
    assert asked(tmp_path)[0] == (None, "lscpu failed with exit code 1: OSError: no driver")


def test_a_tool_that_cannot_be_started_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / "lscpu").write_bytes(b"\x7fELF no program")
    (tmp_path / "lscpu").chmod(0o755)
    assert asked(tmp_path)[0] == (None, "lscpu cannot be started: Exec format error")


def test_tools_are_asked_in_english_whatever_the_users_language_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGUAGE", "de")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    tool(tmp_path, "lscpu", "", before='echo "$LC_ALL,$LANG,${LANGUAGE-none}"')
    assert asked(tmp_path)[0][0] == "C,C,none\n"


@pytest.mark.parametrize(
    "output",
    [b"", b"\x00\xff\xfe\x80 rubbish \x1b[31m\n", b"{}\n", b"[]\n", b"null\n", b'{"lscpu": 7, "blockdevices": 7}\n',
     b'{"lscpu": [{"field": 3}], "blockdevices": [{"name": 5, "type": "disk", "size": "many"}]}\n',
     b'{"gpu_data": [7], "card0": [], "system": 4}\n', b"a,b,c,d,e,f\n" * 3, GERMAN.encode(),
     b"Handle 0x0001, DMI type 17, 1 bytes\nMemory Device\n\tSize: a lot\n"],
)  # fmt: skip
def test_rubbish_of_every_tool_gives_reasons_and_no_failure(tmp_path: Path, output: bytes) -> None:
    for name in TOOLS:
        tool(tmp_path, name, output)
    facts = host_facts.collect(host_tools.Machine(str(tmp_path / "root"), str(tmp_path), 0))
    assert facts["unknown"]["cpu_sockets"]
    assert facts["unknown"]["memory_modules"]
    assert "storage_devices" in facts["unknown"]
    assert "cpu_model" not in facts["values"]


def test_slow_tools_cost_the_slowest_one_and_not_the_sum(tmp_path: Path) -> None:
    for name in TOOLS[:5]:
        tool(tmp_path, name, "", before="/bin/sleep 1")
    started = time.monotonic()
    machine = host_tools.Machine(str(tmp_path / "root"), str(tmp_path), 0)
    host_facts.collect(machine)
    assert time.monotonic() - started < 4.5  # one after the other they would take 5
    assert 900 < sum(machine.waited_ms.values()) < 4500


def test_what_nobody_waited_for_does_not_stay_behind(tmp_path: Path) -> None:
    tool(tmp_path, "lscpu", "", before=f"echo $$ > {tmp_path}/pid\nexec /bin/sleep 30")
    machine = host_tools.Machine(str(tmp_path / "root"), str(tmp_path), 0)
    machine.start({"lscpu": ["lscpu"]})
    pid = tmp_path / "pid"
    deadline = time.monotonic() + 20
    while not (pid.exists() and pid.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.02)
    machine.stop()
    assert not os.path.exists(f"/proc/{pid.read_text().strip()}")
