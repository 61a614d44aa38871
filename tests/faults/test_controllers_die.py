"""A controller that is killed, and two that work on the same plan."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from mlperf_ops.files import sha256_file
from tests.faults.campaign import cells, wait_until, words
from tests.faults.conftest import Begin

pytestmark = [pytest.mark.lab, pytest.mark.network, pytest.mark.slow]


def test_a_killed_controller_started_again_takes_the_running_cell_and_its_workers_are_gone(begin: Begin) -> None:
    campaign = begin("killed", mlperf_test_query_count=1000)  # it is still running when the second play comes
    host, other = campaign.hosts
    for one in campaign.hosts:
        campaign.count_copies(one)
    first = campaign.start()
    attempt = campaign.until_measuring(host)
    inventory = str(campaign.controller.inventory).encode()

    def alive() -> set[int]:
        found = set()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if inventory in path.read_bytes():
                    found.add(int(path.parent.name))
            except OSError:
                continue
        return found

    assert len(alive()) > 1, "the play has no workers, so this test shows nothing"
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    second = campaign.start()
    done = second.end()
    assert done.exit_code == 0, done.output
    assert f"re-attached to {attempt.name}" in words(done) or campaign.result(attempt)["verdict"] == "valid"
    wait_until(lambda: not alive(), "workers of the killed play are still there", seconds=30)
    for one in (host, other):
        assert campaign.verdicts(one) == ["valid"]
        assert campaign.valid(one) == 1
        assert campaign.copies(one) == {"0", "1"}


def test_two_controllers_with_the_same_plan_share_its_cells_and_run_none_twice(begin: Begin) -> None:
    changes = {"mlperf_benchmarks": cells("SingleStream", "Offline"), "mlperf_test_query_count": 150}
    one = begin("shared", 2, "one", **changes)
    other = begin("shared", 2, "other", **changes)
    for host in one.hosts:
        one.count_copies(host)
    plays = [one.start(), other.start()]
    ends = [play.end() for play in plays]
    for end in ends:
        assert end.exit_code == 0, end.output
    for host in one.hosts:
        assert one.verdicts(host) == ["valid", "valid"]
        assert one.copies(host) == {"0", "1"}
        assert one.collected(host) == other.collected(host)
        for mine in (one.controller.run / "hosts" / host.name).glob("*/*/*/*/attempt_*/result.json"):
            same = other.controller.run / mine.relative_to(one.controller.run)
            assert sha256_file(mine) == sha256_file(same)
        assert (one.valid(host), other.valid(host)) == (2, 2)


def test_two_runs_on_one_host_take_turns_and_neither_loses_a_cell(begin: Begin) -> None:
    """Two inventories with a run id each: nothing but the host itself keeps their cells apart."""
    runs = [begin(name, 1, name) for name in ("morning", "evening")]
    host = runs[0].hosts[0]
    runs[0].count_copies(host)
    plays = [run.start() for run in runs]
    ends = [play.end() for play in plays]
    for run, end in zip(runs, ends, strict=True):
        assert end.exit_code == 0, end.output
        assert run.verdicts(host) == ["valid"]
        assert run.valid(host) == 1
    assert runs[0].copies(host) == {"0", "1"}
    assert any("another run measures" in end.output for end in ends), [end.output for end in ends]
