from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlperf_ops.errors import BusyError, ToolError
from mlperf_ops.runlock import Owner, acquire, current_owner, hold, is_alive, read_owner, shown_command


@contextmanager
def running(*argv: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(list(argv), stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def owner_of(process: subprocess.Popen[str]) -> Owner:
    owner = current_owner(process.pid)
    while "sleep" not in owner.command:  # the child's argv is the parent's until it has called exec
        time.sleep(0.01)
        owner = current_owner(process.pid)
    return owner


def test_a_free_folder_is_taken_and_the_file_names_the_process(tmp_path: Path) -> None:
    run = tmp_path / "results" / "lab"
    owner = acquire(run)
    assert json.loads((run / "owner.json").read_text()) == {
        "pid": owner.pid,
        "start_ticks": owner.start_ticks,
        "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "command": owner.command,
    }
    assert is_alive(owner)


def test_the_same_owner_may_come_again_without_touching_the_file(tmp_path: Path) -> None:
    acquire(tmp_path)
    before = (tmp_path / "owner.json").stat().st_ino
    acquire(tmp_path)
    assert (tmp_path / "owner.json").stat().st_ino == before


def test_a_second_live_owner_is_refused_in_one_sentence_that_names_it(tmp_path: Path) -> None:
    with running("sleep", "30") as other:
        acquire(tmp_path, me=owner_of(other))
        with pytest.raises(BusyError) as caught:
            acquire(tmp_path)
        assert f"process {other.pid} (sleep 30)" in caught.value.message
        assert caught.value.exit_code == 6
        kept = read_owner(tmp_path)
        assert kept is not None
        assert kept.pid == other.pid


def test_an_owner_that_has_ended_is_replaced(tmp_path: Path) -> None:
    with running("sleep", "30") as other:
        acquire(tmp_path, me=owner_of(other))
    assert acquire(tmp_path).pid == current_owner().pid


def test_an_owner_that_is_a_zombie_has_ended(tmp_path: Path) -> None:
    with running("sleep", "30") as other:
        owner = owner_of(other)
        other.kill()
        deadline = time.monotonic() + 5
        while is_alive(owner) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert Path(f"/proc/{other.pid}").exists()  # not waited for yet
        assert not is_alive(owner)


@pytest.mark.parametrize("field", ["start_ticks", "boot_id"])
def test_a_reused_pid_or_another_boot_does_not_keep_the_folder(tmp_path: Path, field: str) -> None:
    with running("sleep", "30") as other:
        live = owner_of(other)
        past = {
            "start_ticks": Owner(live.pid, (live.start_ticks or 0) - 1, live.boot_id, live.command),
            "boot_id": Owner(live.pid, live.start_ticks, "an-earlier-boot", live.command),
        }[field]
        acquire(tmp_path, me=past)
        assert acquire(tmp_path).pid == current_owner().pid


def test_an_unreadable_owner_file_does_not_block_for_ever(tmp_path: Path) -> None:
    (tmp_path / "owner.json").write_text("{")
    assert acquire(tmp_path) == read_owner(tmp_path)


def test_hold_gives_the_folder_up_at_the_end(tmp_path: Path) -> None:
    with hold(tmp_path):
        assert read_owner(tmp_path) is not None
    if current_owner().pid == os.getpid():  # under an ansible-playbook the play stays the owner
        assert read_owner(tmp_path) is None


def test_all_steps_of_a_play_act_for_the_topmost_ansible_playbook(tmp_path: Path) -> None:
    # A stand-in named ansible-playbook starts another one (a worker), which starts the step.
    script = tmp_path / "ansible-playbook"
    step = "from mlperf_ops.runlock import current_owner; o = current_owner(); print(o.pid, o.command)"
    script.write_text(
        "import os, subprocess, sys\n"
        "if sys.argv[1] == 'run.yml':\n"
        "    print(os.getpid(), flush=True)\n"
        f"    subprocess.run([sys.executable, {str(script)!r}, 'worker'], check=True)\n"
        f"else:\n    subprocess.run([sys.executable, '-c', {step!r}], check=True)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), "run.yml", "-e", "password=hunter2"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    first, second = done.stdout.splitlines()
    above = current_owner()
    expected = first if above.pid == os.getpid() else str(above.pid)
    assert second.split()[0] == expected
    assert "hunter2" not in second


def test_of_two_that_come_at_once_exactly_one_wins(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from mlperf_ops.runlock import Owner, acquire, current_owner\n"
        "import os\nfrom mlperf_ops.errors import BusyError\n"
        "from mlperf_ops import runlock\n"
        "p = runlock._process(os.getpid())\n"
        "me = Owner(os.getpid(), p.start_ticks, runlock._boot_id(), 'racer')\n"
        "sys.stdin.readline()\n"
        "try:\n    acquire(Path(sys.argv[1]), me=me); print('won', flush=True)\n"
        "except BusyError:\n    print('busy', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    with (
        running(sys.executable, "-c", script, str(tmp_path)) as one,
        running(sys.executable, "-c", script, str(tmp_path)) as two,
    ):
        for racer in (one, two):
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        said = sorted(racer.stdout.readline().strip() for racer in (one, two) if racer.stdout is not None)
    assert said == ["busy", "won"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file is in the way")
    with pytest.raises(ToolError, match=r"cannot use the results folder .*results/lab: Not a directory"):
        acquire(tmp_path / "results" / "lab")


def test_extra_variables_are_not_shown() -> None:
    argv = ("ansible-playbook", "x.yml", "-e", "token=1", "--extra-vars=token=2", "-etoken=3", "-i", "my lab")
    assert shown_command(argv) == "ansible-playbook x.yml -e … -e … -e … -i 'my lab'"
