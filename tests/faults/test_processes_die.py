"""Processes of a cell that crash, are killed or run out of memory. Each failed attempt keeps its cause."""

from __future__ import annotations

import shutil

import pytest

from mlperf_ops.files import read_json
from tests.faults.campaign import cells, words
from tests.faults.conftest import Begin

pytestmark = [pytest.mark.lab, pytest.mark.network]

_GROUP = "/sys/fs/cgroup/memory/small"
_ENTER = f"sh -c 'echo $$ > {_GROUP}/cgroup.procs && exec \"$@\"' sh"


def test_a_crash_of_the_harness_is_told_by_its_signal_and_the_cell_runs_again(begin: Begin) -> None:
    campaign = begin("crash")
    host, other = campaign.hosts
    campaign.count_copies(host)
    running = campaign.start()
    first = campaign.until_measuring(host)
    _, child = campaign.pids(host, first)
    host.exec(["kill", "-SEGV", str(child)])
    done = running.end()
    assert done.exit_code == 0, done.output
    assert "failed: the process died of signal 11; it runs again (1 left)" in words(done), done.output
    assert campaign.verdicts(host) == ["failed", "valid"]
    assert campaign.copies(host) == {"0", "1"}
    assert (campaign.valid(host), campaign.valid(other)) == (1, 1)


@pytest.mark.slow
def test_without_retries_left_a_killed_cell_is_failed_and_the_next_cell_runs(begin: Begin) -> None:
    campaign = begin(
        "kill", 1, mlperf_retries=0, mlperf_benchmarks=cells("SingleStream", "Offline"), mlperf_test_query_count=300
    )
    [host] = campaign.hosts
    running = campaign.start()
    first = campaign.until_measuring(host)
    _, child = campaign.pids(host, first)
    host.exec(["kill", "-KILL", str(child)])
    done = running.end()
    assert done.exit_code != 0
    assert campaign.kind(first) == "killed"
    assert "it was killed (signal 9)" in words(done), done.output
    assert sorted(campaign.collected(host).values()) == ["failed", "valid"]


def test_a_killed_supervisor_leaves_no_process_and_no_second_copy(begin: Begin) -> None:
    campaign = begin("supervisor", 1)
    [host] = campaign.hosts
    campaign.count_copies(host)
    running = campaign.start()
    first = campaign.until_measuring(host)
    supervisor, child = campaign.pids(host, first)
    host.exec(["kill", "-KILL", str(supervisor)])
    done = running.end()
    assert done.exit_code == 0, done.output
    assert "failed: the cell's processes were killed (no reboot)" in words(done), done.output
    assert campaign.verdicts(host) == ["failed", "valid"]
    assert host.exec(["test", "-e", f"/proc/{child}"], check=False).returncode == 1
    assert campaign.copies(host) == {"0", "1"}
    assert campaign.valid(host) == 1


@pytest.mark.slow
def test_a_cell_that_the_kernel_ends_for_memory_says_so(begin: Begin) -> None:
    campaign = begin("memory", 2, mlperf_retries=0, mlperf_cmd_prefix=_ENTER)
    host, other = campaign.hosts
    for one, limit in ((host, "60M"), (other, "8G")):
        one.exec(
            f"mkdir -p {_GROUP} && echo {limit} > {_GROUP}/memory.limit_in_bytes && chown ops {_GROUP}/cgroup.procs"
        )
    done = campaign.play()
    assert done.exit_code != 0
    assert "the kernel's out-of-memory killer ended it" in words(done), done.output
    [attempt] = campaign.attempts(host)
    assert campaign.kind(attempt) == "out_of_memory"
    assert set(campaign.collected(host).values()) == {"failed"}
    assert campaign.valid(other) == 1
    host.exec(f"echo 8G > {_GROUP}/memory.limit_in_bytes")
    again = campaign.play()
    assert again.exit_code == 0, again.output
    assert campaign.verdicts(host) == ["failed", "valid"]
    assert campaign.verdicts(other) == ["valid"]


def test_a_log_that_is_damaged_on_the_way_back_counts_for_nothing_and_comes_again_with_a_damaged_file(
    begin: Begin,
) -> None:
    """The wire itself is guarded by ssh, so the damage is done to what the host reads from its disk."""
    campaign = begin("damaged", 2)
    host, other = campaign.hosts
    measured = campaign.play("--tags", "validate,run")
    assert measured.exit_code == 0, measured.output
    [attempt] = campaign.attempts(host)
    log = attempt / "mlperf_log_detail.txt"
    kept = log.read_bytes()
    shutil.rmtree(campaign.controller.run / "hosts" / host.name)  # it came, undamaged, as soon as its cell had ended
    log.write_bytes(kept[:500] + bytes([kept[500] ^ 1]) + kept[501:])
    done = campaign.play("--tags", "validate,collect,submission")
    assert done.exit_code != 0
    assert "mlperf_log_detail.txt" in words(done)
    assert campaign.collected(host) == {}
    assert campaign.valid(other) == 1
    log.write_bytes(kept)
    again = campaign.play()
    assert again.exit_code == 0, again.output
    assert campaign.verdicts(host) == ["valid"]
    assert campaign.valid(host) == 1
    manifest = read_json(
        next((campaign.controller.run / "hosts" / host.name).glob("*/*/performance/*/*/manifest.json"))
    )
    assert manifest == read_json(attempt / "manifest.json")
